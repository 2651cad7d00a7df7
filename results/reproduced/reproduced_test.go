package reproduced

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/results"
	"netadjust/results/published"
)

// record returns a finished cell of ResNet-20 with the paper's recipe, changed.
func record(method string, seed uint64, top1 float64, change func(r *results.Result, c *config)) *results.Record {
	c := config{50000 - 5000, 5000, 200, 10, 20}
	r := &results.Record{Result: results.Result{
		Network: "resnet20", Width: 1, Dataset: "cifar100", Method: method, Budget: "1", Seed: seed,
		Final: &results.Final{FLOPs: 40_556_800, FLOPsWithoutStem: 40_114_432, Params: 275_572, TestTop1: top1 / 100},
	}}
	if change != nil {
		change(&r.Result, &c)
	}
	r.Result.Config = fmt.Appendf(nil, `{"data": {"train": %d, "validation": %d}, "train": {"epochs": %d},
		"search": {"iterations": %d, "epochs": %d}}`, c.train, c.validation, c.epochs, c.iterations, c.searchEpochs)
	return r
}

type config struct{ train, validation, epochs, iterations, searchEpochs int }

// lineOf returns the cells of a row of the tables by their headers.
func lineOf(t *testing.T, records []*results.Record, name, row string) map[string]string {
	t.Helper()
	for _, table := range Tables(records) {
		for _, line := range table.Rows {
			if line[0] == name && line[1] == row {
				m := make(map[string]string)
				for i, header := range table.Header {
					m[header] = line[i]
				}
				return m
			}
		}
	}
	t.Fatalf("no row %s, %s", name, row)
	return nil
}

func TestRows(t *testing.T) {
	counts := make(map[string]int)
	for _, r := range published.Rows() {
		counts[r.Table]++
		if (r.Method == "") != (r.Network == "") || (r.Method == "") != !(r.PFLOPs > 0) {
			t.Errorf("%s, %s: network %q, method %q, %g PFLOPs", r.Name, r.Row, r.Network, r.Method, r.PFLOPs)
		}
	}
	if diff := cmp.Diff(map[string]int{"cifar100": 18, "imagenet": 12}, counts); diff != "" {
		t.Errorf("rows:\n%s", diff)
	}
}

func TestFullRun(t *testing.T) {
	records := []*results.Record{
		record("uniform", 1, 69, nil), record("uniform", 2, 70, nil), record("adjust", 1, 71, nil),
		record("adjust", 2, 71.5, nil), record("adjust", 3, 73, nil),
		record("adjust", 9, 10, func(r *results.Result, _ *config) { r.Budget = "0.5" }),
		record("adjust", 9, 10, func(r *results.Result, _ *config) { r.Variant = "other" }),
		record("adjust", 9, 10, func(r *results.Result, _ *config) { r.Final, r.Failure = nil, &results.Failure{} }),
	}
	got := lineOf(t, records, "ResNet-20", "searched")
	want := map[string]string{
		"Network": "ResNet-20", "Row": "searched", "Paper: top-1 (%)": "71.57", "Here: top-1 (%)": "71.83 ± 1.04", "n": "3",
		"Difference": "+0.26", "Paper: gain": "+2.05", "Here: gain": "+1.75", "Paper: MFLOPs": "40.2",
		"Here: MFLOPs": "40.1", "Paper: M parameters": "–", "Here: M parameters": "0.276",
		"What is reduced, or how to run it": "the published widths have 7 % more FLOPs",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("row (-want +got):\n%s", diff)
	}
	if got := lineOf(t, records, "ResNet-20 2x", "searched")["n"]; got != "–" {
		t.Errorf("width 1 stands for width 2, with n = %s", got)
	}
}

