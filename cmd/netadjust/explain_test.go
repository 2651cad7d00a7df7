package main

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExplain(t *testing.T) {
	file := experiment(t, tiny+"[[matrix.set]]\nwhere = {method = \"l1\"}\nvalues = {train = {epochs = 2}}\n")
	r := call(t.Context(), "explain", file)
	r.check(t, 0, "tiny ("+file+"): 3 cells, all with these settings ", "")
	table := regexp.MustCompile(` {2,}`).ReplaceAllString(r.stdout, "  ")
	for _, want := range []string{
		"\n  train.batch  8  " + file + ":8  128 (code default, README for CIFAR), 1024 (README for ImageNet)\n",
		"\n  search.epochs  1  " + file + ":11  20 (code default), 200 (README for CIFAR), 10 (README for ImageNet)\n",
		"\n  search.reference  false  default  true\n",
		"\n  train.epochs  1  " + file + ":7  20 (code default), ",
		"\n1 cells with method l1\n\n  setting  value  from  the paper's authors\n" +
			"  train.epochs  2  matrix[1].set[1], " + file + ":25  20 (code default), ",
		"\n  prune.epochs  2  train.epochs\n",
		"\n  13 u = 0 (\"pairs\")\n  *  corrected  nothing moves\n  reference  all layers grow, none shrinks\n",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	if n := strings.Count(r.stdout, " cells with "); n != 1 {
		t.Errorf("%d groups of cells are said to differ, want 1:\n%s", n, r.stdout)
	}

	x := decode[explanation](t, call(t.Context(), "explain", "--json", file).stdout)
	if x.Experiment != "tiny" || x.File != file || len(x.Groups) != 3 {
		t.Fatalf("%+v", x)
	}
	var names []string
	for _, g := range x.Groups {
		names = append(names, strings.Split(g.Cells[0], "-")[3])
		if len(g.Cells) != 1 || (g.Rules != nil) != (names[len(names)-1] == "adjust") {
			t.Errorf("%d cells and %d rules for %s", len(g.Cells), len(g.Rules), g.Cells[0])
		}
	}
	if diff := cmp.Diff([]string{"uniform", "l1", "adjust"}, names); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	for _, s := range x.Groups[2].Settings {
		if len(s.Paper) == 0 {
			t.Errorf("%s: nothing about the paper", s.Key)
		}
	}
	for value, want := range map[string][2]string{
		"false": {corrected, corrected}, "true": {reference, reference}, `["budget"]`: {reference, corrected},
	} {
		file = experiment(t, strings.Replace(tiny, "[search]\n", "[search]\nreference = "+value+"\n", 1))
		x = decode[explanation](t, call(t.Context(), "explain", "--json", file).stdout)
		r := x.Groups[2].Rules
		if got := [2]string{r[0].InUse, r[2].InUse}; got != want {
			t.Errorf("reference = %s: rules of the budget and of steps %v, want %v", value, got, want)
		}
	}
}

// TestExplainedRules compares the rules with the rows of docs/method.md that reference mode switches, by the names of
// their switches.
func TestExplainedRules(t *testing.T) {
	page, err := os.ReadFile("../../docs/method.md")
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		number     int
		name, mode string
	}
	var want, got []row
	for line := range strings.Lines(string(page)) {
		columns := strings.Split(strings.TrimSpace(line), " | ")
		number, err := strconv.Atoi(strings.TrimPrefix(columns[0], "| "))
		mode := columns[len(columns)-1]
		if err == nil && strings.HasPrefix(mode, "`") {
			want = append(want, row{number, columns[1], strings.Split(mode, "`")[1]})
		}
	}
	for _, r := range rules {
		got = append(got, row{r.Row, r.Name, r.Switch})
	}
	if !slices.Equal(want, got) || len(want) == 0 {
		t.Errorf("rules of docs/method.md %v, of explain %v", want, got)
	}
}
