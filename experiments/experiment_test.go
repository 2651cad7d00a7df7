package experiments

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var catalog = Catalog{
	Methods: []Method{
		{Name: "uniform"},
		{Name: "l1", Prunes: true},
		{Name: "adjust", Searches: true},
	},
	Datasets: []Dataset{
		{Name: "mnist", Train: 60000, Test: 10000},
		{Name: "fashion-mnist", Train: 60000, Test: 10000},
		{Name: "cifar10", Train: 50000, Test: 10000},
	},
	Network: func(name string) (Network, error) {
		if slices.Contains([]string{"resnet8", "resnet14", "resnet20", "resnet32"}, name) {
			return Network{Name: name}, nil
		}
		if base, ok := strings.CutSuffix(name, ".toml"); ok {
			return Network{filepath.Base(base), "what " + filepath.ToSlash(name) + " says"}, nil
		}
		return Network{}, fmt.Errorf("unknown network %q; families: resnetD", name)
	},
}

// minimal is a valid file of one cell; tests change it.
const minimal = `name = "t"
[[matrix]]
network = "resnet20"
width = 0.5
dataset = "cifar10"
method = "uniform"
budget = 0.5
seed = 1
`

func parse(t *testing.T, text string) *Experiment {
	t.Helper()
	e, err := Parse("t.toml", []byte(text), catalog)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func ids(e *Experiment) []string {
	var out []string
	for _, c := range e.Cells {
		out = append(out, c.ID())
	}
	return out
}

// TestDescribedNetworks checks that a network of a file is found beside the experiment file, and that a cell holds what
// the file says and not where it is.
func TestDescribedNetworks(t *testing.T) {
	text := strings.Replace(minimal, `"resnet20"`, `["nets/mine.toml", "resnet20", "/abs/other.toml"]`, 1) +
		"[[matrix.set]]\nwhere = { network = \"nets/mine.toml\" }\nvalues = { train = { epochs = 7 } }\n"
	e, err := Parse("folder/t.toml", []byte(text), catalog)
	if err != nil {
		t.Fatal(err)
	}
	type network struct {
		name, description string
		epochs            int
	}
	var got []network
	for _, c := range e.Cells {
		got = append(got, network{c.Network, c.Description, c.Train.Epochs})
		if id := c.ID(); !strings.HasPrefix(id, c.Network+"-w0.5-cifar10-uniform-b0.5-s1-") {
			t.Errorf("id %s", id)
		}
	}
	want := []network{
		{"mine", "what folder/nets/mine.toml says", 7}, {"resnet20", "", 200}, {"other", "what /abs/other.toml says", 200},
	}
	if !slices.Equal(got, want) {
		t.Errorf("networks %+v, want %+v", got, want)
	}
	changed := e.Cells[0]
	changed.Description += " now"
	if changed.ID() == e.Cells[0].ID() {
		t.Error("another description has the same id")
	}
	same := strings.Replace(minimal, `"resnet20"`, `["a/mine.toml", "b/mine.toml"]`, 1)
	if _, err := Parse("t.toml", []byte(same), catalog); err == nil ||
		err.Error() != "t.toml: two different networks are called mine; rename the file of one" {
		t.Errorf("two networks of one name: error %v", err)
	}
	if c := string(e.Cells[1].Canonical()); strings.Contains(c, "description") {
		t.Errorf("a network of a known family has a description: %s", c)
	}
}

func TestExpandInFileOrder(t *testing.T) {
	e := parse(t, `
name = "t"
[[matrix]]
network = ["resnet20", "resnet8"]
width   = [1, 0.5]
padding = ["local", "max"]
dataset = ["mnist", "cifar10"]
method  = ["uniform", "l1"]
budget  = [1, 20_000_000]
seed    = [2, 1]
`)
	if len(e.Cells) != 128 || e.Merged != 0 {
		t.Fatalf("%d cells, %d merged, want 128 and 0", len(e.Cells), e.Merged)
	}
	hash := regexp.MustCompile(`-[0-9a-f]{12}$`)
	var got []string
	for i, c := range e.Cells {
		if i < 5 || i%16 == 0 {
			got = append(got, hash.ReplaceAllString(c.ID(), ""))
		}
	}
	want := []string{
		"resnet20-w1-local-mnist-uniform-b1-s2",
		"resnet20-w1-local-mnist-uniform-b1-s1",
		"resnet20-w1-local-mnist-uniform-b20000000-s2",
		"resnet20-w1-local-mnist-uniform-b20000000-s1",
		"resnet20-w1-local-mnist-l1-b1-s2",
		"resnet20-w1-mnist-uniform-b1-s2",
		"resnet20-w0.5-local-mnist-uniform-b1-s2",
		"resnet20-w0.5-mnist-uniform-b1-s2",
		"resnet8-w1-local-mnist-uniform-b1-s2",
		"resnet8-w1-mnist-uniform-b1-s2",
		"resnet8-w0.5-local-mnist-uniform-b1-s2",
		"resnet8-w0.5-mnist-uniform-b1-s2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSettingsOfCells(t *testing.T) {
	e := parse(t, `
name = "t"
[data]
train = 10000
validation = 2000
[train]
epochs = 15
batch = 64
learning_rate = 0.1
min_learning_rate = 0
momentum = 0.8
weight_decay = 1e-4
label_smoothing = 0.1
augment = "pad-crop"
[search]
preset = "default"
epochs = 3
rate = 0.2
reference = true
[prune]
start_flops = 3
[[matrix]]
network = "resnet20"
width = 0.5
dataset = "mnist"
method = ["uniform", "l1", "adjust"]
budget = 0.5
seed = 1
`)
	data := Data{Train: 10000, Validation: 2000, Test: 10000}
	train := Train{
		Epochs: 15, Batch: 64, LearningRate: 0.1, Momentum: 0.8, WeightDecay: 1e-4, LabelSmoothing: 0.1,
		Augment: "pad-crop",
	}
	cell := func(method string, search *Search, prune *Prune) Cell {
		return Cell{
			Network: "resnet20", Width: 0.5, Padding: "max", Dataset: "mnist", Method: method, Budget: Budget{Fraction: 0.5},
			Seed: 1, Data: data, Train: train, Search: search, Prune: prune,
		}
	}
	want := []Cell{
		cell("uniform", nil, nil),
		cell("l1", nil, &Prune{StartFLOPs: 3, Epochs: 15}),
		cell("adjust", &Search{
			Epochs: 3, Iterations: 10, LayersPerUpdate: 3, Rate: 0.2, DropRate: 0.1, Repeats: 5, Reference: allRules,
		}, nil),
	}
	if diff := cmp.Diff(want, e.Cells); diff != "" {
		t.Error(diff)
	}
}

// TestPresets has the numbers of the reference code's commands.
func TestPresets(t *testing.T) {
	train := Train{
		Epochs: 200, Batch: 128, LearningRate: 0.15, MinLearningRate: 1e-3, Momentum: 0.9, WeightDecay: 3e-4,
		Augment: "pad-crop-flip",
	}
	dropped := train
	dropped.DropRate, dropped.DropGrowsWithEpoch, dropped.DropGrowsWithDepth = 0.05, true, true
	imagenet := Train{
		Epochs: 90, Batch: 1024, LearningRate: 0.4, MinLearningRate: 1e-3, Momentum: 0.9, WeightDecay: 4e-5,
		LabelSmoothing: 0.1, Augment: "resized-crop-flip", WarmupEpochs: 5, WarmupLearningRate: 1e-3,
	}
	searching := Train{
		Epochs: 10, Batch: 512, LearningRate: 0.2, MinLearningRate: 1e-3, Momentum: 0.9, WeightDecay: 4e-5,
		Augment: "resized-crop-flip", DropRate: 0.05, DropGrowsWithEpoch: true,
	}
	smaller := searching
	smaller.Batch, smaller.Epochs = 256, 5
	standard := Search{Epochs: 20, Iterations: 10, LayersPerUpdate: 3, Rate: 0.1, DropRate: 0.1, Repeats: 5}
	readme := Search{
		Epochs: 200, Iterations: 10, LayersPerUpdate: 6, LayersDecay: 0.5, Rate: 0.15, RateDecay: 0.01, DropRate: 0.05,
		Repeats: 5,
	}
	large := Search{Epochs: 10, Iterations: 10, LayersPerUpdate: 6, Rate: 0.1, DropRate: 0.2, Repeats: 5}
	with := func(s Search, epochs int, recipe Train) Search {
		s.Epochs, s.Train = epochs, &recipe
		return s
	}
	for _, test := range []struct {
		name, text string
		train      Train
		search     Search
	}{
		{"default", "[train]\npreset = \"default\"\n[search]\npreset = \"default\"", train, standard},
		{"readme", "[train]\npreset = \"readme\"\n[search]\npreset = \"readme\"", dropped, readme},
		{"readme search alone", "[search]\npreset = \"readme\"", train, with(readme, 200, dropped)},
		{"readme-imagenet", "[train]\npreset = \"readme-imagenet\"\n[search]\npreset = \"readme-imagenet\"", imagenet,
			with(large, 10, searching)},
		{"overridden", "[search]\nepochs = 5\npreset = \"readme-imagenet\"\n[search.train]\nbatch = 256\n[train]\n" +
			"epochs = 90\npreset = \"readme-imagenet\"", imagenet, with(large, 5, smaller)},
	} {
		text := strings.NewReplacer(`"uniform"`, `"adjust"`, "[[", test.text+"\n[[").Replace(minimal)
		c := parse(t, text).Cells[0]
		if diff := cmp.Diff(test.train, c.Train); diff != "" {
			t.Errorf("%s: train (-want +got):\n%s", test.name, diff)
		}
		if diff := cmp.Diff(&test.search, c.Search); diff != "" {
			t.Errorf("%s: search (-want +got):\n%s", test.name, diff)
		}
	}
}

// TestSearchRecipe checks that keys of [train] reach the trainings of searches, wherever they are set, that keys of
// [search.train] win, and that a preset drops the latter.
func TestSearchRecipe(t *testing.T) {
	e := parse(t, `
name = "t"
[search]
epochs = 3
[search.train]
batch = 64
drop_rate = 0.1
[train]
batch = 32
weight_decay = 1e-4
[[matrix]]
network = "resnet8"
width = 0.5
dataset = "mnist"
method = "adjust"
budget = [0.25, 0.5, 1]
seed = 1
[[matrix.set]]
where = { budget = [0.5, 1] }
values = { train = { weight_decay = 1e-5, learning_rate = 0.1 }, search.train = { momentum = 0.8 } }
[[matrix.set]]
where = { budget = 1 }
values.search.preset = "default"
`)
	var got []string
	for _, c := range e.Cells {
		r := c.SearchRecipe()
		got = append(got, fmt.Sprint(r.Epochs, r.Batch, r.LearningRate, r.WeightDecay, r.Momentum, r.DropRate,
			r.DropGrowsWithDepth, c.Train.Batch, c.Train.Momentum))
	}
	want := []string{
		"3 64 0.15 0.0001 0.9 0.1 true 32 0.9", "3 64 0.1 1e-05 0.8 0.1 true 32 0.9", "20 32 0.1 1e-05 0.9 0 false 32 0.9",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDataDefaults(t *testing.T) {
	for _, test := range []struct {
		data string
		want Data
	}{
		{"", Data{45000, 5000, 10000}},
		{"test = 0", Data{45000, 5000, 10000}},
		{"validation = 2000\ntest = 500", Data{48000, 2000, 500}},
		{"train = 2000", Data{2000, 0, 10000}},
		{"train = 40000\nvalidation = 10000", Data{40000, 10000, 10000}},
	} {
		e := parse(t, strings.Replace(minimal, "[[", "[data]\n"+test.data+"\n[[", 1))
		if got := e.Cells[0].Data; got != test.want {
			t.Errorf("%q: %v, want %v", test.data, got, test.want)
		}
	}
}

// TestDatasetThatCanChange checks what a dataset says of itself: which images it holds out, and that other content under
// its name makes other cells.
func TestDatasetThatCanChange(t *testing.T) {
	cell := func(data string, d Dataset) Cell {
		d.Name, d.Train, d.Test = "birds", 1000, 100
		own := catalog
		own.Datasets = []Dataset{d}
		text := strings.Replace(strings.Replace(minimal, "cifar10", "birds", 1), "[[", "[data]\n"+data+"\n[[", 1)
		e, err := Parse("t.toml", []byte(text), own)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d, e.Dataset(e.Cells[0])); diff != "" {
			t.Errorf("dataset of the cell (-want +got):\n%s", diff)
		}
		return e.Cells[0]
	}
	for data, want := range map[string]Data{
		"": {930, 70, 100}, "validation = 50": {950, 50, 100}, "train = 500\nvalidation = 100": {500, 100, 100},
	} {
		if got := cell(data, Dataset{HeldOut: 70}).Data; got != want {
			t.Errorf("%q: %v, want %v", data, got, want)
		}
	}
	plain, one, two := cell("", Dataset{}), cell("", Dataset{Checksum: "a1"}), cell("", Dataset{Checksum: "b2"})
	if one.ID() == two.ID() || one.ID() == plain.ID() || strings.Contains(string(plain.Canonical()), "checksum") {
		t.Errorf("ids %s, %s and %s", plain.ID(), one.ID(), two.ID())
	}
}

func TestBlocksAreConcatenatedAndEqualCellsMerged(t *testing.T) {
	block := minimal[strings.Index(minimal, "[["):]
	e := parse(t, minimal+strings.Replace(block, "seed = 1", "seed = [2, 1]", 1)+block)
	var seeds []uint64
	for _, c := range e.Cells {
		seeds = append(seeds, c.Seed)
	}
	if !slices.Equal(seeds, []uint64{1, 2}) || e.Merged != 2 {
		t.Errorf("seeds %v, %d merged, want [1 2] and 2", seeds, e.Merged)
	}
}

func TestExclude(t *testing.T) {
	e := parse(t, `
name = "t"
[[matrix]]
network = "resnet20"
width = 0.5
dataset = "mnist"
method = ["uniform", "l1", "adjust"]
budget = [1, 0.5]
seed = [1, 2]
[[matrix.exclude]]
method = ["l1", "adjust"]
budget = 1.0
[[matrix.exclude]]
seed = 2
`)
	var got []string
	for _, c := range e.Cells {
		got = append(got, fmt.Sprintf("%s %s %d", c.Method, c.Budget, c.Seed))
	}
	if diff := cmp.Diff([]string{"uniform b1 1", "uniform b0.5 1", "l1 b0.5 1", "adjust b0.5 1"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestSet(t *testing.T) {
	e := parse(t, `
name = "t"
[train]
epochs = 10
[search]
rate = 0.3
[[matrix]]
network = ["resnet8", "resnet20"]
width = 0.5
dataset = "mnist"
method = ["l1", "adjust"]
budget = 1
seed = 1
[[matrix.set]]
values.data.test = 100
[[matrix.set]]
where = { network = "resnet20" }
values = { train = { epochs = 5 }, search = { preset = "default", epochs = 2 } }
[[matrix.set]]
where = { network = ["resnet20"], method = "adjust" }
values = { train = { epochs = 6 } }
`)
	var got []string
	for _, c := range e.Cells {
		text := fmt.Sprintf("%s %s test=%d epochs=%d", c.Network, c.Method, c.Data.Test, c.Train.Epochs)
		if c.Search != nil {
			text += fmt.Sprintf(" search=%d,%v", c.Search.Epochs, c.Search.Rate)
		}
		if c.Prune != nil {
			text += fmt.Sprintf(" start=%d", c.Prune.Epochs)
		}
		got = append(got, text)
	}
	want := []string{
		"resnet8 l1 test=100 epochs=10 start=10",
		"resnet8 adjust test=100 epochs=10 search=20,0.3",
		"resnet20 l1 test=100 epochs=5 start=5",
		"resnet20 adjust test=100 epochs=6 search=2,0.1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if e.Train.Epochs != 10 {
		t.Errorf("a set changed the file's own settings: %d epochs", e.Train.Epochs)
	}
}

func TestMistakes(t *testing.T) {
	replace := func(old, new string) string {
		if !strings.Contains(minimal, old) {
			panic(old)
		}
		return strings.Replace(minimal, old, new, 1)
	}
	settings := func(text string) string { return replace("[[", text+"\n[[") }
	for _, test := range []struct {
		name, text string
		want       string // the whole message
	}{
		{"empty file", "", `
t.toml: name: missing; the results go to a folder of this name
t.toml: matrix: missing; an experiment needs at least one [[matrix]] block`},
		{"syntax", "name = \"t\"\n[train\nepochs = 3\n", `
t.toml:3:7: toml: error: expected '.' or ']' to end table name, but got '\n' instead

At line 3, column 7:

      1 | name = "t"
      2 | [train
      3 | epochs = 3
                ^`},
		{"unsafe name", replace(`"t"`, `"../t"`), `t.toml:1: name: must be a folder name of at most 64 letters, digits, ` +
			`dots, dashes and underscores that starts and ends with a letter or digit and is no device name of Windows, ` +
			`not "../t"`},
		{"device name", replace(`"t"`, `"Aux.old"`), `t.toml:1: name: must be a folder name of at most 64 letters, ` +
			`digits, dots, dashes and underscores that starts and ends with a letter or digit and is no device name of ` +
			`Windows, not "Aux.old"`},
		{"unknown table", settings("[trian]\nepochs = 3"),
			`t.toml:2: trian: unknown key; did you mean "train"?; known: include, name, data, train, search, prune, finetune, width, matrix`},
		{"unknown setting", settings("[prune]\nstart_flop = 3"),
			`t.toml:3: prune.start_flop: unknown key; did you mean "start_flops"?; known: start_flops, epochs, scope, ` +
				"gradient_batches, slimming_penalty, morphnet_penalty, candidates, least_ratio, norm_batches, rounds, " +
				"slimmable_steps, slimmable_random"},
		{"keys have one case", settings("[prune]\nEpochs = 3"),
			`t.toml:3: prune.Epochs: unknown key; did you mean "epochs"?; known: start_flops, epochs, scope, ` +
				"gradient_batches, slimming_penalty, morphnet_penalty, candidates, least_ratio, norm_batches, rounds, " +
				"slimmable_steps, slimmable_random"},
		{"unknown table", minimal + "[[extra]]\n", `t.toml:9: extra: unknown key; known: include, name, data, train, ` +
			`search, prune, finetune, width, matrix`},
		{"unknown axis", minimal + "sparsity = 3\n", `t.toml:9: matrix[1].sparsity: unknown key; known: network, width, ` +
			`padding, dataset, method, variant, final, budget, seed, exclude, set`},
		{"unknown network", replace("resnet20", "resnet21"),
			`t.toml:3: matrix[1].network: unknown network "resnet21"; families: resnetD`},
		{"unknown method", replace(`"uniform"`, `["uniform", "ajust"]`),
			`t.toml:6: matrix[1].method[2]: unknown name "ajust"; did you mean "adjust"?; known: uniform, l1, adjust`},
		{"unknown dataset", replace("cifar10", "svhn"),
			`t.toml:5: matrix[1].dataset: unknown name "svhn"; known: mnist, fashion-mnist, cifar10` +
				"; a folder of images becomes a dataset by `netadjust data pack`"},
		{"unknown padding", replace("width", "padding = [\"max\", \"same\"]\nwidth"),
			`t.toml:4: matrix[1].padding[2]: unknown name "same"; known: max, local`},
		{"wrong types", settings("[train]\nepochs = 15.0\nbatch = \"128\"\nmomentum = [0.9]\naugment = true\n" +
			"weight_decay = 2026-01-01\nlabel_smoothing = {}"), `
t.toml:3: train.epochs: must be an integer, at least 1 and at most 1e+09, not 15.0
t.toml:4: train.batch: must be an integer, at least 2 and at most 1e+09, not "128"
t.toml:5: train.momentum: must be a number, at least 0 and less than 1, not a list
t.toml:6: train.augment: must be one of pad-crop-flip, pad-crop, resized-crop-flip, none, not true
t.toml:7: train.weight_decay: must be a number, at least 0 and at most 1, not a date or time
t.toml:8: train.label_smoothing: must be a number, at least 0 and less than 1, not a table`},
		{"wrong types of names", replace(`"resnet20"`, "20"),
			`t.toml:3: matrix[1].network: must be the name of a network, or the path of a description, not 20`},
		{"not a table", "train = 3\n" + minimal, `t.toml:1: train: must be a table, not 3`},
		{"one bracket", replace("[[matrix]]", "[matrix]"),
			`t.toml:2: matrix: must be one or more tables, each under [[matrix]] in two brackets, not a table`},
		{"one bracket below", minimal + "[matrix.exclude]\nseed = 1\n", `t.toml:9: matrix[1].exclude: must be one or more ` +
			`tables, each under [[matrix.exclude]] in two brackets, not a table`},
		{"impossible settings", settings("[train]\nepochs = -1\nbatch = 1\nlearning_rate = 0\nmin_learning_rate = -1e-3\n" +
			"momentum = 1\nweight_decay = -0.1\nlabel_smoothing = 1.0"), `
t.toml:3: train.epochs: must be an integer, at least 1 and at most 1e+09, not -1
t.toml:4: train.batch: must be an integer, at least 2 and at most 1e+09, not 1
t.toml:5: train.learning_rate: must be a number, more than 0 and at most 100, not 0
t.toml:6: train.min_learning_rate: must be a number, at least 0 and at most 100, not -0.001
t.toml:7: train.momentum: must be a number, at least 0 and less than 1, not 1
t.toml:8: train.weight_decay: must be a number, at least 0 and at most 1, not -0.1
t.toml:9: train.label_smoothing: must be a number, at least 0 and less than 1, not 1.0`},
		{"impossible search", settings("[search]\nepochs = 0\niterations = 0\nlayers_per_update = 0\nlayers_decay = -1\n" +
			"rate = 0\nrate_decay = -1\ndrop_rate = 0.6\nrepeats = 0\npreset = \"paper\""), `
t.toml:3: search.epochs: must be an integer, at least 1 and at most 1e+09, not 0
t.toml:4: search.iterations: must be an integer, at least 1 and at most 1e+09, not 0
t.toml:5: search.layers_per_update: must be an integer, at least 1 and at most 1e+09, not 0
t.toml:6: search.layers_decay: must be a number, at least 0 and at most 1e+09, not -1
t.toml:7: search.rate: must be a number, more than 0 and at most 1, not 0
t.toml:8: search.rate_decay: must be a number, at least 0 and at most 1, not -1
t.toml:9: search.drop_rate: must be a number, more than 0 and at most 0.5, not 0.6
t.toml:10: search.repeats: must be an integer, at least 1 and at most 1e+09, not 0
t.toml:11: search.preset: unknown name "paper"; known: default, readme, readme-imagenet`},
		{"impossible recipes", settings("[train]\nwarmup_epochs = -1\nwarmup_learning_rate = -1\ndrop_rate = 1\n" +
			"drop_grows_with_epoch = 1\npreset = \"imagenet\"\n[search.train]\nepochs = 3\npreset = \"readme\"\nbatch = 0"), `
t.toml:3: train.warmup_epochs: must be an integer, at least 0 and at most 1e+09, not -1
t.toml:4: train.warmup_learning_rate: must be a number, at least 0 and at most 100, not -1
t.toml:5: train.drop_rate: must be a number, at least 0 and less than 1, not 1
t.toml:6: train.drop_grows_with_epoch: must be true or false, not 1
t.toml:7: train.preset: unknown name "imagenet"; known: default, readme, readme-imagenet
t.toml:9: search.train.epochs: unknown key; known: batch, learning_rate, min_learning_rate, momentum, weight_decay, ` +
			`label_smoothing, augment, warmup_epochs, warmup_learning_rate, drop_rate, drop_grows_with_epoch, ` +
			`drop_grows_with_depth, init, zero_gamma, no_bias_decay
t.toml:10: search.train.preset: unknown key; known: batch, learning_rate, min_learning_rate, momentum, weight_decay, ` +
			`label_smoothing, augment, warmup_epochs, warmup_learning_rate, drop_rate, drop_grows_with_epoch, ` +
			`drop_grows_with_depth, init, zero_gamma, no_bias_decay
t.toml:11: search.train.batch: must be an integer, at least 2 and at most 1e+09, not 0`},
		{"warm-up longer than trainings", strings.NewReplacer(`"uniform"`, `["uniform", "l1", "adjust"]`, "[[",
			"[train]\nwarmup_epochs = 5\nwarmup_learning_rate = 0.2\nepochs = 5\n[search]\nepochs = 3\n"+
				"[prune]\nepochs = 4\n[[").Replace(minimal), `
t.toml:3: train.warmup_epochs: must be less than train.epochs (5), not 5
t.toml:3: train.warmup_epochs: must be less than prune.epochs (4), not 5
t.toml:3: train.warmup_epochs: must be less than search.epochs (3), not 5
t.toml:4: train.warmup_learning_rate: must be at most train.learning_rate (0.15), not 0.2`},
		{"recipe of searches that cannot hold", strings.NewReplacer(`"uniform"`, `"adjust"`, "[[",
			"[data]\ntrain = 300\nvalidation = 100\n[search.train]\nbatch = 301\nlearning_rate = 0.0001\n"+
				"warmup_epochs = 20\nwarmup_learning_rate = 0\n[[").Replace(minimal), `
t.toml:5: search.train.min_learning_rate: must be at most search.train.learning_rate (0.0001), not 0.001
t.toml:6: search.train.batch: must be at most the 300 images of data.train, not 301
t.toml:8: search.train.warmup_epochs: must be less than search.epochs (20), not 20`},
		{"impossible prune and data", settings("[prune]\nstart_flops = 1.0\nepochs = -1\n[data]\ntrain = 0\n" +
			"validation = 0\ntest = -1"), `
t.toml:3: prune.start_flops: must be a number, more than 1 and at most 16, not 1.0
t.toml:4: prune.epochs: must be an integer, at least 0 and at most 1e+09, not -1
t.toml:6: data.train: must be an integer, at least 1 and at most 1e+09, not 0
t.toml:7: data.validation: must be an integer, at least 1 and at most 1e+09, not 0
t.toml:8: data.test: must be an integer, at least 0 and at most 1e+09, not -1`},
		{"infinite and undefined", settings("[train]\nlearning_rate = inf\nmomentum = nan\nweight_decay = -inf"), `
t.toml:3: train.learning_rate: must be a number, more than 0 and at most 100, not +Inf
t.toml:4: train.momentum: must be a number, at least 0 and less than 1, not NaN
t.toml:5: train.weight_decay: must be a number, at least 0 and at most 1, not -Inf`},
		{"minimum above start", settings("[train]\nmin_learning_rate = 0.2"),
			`t.toml:3: train.min_learning_rate: must be at most train.learning_rate (0.15), not 0.2`},
		{"bad widths and seeds", strings.NewReplacer("0.5\nd", "[0, nan, 65]\nd", "seed = 1", "seed = [-1, 1.0]").
			Replace(minimal), `
t.toml:4: matrix[1].width[1]: must be a number, more than 0 and at most 64, not 0
t.toml:4: matrix[1].width[2]: must be a number, more than 0 and at most 64, not NaN
t.toml:4: matrix[1].width[3]: must be a number, more than 0 and at most 64, not 65
t.toml:8: matrix[1].seed[1]: must be an integer of at least 0, not -1
t.toml:8: matrix[1].seed[2]: must be an integer of at least 0, not 1.0`},
		{"bad budgets", replace("budget = 0.5", "budget = [0, 4.5, 999, 20_000_000.0]"),
			strings.ReplaceAll(`
t.toml:7: matrix[1].budget[1]: BUDGET, not 0
t.toml:7: matrix[1].budget[2]: BUDGET, not 4.5
t.toml:7: matrix[1].budget[3]: BUDGET, not 999
t.toml:7: matrix[1].budget[4]: BUDGET, not 2e+07`, "BUDGET", "must be a fraction of the network's FLOPs, more than 0 "+
				"and at most 4, or FLOPs as an integer of at least 1000")},
		{"empty lists", strings.NewReplacer("seed = 1", "seed = []", `"uniform"`, "[]").Replace(minimal), `
t.toml:6: matrix[1].method: must hold at least one value
t.toml:8: matrix[1].seed: must hold at least one value`},
		{"repeated values", strings.NewReplacer("0.5\nd", "[0.5, 0.50]\nd", "budget = 0.5", "budget = [1, 1.0]").
			Replace(minimal), `
t.toml:4: matrix[1].width[2]: 0.5 is in the list twice
t.toml:7: matrix[1].budget[2]: 1.0 is in the list twice`},
		{"missing axes", "name = \"t\"\n[[matrix]]\nnetwork = \"resnet8\"\nmethod = \"uniform\"\n", `
t.toml:2: matrix[1].width: missing; every [[matrix]] needs it
t.toml:2: matrix[1].dataset: missing; every [[matrix]] needs it
t.toml:2: matrix[1].budget: missing; every [[matrix]] needs it
t.toml:2: matrix[1].seed: missing; every [[matrix]] needs it`},
		{"empty array of tables", minimal + "exclude = []\n", `t.toml:9: matrix[1].exclude: must be one or more tables, ` +
			`each under [[matrix.exclude]] in two brackets, not a list`},
		{"exclude of what is not there", minimal + "[[matrix.exclude]]\nbudget = 1.0\n[[matrix.exclude]]\n" +
			"seed = [1, 2]\npadding = \"local\"\n", `
t.toml:10: matrix[1].exclude[1].budget: b1 matches no cell; this matrix has b0.5
t.toml:12: matrix[1].exclude[2].seed: 2 matches no cell; this matrix has 1
t.toml:13: matrix[1].exclude[2].padding: local matches no cell; this matrix has max`},
		{"exclude of everything", minimal + "[[matrix.exclude]]\n",
			`t.toml:9: matrix[1].exclude[1]: names no key, so it would exclude every cell`},
		{"nothing left", minimal + "[[matrix.exclude]]\nseed = 1\n",
			`t.toml:2: matrix[1]: is empty: its excludes leave no cell`},
		{"set of what is not there", minimal + "[[matrix.set]]\nwhere = { width = 1 }\nvalues = { train = { epochs = 3 } }\n",
			`t.toml:10: matrix[1].set[1].where.width: 1 matches no cell; this matrix has 0.5`},
		{"set of what is excluded", replace("seed = 1", "seed = [1, 2]") + "[[matrix.set]]\nwhere = { seed = 2 }\n" +
			"values = { train = { epochs = 3 } }\n[[matrix.exclude]]\nseed = 2\n",
			`t.toml:10: matrix[1].set[1].where: matches no cell: the excludes removed all of them`},
		{"bad values of a set", minimal + "[[matrix.set]]\nvalues = { train = { epoch = 3, batch = 1 } }\n" +
			"[[matrix.set]]\nwhere = { seed = 1 }\n[[matrix.set]]\nvalues = {}\n", `
t.toml:10: matrix[1].set[1].values.train.batch: must be an integer, at least 2 and at most 1e+09, not 1
t.toml:10: matrix[1].set[1].values.train.epoch: unknown key; did you mean "epochs"?; known: preset, epochs, ` +
			`batch, learning_rate, min_learning_rate, momentum, weight_decay, label_smoothing, augment, warmup_epochs, ` +
			`warmup_learning_rate, drop_rate, drop_grows_with_epoch, drop_grows_with_depth, init, zero_gamma, no_bias_decay
t.toml:11: matrix[1].set[2].values: missing; it holds the settings for the matching cells
t.toml:14: matrix[1].set[3].values: holds no setting`},
		{"set that cannot hold", minimal + "[[matrix.set]]\nvalues = { data = { test = 10001 } }\n",
			`t.toml:2: matrix[1].set: data.test: must be at most the 10000 test images of cifar10, not 10001`},
		{"too many images", settings("[data]\ntrain = 49000\nvalidation = 2000\ntest = 20000"), `
t.toml:3: data.train: train (49000) and validation (2000) together must be at most the 50000 training images of cifar10
t.toml:5: data.test: must be at most the 10000 test images of cifar10, not 20000`},
		{"no image left", settings("[data]\nvalidation = 50000"),
			`t.toml:3: data.validation: must be less than the 50000 training images of cifar10, not 50000`},
		{"nothing held out", strings.NewReplacer("[[", "[data]\ntrain = 1000\n[[",
			`"uniform"`, `["uniform", "l1", "adjust"]`).Replace(minimal), `
t.toml:2: data.validation: missing; method "l1" needs held-out images
t.toml:2: data.validation: missing; method "adjust" needs held-out images`},
		{"batch of more than there is", settings("[data]\ntrain = 100"),
			`t.toml: train.batch: must be at most the 100 images of data.train, not 128`},
		{"too many cells", strings.NewReplacer("width = 0.5", "width = ["+numbers(60)+"]", "seed = 1",
			"seed = ["+numbers(2000)+"]").Replace(minimal), `t.toml:2: matrix[1]: has 120000 cells; at most 100000 are allowed`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse("t.toml", []byte(test.text), catalog)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(strings.TrimPrefix(test.want, "\n"), err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func numbers(n int) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprint(i+1))
	}
	return strings.Join(out, ",")
}

func TestLoadUnreadable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "absent.toml")
	_, err := Load(path, catalog)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "read experiment file: ") ||
		!strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	if _, err := Load(filepath.Dir(path), catalog); err == nil {
		t.Error("no error for a folder")
	}
}

// shippedCatalog has what the files of this folder name.
func shippedCatalog() Catalog {
	all := catalog
	all.Methods = slices.Clone(all.Methods)
	for _, name := range []string{"adjust_random_fur", "adjust_no_flops_norm", "adjust_one_shot", "fur_truth", "random",
		"random_best"} {
		all.Methods = append(slices.Clip(all.Methods), Method{Name: name, Searches: name != "random"})
	}
	for _, name := range []string{"l1_per_flop", "fpgm", "sfp", "slimming", "taylor", "taylor_per_flop", "random_ratio",
		"synflow", "morphnet", "autoslim"} {
		all.Methods = append(all.Methods, Method{Name: name, Prunes: true, Inherits: true})
	}
	all.Methods[slices.IndexFunc(all.Methods, func(m Method) bool { return m.Name == "l1" })].Inherits = true
	all.Network = func(name string) (Network, error) { return Network{Name: name}, nil } // what a name means is not known here
	all.Datasets = append(slices.Clip(all.Datasets), Dataset{Name: "cifar100", Train: 50000, Test: 10000},
		Dataset{Name: "imagenet", Train: 1281167, Test: 50000})
	return all
}

// TestShippedFiles reads every experiment file of this folder.
func TestShippedFiles(t *testing.T) {
	paths, err := filepath.Glob("*.toml")
	if err != nil {
		t.Fatal(err)
	}
	all := shippedCatalog()
	cells := map[string]int{}
	for _, path := range paths {
		e, err := Load(path, all)
		if err != nil {
			t.Error(err)
			continue
		}
		if e.Name+".toml" != path || e.Path != path || e.Merged != 0 {
			t.Errorf("%s: name %q, path %q, %d merged", path, e.Name, e.Path, e.Merged)
		}
		cells[e.Name] = len(e.Cells)
	}
	for name, want := range map[string]int{
		"smoke": 6, "quick": 30, "quick-mnist": 30, "two-hours": 20, "day": 55, "fur-truth": 8, "ablations": 57,
		"gate": 12, "paper-cifar100": 180, "paper-imagenet": 12,
	} {
		if cells[name] != want {
			t.Errorf("%s has %d cells, want %d", name, cells[name], want)
		}
	}
}

// TestDocs keeps docs/experiments.md true: its example is read, and its table has every setting with its default.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../docs/experiments.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "```toml\n")
	example, _, _ = strings.Cut(example, "```")
	e := parse(t, example)
	if len(e.Cells) != 78 { // 108 without 12 of l1 at 1.0 and 18 of resnet32 at 20 MFLOPs
		t.Errorf("the example has %d cells, want 78", len(e.Cells))
	}
	for _, c := range e.Cells {
		if mirrored := c.Train.Augment == "pad-crop-flip"; mirrored == (c.Dataset == "mnist") {
			t.Errorf("%s: augment %s", c.ID(), c.Train.Augment)
		}
	}
	d := Defaults()
	for _, f := range slices.Concat(fields("data", d.Data), fields("train", d.Train), fields("search", d.Search),
		fields("prune", d.Prune), fields("finetune", d.Finetune), fields("width", d.Width)[1:]) {
		want := fmt.Sprintf("| `%s` | `%v` |", f.Key, f.Value)
		if strings.HasPrefix(f.Key, "data.") {
			want = fmt.Sprintf("| `%s` |", f.Key) // their defaults depend on the dataset
		}
		if !strings.Contains(string(page), want) {
			t.Errorf("the page has no row %q", want)
		}
	}
	names := []string{"default", "readme", "readme-imagenet"}
	if len(trainPresets) != len(names) || len(searchPresets) != len(names) {
		t.Errorf("the page has the presets %v", names)
	}
	values := map[string][]any{} // by key
	for _, name := range names {
		for key, v := range publication(name, func(*Settings) {}) {
			values[key] = append(values[key], v)
		}
	}
	for key, v := range values {
		row := fmt.Sprintf("| `%s` | `%v` | `%v` | `%v` |", key, v[0], v[1], v[2])
		if differ := v[0] != v[1] || v[1] != v[2]; differ && !strings.Contains(string(page), row) {
			t.Errorf("the page has no row %q of presets", row)
		}
	}
}

// FuzzParse looks for texts that make Parse panic or return cells whose ids are not safe folder names.
func FuzzParse(f *testing.F) {
	f.Add(minimal)
	f.Add(minimal + "[[matrix.exclude]]\nseed = 1\n[[matrix.set]]\nwhere = {}\nvalues.train.epochs = 3\n")
	f.Add("name = 1\nmatrix = [{}, 3]\n[train]\nepochs = {}\n")
	safe := regexp.MustCompile(`^[a-z0-9][A-Za-z0-9._-]{0,200}[0-9a-f]$`)
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Parse("t.toml", []byte(text), catalog)
		if err != nil {
			return
		}
		if len(e.Cells) == 0 {
			t.Error("no cells and no error")
		}
		for _, id := range ids(e) {
			if !safe.MatchString(id) {
				t.Errorf("unsafe id %q", id)
			}
		}
	})
}
