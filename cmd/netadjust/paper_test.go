package main

import (
	"math"
	"path/filepath"
	"testing"

	"netadjust/experiments"
	"netadjust/harness"
	"netadjust/results/published"
)

// The costs beside rows that were not run are those of the experiment that would run them.
func TestCostsOfThePaper(t *testing.T) {
	e, err := experiments.Load(filepath.Join("..", "..", "experiments", "paper-cifar100.toml"), harness.Catalog(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	p, err := harness.MakePlan(e)
	if err != nil {
		t.Fatal(err)
	}
	planned := make(map[string]float64)
	for _, c := range p.Cells {
		planned[c.ID] = float64(c.Search.FLOPs+c.Final.FLOPs) / 1e15
	}
	found := 0
	for _, row := range published.Rows() {
		for _, c := range e.Cells {
			if row.Table != c.Dataset || row.Network != c.Network || row.Width != c.Width || row.Method != c.Method || c.Seed != 1 {
				continue
			}
			found++
			if want := planned[c.ID()]; math.Abs(row.PFLOPs-want) > 0.005*want {
				t.Errorf("%s, %s: %g PFLOPs, planned are %g", row.Name, row.Row, row.PFLOPs, want)
			}
		}
	}
	if found != 18 {
		t.Errorf("%d rows have a cell, want 18", found)
	}
}

func TestPaper(t *testing.T) {
	recorded := filepath.Join("..", "..", "results", "recorded", "quick")
	call(t.Context(), "paper", recorded).check(t, 0, "| ResNet-20 | original | 69.52 | – |", "")
	call(t.Context(), "paper", "--format", "latex").check(t, 0, `\toprule`, "")
	call(t.Context(), "paper", "--format", "csv").check(t, 0, "Table,Network,Row,", "")
	call(t.Context(), "paper", "--format", "pdf").check(t, exitUsage, "", `--format "pdf": want markdown, csv or latex`)
	call(t.Context(), "paper", "nowhere").check(t, exitUsage, "", "want an output folder of netadjust run")
}
