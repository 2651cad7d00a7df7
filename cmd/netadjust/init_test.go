package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"netadjust/experiments"
	"netadjust/harness"
	"netadjust/internal/data"
)

// mine is a network of one's own.
const mine = `input = [1, 28, 28]
classes = 10
adjustable = { a = 40, b = 70 }
layers = [
  { conv = "a", kernel = 3, stride = 2 }, "batchnorm", "relu", "drop",
  { conv = "b", kernel = 3, stride = 2 }, "batchnorm", "relu", "drop",
  "globalavgpool", "classifier",
]
`

// TestInit writes experiment files, which must say what an empty file would, and whose cells can be planned.
func TestInit(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("nets", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("nets/mine.toml", []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args    []string
		file    string
		network string
	}{
		{[]string{"resnet20", "cifar10"}, "resnet20-cifar10.toml", "resnet20"},
		{[]string{"mobilenet_v2", "cifar100"}, "mobilenet_v2-cifar100.toml", "mobilenet_v2"},
		{[]string{"densenet40", "fashion-mnist", "--out", "nets/dense.toml"}, "nets/dense.toml", "densenet40"},
		{[]string{"nets/mine.toml", "mnist"}, "mine-mnist.toml", "nets/mine.toml"},
		{[]string{"nets/mine.toml", "mnist", "--out", "nets/m.toml"}, "nets/m.toml", "mine.toml"},
	} {
		args := append([]string{"init"}, tt.args...)
		call(t.Context(), args...).check(t, 0, "wrote "+tt.file+"; netadjust plan "+tt.file+" lists", "")
		text, err := os.ReadFile(tt.file)
		if err != nil {
			t.Fatal(err)
		}
		if want := `network = ["` + tt.network + `"]`; !strings.Contains(string(text), want) {
			t.Errorf("%s does not have %s:\n%s", tt.file, want, text)
		}
		e, err := experiments.Load(tt.file, harness.Catalog(data.Dir("")))
		if err != nil {
			t.Fatal(err)
		}
		want := experiments.Defaults()
		if got := e.Settings; got.Search.Rate != want.Search.Rate || got.Train.Epochs != want.Train.Epochs ||
			got.Train.WeightDecay != want.Train.WeightDecay || got.Prune != want.Prune {
			t.Errorf("%s has settings %+v, defaults are %+v", tt.file, got, want)
		}
		plan, err := harness.MakePlan(e)
		if err != nil || len(plan.Cells) != 4*2*3 {
			t.Fatalf("%s: plan %+v, error %v", tt.file, plan, err)
		}
		if i := slices.IndexFunc(plan.Cells, func(c harness.PlannedCell) bool { return c.Problem != "" }); i >= 0 {
			t.Errorf("%s: %s", tt.file, plan.Cells[i].Problem)
		}
		if r := call(t.Context(), args...); r.code != exitUsage || !strings.Contains(r.stderr, "is there already") {
			t.Errorf("%s is written again: code %d, %s", tt.file, r.code, r.stderr)
		}
		if again, err := os.ReadFile(tt.file); err != nil || string(again) != string(text) {
			t.Errorf("%s has changed, error %v", tt.file, err)
		}
	}
	for _, tt := range []struct{ args, want string }{
		{"init resnet21 mnist", `unknown network "resnet21"`},
		{"init resnet20 minst", `unknown dataset "minst"; did you mean "mnist"?`},
		{"init nets/none.toml mnist", "read network: open nets/none.toml"},
		{"init resnet20 mnist --out " + filepath.Join("none", "x.toml"), "none"},
	} {
		if r := call(t.Context(), strings.Fields(tt.args)...); r.code == 0 || !strings.Contains(r.stderr, tt.want) {
			t.Errorf("netadjust %s: exit code %d, %s", tt.args, r.code, r.stderr)
		}
	}
}
