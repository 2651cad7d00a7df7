package experiments

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestVariants checks that variants are an axis: crossed, selected, part of the id, and absent from cells without one.
func TestVariants(t *testing.T) {
	e := parse(t, strings.Replace(minimal, `"uniform"`, `"adjust"`, 1)+`
variant = ["rate 0.1", "few layers, often"]
set = [
	{ values = { search = { iterations = 7 } } },
	{ where = { variant = "rate 0.1" }, values = { search = { rate = 0.125 } } },
]
[[matrix]]
network = "resnet20"
width   = 0.5
dataset = "cifar10"
method  = "adjust"
budget  = 1.0
seed    = 1
`)
	type row struct {
		Variant    string
		Rate       float64
		Iterations int
	}
	var got []row
	for i, c := range e.Cells {
		got = append(got, row{c.Variant, c.Search.Rate, c.Search.Iterations})
		id, part := c.ID(), []string{"-adjust-rate-0.1-b", "-adjust-few-layers-often-b", "-adjust-b"}[i]
		if !strings.Contains(id, part) {
			t.Errorf("id %s, want one with %s", id, part)
		}
		if has := strings.Contains(string(c.Canonical()), "variant"); has != (c.Variant != "") {
			t.Errorf("variant %q: %s", c.Variant, c.Canonical())
		}
	}
	if diff := cmp.Diff([]row{{"rate 0.1", 0.125, 7}, {"few layers, often", 0.1, 7}, {"", 0.1, 10}}, got); diff != "" {
		t.Errorf("cells (-want +got):\n%s", diff)
	}

	for _, bad := range []string{`""`, `" x"`, `"a\tb"`, `3`, `["x", "x"]`, `"` + strings.Repeat("x", 41) + `"`} {
		if _, err := Parse("t.toml", []byte(minimal+"variant = "+bad), catalog); err == nil ||
			!strings.Contains(err.Error(), "matrix[1].variant") {
			t.Errorf("variant = %s: error %v", bad, err)
		}
	}
}

// TestAlikeCells checks that cells which differ in settings alone have to be told apart by a variant.
func TestAlikeCells(t *testing.T) {
	second := "[[matrix]]\n" + minimal[strings.Index(minimal, "[[matrix]]")+len("[[matrix]]\n"):]
	longer := "set = [{ values = { train = { epochs = 7 } } }]\n"
	for text, want := range map[string]string{
		minimal + second: "", // the same once more
		minimal + second + longer: "matrix[2]: has cells that matrix[1] has with other settings, such as uniform at budget " +
			"0.5 with seed 1; give one of them a variant",
		minimal + second + longer + "variant = \"longer\"\n":                                                                    "",
		strings.Replace(minimal, "uniform", "l1", 1) + "final = [\"scratch\", \"finetune\"]\nvariant = [\"finetune\", \"x\"]\n": "",
		strings.Replace(minimal+second, "uniform", "l1", 2) + "final = \"finetune\"\n":                                          "",
		strings.Replace(minimal+"variant = \"finetune\"\n"+second, "uniform", "l1", 2) + "final = \"finetune\"\n": "matrix[2]: has " +
			"cells that matrix[1] has with other settings, such as l1 at",
	} {
		_, err := Parse("t.toml", []byte(text), pruning())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("error %v, want %q, of\n%s", err, want, text)
		}
	}
}

// TestStandardNames checks that a key set to what it stands for without a value makes the same cell as one left out.
func TestStandardNames(t *testing.T) {
	text := strings.Replace(minimal, `"uniform"`, `"adjust"`, 1)
	want := ids(parse(t, text))
	same := text + "set = [{ values = { search = { fur = \"loss\", fur_images = \"validation\" } } }]"
	if diff := cmp.Diff(want, ids(parse(t, same))); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
	for _, key := range []string{`fur = "accuracy"`, `fur_images = "training"`} {
		if cmp.Equal(want, ids(parse(t, text+"set = [{ values = { search = { "+key+" } } }]"))) {
			t.Errorf("%s changes no id", key)
		}
	}
}
