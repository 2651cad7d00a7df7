package harness

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/results"
)

// TestControls runs the controls and ablations of network adjustment side by side, and the measurement of what ratios
// are worth: each is a series of its own, costs what was planned, and shares the trainings that it can.
func TestControls(t *testing.T) {
	out := t.TempDir()
	text := settings + matrix(`"adjust", "adjust_random_fur", "adjust_no_flops_norm", "adjust_one_shot", "fur_truth"`, "1") +
		matrix(`"adjust"`, "1") + `
variant = ["accuracy", "training images", "early end"]
set = [
	{ where.variant = "accuracy",        values.search.fur        = "accuracy" },
	{ where.variant = "training images", values.search.fur_images = "training" },
	{ where.variant = "early end",       values.search.early_end  = true       },
]
`
	e := parse(t, text)
	mustRun(t, e, out)
	plan, err := MakePlan(e)
	if err != nil {
		t.Fatal(err)
	}
	records := readRecords(t, out)
	bySeries := map[string]results.Result{}
	for _, c := range e.Cells {
		r := records[c.ID()].Result
		if r.Failure != nil {
			t.Fatalf("%s failed: %s", r.ID, r.Failure.Reason)
		}
		bySeries[strings.TrimSpace(r.Method+" "+r.Variant)] = r
		p := plan.Cells[slices.IndexFunc(plan.Cells, func(p PlannedCell) bool { return p.ID == r.ID })]
		if r.Stopped == "" && p.Search.BackwardImages != r.SearchCost.BackwardImages ||
			r.Stopped == "" && p.Search.ForwardImages != r.SearchCost.ForwardImages {
			t.Errorf("%s: planned %+v, cost %+v", r.ID, p.Search, r.SearchCost)
		}
	}
	method := bySeries["adjust"]
	for series, r := range bySeries {
		if r.Truth != nil {
			continue
		}
		u := r.Updates[0]
		first := method.Updates[0]
		// Networks that can drop channels round otherwise than those that cannot.
		if !slices.Equal(u.Channels, first.Channels) || math.Abs(u.ValidationLoss-first.ValidationLoss) > 1e-5 {
			t.Errorf("%s: the first network is another one than that of adjust", series)
		}
		same := slices.Equal(u.FUR, first.FUR)
		if want := series == "adjust" || series == "adjust_one_shot" || series == "adjust early end"; same != want {
			t.Errorf("%s: the ratios are those of adjust: %t", series, same)
		}
		if u.FURImageStdErr == nil != (series == "adjust_random_fur") {
			t.Errorf("%s: standard errors %v", series, u.FURImageStdErr)
		}
	}
	truth := bySeries["fur_truth"]
	checkTruth(t, truth)
	// Trainings that are asked for again are found: 16 images in each of 1 + 2 * 6 trainings, once.
	if err := os.RemoveAll(filepath.Join(out, results.CellsFolder, truth.ID)); err != nil {
		t.Fatal(err)
	}
	_, events := mustRun(t, e, out)
	for _, event := range events.events {
		if strings.Contains(event.Message, "seed 1, truth: epoch") {
			t.Errorf("trained again: %s", event.Message)
		}
	}
	if diff := cmp.Diff(records[truth.ID].Hash, readRecords(t, out)[truth.ID].Hash); diff != "" {
		t.Errorf("the same cell again (-first +second):\n%s", diff)
	}
	files, err := Report(t.Context(), out, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"truth.csv", "truth-fur_truth-1.png"} {
		if !slices.Contains(files, filepath.Join(out, name)) {
			t.Errorf("no %s among %v", name, files)
		}
	}
}

// checkTruth checks that a record holds a network of half and one and a half times the width for each layer.
func checkTruth(t *testing.T, r results.Result) {
	t.Helper()
	if r.Truth == nil || len(r.Updates) != 0 || !slices.Equal(r.Final.Channels, r.Truth.Channels) {
		t.Fatalf("truth %+v, %d updates, final %+v", r.Truth, len(r.Updates), r.Final)
	}
	losses := map[float64]bool{r.Truth.ValidationLoss: true}
	for i, c := range r.Truth.Channels {
		narrow, wide := r.Truth.Narrower[i], r.Truth.Wider[i]
		if narrow.Channels != c/2 || wide.Channels != c*3/2 || narrow.FLOPs >= r.Truth.FLOPs || wide.FLOPs <= r.Truth.FLOPs {
			t.Errorf("layer %d of width %d and %d FLOPs: %+v, %+v", i, c, r.Truth.FLOPs, narrow, wide)
		}
		losses[narrow.ValidationLoss], losses[wide.ValidationLoss] = true, true
	}
	if len(losses) != 13 {
		t.Errorf("%d different losses of 13 networks", len(losses))
	}
}

// TestInitFromCell checks that a search can start from the widths that a cell of another run has ended with.
func TestInitFromCell(t *testing.T) {
	from := readRecords(t, referenceDir(t))
	var id string
	for i, r := range from {
		if r.Result.Method == "adjust" && r.Result.Seed == 2 {
			id = i
		}
	}
	folder := filepath.Join(referenceDir(t), results.CellsFolder, id)
	text := settings + matrix(`"adjust"`, "1") + "set = [{ values.search.init = %q }]"
	for _, path := range []string{folder, filepath.Join(folder, results.RecordFile)} {
		e := parse(t, fmt.Sprintf(text, path))
		if diff := cmp.Diff(from[id].Result.Final.Channels, e.Cells[0].Search.Init); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	if _, err := results.Widths(t.TempDir()); err == nil {
		t.Error("an empty folder has widths")
	}
}
