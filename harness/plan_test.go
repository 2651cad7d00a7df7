package harness

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/experiments"
	"netadjust/results"
)

// A plan is what a run then costs: exactly where widths are known before, nearly where they are searched, for widths
// come within 1 % below the budget.
func TestPlanIsWhatARunCosts(t *testing.T) {
	p, err := MakePlan(parse(t, settings+matrix(all, "1, 2")))
	if err != nil {
		t.Fatal(err)
	}
	records := readRecords(t, referenceDir(t))
	var flops, images int64
	for _, c := range p.Cells {
		r := records[c.ID].Result
		flops += r.SearchCost.FLOPs + r.Final.Cost.FLOPs
		images += r.SearchCost.BackwardImages + r.Final.Cost.BackwardImages
		if c.BudgetFLOPs != r.BudgetFLOPs || c.Problem != "" {
			t.Errorf("%+v", c)
		}
		for _, part := range []struct {
			name          string
			planned, cost results.Cost
			exact         bool
		}{
			{"search", c.Search, r.SearchCost, r.Method != "adjust"},
			{"final", c.Final, r.Final.Cost, r.Method == "uniform"},
		} {
			if part.planned.ForwardImages != part.cost.ForwardImages || part.planned.BackwardImages != part.cost.BackwardImages {
				t.Errorf("%s %s: planned %+v, cost %+v", c.ID, part.name, part.planned, part.cost)
			}
			planned, cost := float64(part.planned.FLOPs), float64(part.cost.FLOPs)
			if planned < cost || cost < 0.99*planned || part.exact && planned != cost {
				t.Errorf("%s %s: planned %v FLOPs, cost %v", c.ID, part.name, planned, cost)
			}
		}
	}
	if len(p.Cells) != 6 || p.TrainingImages != images || math.Abs(p.GFLOPs*1e9/float64(flops)-1) > 0.01 {
		t.Errorf("plan of %d cells: %v GFLOPs, %d training images; cost %v, %d",
			len(p.Cells), p.GFLOPs, p.TrainingImages, float64(flops)/1e9, images)
	}
}

// The start network of a pruner can be out of reach although the budget is not.
func TestPlanNamesCellsThatWillFail(t *testing.T) {
	e := parse(t, settings+matrix(`"uniform", "l1"`, "1")+"[[matrix.set]]\nvalues = {prune = {start_flops = 16.0}}\n")
	p, err := MakePlan(e)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Cells[0].Problem; got != "" {
		t.Errorf("%s: problem %q", p.Cells[0].ID, got)
	}
	want := "start network of 16 times the budget: budget of 37035008 FLOPs is too large: four times the widths need only"
	if got := p.Cells[1].Problem; !strings.HasPrefix(got, want) {
		t.Errorf("%s: problem %q, want %q", p.Cells[1].ID, got, want)
	}
	out := t.TempDir()
	s, _ := mustRun(t, e, out)
	if diff := cmp.Diff(Summary{Done: 1, Failed: []string{p.Cells[1].ID}}, s); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if f := readRecords(t, out)[p.Cells[1].ID].Result.Failure; f == nil || !strings.Contains(f.Reason, want) {
		t.Errorf("failure %+v, want %q", f, want)
	}
}

func TestEstimate(t *testing.T) {
	reference := matrix(`"adjust"`, "1") + "variant = \"reference\"\nset = [{ values.search.reference = true }]\n"
	e := parse(t, settings+matrix(all, "1")+reference)
	p, err := MakePlan(e)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := Estimate(t.Context(), e, p, 1, openCPU); err != nil || d <= 0 {
		t.Errorf("%v, %v", d, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Estimate(ctx, e, p, 1, openCPU); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func load(t *testing.T, name string) *experiments.Experiment {
	t.Helper()
	catalog := Catalog(dataDir)
	catalog.Datasets = append(catalog.Datasets, experiments.Dataset{ // which one has to pack oneself
		Name: "imagenet", Train: 1281167, Test: 50000, Input: [3]int{3, 224, 224}, Classes: 1000,
	})
	e, err := experiments.Load(filepath.Join("..", "experiments", name), catalog)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestShippedExperiments(t *testing.T) {
	files, err := filepath.Glob("../experiments/*.toml")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		e := load(t, filepath.Base(file))
		p, err := MakePlan(e)
		if err != nil {
			t.Fatal(err)
		}
		if e.Name+".toml" != filepath.Base(file) {
			t.Errorf("%s has the name %q", file, e.Name)
		}
		for _, c := range p.Cells {
			if c.Problem != "" {
				t.Errorf("%s: %s will fail: %s", file, c.ID, c.Problem)
			}
		}
		// The smoke experiment is part of every test run, and must not grow.
		if e.Name == "smoke" && p.GFLOPs > 350 {
			t.Errorf("%s computes %v GFLOPs, more than 350", file, p.GFLOPs)
		}
	}
}

// deep.toml is compared with cifar10.toml at budget 1: the recipe has to be the same but for the number of layers moved,
// in the same share of them, and final trainings as long as the comparison needs.
func TestDeepIsCIFAR10(t *testing.T) {
	shallow, deep := load(t, "cifar10.toml"), load(t, "deep.toml")
	recipes := map[string]string{}
	key := func(c *experiments.Cell) string { return fmt.Sprint(c.Dataset, c.Width, c.Method, c.Budget, c.Seed) }
	text := func(c experiments.Cell, layers int) string {
		if images := c.Train.Epochs * (c.Data.Train + c.Data.Validation); images < 500000 {
			t.Errorf("%s: %d images in a final training", c.ID(), images)
		}
		if c.Search != nil {
			s := *c.Search
			s.LayersPerUpdate = s.LayersPerUpdate * 54 / layers
			c.Search = &s
		}
		c.Network = ""
		return string(c.Canonical())
	}
	for _, c := range shallow.Cells {
		recipes[key(&c)] = text(c, 18)
	}
	for _, c := range deep.Cells {
		if diff := cmp.Diff(recipes[key(&c)], text(c, 54)); diff != "" {
			t.Errorf("%s (-cifar10 +deep):\n%s", c.ID(), diff)
		}
	}
}

// Where Fashion-MNIST cannot be had, the same comparison runs on MNIST, whose digits are not mirrored.
func TestQuickOnMNISTIsQuick(t *testing.T) {
	quick, mnist := load(t, "quick.toml"), load(t, "quick-mnist.toml")
	for i := range quick.Cells {
		c := &quick.Cells[i]
		c.Dataset, c.Train.Augment = "mnist", "pad-crop"
	}
	text := func(e *experiments.Experiment) (cells []string) {
		for _, c := range e.Cells {
			cells = append(cells, string(c.Canonical()))
		}
		return cells
	}
	if diff := cmp.Diff(text(quick), text(mnist)); diff != "" {
		t.Errorf("(-quick +quick-mnist):\n%s", diff)
	}
}
