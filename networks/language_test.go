package networks

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// example returns the description that docs/networks.md works out.
func example(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/networks.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```toml\n(# small.toml\n.*?)```").FindStringSubmatch(string(text))
	if m == nil {
		t.Fatal("docs/networks.md has no small.toml")
	}
	return m[1]
}

// read makes a file NAME.toml of a description and reads it.
func read(t *testing.T, text string) (Spec, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "small.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Read(path)
	return s, err
}

// TestExample builds the network of docs/networks.md. Its counts are worked out by hand: the first stage has 1024
// pixels, the first two convolutions of the second stage's first block have 1024 and 256.
func TestExample(t *testing.T) {
	s, err := read(t, example(t))
	if err != nil {
		t.Fatal(err)
	}
	n := mustNew(t, s)
	c := n.Start()
	if diff := cmp.Diff([]int{16, 32, 16, 32, 64, 32, 32}, c); diff != "" {
		t.Errorf("widths (-want +got):\n%s", diff)
	}
	names := []string{
		"stage1.block1.conv1", "stage1.block1.conv3", "stage1.block2.conv1", "stage2.block1.conv1", "stage2.block1.conv3",
		"stage2.block2.conv1", "stage2.block3.conv1",
	}
	if diff := cmp.Diff(names, n.Adjustable()); diff != "" {
		t.Errorf("adjustable layers (-want +got):\n%s", diff)
	}
	flops := func(c []int) int64 {
		a, b := c[1], c[4]
		sum := 1024 * (27*16 + c[0]*(16+9*c[0]+a) + c[2]*(a+9*c[2]+a) + c[3]*a)
		sum += 256 * (c[3]*(9*c[3]+b) + c[5]*(b+9*c[5]+b) + c[6]*(b+9*c[6]+b))
		return int64(sum + 10*b)
	}
	for _, c := range [][]int{c, {3, 5, 7, 11, 13, 17, 19}, {40, 1, 2, 3, 50, 6, 7}} {
		if got, want := n.FLOPs(c), flops(c); got != want {
			t.Errorf("%v: %d FLOPs, want %d", c, got, want)
		}
	}
	mustGraph(t, n, []int{3, 5, 7, 11, 13, 17, 19}, GraphOptions{Batch: 2, Drop: true, Train: &TrainOptions{}})
}

// TestDocumentedCounts checks the table of families in docs/networks.md: every family has a row, with its counts.
func TestDocumentedCounts(t *testing.T) {
	text, err := os.ReadFile("../docs/networks.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	for _, line := range strings.Split(string(text), "\n") {
		if cells := strings.Split(line, "|"); len(cells) == 8 {
			rows[strings.Trim(regexp.MustCompile("`[^`]*`").FindString(cells[1]), "`")] = cells
		}
	}
	example := map[string]string{"resnet{6n+2}": "resnet20", "plain{6n+2}": "plain20", "densenet{3n+4}": "densenet40"}
	for _, f := range Families() {
		pattern, _, _ := strings.Cut(f.Pattern, ",")
		name := pattern
		if of, ok := example[pattern]; ok {
			name = of
		}
		n := mustNew(t, Spec{Name: name})
		want := fmt.Sprint(n.FLOPs(n.Start()), n.Params(n.Start()))
		row := rows[pattern]
		if row == nil {
			t.Errorf("docs/networks.md has no row for %s", pattern)
			continue
		}
		number := func(cell string) string { return strings.ReplaceAll(cell, " ", "") }
		if got := number(row[4]) + " " + number(row[5]); got != want {
			t.Errorf("%s: docs/networks.md has %s, want %s", pattern, got, want)
		}
		if !strings.Contains(row[2], fmt.Sprintf("%dx%dx%d, %d", f.Input[0], f.Input[1], f.Input[2], f.Classes)) {
			t.Errorf("%s: docs/networks.md has %s, want %v and %d", pattern, row[2], f.Input, f.Classes)
		}
	}
}

// TestReadKeepsContent checks that what only people read changes nothing, and all else does.
func TestReadKeepsContent(t *testing.T) {
	text := example(t)
	want, err := read(t, text)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		old, new string
		same     bool
	}{
		{"# small.toml", "# another comment\n\n", true},
		{`title      = "A small`, `title = "A very small`, true},
		{"classes    = 10", "classes = 0xA", true},
		{"repeat = 2, adjustable = { outer = 32 }", "adjustable = { outer = 32 }, repeat = 2", true},
		{"outer = 32", "outer = 33", false},
		{`"optional"`, `"pad"`, false},
		{"kernel = 3", "kernel = 5", false},
	} {
		changed := strings.Replace(text, tt.old, tt.new, 1)
		got, err := read(t, changed)
		if err != nil || changed == text || (got == want) != tt.same {
			t.Errorf("%s instead of %s: error %v, same %v, want %v", tt.new, tt.old, err, got == want, tt.same)
		}
	}
}

