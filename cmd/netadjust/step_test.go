package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// update is the first of two updates of ResNet-20 that were computed with the reference code.
func update() map[string]any {
	return map[string]any{
		"network": "resnet20", "width": 1.0, "input": []int{3, 32, 32}, "classes": 100, "padding": "max",
		"initial_channels": []int{16, 16, 16, 16, 16, 16, 32, 32, 32, 32, 32, 32, 64, 64, 64, 64, 64, 64},
		"channels":         []int{16, 16, 16, 16, 16, 16, 32, 32, 32, 32, 32, 32, 64, 64, 64, 64, 64, 64},
		"fur": []float64{
			.30, .02, .28, .01, .26, .03, .50, .45, .10, .05, .12, .06, .90, .40, .60, .20, .55, .35,
		},
		"update": 6, "rate": 0.15, "rate_decay": 0.01, "budget": 40556800, "mode": "reference",
	}
}

// stepFile writes what netadjust step reads, after a change.
func stepFile(t *testing.T, change func(map[string]any)) string {
	t.Helper()
	in := update()
	change(in)
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "step.json")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// wantStep is what the reference code makes of update.
var wantStep = stepResult{
	FLOPsPerChannel: []float64{294912, 147456, 294912, 147456, 294912, 147456, 110592, 258048, 147456, 73728, 147456,
		73728, 55296, 110692, 73728, 36864, 73728, 36864},
	Updated:  []int{16, 14, 16, 14, 16, 14, 36, 36, 29, 28, 32, 28, 74, 70, 73, 64, 72, 64},
	Channels: []int{15, 14, 15, 14, 15, 14, 35, 35, 28, 27, 31, 27, 72, 68, 71, 62, 70, 62},
	FLOPs:    40261136,
}

