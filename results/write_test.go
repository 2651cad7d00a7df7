package results

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readFolder reads all files of a folder.
func readFolder(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(data)
	}
	return out
}

// names returns the sorted base names of paths.
func names(paths []string) []string {
	var out []string
	for _, p := range paths {
		out = append(out, filepath.Base(p))
	}
	return slices.Sorted(slices.Values(out))
}

// figureFiles returns the names of the files of figures.
func figureFiles(figures ...string) []string {
	var out []string
	for _, f := range figures {
		out = append(out, f+".csv", f+".pdf", f+".png", f+".svg")
	}
	return out
}

// frameFiles are the files beside the figures.
var frameFiles = []string{"report.html", "report.md", "benchmarks.txt", "frame.csv", "layers.csv", "epochs.csv",
	"truth.csv", "timing.csv"}

func TestWriteAllSameBytes(t *testing.T) {
	records := append(quick(t, []string{"0.5"}, 1, 2), failed(t, "random", "0.5", 1, "diverged"))
	first, second := t.TempDir(), t.TempDir()
	files, err := WriteAll(first, records, Options{Name: "quick"})
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Concat(frameFiles, figureFiles("accuracy-vs-flops", "accuracy-vs-cost", "learning-curves",
		"fur-adjust-0.5", "fur-layers-adjust-0.5", "widths-adjust-0.5", "widths-updates-adjust-0.5"))
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), names(files)); diff != "" {
		t.Errorf("files:\n%s", diff)
	}
	if filepath.Base(files[0]) != "report.html" {
		t.Errorf("the first file is %s, want the report", files[0])
	}
	slices.Reverse(records)
	for range 2 { // again into another folder, then over what is there
		if _, err := WriteAll(second, records, Options{Name: "quick"}); err != nil {
			t.Fatal(err)
		}
		a, b := readFolder(t, first), readFolder(t, second)
		if len(a) != len(b) || len(a) != len(files) {
			t.Errorf("%d and %d files in the folders, %d returned", len(a), len(b), len(files))
		}
		for name := range a {
			if a[name] != b[name] {
				t.Errorf("%s differs between two calls with the same records", name)
			}
		}
	}
}

func TestFiguresCarryTheirFonts(t *testing.T) {
	files := readFolder(t, writeAll(t, quick(t, []string{"0.5"}, 1), Options{}))
	for name, want := range map[string]string{
		"accuracy-vs-flops.svg": `font-family:"Liberation Serif";src:url(data:font/woff2;base64,`,
		"accuracy-vs-flops.pdf": "/FontFile2",
		"accuracy-vs-flops.png": "\x89PNG",
	} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s does not hold %q", name, want)
		}
	}
}

// The page has the numbers of the report, every figure, and nothing that has to be loaded.
func TestPage(t *testing.T) {
	r := cell(t, "adjust", "0.5", 1)
	r.Result.Dataset = "<script>alert(1)</script>"
	records := []*Record{shortened(r), shortened(cell(t, "uniform", "0.5", 1))}
	files := readFolder(t, writeAll(t, records, Options{Name: "a & b"}))
	page := files["report.html"]
	for _, want := range []string{"<title>Results of a &amp; b</title>", `<a href="cells/adjust-0.5-1/record.json">`,
		"&lt;script&gt;alert(1)", `<th align="right">`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not hold %q", want)
		}
	}
	for _, not := range []string{"<script>alert", "<img", "src=", "<link", "url(http", "@import"} {
		if strings.Contains(page, not) {
			t.Errorf("the page holds %q", not)
		}
	}
	images := strings.Count(files["report.md"], "![")
	if n := strings.Count(page, "<svg"); images == 0 || n != images {
		t.Errorf("%d figures in the page, %d in the report", n, images)
	}
	if n := strings.Count(page, "@font-face"); n != 1 {
		t.Errorf("the letters are in the page %d times", n)
	}
	for line := range strings.Lines(files["report.md"]) {
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		for _, number := range regexp.MustCompile(`[+-]?\d+\.\d+`).FindAllString(line, -1) {
			if !strings.Contains(page, number) {
				t.Errorf("the page lacks %s", number)
			}
		}
	}
}

