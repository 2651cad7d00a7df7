package experiments

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const explained = `name = "t"
[train]
preset = "readme"
batch = 64
[search]
epochs = 3
[search.train]
momentum = 0.8
[[matrix]]
network = ["resnet8", "resnet20"]
width = 0.5
dataset = "mnist"
method = ["l1", "adjust"]
budget = 1
seed = [1, 2]
[[matrix.set]]
where = { network = "resnet20" }
values.train = { preset = "default", epochs = 7 }
[[matrix.set]]
where = { network = "resnet20", method = "adjust" }
[matrix.set.values.search]
preset = "readme-imagenet"
rate = 0.3
`

// find returns "value from" of some keys of the explanation that holds the given cell.
func find(t *testing.T, all []Explanation, network, method string, keys ...string) []string {
	t.Helper()
	for _, x := range all {
		if c := x.Cells[0]; c.Network != network || c.Method != method {
			continue
		}
		if len(x.Cells) != 2 {
			t.Errorf("%s %s: %d cells together, want both seeds", network, method, len(x.Cells))
		}
		var got []string
		for _, key := range keys {
			text := key + " is missing"
			for _, s := range x.Settings {
				if s.Key == key {
					text = fmt.Sprint(s.Value, " ", s.From)
				}
			}
			got = append(got, text)
		}
		return got
	}
	t.Fatalf("no explanation of %s %s", network, method)
	return nil
}

func TestExplainOrigins(t *testing.T) {
	all := parse(t, explained).Explain()
	if len(all) != 4 {
		t.Errorf("%d groups of cells, want 4", len(all))
	}
	for _, test := range []struct {
		network, method string
		want            map[string]string
	}{
		{"resnet8", "adjust", map[string]string{
			"data.train": "54000 default", "train.batch": "64 t.toml:4", "train.epochs": "200 preset readme, t.toml:3",
			"train.drop_rate": "0.05 preset readme, t.toml:3", "search.epochs": "3 t.toml:6", "search.rate": "0.1 default",
			"search.reference": "false default", "search.fur": "loss default",
			"search.train.momentum": "0.8 t.toml:8", "search.train.batch": "64 train.batch",
			"search.train.epochs": "search.train.epochs is missing", "prune.epochs": "prune.epochs is missing",
		}},
		{"resnet8", "l1", map[string]string{
			"prune.epochs": "200 train.epochs", "prune.start_flops": "2 default",
			"search.epochs": "search.epochs is missing",
		}},
		{"resnet20", "l1", map[string]string{
			"train.batch":  "128 preset default, matrix[1].set[1], t.toml:18",
			"train.epochs": "7 matrix[1].set[1], t.toml:18", "prune.epochs": "7 train.epochs",
		}},
		{"resnet20", "adjust", map[string]string{
			"train.epochs":          "7 matrix[1].set[1], t.toml:18",
			"search.rate":           "0.3 matrix[1].set[2], t.toml:23",
			"search.epochs":         "10 preset readme-imagenet, matrix[1].set[2], t.toml:22",
			"search.train.batch":    "512 preset readme-imagenet, matrix[1].set[2], t.toml:22",
			"search.train.momentum": "0.9 train.momentum",
		}},
	} {
		for key, want := range test.want {
			if diff := cmp.Diff([]string{want}, find(t, all, test.network, test.method, key)); diff != "" {
				t.Errorf("%s %s, %s (-want +got):\n%s", test.network, test.method, key, diff)
			}
		}
	}
}

// TestPresetsKeepOtherKeys checks that a preset leaves alone what none of them has.
func TestPresetsKeepOtherKeys(t *testing.T) {
	e := parse(t, strings.Replace(minimal, "uniform", "adjust", 1)+`[train]
zero_gamma = true
[search]
reference = ["nan"]
early_end = true
[search.train]
no_bias_decay = true
batch = 64
[[matrix.set]]
values = { train = { preset = "readme" }, search = { preset = "readme-imagenet" } }
`)
	c := e.Cells[0]
	recipe := c.SearchRecipe()
	if !c.Train.ZeroGamma || c.Train.DropRate != 0.05 || !recipe.NoBiasDecay || recipe.Batch != 512 || !c.Search.EarlyEnd ||
		c.Search.DropRate != 0.2 || fmt.Sprint(c.Search.Reference.Names()) != "[nan]" {
		t.Errorf("%s", c.Canonical())
	}
	for _, s := range e.Explain()[0].Settings {
		want := map[string]string{"search.reference": "t.toml:12", "search.drop_rate": "preset readme-imagenet"}[s.Key]
		if !strings.Contains(s.From, want) {
			t.Errorf("%s is from %s, want %s", s.Key, s.From, want)
		}
	}
}

// TestExplainIsWhatRuns compares the values with those of the cells.
func TestExplainIsWhatRuns(t *testing.T) {
	for _, x := range parse(t, explained).Explain() {
		values := map[string]any{}
		for _, s := range x.Settings {
			values[s.Key] = s.Value
		}
		for _, c := range x.Cells {
			used := fields("data", c.Data)
			used = append(used, fields("train", c.Train)...)
			if c.Search != nil {
				used = append(used, fields("search", *c.Search)...)
				used = append(used, fields("search.train", c.SearchRecipe())[1:]...)
			}
			if c.Prune != nil {
				used = append(used, fields("prune", *c.Prune)[:2]...) // all that l1 reads in the catalog
			}
			used = append(used, Setting{Key: "width.round_to", Value: 1})
			if len(used) != len(values) {
				t.Errorf("%s: %d settings are explained, the cell has %d", c.ID(), len(values), len(used))
			}
			for _, s := range used {
				unused := strings.Contains(s.Key, "warmup_") || strings.Contains(s.Key, "drop_grows")
				if values[s.Key] != s.Value && !unused {
					t.Errorf("%s: %s is %v, explained as %v", c.ID(), s.Key, s.Value, values[s.Key])
				}
			}
		}
	}
}

func TestPublished(t *testing.T) {
	for key, want := range map[string][]Published{
		"search.epochs": {{"code default", 20}, {"README for CIFAR", 200}, {"README for ImageNet", 10}},
		"train.learning_rate": {
			{"code default, README for CIFAR", 0.15}, {"README for ImageNet", 0.4},
		},
		"search.train.learning_rate": {{"code default, README for CIFAR", 0.15}, {"README for ImageNet", 0.2}},
		"search.reference":           {{"code default, README for CIFAR, README for ImageNet", allRules}},
		"search.fur":                 {{"code default, README for CIFAR, README for ImageNet", "loss"}},
		"prune.start_flops":          nil,
	} {
		if diff := cmp.Diff(want, published(key)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
	}
}
