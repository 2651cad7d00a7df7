package experiments

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const included = `[train]
epochs = 7
batch  = 32
[search]
epochs = 3
`

// including writes a base and returns the path and text of an experiment that includes it.
func including(t *testing.T, base, more string) (string, string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "base.toml"), []byte(base), 0o644); err != nil {
		t.Fatal(err)
	}
	text := "include = \"base.toml\"\nname = \"t\"\n" + more + `[[matrix]]
network = "resnet20"
width   = 1.0
dataset = "cifar10"
method  = "adjust"
budget  = 0.5
seed    = [1, 2]
[[matrix.set]]
where  = {seed = 2}
values = {train = {epochs = 9}}
`
	return filepath.Join(dir, "t.toml"), text
}

func TestIncludeAndSet(t *testing.T) {
	path, text := including(t, included, "[train]\nbatch = 64\n")
	epochs := func(e *Experiment) (all []int) {
		for _, c := range e.Cells {
			all = append(all, c.Train.Epochs)
		}
		return all
	}
	e, err := Parse(path, []byte(text), catalog)
	if err != nil {
		t.Fatal(err)
	}
	if c := e.Cells[0]; c.Train.Batch != 64 || c.Search.Epochs != 3 || !slices.Equal(epochs(e), []int{7, 9}) {
		t.Errorf("epochs %v of %+v, %+v", epochs(e), c.Train, c.Search)
	}
	origins := map[string]string{}
	for _, s := range e.Explain()[0].Settings {
		origins[s.Key] = s.From
	}
	base := filepath.Join(filepath.Dir(path), "base.toml")
	for key, want := range map[string]string{"train.epochs": base + ":2", "train.batch": path + ":4", "train.momentum": "default"} {
		if origins[key] != want {
			t.Errorf("%s is from %q, want %q", key, origins[key], want)
		}
	}

	// The command line has the last word, and the same settings written in the file make the same cells.
	over, err := Parse(path, []byte(text), catalog, "train.epochs=5", "train.augment=none", "name=other")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(epochs(over), []int{5, 5}) || over.Cells[1].Train.Augment != "none" || over.Name != "other" {
		t.Errorf("epochs %v, name %q, %+v", epochs(over), over.Name, over.Cells[1].Train)
	}
	for _, s := range over.Explain()[0].Settings {
		if s.Key == "train.epochs" && s.From != "--set" {
			t.Errorf("train.epochs is from %q", s.From)
		}
	}
	written := strings.Replace(strings.Replace(text, "epochs = 9", "epochs = 5", 1), "[train]\n",
		"[train]\nepochs = 5\naugment = \"none\"\n", 1)
	same, err := Parse(path, []byte(written), catalog)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range over.Cells {
		if c.ID() != same.Cells[i].ID() {
			t.Errorf("--set makes %s, the file %s", c.ID(), same.Cells[i].ID())
		}
	}
}

func TestIncludeAndSetMistakes(t *testing.T) {
	for _, tt := range []struct {
		base, more string
		set        []string
		want       []string
	}{
		{"[train]\nepochs = 0\n[trian]\n", "[search]\nepochs = 0\n", nil, []string{
			"base.toml:2: train.epochs: must be an integer, at least 1", `base.toml:3: trian: unknown key; did you mean "train"?`,
			"t.toml:4: search.epochs: must be an integer",
		}},
		{"[train\n", "", nil, []string{"base.toml:2:7: toml: error"}},
		{"include = \"other.toml\"\n", "", nil, []string{"base.toml:1: include: unknown key"}},
		{"", "", []string{"train.epochs=0", "train.epoch=1"}, []string{
			"--set: train.epochs: must be an integer", `--set: train.epoch: unknown key; did you mean "epochs"?`,
		}},
		{"", "", []string{"train"}, []string{"--set train: want KEY=VALUE, such as train.epochs=5"}},
		{"", "", []string{"matrix.seed=3"}, []string{"--set: matrix: unknown key"}},
	} {
		path, text := including(t, tt.base, tt.more)
		_, err := Parse(path, []byte(text), catalog, tt.set...)
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("base %q, set %q: error %v, want one with %q", tt.base, tt.set, err, want)
			}
		}
	}
	path, text := including(t, "", "")
	if err := os.Remove(filepath.Join(filepath.Dir(path), "base.toml")); err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(path, []byte(text), catalog); err == nil || !strings.Contains(err.Error(), "t.toml:1: include: open ") {
		t.Errorf("error %v for a missing base", err)
	}
}
