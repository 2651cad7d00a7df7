package results

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/plot"
)

// value parses a number of a CSV file.
func value(t *testing.T, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAccuracyFigureData(t *testing.T) {
	records := []*Record{
		withTop1(t, "adjust", "0.5", 1, 0.90), withTop1(t, "adjust", "0.5", 2, 0.92),
		withTop1(t, "adjust", "0.5", 3, 0.97),
		withTop1(t, "uniform", "0.5", 1, 0.89), withTop1(t, "adjust", "1.0", 1, 0.95),
	}
	for i, r := range records {
		r.Result.Final.FLOPs = int64(4_000_000 + 1000*i)
	}
	rows := dataOf(t, records, "accuracy-vs-flops")
	var got []string
	for _, r := range rows {
		point := []string{r["method"], r["budget"], r["n"], r["flops_millions"], r["cells"]}
		got = append(got, strings.Join(point, " | "))
	}
	want := []string{
		"uniform | 0.5 | 1 | 4.003 | uniform-0.5-1",
		"adjust | 1.0 | 1 | 4.004 | adjust-1.0-1",
		"adjust | 0.5 | 3 | 4.001 | adjust-0.5-1 adjust-0.5-2 adjust-0.5-3",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("points:\n%s", diff)
	}
	// By hand: the mean of 90, 92 and 97 is 93, the squared deviations 9 + 1 + 16, their sum divided by 2.
	top1, std := value(t, rows[2]["top1_percent"]), value(t, rows[2]["top1_percent_std"])
	if math.Abs(top1-93) > 1e-9 || math.Abs(std-math.Sqrt(13)) > 1e-9 {
		t.Errorf("adjust at 0.5: %g ± %g, want 93 ± sqrt(13)", top1, std)
	}
	// Student's t for 2 degrees of freedom and 97.5 % is 4.302653.
	if margin := value(t, rows[2]["top1_percent_margin"]); math.Abs(margin-4.302653*math.Sqrt(13./3)) > 1e-5 {
		t.Errorf("margin %g, want 4.302653 sqrt(13 / 3)", margin)
	}
	if rows[0]["top1_percent_std"] != "" || rows[0]["top1_percent_margin"] != "" {
		t.Errorf("one seed has the deviation %q and the margin %q, want none", rows[0]["top1_percent_std"],
			rows[0]["top1_percent_margin"])
	}
}

// Methods of a budget are listed by their means where there are many of them, and only at such budgets.
func TestMethodsFigureData(t *testing.T) {
	var records []*Record
	for i, method := range methodOrder[:inColumn+1] {
		records = append(records, withTop1(t, method, "0.5", 1, 0.5+float64(8*(i%4)+i)/64))
	}
	records = append(records, withTop1(t, "adjust", "0.5", 2, 1), withTop1(t, "adjust", "1.0", 1, 0.95))
	var got []string
	for _, r := range dataOf(t, records, "accuracy-by-method-0.5") {
		got = append(got, r["method"]+" "+r["top1_percent_by_seed"])
	}
	want := []string{
		"uniform 50", "slimming 56.25", "taylor_per_flop 70.3125", "l1 78.125", "adjust 64.0625 100", "morphnet 84.375",
		"random 92.1875", "adjust_random_fur 98.4375",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("methods (-want +got):\n%s", diff)
	}
	for _, f := range figuresOf(t, records[1:]) {
		if strings.HasPrefix(f.name, "accuracy-by-method") {
			t.Errorf("%s of %d methods", f.name, inColumn)
		}
	}
}

// The front holds the leaders of budgets at which more FLOPs bring more accuracy.
func TestFront(t *testing.T) {
	records := []*Record{
		withTop1(t, "uniform", "0.25", 1, 0.85), withTop1(t, "adjust", "0.25", 1, 0.86),
		withTop1(t, "uniform", "0.5", 1, 0.855), withTop1(t, "adjust", "0.5", 1, 0.85),
		withTop1(t, "uniform", "1.0", 1, 0.87), withTop1(t, "adjust", "1.0", 1, 0.88),
	}
	var got []string
	for _, l := range front(comparisons(frameOf(t, records))[0]) {
		got = append(got, l.method+" "+l.budget)
	}
	if diff := cmp.Diff([]string{"adjust 0.25", "adjust 1.0"}, got); diff != "" {
		t.Errorf("front (-want +got):\n%s", diff)
	}
}

// The paper's own points stand beside those of the network, width and dataset that they are of, the stem added.
func TestPaperPoints(t *testing.T) {
	records := paperLike(t)
	var got []string
	for _, r := range dataOf(t, records, accuracyName) {
		if r["n"] == "" {
			got = append(got, fmt.Sprintf("%s %.6f %s", r["method"], value(t, r["flops_millions"]), r["top1_percent"]))
		}
	}
	want := []string{"uniform (paper) 40.542368 69.52", "adjust (paper) 40.642368 71.57"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("points of the paper (-want +got):\n%s", diff)
	}
	records[0].Result.Width, records[1].Result.Width, records[2].Result.Width = 0.5, 0.5, 0.5
	if n := len(dataOf(t, records, accuracyName)); n != 3 {
		t.Errorf("%d points for another width, want 3", n)
	}
}

// paperLike returns cells of a network that the paper has results of.
func paperLike(t *testing.T) []*Record {
	records := []*Record{cell(t, "uniform", "1.0", 1), cell(t, "adjust", "1.0", 1), cell(t, "l1", "1.0", 1)}
	for _, r := range records {
		r.Result.Width, r.Result.Dataset = 1, "cifar100"
		r.Result.Final.FLOPsWithoutStem = r.Result.Final.FLOPs - 442_368
	}
	return records
}

func TestWidthsFigureData(t *testing.T) {
	a, b := cell(t, "adjust", "0.5", 1), cell(t, "adjust", "0.5", 2)
	a.Result.Final.Channels[2], b.Result.Final.Channels[2] = 6, 10
	rows := dataOf(t, []*Record{a, b}, "widths-adjust-0.5")
	want := map[string]string{
		"layer": "2", "layer_name": "stage1.block1.conv1", "n": "2", "channels_before": "8", "channels_before_std": "0",
		"channels_after": "8", "channels_after_std": exact(math.Sqrt(8)), "cells": "adjust-0.5-1 adjust-0.5-2",
	}
	if diff := cmp.Diff(want, rows[2]); diff != "" {
		t.Errorf("third layer:\n%s", diff)
	}
	if len(rows) != 18 {
		t.Errorf("%d rows, want one for each layer", len(rows))
	}
}

// dataOf returns the numbers that a figure shows, one map from column to value a row.
func dataOf(t *testing.T, records []*Record, name string) []map[string]string {
	t.Helper()
	for _, f := range figuresOf(t, records) {
		if f.name != name {
			continue
		}
		var rows []map[string]string
		for _, values := range f.data[1:] {
			row := make(map[string]string)
			for i, column := range f.data[0] {
				row[column] = values[i]
			}
			rows = append(rows, row)
		}
		return rows
	}
	t.Fatalf("no figure %s", name)
	return nil
}

// checkRow compares one row of the numbers of a figure.
func checkRow(t *testing.T, rows []map[string]string, i, count int, want map[string]string) {
	t.Helper()
	if len(rows) != count {
		t.Fatalf("%d rows, want %d", len(rows), count)
	}
	if diff := cmp.Diff(want, rows[i]); diff != "" {
		t.Errorf("row %d:\n%s", i, diff)
	}
}

func TestFigureWritesItsData(t *testing.T) {
	records := []*Record{cell(t, "uniform", "0.5", 1)}
	dir := t.TempDir()
	if _, err := figuresOf(t, records)[0].write(dir); err != nil {
		t.Fatal(err)
	}
	want := dataOf(t, records, accuracyName)
	if diff := cmp.Diff(want, readCSV(t, filepath.Join(dir, accuracyName+".csv"))); diff != "" {
		t.Errorf("CSV beside the figure:\n%s", diff)
	}
}

// Updates count from 1 in figures.
func TestFURFigureData(t *testing.T) {
	a, b := cell(t, "adjust", "0.5", 1), cell(t, "adjust", "0.5", 2)
	a.Result.Updates[1].FUR[2], b.Result.Updates[1].FUR[2] = 0.25, -0.75
	records := []*Record{a, b, cell(t, "adjust", "1.0", 1)}
	checkRow(t, dataOf(t, records, "fur-adjust-0.5"), 18+2, 3*18, map[string]string{
		"update": "2", "layer": "2", "layer_name": "stage1.block1.conv1", "n": "2",
		"fur": "-0.25", "fur_std": exact(math.Sqrt(0.5)), "cells": "adjust-0.5-1 adjust-0.5-2"})
}

// The last update of a cell that ended early is an earlier one. By hand: the root mean square of 1 and 7 is 5.
func TestFURLayersFigureData(t *testing.T) {
	a, b := cell(t, "adjust", "0.5", 1), cell(t, "adjust", "0.5", 2)
	a.Result.Updates = a.Result.Updates[:2]
	lastA, lastB := a.Result.Updates[1], b.Result.Updates[2]
	lastA.FUR[2], lastB.FUR[2] = 0.25, -0.75
	lastA.FURStdErr[2], lastB.FURStdErr[2] = 1, 7
	want := map[string]string{"layer": "2", "layer_name": "stage1.block1.conv1", "n": "2", "fur": "-0.25",
		"fur_std_err": "5", "fur_std": exact(math.Sqrt(0.5)), "cells": "adjust-0.5-1 adjust-0.5-2"}
	checkRow(t, dataOf(t, []*Record{a, b}, "fur-layers-adjust-0.5"), 2, 18, want)

	b.Result.Updates[2].FURImageStdErr = make([]float64, 18) // contains the other error
	b.Result.Updates[2].FURImageStdErr[2] = 17
	want["fur_std_err"] = exact(math.Sqrt(145))
	checkRow(t, dataOf(t, []*Record{a, b}, "fur-layers-adjust-0.5"), 2, 18, want)
}

func TestTrajectoryFigureData(t *testing.T) {
	a, b := cell(t, "adjust", "0.5", 1), cell(t, "adjust", "0.5", 2)
	a.Result.Updates[1].Next, b.Result.Updates[1].Next = slices.Clone(baseWidths), slices.Clone(baseWidths)
	a.Result.Updates[1].Next[2], b.Result.Updates[1].Next[2] = 6, 10
	rows := dataOf(t, []*Record{a, b}, "widths-updates-adjust-0.5")
	want := map[string]string{"layer": "2", "layer_name": "stage1.block1.conv1", "update": "2", "n": "2",
		"channels": "8", "channels_std": exact(math.Sqrt(8)), "cells": "adjust-0.5-1 adjust-0.5-2"}
	checkRow(t, rows, 2*4+2, 18*4, want) // the start and three updates for each layer
	want["update"], want["channels_std"] = "0", "0"
	checkRow(t, rows, 2*4, 18*4, want)

	a.Result.Updates = a.Result.Updates[:2] // the search ended early and keeps its widths
	b.Result.Updates[2].Next = slices.Clone(baseWidths)
	b.Result.Updates[2].Next[2] = 12
	want["update"], want["channels"], want["channels_std"] = "3", "9", exact(math.Sqrt(18))
	checkRow(t, dataOf(t, []*Record{a, b}, "widths-updates-adjust-0.5"), 2*4+3, 18*4, want)
}

func TestLearningFigureData(t *testing.T) {
	a, b := cell(t, "uniform", "0.5", 1), cell(t, "uniform", "0.5", 2)
	a.Result.Final.Epochs[1] = Epoch{Index: 1, TrainLoss: 0.25, TrainTop1: 0.75}
	b.Result.Final.Epochs[1] = Epoch{Index: 1, TrainLoss: 0.75, TrainTop1: 0.25}
	records := []*Record{a, b, cell(t, "adjust", "0.5", 1), cell(t, "uniform", "1.0", 1)}
	rows := dataOf(t, records, "learning-curves")
	checkRow(t, rows, 2+1, 3*2, map[string]string{"method": "uniform", "budget": "0.5", "epoch": "2", "n": "2",
		"train_loss": "0.5", "train_loss_std": exact(math.Sqrt(0.125)), "train_top1_percent": "50",
		"train_top1_percent_std": exact(100 * math.Sqrt(0.125)), "cells": "uniform-0.5-1 uniform-0.5-2"})
	if rows[0]["budget"] != "1.0" || rows[4]["method"] != "adjust" || rows[4]["train_loss_std"] != "" {
		t.Errorf("rows %v and %v", rows[0], rows[4])
	}
}

func TestCostFigureData(t *testing.T) {
	a, b := withTop1(t, "adjust", "0.5", 1, 0.875), withTop1(t, "adjust", "0.5", 2, 0.875)
	a.Result.SearchCost.FLOPs, a.Result.Final.Cost.FLOPs = 3e12, 2e12
	b.Result.SearchCost.FLOPs, b.Result.Final.Cost.FLOPs = 4e12, 2e12
	checkRow(t, dataOf(t, []*Record{a, b}, "accuracy-vs-cost"), 0, 1, map[string]string{
		"network": "resnet20", "width": "0.5", "padding": "max", "dataset": "fashion-mnist", "method": "adjust",
		"budget": "0.5", "n": "2", "total_flops": "5.5e+12", "top1_percent": "87.5",
		"top1_percent_std": "0", "top1_percent_margin": "0", "cells": "adjust-0.5-1 adjust-0.5-2"})
}

// Cells whose layers have other names cannot be averaged layer by layer.
func TestNoLayerFiguresForDifferentLayers(t *testing.T) {
	a, b := cell(t, "adjust", "0.5", 1), deepened(cell(t, "adjust", "0.5", 2), 2, 3)
	for _, f := range figuresOf(t, []*Record{a, b}) {
		if strings.HasPrefix(f.name, "widths-") || strings.HasPrefix(f.name, "fur-") {
			t.Errorf("%s was drawn", f.name)
		}
	}
}

func TestStylesDiffer(t *testing.T) {
	seen := make(map[string]string)
	for _, m := range methodOrder {
		s := styleOf(m)
		look := fmt.Sprint(s.color, s.marker)
		if other := seen[look]; other != "" {
			t.Errorf("%s looks like %s", m, other)
		}
		seen[look] = m
	}
	if diff := cmp.Diff(fmt.Sprint(styleOf("some_new_method")), fmt.Sprint(styleOf("some_new_method"))); diff != "" {
		t.Errorf("the style of a method that is not in the list changes:\n%s", diff)
	}
}

func TestCompareMethods(t *testing.T) {
	got := []string{"zeta", "l1", "alpha", "adjust", "uniform"}
	slices.SortFunc(got, compareMethods)
	if diff := cmp.Diff([]string{"uniform", "adjust", "l1", "alpha", "zeta"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		ticks     plot.Ticker
		low, high float64
		want      string
	}{
		{roundTicks{max: 6}, 4.9, 10.3, "5 6 7 8 9 10"},
		{roundTicks{max: 6}, 0, 1, "0.0 0.2 0.4 0.6 0.8 1.0"},
		{roundTicks{max: 4}, -0.0012, 0.0169, "0.000 0.005 0.010 0.015"},
		{roundTicks{max: 4}, -0.01, 0.01, "-0.01 0.00 0.01"},
		{roundTicks{max: 6}, 88.91, 90.34, "89.0 89.5 90.0"},
		{roundTicks{max: 6}, 0, 2e9, "0 500000000 1000000000 1500000000 2000000000"},
		{roundTicks{max: 10, integer: true}, -0.5, 17.5, "0 2 4 6 8 10 12 14 16"},
		{roundTicks{max: 10, integer: true}, -0.5, 1.5, "0 1"},
		{unlabelled{roundTicks{max: 3}}, 0, 2, "  "},
		{logTicks{max: 6}, 4.5e11, 2.7e12, "500 G 1 T 2 T"},
		{logTicks{max: 6}, 2.1, 12.6, "5 10"},
		{logTicks{max: 6}, 900, 2e6, "1 k 10 k 100 k 1 M"},
		{logTicks{max: 3}, 900, 2e9, "10 k 1 M 100 M"},
	} {
		var labels []string
		for _, tick := range c.ticks.Ticks(c.low, c.high) {
			labels = append(labels, tick.Label)
		}
		if got := strings.Join(labels, " "); got != c.want {
			t.Errorf("%+v from %g to %g: ticks %q, want %q", c.ticks, c.low, c.high, got, c.want)
		}
	}
}

func TestByStage(t *testing.T) {
	for name, c := range map[string]struct {
		layers        []int // of each stage
		rows, columns int
	}{
		"ResNet-20":        {[]int{6, 6, 6}, 3, 6},
		"ResNet-56":        {[]int{18, 18, 18}, 6, 9},
		"ResNet-18":        {[]int{4, 4, 4, 4}, 4, 4},
		"stages of a kind": {[]int{9, 12, 18, 9}, 6, 9},
		"two layers":       {[]int{2}, 1, 2},
	} {
		var panels []*plot.Plot
		var stages []string
		for stage, n := range c.layers {
			for range n {
				panels, stages = append(panels, plot.New()), append(stages, stageOf(fmt.Sprintf("stage%d.conv", stage)))
			}
		}
		grid, columns := byStage(panels, stages)
		if columns != c.columns || len(grid) != c.rows*c.columns {
			t.Errorf("%s: %d panels in %d columns, want %d rows of %d", name, len(grid), columns, c.rows, c.columns)
		}
		var shown []*plot.Plot
		for i, p := range grid {
			if p != nil {
				shown = append(shown, p)
				if at := len(shown) - 1; at > 0 && stages[at] != stages[at-1] && i%columns != 0 {
					t.Errorf("%s: layer %d starts a stage in column %d", name, at, i%columns)
				}
			}
		}
		if !slices.Equal(panels, shown) {
			t.Errorf("%s: panels are missing or in another order", name)
		}
	}
	if stageOf("conv1") != stageOf("conv2") {
		t.Error("layers without a stage are not in the same one")
	}
}