// TestMistakes makes mistakes in the example, one by one, and checks where and how they are reported.
func TestMistakes(t *testing.T) {
	text := example(t)
	for _, tt := range []struct{ old, new, want string }{
		{`title `, `tittle `, `:2: tittle: unknown key; did you mean "title"?`},
		{"[3, 32, 32]", "[3, 32]", ":3: input: give the default image as [channels, height, width]"},
		{"classes    = 10", "classes = 1", ":4: classes: give the default number of classes, 2 to 1048576"},
		{"classes    = 10", "classes = ", ":4:21: toml: error: "},
		{"classes    = 10", `classes = "x"`, ":4: classes: must be a number, not x"},
		{"[3, 32, 32]", "[3, 0, 32]", "input 3x0x32: give 1 to 16384 channels"},
		{`fixed      =`, `init = "zero"` + "\nfixed =", `:5: init: must be "uniform" or "normal", not "zero"`},
		{`"batchnorm", "relu",`, `"batchnrom", "relu",`,
			`:7: layers[2]: unknown layer "batchnrom"; did you mean "batchnorm"?`},
		{`{ conv = "stem", kernel = 3 }`, `{ conv = "stem", kernal = 3 }`,
			`:7: layers[1].kernal: unknown key; did you mean "kernel"?`},
		{`{ conv = "stem", kernel = 3 }`, `"conv"`, ":7: layers[1]: conv needs a value, as in { conv = … }"},
		{`{ conv = "stem", kernel = 3 }`, `{ convolution = 16 }`,
			`:7: layers[1]: unknown layer "convolution"; known: avgpool, block, conv, `},
		{`{ conv = "stem", kernel = 3 }`, `{ conv = 16, linear = 3 }`, ":7: layers[1]: it is conv and linear at once"},
		{`{ conv = "stem", kernel = 3 }`, `7`, ":7: layers[1]: must be a layer"},
		{`kernel = 3 }`, `kernel = 4 }`, ":7: layers[1].kernel: must be odd, not 4"},
		{`kernel = 3 }`, `kernel = "kernel" }`, ":7: layers[1].kernel: must be a number of 1 to 15, or a name that"},
		{`kernel = 3 }`, `kernel = "3" }`, `a name that the use of the block gives one, not "3"`},
		{`kernel = 3 }`, `kernel = 3, stride = 0 }`, ":7: layers[1].stride: must be a number of 1 to 15"},
		{`kernel = 3 }`, `kernel = 3, name = "input" }`, ":6: layers: two layers are called input; give one another name"},
		{`inner = "outer/2"`, `inner = [1, 2]`, ":15: block.bottleneck.adjustable.inner: must be a channel count"},
		{`fixed      = { stem = 16 }`, `fixed = { stem = [16, 16] }`, ":5: fixed.stem: must be a channel count"},
		{`kernel = 3 }`, `kernel = 3, name = "a b" }`, ":7: layers[1].name: must be letters, digits, - and _, not a b"},
		{`{ conv = "stem", `, `{ conv = "stern", `,
			`:7: layers[1].conv: "stern" is no channel count that is known here; known: in, stem`},
		{`{ conv = "stem", `, `{ conv = 0, `, ":7: layers[1].conv: small with width 1 gives 0 channels here"},
		{`{ conv = "stem", `, `{ conv = "in/8", `, ":7: layers[1].conv: small with width 1 gives 0 channels here"},
		{`{ conv = "stem", `, `{ conv = true, `, ":7: layers[1].conv: must be a channel count"},
		{`block = "bottleneck", repeat = 2`, `block = "bottelneck", repeat = 2`,
			`:8: layers[4].block: unknown block bottelneck; did you mean "bottleneck"?`},
		{"repeat = 2", "repeat = 0", ":8: layers[4].repeat: must be a number of 1 to 200, not 0"},
		{"repeat = 2", `repeat = "n"`, ":8: layers[4].repeat: must be a number of 1 to 200, not n"},
		{"repeat = 2", "repeat = 2, fixed = { x = [1, 2, 3] }", ":8: layers[4].fixed.x: 3 counts for 2 blocks"},
		{"{ outer = 32 }", "{ outer = 32, more = 1 }", ":8: layers[4].adjustable.more: no layer has this width"},
		{"{ outer = 32 }", "{ in = 32 }", ":8: layers[4].adjustable.in: give a name of small letters"},
		{`  "globalavgpool",`, ``,
			`:11: layers[6]: classifier reads a row of numbers, but stage2.block3.relu3 gives a map of 64x16x16; put "glob`},
		{`  "globalavgpool",`, `  "globalavgpool", "relu6",`,
			":10: layers[7]: relu6 reads a map, but pool gives a row of 64 numbers"},
		{`"classifier",`, `"classifier", "relu",`, ":11: layers[8]: nothing can follow the classifier"},
		{`  "classifier",`, ``, `:6: layers: the last layer must be "classifier"`},
		{`"globalavgpool",`, `"concat", "globalavgpool",`, ":10: layers[6]: concat uses the input of its block"},
		{`"relu", "drop",`, `"relu",`, ""},
		{`{ conv = "outer" }, "batchnorm", "drop",`, `{ conv = "outer" }, "batchnorm",`,
			`:6: layers: the channels of stage1.block1.conv3 pass no "drop"`},
		{`{ conv = "stem", kernel = 3 },`, `{ conv = "stem", kernel = 3 }, "drop",`,
			":7: layers[2]: the channels that conv gives are those of no adjustable width"},
		{`"optional"`, `"identity"`,
			`:20: block.bottleneck.layers[12]: relu of 16x32x32 and stage1.block1.drop3 of 32x32x32 cannot be added: ` +
				`their shapes differ; give both the same width by name, or use shortcut = "pad"`},
		{`fixed      = { stem = 16 }`, `fixed = { stem = 32 }`, ""},
		{"\"drop\",\n  { shortcut = \"optional\" }", "\"drop\", { maxpool = 2 },\n  { shortcut = \"pad\" }",
			`:20: block.bottleneck.layers[13]: stage1.block1.shortcut.channels of 32x32x32 and stage1.block1.pad of ` +
				`32x16x16 cannot be added: their shapes differ; the layers of the block have to shrink the image as its stride`},
		{`"optional" }`, `"residual" }`, `:20: block.bottleneck.layers[12].shortcut: must be "identity", "optional", "pad"`},
		{`{ shortcut = "optional" }`, `"concat"`,
			":20: block.bottleneck.layers[12]: stage1.block2.relu3 of 80x32x32 and stage2.block1.drop3 of 64x16x16 differ"},
		{`{ shortcut = "optional" }`, `"bottleneck"`, "blocks are nested more than 8 deep; does one use itself?"},
		{`[block.bottleneck]`, "[block.unused]\nlayers = [\"relu\"]\n[block.bottleneck]",
			":14: block.unused: the network does not use this block"},
		{`[block.bottleneck]`, "[block.relu]\nlayers = [\"relu\"]\n[block.bottleneck]",
			":14: block.relu: give the block a name of letters, digits, - and _ that no layer has"},
		{`[block.bottleneck]`, "[block.empty]\n[block.bottleneck]", ":14: block.empty.layers: give a list of layers"},
		{`# small.toml`, `names = ["small{2n+1}"]`, ":1: names: only built-in families have names"},
	} {
		changed := strings.Replace(text, tt.old, tt.new, 1)
		if changed == text {
			t.Fatalf("%s is not in the example", tt.old)
		}
		_, err := read(t, changed)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s instead of %s: error %v, want %q", tt.new, tt.old, err, tt.want)
		}
	}
}