func TestReductions(t *testing.T) {
	reduced := func(r *results.Result, c *config) {
		r.Width, r.Dataset = 0.5, "cifar10"
		*c = config{20000, 5000, 30, 4, 5}
	}
	records := []*results.Record{record("uniform", 1, 80, reduced), record("adjust", 1, 82, reduced)}
	got := lineOf(t, records, "ResNet-20", "searched")
	for column, want := range map[string]string{
		"Difference": "–", "Here: gain": "+2.00", "What is reduced, or how to run it": "reduced: cifar10, width 0.5, " +
			"25000 images, 30 epochs, search of 4 times 5 epochs; the published widths have 7 % more FLOPs",
	} {
		if got[column] != want {
			t.Errorf("%s is %q, want %q", column, got[column], want)
		}
	}
	// What is closest to the paper counts, whatever comes first.
	records = append(records, record("adjust", 1, 60, nil))
	for range 2 {
		got := lineOf(t, records, "ResNet-20", "searched")
		if got["Here: top-1 (%)"] != "60.00 ± –" || got["Here: gain"] != "–" {
			t.Errorf("top-1 %s and gain %s, want those of the full run, which has no original", got["Here: top-1 (%)"],
				got["Here: gain"])
		}
		slices.Reverse(records)
	}
}

func TestNotRun(t *testing.T) {
	const want = "not run: netadjust run experiments/paper-cifar100.toml, 2.40 PFLOPs a seed, about 8.33 h on two " +
		"cores and 0.278 h on one GPU"
	const column = "What is reduced, or how to run it"
	if got := lineOf(t, nil, "PyramidNet-20", "searched")[column]; !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := lineOf(t, nil, "ResNet-18", "TAS")[column]; got != "no counterpart; copied there; distilled" {
		t.Errorf("a method that is not here: %q", got)
	}
}

// Seeds of another recipe, or of other files, are not added to those of a row.
func TestOneRecipe(t *testing.T) {
	other := record("adjust", 2, 60, nil)
	other.Result.Config = bytes.Replace(other.Result.Config, []byte(`"epochs": 200`), []byte(`"epochs": 200, "drop_rate": 0.5`), 1)
	note := func(r *results.Result, _ *config) { r.DatasetNote = "not the official files: re-encoded" }
	records := []*results.Record{record("adjust", 1, 70, note), record("adjust", 2, 72, note), other}
	for range 2 {
		got := lineOf(t, records, "ResNet-20", "searched")
		if got["Here: top-1 (%)"] != "71.00 ± 1.41" ||
			!strings.HasPrefix(got["What is reduced, or how to run it"], "reduced: not the official files; ") {
			t.Errorf("%v", got)
		}
		slices.Reverse(records)
	}
}

// The three formats have the same rows.
func TestFormats(t *testing.T) {
	tables := Tables([]*results.Record{record("adjust", 1, 71, func(_ *results.Result, c *config) { c.epochs = 100 })})
	var md, comma, tex bytes.Buffer
	if err := Markdown(&md, tables); err != nil {
		t.Fatal(err)
	}
	if err := CSV(&comma, tables); err != nil {
		t.Fatal(err)
	}
	if err := LaTeX(&tex, tables); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&comma).ReadAll()
	if err != nil || len(rows) != 1+18+12 {
		t.Errorf("%d rows of CSV: %v", len(rows), err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"Markdown": {md.String(), "| ResNet-20 | searched | 71.57 | 71.00 ± – | 1 | -0.57 | +2.05 | – |"},
		"CSV":      {strings.Join(rows[2], ","), "CIFAR-100,ResNet-20,searched,71.57,71.00 ± –,1,-0.57,+2.05,–"},
		"LaTeX":    {tex.String(), `ResNet-20 & searched & 71.57 & 71.00 $\pm$ --* & 1 & -0.57 & +2.05 & --`},
	} {
		if !strings.Contains(c.text, c.want) {
			t.Errorf("%s does not hold %q:\n%s", name, c.want, c.text)
		}
	}
	for _, want := range []string{`\begin{tabular}{llrrrrrrrrrr}`, `Paper: top-1 (\%)`, `\toprule`, `\bottomrule`} {
		if strings.Count(tex.String(), want) != 2 {
			t.Errorf("LaTeX has %q %d times, want 2", want, strings.Count(tex.String(), want))
		}
	}
	if n := strings.Count(md.String(), "\n| "); n != 2*2+18+12 {
		t.Errorf("%d lines of tables in Markdown", n)
	}
}
