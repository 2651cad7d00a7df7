package harness

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/adjustment"
	"netadjust/experiments"
	"netadjust/internal/search"
	"netadjust/networks"
	"netadjust/results"
)

// wide finds widths that no budget allows.
type wide struct{ search.Method }

func (wide) Search(_ context.Context, _ search.Lab, p search.Problem) (*search.Outcome, error) {
	channels := p.Network.Start()
	for i := range channels {
		channels[i] *= 2
	}
	return &search.Outcome{Channels: channels}, nil
}

// A network is not trained if its search has left the budget.
func TestSearchThatLeavesTheBudget(t *testing.T) {
	o, _ := options(parse(t, settings+matrix(`"adjust"`, "1")), t.TempDir())
	w := workerOf(t, o)
	c := w.cells[0]
	c.method = wide{c.method}
	var result results.Result
	err := w.searchAndTrain(t.Context(), c, &images{}, &result)
	if err == nil || !strings.HasPrefix(err.Error(), "adjust ended at ") ||
		!strings.HasSuffix(err.Error(), "is not within 1 % below the budget of 2314688") {
		t.Errorf("error %v", err)
	}
	if result.Final != nil {
		t.Errorf("result %+v", result.Final)
	}
}

// Widths are rounded when a method has ended: they are multiples, the FLOPs may be far below the budget but not over it,
// and the weights that are kept have the widths of the record.
func TestRoundTo(t *testing.T) {
	e := parse(t, settings+"[width]\nround_to = 8\n"+matrix(`"uniform", "random", "l1"`, "1"))
	out := t.TempDir()
	mustRun(t, e, out)
	for id, record := range readRecords(t, out) {
		r := record.Result
		if r.Failure != nil {
			t.Fatalf("%s failed: %s", id, r.Failure.Reason)
		}
		for _, c := range r.Final.Channels {
			if c%8 != 0 {
				t.Errorf("%s: widths %v", id, r.Final.Channels)
				break
			}
		}
		if f := float64(r.Final.FLOPs) / float64(r.BudgetFLOPs); f > 1 || f < 0.8 {
			t.Errorf("%s has %v of the budget's FLOPs", id, f)
		}
		if !strings.Contains(string(r.Config), `"round_to": 8`) {
			t.Errorf("%s: configuration %s", id, r.Config)
		}
		if _, err := OpenTrained(filepath.Join(out, results.CellsFolder, id)); err != nil {
			t.Error(err)
		}
	}
}

// A whole search by the reference's rules ends within the budget, measures on images that are drawn anew each time, and
// costs what was planned: whole passes.
func TestReferenceSearchRuns(t *testing.T) {
	e := parse(t, strings.Replace(settings, "[search]", "[search]\nreference = true", 1)+matrix(`"adjust"`, "1"))
	out := t.TempDir()
	mustRun(t, e, out)
	r := readRecords(t, out)[e.Cells[0].ID()].Result
	if len(r.Updates) != 2 {
		t.Fatalf("%d updates", len(r.Updates))
	}
	if r.Failure != nil {
		t.Fatalf("failure: %s", r.Failure.Reason)
	}
	if !search.WithinBudget(r.Final.FLOPs, r.BudgetFLOPs) {
		t.Errorf("%d FLOPs for a budget of %d", r.Final.FLOPs, r.BudgetFLOPs)
	}
	plan, err := MakePlan(e)
	if err != nil {
		t.Fatal(err)
	}
	p := plan.Cells[0].Search
	if c := r.SearchCost; c.ForwardImages != p.ForwardImages || math.Abs(float64(c.FLOPs)/float64(p.FLOPs)-1) > 0.02 {
		t.Errorf("planned %+v, cost %+v", p, c)
	}
	n, err := networks.New(networks.Spec{Name: "resnet8", Width: 0.5, Input: [3]int{1, 28, 28}, Classes: 10})
	if err != nil {
		t.Fatal(err)
	}
	want := n.FLOPsPerChannel(n.Start(), networks.TieFirst) // where the default mode splits
	if diff := cmp.Diff(want, r.Updates[0].FLOPsPerChannel); diff != "" {
		t.Errorf("FLOPs per channel (-want +got):\n%s", diff)
	}

	// The first network is the same whatever is measured on it; its ratios are not.
	split := parse(t, strings.Replace(settings, "[search]", `[search]
reference = ["ties"]`, 1)+matrix(`"adjust"`, "1"))
	mustRun(t, split, out)
	u := readRecords(t, out)[split.Cells[0].ID()].Result.Updates[0]
	if !slices.Equal(u.FLOPsPerChannel, want) || math.Abs(u.ValidationLoss-r.Updates[0].ValidationLoss) > 1e-5 {
		t.Errorf("by the rule of ties alone: %+v, by all rules: %+v", u, r.Updates[0])
	}
	if slices.Equal(u.FUR, r.Updates[0].FUR) {
		t.Errorf("ratios on images drawn anew are those on the images as they are: %v", u.FUR)
	}
}

func TestRuleNames(t *testing.T) {
	if diff := cmp.Diff(adjustment.ReferenceRules(), experiments.RuleNames); diff != "" {
		t.Errorf("(-of the rules +in experiments):\n%s", diff)
	}
}