func TestStep(t *testing.T) {
	r := call(t.Context(), "step", "--json", stepFile(t, func(map[string]any) {}))
	r.check(t, 0, "", "")
	if diff := cmp.Diff(wantStep, decode[stepResult](t, r.stdout)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// Left out are the keys with a default; only the mode makes a difference here, and where it does is the budget.
	r = call(t.Context(), "step", "--json", stepFile(t, func(in map[string]any) {
		for _, key := range []string{"width", "initial_channels", "mode"} {
			delete(in, key)
		}
	}))
	r.check(t, 0, "", "")
	got := decode[stepResult](t, r.stdout)
	if diff := cmp.Diff(wantStep.Updated, got.Updated); diff != "" {
		t.Errorf("default mode (-want +got):\n%s", diff)
	}
	if got.FLOPs > 40556800 || got.FLOPs < 40151232 || 16*got.FLOPsPerChannel[1] != 4620288 {
		t.Errorf("default mode: %+v", got)
	}

	r = call(t.Context(), "step", stepFile(t, func(in map[string]any) { in["update"] = 10 }))
	r.check(t, 0, "stage1.block1.conv1                 0.3           294912       16       17       16  grows (8)\n", "")
	r.check(t, 0, "  grows (10), shrinks (9)\n", "")
	r.check(t, 0, "\nresnet20, reference mode: ", "")
}

// The example of docs/method.md is the update whose result is known.
func TestStepOfTheDocs(t *testing.T) {
	_, example, _ := strings.Cut(read(t, "../../docs/method.md"), "```json\n")
	example, _, _ = strings.Cut(example, "```")
	path := filepath.Join(t.TempDir(), "example.json")
	if err := os.WriteFile(path, []byte(example), 0o644); err != nil {
		t.Fatal(err)
	}
	r := call(t.Context(), "step", "--json", path)
	r.check(t, 0, "", "")
	if diff := cmp.Diff(wantStep, decode[stepResult](t, r.stdout)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStepReadsStandardInput(t *testing.T) {
	text := read(t, stepFile(t, func(map[string]any) {}))
	cmd := child(t, "step", "--json", "-")
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantStep, decode[stepResult](t, string(out))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	cmd = child(t, "step", "-")
	cmd.Stdin = strings.NewReader("")
	out, err = cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != exitUsage ||
		string(out) != "netadjust: standard input: must hold a JSON object\n" {
		t.Errorf("empty input: %v\n%s", err, out)
	}
}

func TestStepRefuses(t *testing.T) {
	fails := func(name, path, want string) {
		t.Helper()
		r := call(t.Context(), "step", "--json", path)
		if r.code != exitUsage || !strings.Contains(r.stderr, path+": "+want) || r.stdout != "" {
			t.Errorf("%s: exit code %d, stdout %q, stderr\n%swant code 2 and %q", name, r.code, r.stdout, r.stderr, want)
		}
	}
	required := slices.Sorted(maps.Keys(update()))
	for _, key := range required {
		if slices.Contains([]string{"width", "initial_channels", "rate_decay", "mode"}, key) {
			continue
		}
		fails("without "+key, stepFile(t, func(in map[string]any) { delete(in, key) }), key+": missing; an update needs it")
	}
	for _, key := range required {
		fails(key, stepFile(t, func(in map[string]any) { in[key] = nil }), key+": must be ")
		fails(key, stepFile(t, func(in map[string]any) { in[key] = map[string]any{} }), key+": must be ")
	}
	for _, tt := range []struct {
		key   string
		value any
		want  string
	}{
		{"furr", 1, `furr: unknown key; did you mean "fur"?; known: network, width, `},
		{"Network", "resnet20", `Network: unknown key; did you mean "network"?`},
		{"network", "resnet21", `network: unknown network "resnet21"; did you mean`},
		{"width", 0, "width: must be more than 0, not 0"},
		{"width", 1e9, "network: resnet.toml:8: fixed.stem: resnet20 with width 1e+09 gives 1.6e+10 channels"},
		{"input", []int{32, 32}, "input: must be channels, height and width of an image, each at least 1, not [32 32]"},
		{"input", []int{3, 32, 0}, "input: must be channels, height and width of an image, each at least 1, not [3 32 0]"},
		{"input", []int{3, 32, 1 << 20}, "network: resnet20: input 3x32x1048576: give 1 to"},
		{"classes", 1, "classes: must be at least 2, not 1"},
		{"classes", 10.5, "classes: must be a whole number, not 10.5"},
		{"padding", "min", `padding: must be "max" or "local", not "min"`},
		{"padding", "", `padding: must be "max" or "local", not ""`},
		{"initial_channels", []int{16}, "initial_channels: resnet20 has 18 adjustable layers, but 1 widths are given"},
		{"channels", []int{}, "channels: resnet20 has 18 adjustable layers, but 0 widths are given"},
		{"channels", make([]int, 18), "channels: resnet20: width 0 of layer stage1.block1.conv1 (number 1): give 1 to"},
		{"channels", []any{16, nil}, "channels: must be a list of whole numbers, not [16,null]"},
		{"fur", make([]float64, 17), "fur: resnet20 has 18 adjustable layers, but 17 values are given"},
		{"fur", []string{"0.1"}, `fur: must be a list of finite numbers, not ["0.1"]`},
		{"fur", []any{0.1, nil}, "fur: must be a list of finite numbers, not [0.1,null]"},
		{"fur", []any{json.Number("1e999")}, "fur: must be a list of finite numbers, not [1e999]"},
		{"update", -1, "update: -1 layers cannot grow and -1 shrink"},
		{"update", 19, "update: 19 layers cannot grow and 19 shrink in an update of resnet20 with its 18 adjustable layers" +
			"; move at most 18"},
		{"rate", -0.1, "rate: must be at least 0 and at most 1, not -0.1"},
		{"rate_decay", 2, "rate_decay: must be at least 0 and at most 1, not 2"},
		{"budget", 0, "budget: must be at least 1, not 0"},
		{"budget", 1e300, "budget: must be a whole number, not 1e+300"},
		{"budget", 1 << 60, "budget of 1152921504606846976 FLOPs is 2.7e+10 times what the widths need"},
		{"mode", "paper", `mode: must be "default" or "reference", not "paper"`},
	} {
		fails(tt.key, stepFile(t, func(in map[string]any) { in[tt.key] = tt.value }), tt.want)
	}
	fails("default mode", stepFile(t, func(in map[string]any) { in["update"], in["mode"] = 10, "default" }),
		"update: 10 layers cannot grow and 10 shrink in an update of resnet20 with its 18 adjustable layers; move at most 9")
	fails("default mode", stepFile(t, func(in map[string]any) { in["budget"], in["mode"] = 1000, "default" }),
		"budget of 1000 FLOPs is too small")

	good := read(t, stepFile(t, func(map[string]any) {}))
	for _, tt := range []struct{ name, text, want string }{
		{"NaN", strings.Replace(good, "0.02", "NaN", 1),
			"fur: must be a list of finite numbers: invalid character 'N' looking for beginning of value"},
		{"twice", strings.Replace(good, "{", `{"update":3,`, 1), "update: is there twice"},
		{"list", "[" + good + "]", "must hold a JSON object"},
		{"no JSON", "step", "must hold a JSON object"},
		{"cut short", good[:len(good)-1], "not a complete JSON object: "},
		{"no comma", strings.Replace(good, `,"channels"`, `;"channels"`, 1), "not JSON: invalid character ';'"},
		{"two", good + good, "must hold nothing but one JSON object"},
	} {
		path := filepath.Join(t.TempDir(), "step.json")
		if err := os.WriteFile(path, []byte(tt.text), 0o644); err != nil {
			t.Fatal(err)
		}
		fails(tt.name, path, tt.want)
	}
	r := call(t.Context(), "step", filepath.Join(t.TempDir(), "none.json"))
	r.check(t, exitUsage, "", "read update: open ")
}
