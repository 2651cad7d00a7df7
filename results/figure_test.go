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
	rows := readCSV(t, filepath.Join(writeAll(t, records, Options{}), "accuracy-vs-flops.csv"))
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
	if rows[0]["top1_percent_std"] != "" {
		t.Errorf("standard deviation of one seed is %q, want none", rows[0]["top1_percent_std"])
	}
}

func TestWidthsFigureData(t *testing.T) {
	a, b := cell(t, "adjust", "0.5", 1), cell(t, "adjust", "0.5", 2)
	a.Result.Final.Channels[2], b.Result.Final.Channels[2] = 6, 10
	rows := readCSV(t, filepath.Join(writeAll(t, []*Record{a, b}, Options{}), "widths-adjust-0.5.csv"))
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

func TestFURFigureData(t *testing.T) {
	a, b := cell(t, "adjust", "0.5", 1), cell(t, "adjust", "0.5", 2)
	a.Result.Updates[1].FUR[2], b.Result.Updates[1].FUR[2] = 0.25, -0.75
	records := []*Record{a, b, cell(t, "adjust", "1.0", 1)}
	rows := readCSV(t, filepath.Join(writeAll(t, records, Options{}), "fur-adjust-0.5.csv"))
	want := map[string]string{"update": "1", "layer": "2", "layer_name": "stage1.block1.conv1", "n": "2",
		"fur": "-0.25", "fur_std": exact(math.Sqrt(0.5)), "cells": "adjust-0.5-1 adjust-0.5-2"}
	if diff := cmp.Diff(want, rows[18+2]); diff != "" {
		t.Errorf("third layer of the second update:\n%s", diff)
	}
	if len(rows) != 3*18 {
		t.Errorf("%d rows, want one for each update and layer", len(rows))
	}
}

// Cells whose layers have other names cannot be averaged layer by layer.
func TestNoLayerFiguresForDifferentLayers(t *testing.T) {
	a, b := cell(t, "adjust", "0.5", 1), deepened(cell(t, "adjust", "0.5", 2), 2, 3)
	for name := range readFolder(t, writeAll(t, []*Record{a, b}, Options{})) {
		if strings.HasPrefix(name, "widths-") || strings.HasPrefix(name, "fur-") {
			t.Errorf("%s was drawn", name)
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

func TestRoundTicks(t *testing.T) {
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