func TestSeveralComparisons(t *testing.T) {
	var records []*Record
	for _, r := range []*Record{cell(t, "uniform", "0.5", 1), cell(t, "adjust", "0.5", 1)} {
		shortened(r)
		for _, dataset := range []string{"mnist", "MNIST", "fashion mnist/π"} {
			c := *r
			c.Result.Dataset = dataset
			c.Result.ID += dataset
			records = append(records, &c)
		}
	}
	dir := t.TempDir()
	files, err := WriteAll(dir, records, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, group := range []string{"mnist", "mnist_2", "fashion-mnist--"} {
		suffix := "-resnet20-0.5-max-" + group
		for _, figure := range []string{"accuracy-vs-flops", "accuracy-vs-cost", "fur-layers-adjust-0.5",
			"widths-adjust-0.5"} {
			want = append(want, figureFiles(figure+suffix)...)
		}
	}
	want = append(want, figureFiles("accuracy-vs-flops")...)
	want = append(want, frameFiles...)
	slices.Sort(want)
	if diff := cmp.Diff(want, names(files)); diff != "" {
		t.Errorf("files:\n%s", diff)
	}
	written := readFolder(t, dir)
	if written["accuracy-vs-flops.svg"] != written["accuracy-vs-flops-resnet20-0.5-max-mnist.svg"] {
		t.Error("accuracy-vs-flops does not show the first comparison")
	}
}

// shortened leaves one update and one epoch in a record.
func shortened(r *Record) *Record {
	res := &r.Result
	res.Updates, res.Final.Epochs = res.Updates[:min(1, len(res.Updates))], res.Final.Epochs[:1]
	return r
}

func TestStaleFiguresGo(t *testing.T) {
	dir := t.TempDir()
	other := []string{"notes.csv", "furniture.png", "widths.txt"}
	for _, name := range other {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "accuracy-by-method-1.csv"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, budgets := range [][]string{{"1.0", "0.5"}, {"0.5"}, nil} {
		var records []*Record
		for _, budget := range budgets {
			records = append(records, shortened(cell(t, "adjust", budget, 1)))
		}
		files, err := WriteAll(dir, records, Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := slices.Sorted(slices.Values(append(names(files), other...)))
		var got []string
		for name := range readFolder(t, dir) {
			got = append(got, name)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("files after drawing budgets %v:\n%s", budgets, diff)
		}
	}
}

// Variants whose names differ only in what file names do not have keep their figures and benchmarks apart.
func TestAlikeVariants(t *testing.T) {
	var records []*Record
	for i, variant := range []string{"rate 0.3", "rate-0.3"} {
		r := shortened(cell(t, "adjust", "0.5", 1))
		r.Result.ID += fmt.Sprint(i)
		r.Result.Variant = variant
		records = append(records, r)
	}
	files := readFolder(t, writeAll(t, records, Options{}))
	for _, name := range []string{"widths-adjust--rate-0.3-0.5.csv", "widths-adjust--rate-0.3-0.5_2.csv"} {
		if files[name] == "" {
			t.Errorf("no %s", name)
		}
	}
	for _, text := range []string{"/method=adjust--rate-0.3/budget=0.5 ", "/method=adjust--rate-0.3/budget=0.5_2 "} {
		if strings.Count(files["benchmarks.txt"], text) != 1 {
			t.Errorf("benchmarks without one %q:\n%s", text, files["benchmarks.txt"])
		}
	}
}

// Records of two recipes are no seeds of each other.
func TestOneRecipe(t *testing.T) {
	a, b := cell(t, "adjust", "0.5", 1), cell(t, "adjust", "0.5", 1)
	if _, err := WriteAll(t.TempDir(), []*Record{a, b}, Options{}); err != nil {
		t.Errorf("the same cell twice: %v", err)
	}
	b.Result.ID = "other"
	if _, err := WriteAll(t.TempDir(), []*Record{a, b}, Options{}); err == nil ||
		!strings.Contains(err.Error(), "cells "+a.Result.ID+" and other differ in settings alone") {
		t.Errorf("error %v", err)
	}
}

// A figure that has nothing to show is not made.
func TestFiguresOfLittle(t *testing.T) {
	oneEpoch, oneUpdate := shortened(cell(t, "uniform", "0.5", 1)), shortened(cell(t, "adjust", "0.5", 1))
	always := []string{"accuracy-vs-flops", "learning-curves"}
	for name, c := range map[string]struct {
		records []*Record
		want    []string
	}{
		"no search":     {[]*Record{cell(t, "uniform", "0.5", 1)}, always},
		"one epoch":     {[]*Record{oneEpoch}, []string{"accuracy-vs-flops"}},
		"no update":     {[]*Record{cell(t, "l1", "0.5", 1)}, append(always, "accuracy-vs-cost")},
		"failed search": {[]*Record{failed(t, "adjust", "0.5", 1, "no"), oneEpoch}, []string{"accuracy-vs-flops"}},
		"one update": {[]*Record{oneUpdate},
			[]string{"accuracy-vs-flops", "accuracy-vs-cost", "fur-layers-adjust-0.5", "widths-adjust-0.5"}},
	} {
		var got []string
		for _, f := range figuresOf(t, c.records) {
			got = append(got, f.name)
		}
		slices.Sort(got)
		if diff := cmp.Diff(slices.Sorted(slices.Values(c.want)), got); diff != "" {
			t.Errorf("%s: figures:\n%s", name, diff)
		}
	}
}

func TestWriteAllWithoutFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	if _, err := WriteAll(dir, nil, Options{}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v, want one that names %s", err, dir)
	}
}
