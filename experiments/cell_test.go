package experiments

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const all = `name = "t"
[data]
train = 10000
validation = 2000
[train]
epochs = 15
[search]
epochs = 3
[prune]
start_flops = 2.0
[[matrix]]
network = ["resnet20"]
width = [0.5]
dataset = ["mnist"]
method = ["uniform", "l1", "adjust"]
budget = [0.5]
seed = [1]
`

// TestGoldenIDs pins the canonical form: whatever changes it makes every finished cell of every user new.
func TestGoldenIDs(t *testing.T) {
	e := parse(t, all)
	want := []string{
		"resnet20-w0.5-mnist-uniform-b0.5-s1-bc0b8f0c50a9",
		"resnet20-w0.5-mnist-l1-b0.5-s1-132e12a6b189",
		"resnet20-w0.5-mnist-adjust-b0.5-s1-dbed78e2cc55",
	}
	if diff := cmp.Diff(want, ids(e)); diff != "" {
		t.Error(diff)
	}
	canonical := `{"network":"resnet20","width":0.5,"padding":"max","dataset":"mnist","method":"adjust",` +
		`"budget":{"fraction":0.5},"seed":1,"data":{"train":10000,"validation":2000,"test":10000},` +
		`"train":{"epochs":15,"batch":128,"learning_rate":0.15,"min_learning_rate":0.001,"momentum":0.9,` +
		`"weight_decay":0.0003,"label_smoothing":0,"augment":"pad-crop-flip"},` +
		`"search":{"epochs":3,"iterations":10,"layers_per_update":3,"layers_decay":0,"rate":0.1,"rate_decay":0,` +
		`"drop_rate":0.1,"repeats":5}}`
	if diff := cmp.Diff(canonical, string(e.Cells[2].Canonical())); diff != "" {
		t.Error(diff)
	}
}

// TestRecordedIDs checks that the cells of a recorded run are still those of its experiment file.
func TestRecordedIDs(t *testing.T) {
	text, err := os.ReadFile("../results/recorded/quick/plan.json")
	if err != nil {
		t.Fatal(err)
	}
	var plan struct{ Cells []string }
	if err := json.Unmarshal(text, &plan); err != nil {
		t.Fatal(err)
	}
	e, err := Load("quick.toml", shippedCatalog())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plan.Cells, ids(e)); diff != "" || len(plan.Cells) == 0 {
		t.Errorf("(-recorded +now):\n%s", diff)
	}
}

func TestCanonicalReadsBack(t *testing.T) {
	for _, c := range parse(t, strings.Replace(all, "[0.5]\nseed", "[0.5, 20_000_000]\nseed", 1)).Cells {
		var got Cell
		if err := json.Unmarshal(c.Canonical(), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestWhatChangesIDs(t *testing.T) {
	replace := func(old, new string) string {
		if !strings.Contains(all, old) {
			panic(old)
		}
		return strings.Replace(all, old, new, 1)
	}
	_, matrix, _ := strings.Cut(all, "[[matrix]]\n")
	for _, test := range []struct {
		name, text string
		changed    string // methods whose cells get new ids
	}{
		{"comments", replace("epochs = 15", "# note\n epochs=15 # note"), ""},
		{"order of keys", "name = \"t\"\n[[matrix]]\nseed = [1]\n" + strings.Replace(matrix, "seed = [1]\n", "", 1) +
			"[prune]\nstart_flops = 2.0\n[search]\nepochs = 3\n[train]\nepochs = 15\n[data]\nvalidation = 2000\n" +
			"train = 10000\n", ""},
		{"scalars for lists", strings.NewReplacer("[0.5]", "0.5", `["resnet20"]`, `"resnet20"`, "[1]", "1").Replace(all), ""},
		{"integers for floats", replace("2.0", "2"), ""},
		{"notation", strings.NewReplacer("0.5", "5e-1", "10000", "10_000", "[1]", "[\n  1,\n]").Replace(all), ""},
		{"defaults written out", replace("epochs = 3", "preset = \"default\"\nrate_decay = -0.0\nepochs = 3"), ""},
		{"start epochs written out", replace("[prune]", "[prune]\nepochs = 15"), ""},
		{"name", replace(`"t"`, `"u"`), ""},
		{"reference written out", replace("epochs = 3", "epochs = 3\nreference = false"), ""},
		{"search", replace("epochs = 3", "epochs = 4"), "adjust"},
		{"reference", replace("epochs = 3", "epochs = 3\nreference = true"), "adjust"},
		{"default presets", strings.NewReplacer("[train]", "[train]\npreset = \"default\"", "[search]",
			"[search]\npreset = \"default\"").Replace(all), ""},
		{"schedule of no dropout", replace("epochs = 15", "epochs = 15\ndrop_rate = 0\ndrop_grows_with_epoch = false\n"+
			"drop_grows_with_depth = false"), ""},
		{"start of no warm-up", replace("epochs = 15", "epochs = 15\nwarmup_epochs = 0\nwarmup_learning_rate = 0.01"), ""},
		{"recipe of searches written out", replace("[prune]", "[search.train]\nbatch = 128\nlearning_rate = 0.15\n[prune]"),
			""},
		{"dropout in training", replace("epochs = 15", "epochs = 15\ndrop_rate = 0.05"), "uniform l1 adjust"},
		{"warm-up", replace("epochs = 15", "epochs = 15\nwarmup_epochs = 2"), "uniform l1 adjust"},
		{"recipe of searches", replace("[prune]", "[search.train]\nlearning_rate = 0.1\n[prune]"), "adjust"},
		{"prune", replace("2.0", "2.5"), "l1"},
		{"train", replace("epochs = 15", "epochs = 16"), "uniform l1 adjust"},
		{"data", replace("[train]", "test = 5000\n[train]"), "uniform l1 adjust"},
		{"padding", replace("[[matrix]]", "[[matrix]]\npadding = \"local\""), "uniform l1 adjust"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, after := parse(t, all), parse(t, test.text)
			var changed []string
			for i, c := range before.Cells {
				if after.Cells[i].ID() != c.ID() {
					changed = append(changed, c.Method)
				}
			}
			if got := strings.Join(changed, " "); got != test.changed {
				t.Errorf("changed: %q, want %q", got, test.changed)
			}
		})
	}
}

func TestIDIsAFolderName(t *testing.T) {
	c := Cell{Network: "a/b c:d", Dataset: "../x", Method: "m*", Width: 1e-9, Padding: "local", Seed: 1<<64 - 1}
	if !regexp.MustCompile(`^a-b-c-d-w1e-09-local-\.\.-x-m-.*-s18446744073709551615-[0-9a-f]{12}$`).MatchString(c.ID()) {
		t.Errorf("id %q", c.ID())
	}
}

func TestBudget(t *testing.T) {
	for _, test := range []struct {
		value any
		text  string
		flops int64 // of a base of 1001
	}{
		{int64(1), "b1", 1001},
		{1.0, "b1", 1001},
		{0.5, "b0.5", 500},   // 500.5
		{1.5, "b1.5", 1502},  // 1501.5
		{0.25, "b0.25", 250}, // 250.25
		{int64(4), "b4", 4004},
		{int64(1000), "b1000", 1000},
		{int64(20_000_000), "b20000000", 20_000_000},
	} {
		b, err := budget(test.value)
		if err != nil {
			t.Errorf("%v: %v", test.value, err)
			continue
		}
		if b.String() != test.text || b.Resolve(1001) != test.flops {
			t.Errorf("%v: %s, %d FLOPs, want %s, %d", test.value, b, b.Resolve(1001), test.text, test.flops)
		}
	}
}
