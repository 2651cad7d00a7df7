package harness

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/progress"
)

// TestBaselines runs every method that searches for widths and is not network adjustment, and all that leave weights
// twice: each ends within the budget and costs what was planned; the pruners that share a start network train it once.
func TestBaselines(t *testing.T) {
	var scratch, finetune []string
	for _, m := range Methods() {
		if !strings.HasPrefix(m.Name, "adjust") && m.Name != "fur_truth" {
			scratch = append(scratch, fmt.Sprintf("%q", m.Name))
		}
		if m.Inherits {
			finetune = append(finetune, fmt.Sprintf("%q", m.Name))
		}
	}
	text := settings + `gradient_batches = 2
candidates       = 3
norm_batches     = 1
rounds           = 3
slimmable_steps  = 4
[width]
channels = [5, 9, 12, 20, 30, 28]
`
	e := parse(t, text+matrix(strings.Join(scratch, ", "), "1")+matrix(strings.Join(finetune, ", "), "1")+"final = \"finetune\"\n")
	out := t.TempDir()
	_, events := mustRun(t, e, out)
	plan, err := MakePlan(e)
	if err != nil {
		t.Fatal(err)
	}
	records := readRecords(t, out)
	for _, c := range e.Cells {
		r := records[c.ID()].Result
		if r.Failure != nil {
			t.Errorf("%s failed: %s", r.ID, r.Failure.Reason)
			continue
		}
		run := records[c.ID()].Run
		if run.SearchDeviceSeconds > 0 && r.SearchCost.ForwardImages == 0 ||
			run.SearchDeviceSeconds == 0 && c.Method == "morphnet" || // whose trainings no other cell shares
			run.SearchDeviceSeconds > run.DeviceSeconds || run.SearchWallSeconds > run.WallSeconds {
			t.Errorf("%s: seconds %+v", r.ID, run)
		}
		p := plan.Cells[slices.IndexFunc(plan.Cells, func(p PlannedCell) bool { return p.ID == r.ID })].Search
		if p.BackwardImages != r.SearchCost.BackwardImages || p.ForwardImages != r.SearchCost.ForwardImages {
			t.Errorf("%s: planned %+v, cost %+v", r.ID, p, r.SearchCost)
		}
		least := int64(98) // percent: budgets are not used to the last
		if c.Method == "autoslim" {
			least = 90 // nobody knows which networks it will try
		}
		if r.SearchCost.FLOPs > p.FLOPs || 100*r.SearchCost.FLOPs < least*p.FLOPs {
			t.Errorf("%s: planned %d FLOPs, cost %d", r.ID, p.FLOPs, r.SearchCost.FLOPs)
		}
		if want := map[bool]string{true: "finetune"}[c.Finetune != nil]; r.Variant != want {
			t.Errorf("%s: variant %q, want %q", r.ID, r.Variant, want)
		}
		epochs := len(r.Final.Epochs)
		if rate := r.Final.Epochs[0].LearningRate; epochs != 1 || (rate < 0.01) != (c.Finetune != nil) {
			t.Errorf("%s: %d epochs from learning rate %v", r.ID, epochs, rate)
		}
	}
	// Start networks: one of l1, l1_per_flop, taylor, taylor_per_flop and random_ratio for both finals; one each of
	// slimming for both, of fpgm and sfp for each, and of morphnet and autoslim.
	if n := events.count(progress.Epoch, "start: epoch"); n != 1+1+4+1+1 {
		t.Errorf("%d epochs of start networks", n)
	}
	// The same again, by two jobs, gives the same numbers.
	again := t.TempDir()
	o, _ := options(e, again)
	o.Jobs = 2
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(hashes(t, out), hashes(t, again)); diff != "" {
		t.Errorf("run again by two jobs (-first +second):\n%s", diff)
	}
}
