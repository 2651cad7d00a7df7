package experiments

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pruning is a catalog with methods that read other parts of [prune], and given widths.
func pruning() Catalog {
	c := catalog
	c.Methods = []Method{
		{Name: "uniform"},
		{Name: "l1", Prunes: true, Reads: []string{"start_flops", "epochs", "scope"}, Inherits: true},
		{Name: "taylor", Prunes: true, Reads: []string{"start_flops", "epochs", "gradient_batches"}, Inherits: true},
		{Name: "synflow", Prunes: true, Reads: []string{"start_flops", "rounds"}},
		{Name: "widths", Given: true},
	}
	return c
}

const finals = `name = "t"
[data]
train = 10000
validation = 2000
[prune]
gradient_batches = 5
rounds = 7
[width]
channels = [4, 5]
[[matrix]]
network = "resnet20"
width = 0.5
dataset = "mnist"
budget = 0.5
seed = 1
`

// TestFinal checks which cells go on with inherited weights, what of [prune] and [width] a cell holds, and that cells
// from scratch have the ids that they had before there was a choice.
func TestFinal(t *testing.T) {
	e, err := Parse("t.toml", []byte(finals+"method = [\"l1\", \"taylor\"]\nfinal = [\"scratch\", \"finetune\"]\n"+
		"[[matrix.set]]\nwhere = { final = \"finetune\" }\nvalues = { finetune = { epochs = 0.5 } }\n"), pruning())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range e.Cells {
		text, err := json.Marshal(struct {
			Prune    *Prune
			Finetune *Finetune
			RoundTo  int
			Channels []int
		}{c.Prune, c.Finetune, c.RoundTo, c.Channels})
		if err != nil {
			t.Fatal(err)
		}
		id := c.ID()
		got = append(got, id[:strings.LastIndexByte(id, '-')]+" "+string(text))
	}
	want := []string{
		`resnet20-w0.5-mnist-l1-b0.5-s1 {"Prune":{"start_flops":2,"epochs":200},"Finetune":null,"RoundTo":0,"Channels":null}`,
		`resnet20-w0.5-mnist-l1-finetune-b0.5-s1 {"Prune":{"start_flops":2,"epochs":200},` +
			`"Finetune":{"epochs":0.5,"learning_rate":0.1},"RoundTo":0,"Channels":null}`,
		`resnet20-w0.5-mnist-taylor-b0.5-s1 {"Prune":{"start_flops":2,"epochs":200,"gradient_batches":5},` +
			`"Finetune":null,"RoundTo":0,"Channels":null}`,
		`resnet20-w0.5-mnist-taylor-finetune-b0.5-s1 {"Prune":{"start_flops":2,"epochs":200,"gradient_batches":5},` +
			`"Finetune":{"epochs":0.5,"learning_rate":0.1},"RoundTo":0,"Channels":null}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	old, err := Parse("t.toml", []byte(finals+"method = \"l1\"\n"), catalog)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(old.Cells[0].ID(), e.Cells[0].ID()); diff != "" {
		t.Errorf("id where there is no choice, and from scratch:\n%s", diff)
	}
	e, err = Parse("t.toml", []byte(finals+"method = [\"synflow\", \"widths\"]\n[[matrix.set]]\nvalues.width.round_to = 8\n"),
		pruning())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&Prune{StartFLOPs: 2, Rounds: 7}, e.Cells[0].Prune); diff != "" || e.Cells[0].RoundTo != 8 {
		t.Errorf("multiples of %d (-want +got):\n%s", e.Cells[0].RoundTo, diff)
	}
	if diff := cmp.Diff([]int{4, 5}, e.Cells[1].Channels); diff != "" || e.Cells[1].Prune != nil {
		t.Errorf("given widths (-want +got):\n%s", diff)
	}
}

func TestFinalMistakes(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"not available", finals + "method = \"uniform\"\nfinal = \"finetune\"\n",
			`t.toml:17: matrix[1].final: "finetune" is not available for method "uniform": it leaves no trained weights`},
		{"unknown", finals + "method = \"l1\"\nfinal = \"again\"\n", `matrix[1].final: unknown name "again"`},
		{"no widths", strings.Replace(finals, "channels = [4, 5]\n", "", 1) + "method = \"widths\"\n",
			"width.channels: missing; it is a list with the channels of each adjustable layer, or the folder"},
		{"widths", strings.Replace(finals, "[4, 5]", "3", 1) + "method = \"widths\"\n",
			"t.toml:9: width.channels: must be a list with the channels of each adjustable layer, or the folder of a"},
		{"width", strings.Replace(finals, "[4, 5]", "[4, 0]", 1) + "method = \"widths\"\n",
			"width.channels[2]: must be an integer, at least 1"},
		{"multiples", strings.Replace(finals, "[4, 5]", "[4, 5]\nround_to = 8", 1) + "method = \"l1\"\nfinal = \"finetune\"\n",
			`t.toml:10: width.round_to: must be 1 with final = "finetune": there are no weights for channels that rounding`},
		{"scope", strings.Replace(finals, "rounds = 7", `scope = "all"`, 1) + "method = \"l1\"\n",
			`prune.scope: unknown name "all"`},
	} {
		_, err := Parse("t.toml", []byte(tt.text), pruning())
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}
