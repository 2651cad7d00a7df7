package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/harness"
	"netadjust/internal/data"
	"netadjust/networks"
)

func TestWrongUsage(t *testing.T) {
	good := experiment(t, tiny)
	with := func(old, new string) string { return experiment(t, strings.Replace(tiny, old, new, 1)) }
	empty := t.TempDir()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "a command is missing"},
		{[]string{"bogus"}, `unknown command "bogus"; known: init, run, plan, status, serve, merge, `},
		{[]string{"run"}, "number of arguments is 0, not 1; it is netadjust run FILE\n"},
		{[]string{"run", good, good}, "number of arguments is 2, not 1; it is netadjust run FILE\n"},
		{[]string{"version", "1"}, "number of arguments is 1, not 0; it is netadjust version\n"},
		{[]string{"run", good, "--bogus"}, "flag provided but not defined: -bogus; netadjust run --help lists its flags"},
		{[]string{"run", good, "--out"}, "flag needs an argument: -out"},
		{[]string{"run", good, "--jobs", "x"}, `invalid value "x" for flag -jobs`},
		{[]string{"run", good, "--jobs", "-1", "--out", filepath.Join(empty, "out")}, "-1 jobs: want 1 or more"},
		{[]string{"run", good, "--retries", "-1", "--out", filepath.Join(empty, "out")}, "-1 retries: want 0 or more"},
		{[]string{"run", good, "--checkpoint", "-1s", "--out", filepath.Join(empty, "out")}, "-1s between checkpoints: want more"},
		{[]string{"plan", good, "--jobs", "-1"}, "--jobs -1: want 1 or more"},
		{[]string{"run", "none.toml"}, "read experiment file: open none.toml: "},
		{[]string{"run", empty}, "read experiment file: read " + empty},
		{[]string{"plan", with("[data]", "[data")}, "tiny.toml:3:6: toml: error: expected"},
		{[]string{"plan", with("[data]\n", "[data]\ntran = 1\n")},
			`tiny.toml:3: data.tran: unknown key; did you mean "train"?`},
		{[]string{"plan", with("resnet8", "resnet9")},
			`tiny.toml:17: matrix[1].network: unknown network "resnet9"; did you mean`},
		{[]string{"plan", with(`"mnist"`, `"emnist"`)},
			`tiny.toml:19: matrix[1].dataset: unknown name "emnist"; did you mean "mnist"?`},
		{[]string{"plan", with(`"l1"`, `"l0"`)}, `tiny.toml:20: matrix[1].method[2]: unknown name "l0"; did you mean "l1"?`},
		{[]string{"plan", with("1.0", "0.001")}, "budget of 2315 FLOPs is too small"},
		{[]string{"plan", good, "--device", "tpu"}, `unknown device "tpu"; devices are auto, cpu, gpu, gpu:N`},
		{[]string{"run", good, "--device", "tpu"}, `unknown device "tpu"; devices are auto, cpu, gpu, gpu:N`},
		{[]string{"doctor", "--device", "tpu"}, `unknown device "tpu"; devices are auto, cpu, gpu, gpu:N`},
		{[]string{"run", good, "--data", empty, "--out", filepath.Join(empty, "out")},
			"run `netadjust data get mnist --data " + empty + "`"},
		{[]string{"run", good, "--out", filepath.Join(good, "out")}, "output folder: mkdir " + good},
		{[]string{"report", empty}, empty + " is not an output folder of netadjust run"},
		{[]string{"data", "put", "mnist"}, `unknown command "data put"; did you mean "data get"?`},
		{[]string{"data"}, `unknown command "data"; known: `},
		{[]string{"data", "get"}, "number of arguments is 0, not 1; it is netadjust data get NAME"},
		{[]string{"data", "get", "emnist"}, `unknown dataset "emnist"; did you mean "mnist"?; known: fashion-mnist, mnist`},
		{[]string{"data", "verify", "emnist"}, `unknown dataset "emnist"; did you mean "mnist"?; known: fashion-mnist, mnist`},
		{[]string{"data", "get", "none.toml"}, "read experiment file: open none.toml: "},
		{[]string{"flops", "resnet21"}, `unknown network "resnet21"; did you mean`},
		{[]string{"flops", "resnet20", "--channels", "16,16"}, "resnet20 has 18 adjustable layers, but 2 widths are given"},
		{[]string{"flops", "resnet20", "--channels", "16,x"}, `--channels "16,x": want widths separated by commas`},
		{[]string{"flops", "resnet8", "--channels", "0,1,1,1,1,1"}, "width 0 of layer stage1.block1.conv1"},
		{[]string{"flops", "resnet20", "--width", "-1"}, "--width -1: want more than 0"},
		{[]string{"flops", "resnet20", "--width", "0"}, "--width 0: want more than 0"},
		{[]string{"flops", "resnet20", "--width", "NaN"}, "width NaN gives NaN channels"},
		{[]string{"flops", "resnet20", "--padding", "min"}, `unknown padding "min"; allowed are "max" and "local"`},
		{[]string{"flops", "resnet20", "--input", "32x32"}, `--input "32x32": want channels x height x width, as in 3x32x32`},
		{[]string{"flops", "resnet20", "--input", "0x32x32"}, "input 0x32x32: give 1 to"},
		{[]string{"flops", "resnet20", "--input", "0x0x0"}, `--input "0x0x0": want channels x height x width`},
		{[]string{"flops", "resnet20", "--classes", "0"}, "--classes 0: want 2 or more"},
		{[]string{"flops", "resnet20", "--classes", "-1"}, "-1 classes: give 2 to"},
		{[]string{"graph", "resnet21"}, `unknown network "resnet21"; did you mean`},
		{[]string{"graph", "resnet8", "--mode", "fur"}, `--mode "fur": want train or eval`},
		{[]string{"graph", "resnet8", "--batch", "0"}, "--batch 0: want 1 or more"},
		{[]string{"graph", "resnet8", "--width", "0"}, "--width 0: want more than 0"},
		{[]string{"graph", "resnet8", "--widths", "1,2"}, "--widths: 2 widths for the 3 stages of resnet8"},
		{[]string{"graph", "resnet8", "--widths", "1,x,3"}, `--widths "1,x,3": want numbers separated by commas`},
		{[]string{"graph", "resnet8", "--widths", "0,1,2"}, "width 0 of layer stage1.block1.conv1"},
		{[]string{"graph", "resnet8", "--input", "32x32"}, `--input "32x32": want channels x height x width`},
	} {
		r := call(t.Context(), tt.args...)
		if r.code != exitUsage || !strings.Contains(r.stderr, tt.want) || r.stdout != "" {
			t.Errorf("netadjust %s: exit code %d, stdout %q, stderr\n%s\nwant code 2 and %q",
				strings.Join(tt.args, " "), r.code, r.stdout, r.stderr, tt.want)
		}
	}
	if _, err := os.Stat(filepath.Join(empty, "out", "cells")); err == nil {
		entries, _ := os.ReadDir(filepath.Join(empty, "out", "cells"))
		if len(entries) > 0 {
			t.Errorf("a wrong command has run cells: %v", entries)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, word := range []string{"help", "-h", "--help"} {
		r := call(t.Context(), word)
		r.check(t, 0, "Usage: netadjust COMMAND", "")
		for _, c := range commands() {
			if !strings.Contains(r.stdout, "  "+c.usage()+" ") || !strings.Contains(r.stdout, c.summary) {
				t.Errorf("netadjust %s does not explain %s", word, c.name)
			}
		}
	}
	for _, word := range []string{"help", "--help"} {
		r := call(t.Context(), "data", word)
		r.check(t, 0, "  data get NAME ", "")
		if strings.Contains(r.stdout, "doctor") {
			t.Errorf("netadjust data %s:\n%s", word, r.stdout)
		}
	}
	flags := map[string][]string{
		"run": {"out", "device", "data", "jobs", "shard", "checkpoint", "retries", "retry-failed", "fail-fast", "accept-stale",
			"rerun-stale", "quiet", "set", "json"},
		"plan":   {"device", "data", "jobs", "ids", "set", "json"},
		"report": {"readme", "json"}, "status": {"verify", "data", "json"}, "serve": {"listen", "data"}, "merge": {"json"},
		"validate": {"data", "set", "json"}, "schema": {"data"},
		"slurm": {"shards", "parallel", "cpus", "time", "warning", "mem", "partition", "out", "device", "data", "set"},
		"init":  {"out", "data"},
		"flops": {"width", "channels", "padding", "input", "classes", "json"},
		"step":  {"json"}, "networks": {"json"}, "methods": {"json"}, "data list": {"data", "json"}, "data get": {"data"},
		"data verify": {"data", "json"}, "data pack": {"data", "name", "size", "side", "skip-corrupt"},
		"graph":   {"width", "widths", "input", "classes", "mode", "batch", "json"},
		"check":   {"device", "json", "all", "out", "data"},
		"bench":   {"widths", "mode", "batch", "threads", "seconds", "device", "json"},
		"compare": {"accuracy", "speed", "json"}, "paper": {"format"},
		"doctor": {"device", "data", "json"}, "version": {"json"}, "explain": {"data", "json"},
		"eval":   {"in", "dataset", "data", "images", "batch", "threads", "seconds", "logits", "device", "json"},
		"export": {"in", "format", "out", "fold", "normalize"},
	}
	for _, c := range commands() {
		r := call(t.Context(), append(strings.Fields(c.name), "--help")...)
		r.check(t, 0, "Usage: netadjust "+c.usage()+" [FLAGS]\n", "")
		if len(flags[c.name]) != strings.Count(r.stdout, "\n  --") {
			t.Errorf("%s has other flags than %v:\n%s", c.name, flags[c.name], r.stdout)
		}
		for _, name := range flags[c.name] {
			if !strings.Contains(r.stdout, "\n  --"+name) {
				t.Errorf("%s --help does not list --%s:\n%s", c.name, name, r.stdout)
			}
		}
	}
}

// flopsOutput is what netadjust flops --json prints.
type flopsOutput struct {
	Network  string           `json:"network"`
	Channels []int            `json:"channels"`
	FLOPs    int64            `json:"flops"`
	NoStem   int64            `json:"flops_without_stem"`
	All      int64            `json:"flops_everything"`
	Params   int64            `json:"params"`
	Layers   []networks.Layer `json:"layers"`
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return v
}

// The counts are those of the reference code of network adjustment for 100 classes, which the paper rounds to 40.1M
// without the stem.
func TestFLOPs(t *testing.T) {
	// 16 maps of 32x32 pixels, and half and a quarter as many elements: batch norm (2 each) of stem and blocks, two ReLUs
	// and an addition in a block, pooling of two shortcuts and of what the classifier reads, and the bias.
	const m = 16 * 32 * 32
	const allOfResNet20 = 40556800 + 2*m + (3*m+3*m/2+3*m/4)*(2+2+1+1+1) + m + m/2 + m/4 + 100
	const own = "16,16,16,16,16,16,32,32,32,32,32,32,64,64,64,64,64,64"
	for _, args := range [][]string{
		{"flops", "resnet20", "--json"}, {"flops", "--json", "resnet20"}, {"--json", "resnet20", "--classes=100"},
		{"resnet20", "--width", "1", "--json", "--channels", own}, {"--input", "3x32x32", "resnet20", "--json"},
	} {
		if args[0] != "flops" {
			args = append([]string{"flops"}, args...)
		}
		r := call(t.Context(), args...)
		r.check(t, 0, "", "")
		got := decode[flopsOutput](t, r.stdout)
		if got.Network != "resnet20" || len(got.Channels) != 18 || got.FLOPs != 40556800 || got.NoStem != 40114432 ||
			got.All != allOfResNet20 || got.Params != 275572 {
			t.Errorf("%v: %+v", args, got)
		}
		var sum int64
		for _, l := range got.Layers {
			sum += l.FLOPs
		}
		if sum != got.FLOPs {
			t.Errorf("%v: layers have %d FLOPs, the network %d", args, sum, got.FLOPs)
		}
	}
	r := call(t.Context(), "flops", "resnet20", "--width", "0.5", "--padding", "local")
	r.check(t, 0, "10251392 FLOPs (multiply-adds), 10030208 without the stem, ", "")
	r.check(t, 0, "stage3.block3.conv2", "")
	call(t.Context(), "flops", "mobilenet_v2").check(t, 0, "tied to stage2.block1.project\n", "")
}

func TestLists(t *testing.T) {
	for _, tt := range []struct{ command, name string }{
		{"networks", "resnet{6n+2}"}, {"methods", "adjust"}, {"data list", "cifar100"},
	} {
		call(t.Context(), strings.Fields(tt.command)...).check(t, 0, tt.name+" ", "")
	}
	families := decode[[]networks.Family](t, call(t.Context(), "networks", "--json").stdout)
	if diff := cmp.Diff(networks.Families(), families); diff != "" {
		t.Errorf("networks (-want +got):\n%s", diff)
	}
	methods := []string{
		"uniform", "random", "random_best", "widths", "l1", "l1_per_flop", "fpgm", "sfp", "slimming", "taylor",
		"taylor_per_flop", "random_ratio", "synflow", "morphnet", "autoslim", "adjust", "adjust_random_fur",
		"adjust_no_flops_norm", "adjust_one_shot", "fur_truth",
	}
	var names []string
	for _, m := range decode[[]harness.Method](t, call(t.Context(), "methods", "--json").stdout) {
		names = append(names, m.Name)
	}
	if diff := cmp.Diff(methods, names); diff != "" {
		t.Errorf("methods (-want +got):\n%s", diff)
	}
	present := map[string]bool{}
	for _, d := range decode[[]dataset](t, call(t.Context(), "data", "list", "--json").stdout) {
		present[d.Name] = d.Present
		if d.Present == (d.Problem != "") {
			t.Errorf("%+v", d)
		}
	}
	want := map[string]bool{"fashion-mnist": false, "mnist": true, "cifar10": false, "cifar100": false}
	if diff := cmp.Diff(want, present); diff != "" {
		t.Errorf("datasets that are there (-want +got):\n%s", diff)
	}
	call(t.Context(), "data", "list").check(t, 0,
		"mnist          1x28x28, 10 classes, 60000 training and 10000 test images; present\n", "")
}

func TestDoctor(t *testing.T) {
	d := decode[diagnosis](t, call(t.Context(), "doctor", "--device", "cpu", "--json").stdout)
	if d.Version != version || d.Cores != runtime.GOMAXPROCS(0) || d.Device.Name != "cpu" || d.Device.Threads < 1 ||
		d.Reason != "asked for" || d.DataDir != data.Dir("") || len(d.Datasets) != 4 || len(d.Problems) != 3 {
		t.Errorf("%+v", d)
	}
	r := call(t.Context(), "doctor", "--device", "cpu")
	r.check(t, 0, "device    cpu (", "")
	if runtime.GOOS == "linux" {
		r.check(t, 0, " MiB of them free\ndisk      ", "")
	}
	r.check(t, 0, "threads\n          asked for\n", "")
	r.check(t, 0, "netadjust data get cifar100", "")
}

func TestVersion(t *testing.T) {
	call(t.Context(), "version").check(t, 0, "netadjust "+version+", "+runtime.GOOS+"/"+runtime.GOARCH, "")
	v := decode[struct {
		Version, Platform string
		Modules           map[string]string
	}](t, call(t.Context(), "version", "--json").stdout)
	if v.Version != version || v.Modules == nil {
		t.Errorf("%+v", v)
	}
}

func TestDataGet(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{experiment(t, tiny), "mnist"} {
		r := call(t.Context(), "data", "get", name, "--data", dir)
		r.check(t, 0, "mnist is complete in "+dir+"\n", "MNIST")
	}
}