// TestUntied checks the message for an addition whose widths are equal only by chance.
func TestUntied(t *testing.T) {
	text := strings.NewReplacer(`"optional"`, `"identity"`, "stem = 16", "stem = 32").Replace(example(t))
	_, err := read(t, text)
	want := "small.toml:20: block.bottleneck.layers[12]: relu of 32x32x32 and stage1.block1.drop3 of 32x32x32 cannot be " +
		"added: their shapes are equal only until a width changes"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

func TestReadErrors(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]string{
		"missing.toml":  "read network: open ",
		"resnet20.toml": "give the file a name of letters, digits, dots, dashes and underscores that no built-in network has",
		"a b.toml":      "give the file a name of letters",
	} {
		path := filepath.Join(dir, name)
		if name != "missing.toml" {
			if err := os.WriteFile(path, []byte(example(t)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
	}
	if _, err := Read("resnet21"); err == nil || !strings.Contains(err.Error(), `unknown network "resnet21"`) {
		t.Errorf("error %v", err)
	}
	if s, err := Read("resnet20"); err != nil || s != (Spec{Name: "resnet20"}) {
		t.Errorf("%+v, error %v", s, err)
	}
}

// TestTooLarge checks that no count can overflow.
func TestTooLarge(t *testing.T) {
	if _, err := New(Spec{Name: "densenet604", Input: [3]int{3, 1024, 1024}}); err == nil ||
		!strings.Contains(err.Error(), "would not fit 64 bits") {
		t.Errorf("error %v", err)
	}
	mustNew(t, Spec{Name: "resnet1202", Input: [3]int{3, 1024, 1024}})
}
