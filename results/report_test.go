package results

import (
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the expected report anew")

// reportOf returns the report of records without drawing the figures.
func reportOf(t *testing.T, records []*Record, opts Options) string {
	t.Helper()
	records = slices.SortedFunc(slices.Values(records), compareRecords)
	f, err := framesOf(records)
	if err != nil {
		t.Fatal(err)
	}
	sections, err := sectionsOf(f)
	if err != nil {
		t.Fatal(err)
	}
	return report(f.cells, sections, opts)
}

func TestReport(t *testing.T) {
	records := append(quick(t, []string{"1.0", "0.5"}, 1, 2, 3),
		failed(t, "random", "0.5", 1, "loss is NaN | try a lower learning rate"))
	for _, r := range records {
		r.Result.DatasetNote = "test images re-encoded as JPEG"
	}
	got := reportOf(t, records, Options{Name: "quick", Missing: []string{"random-0.5-2", "random_0.5_3"},
		Problems: []error{errors.New("cells/x/record.json: damaged record: unexpected end of JSON input")}})
	golden := filepath.Join("testdata", "report.md")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("report (run with -update if it should change):\n%s", diff)
	}
}

// The numbers of the main table are computed here a second time, from frame.csv alone and without the package.
func TestReportIsMadeFromTheFrame(t *testing.T) {
	records := quick(t, []string{"1.0", "0.5"}, 1, 2, 3)
	for _, r := range records {
		shortened(r) // fewer figures to draw
	}
	dir := writeAll(t, records, Options{Name: "quick"})
	columns := make(map[string]map[string][]float64) // method and budget, column to values
	for _, row := range readCSV(t, filepath.Join(dir, "frame.csv")) {
		key := row["method"] + " " + row["budget"]
		if columns[key] == nil {
			columns[key] = make(map[string][]float64)
		}
		for _, c := range []string{"test_top1", "test_loss", "flops", "params", "search_flops", "final_flops"} {
			columns[key][c] = append(columns[key][c], value(t, row[c]))
		}
	}
	mean := func(x []float64) float64 {
		var sum float64
		for _, v := range x {
			sum += v
		}
		return sum / float64(len(x))
	}
	std := func(x []float64) float64 {
		m, sum := mean(x), 0.0
		for _, v := range x {
			sum += (v - m) * (v - m)
		}
		return math.Sqrt(sum / float64(len(x)-1))
	}
	rows := 0
	for line := range strings.Lines(readFolder(t, dir)["report.md"]) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		x := columns[strings.Join(cells[:min(2, len(cells))], " ")]
		if x == nil || len(cells) != 12 {
			continue
		}
		rows++
		number, unit, _ := strings.Cut(cells[2], " ")
		if unit != "M" || math.Abs(value(t, number)-mean(x["flops"])/1e6) > 0.005 {
			t.Errorf("FLOPs %s, want %g", cells[2], mean(x["flops"]))
		}
		number, unit, _ = strings.Cut(cells[3], " ")
		if unit != "k" || math.Abs(value(t, number)-mean(x["params"])/1e3) > 0.005 {
			t.Errorf("parameters %s, want %g", cells[3], mean(x["params"]))
		}
		top1, deviation, _ := strings.Cut(cells[4], " ± ")
		for _, c := range []struct {
			shown           string
			want, tolerance float64
		}{
			{top1, 100 * mean(x["test_top1"]), 0.005}, {deviation, 100 * std(x["test_top1"]), 0.005},
			{cells[5], 3, 0}, {cells[6], mean(x["test_loss"]), 5e-5},
			{cells[8], mean(x["search_flops"]) / 1e12, 0.005}, {cells[10], mean(x["final_flops"]) / 1e12, 0.005},
		} {
			if math.Abs(value(t, c.shown)-c.want) > c.tolerance+1e-9 {
				t.Errorf("%v: %s, want %g", cells[:2], c.shown, c.want)
			}
		}
	}
	if rows != 6 {
		t.Errorf("%d rows in the table, want 6", rows)
	}
}

func TestReportOfNothing(t *testing.T) {
	for name, records := range map[string][]*Record{
		"no record":   nil,
		"only failed": {failed(t, "adjust", "0.5", 1, "diverged")},
	} {
		files := readFolder(t, writeAll(t, records, Options{Name: "quick", Missing: []string{"uniform-0.5-1"}}))
		for _, want := range []string{"No cell has finished yet", "1 not finished", "- uniform-0.5-1"} {
			if !strings.Contains(files["report.md"], want) {
				t.Errorf("%s: the report does not say %q", name, want)
			}
		}
		if len(files) != len(frameFiles) || !strings.HasPrefix(files["frame.csv"], "schema,id,") {
			t.Errorf("%s: %d files, frame.csv starts with %.20q", name, len(files), files["frame.csv"])
		}
	}
}

func TestReportWarnsAboutFewSeeds(t *testing.T) {
	const warning = "some rows have fewer than 5 seeds"
	one := reportOf(t, quick(t, []string{"0.5"}, 1), Options{})
	if !strings.Contains(one, warning) || !strings.Contains(one, " ± – | 1 |") {
		t.Error("the report of one seed lacks the warning or shows a standard deviation")
	}
	if five := reportOf(t, quick(t, []string{"0.5"}, 1, 2, 3, 4, 5), Options{}); strings.Contains(five, warning) {
		t.Error("the report of five seeds warns about few seeds")
	}
}

func TestReportCountsSeeds(t *testing.T) {
	records := append(quick(t, []string{"1.0", "0.5"}, 1, 2), cell(t, "adjust", "0.5", 3), cell(t, "l1", "1.0", 3),
		cell(t, "l1", "0.5", 3))
	const want = "(n = 2 for uniform, n = 2–3 for adjust, n = 3 for l1)"
	if got := reportOf(t, records, Options{}); !strings.Contains(got, want) {
		t.Error("the caption of the accuracy figure does not count the seeds of each method")
	}
}

func TestReportShowsResidue(t *testing.T) {
	records := quick(t, []string{"0.5"}, 1, 2)
	records[0].Result.Device = "gpu:cuda"
	const want = "The cells of this table differ in device: gpu:cuda, cpu."
	if got := reportOf(t, records, Options{}); !strings.Contains(got, want) {
		t.Error("the report does not say that two devices were mixed")
	}
}

func TestReportWithoutBaseline(t *testing.T) {
	got := reportOf(t, []*Record{cell(t, "adjust", "0.5", 1), cell(t, "uniform", "0.5", 2)}, Options{})
	if !strings.Contains(got, "No two methods that are compared share a budget and a seed.") {
		t.Error("the report does not say that there is nothing to compare")
	}
}

func TestReportEscapesNames(t *testing.T) {
	r := cell(t, "uniform", "0.5", 1)
	r.Result.Method, r.Result.Dataset = "a|b_c*", "<script>\nalert(1)</script>"
	got := reportOf(t, []*Record{r}, Options{Name: "[x](y)", Command: "netadjust run my.toml"})
	for _, want := range []string{`# Results of \[x\](y)`, `| a\|b\_c\* | 0.5 |`,
		"on &lt;script&gt; alert(1)&lt;/script&gt;", "    netadjust run my.toml\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the report does not hold %q", want)
		}
	}
	if strings.Contains(got, "<script>") {
		t.Error("the report holds HTML from a name")
	}
}
