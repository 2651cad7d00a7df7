package harness

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"netadjust/experiments"
	"netadjust/internal/device"
	"netadjust/internal/lease"
	"netadjust/internal/progress"
	"netadjust/internal/search"
	"netadjust/results"
)

func TestRunCompletesEveryCell(t *testing.T) {
	out := referenceDir(t)
	records := readRecords(t, out)
	methods := map[string]int{}
	for id, r := range records {
		x := r.Result
		methods[x.Method]++
		if x.Final == nil {
			t.Errorf("%s failed: %+v", id, x.Failure)
			continue
		}
		if f := x.Final.FLOPs; !search.WithinBudget(f, x.BudgetFLOPs) || x.BudgetFLOPs != 2314688 {
			t.Errorf("%s: %d FLOPs for a budget of %d", id, f, x.BudgetFLOPs)
		}
		if len(x.Final.Channels) != 6 || len(x.Layers) != 6 || len(x.Final.Epochs) != 1 || x.Final.TestLoss <= 0 ||
			x.Final.Cost.BackwardImages != 24 || x.Final.Cost.ForwardImages != 24+8 || x.Start == nil ||
			x.Version != "test" || len(x.DatasetChecksum) != 64 || r.Run.DeviceSeconds <= 0 {
			t.Errorf("%s: incomplete record: %+v, final %+v, run %+v", id, x, x.Final, r.Run)
		}
		if _, err := os.Stat(filepath.Join(out, results.CellsFolder, id, "weights.safetensors")); err != nil {
			t.Error(err)
		}
		trainings := map[string]int64{"uniform": 0, "l1": 1, "adjust": 2}[x.Method]
		if x.SearchCost.BackwardImages != 16*trainings {
			t.Errorf("%s: the search trained on %d images, want %d trainings of 16", id, x.SearchCost.BackwardImages, trainings)
		}
		switch x.Method {
		case "l1":
			if f := x.Start.FLOPs; !search.WithinBudget(f, 2*x.BudgetFLOPs) || x.Start.ValidationTop1 == nil {
				t.Errorf("%s started from %+v", id, x.Start)
			}
		case "adjust":
			if len(x.Updates) != 2 || !slices.Equal(x.Updates[0].Channels, x.Start.Channels) ||
				!slices.Equal(x.Updates[0].Next, x.Updates[1].Channels) || !slices.Equal(x.Updates[1].Next, x.Final.Channels) {
				t.Errorf("%s: the updates do not lead from start to final: %+v", id, x.Updates)
			}
		}
	}
	if diff := cmp.Diff(map[string]int{"uniform": 2, "l1": 2, "adjust": 2}, methods); diff != "" {
		t.Errorf("cells by method (-want +got):\n%s", diff)
	}
}

// TestCostOfUpdates checks what updates record as the cost of the search up to them: a training on 16 images, and the 8
// held-out ones once clean and once for each of 6 layers; and that the log tells how much of the search that is.
func TestCostOfUpdates(t *testing.T) {
	e := parse(t, settings+matrix(`"adjust"`, "1"))
	out := t.TempDir()
	_, events := mustRun(t, e, out)
	r := readRecords(t, out)[e.Cells[0].ID()].Result
	for k, u := range r.Updates {
		n := int64(k + 1)
		if u.Cost.BackwardImages != n*16 || u.Cost.ForwardImages != n*(16+8*(1+6)) {
			t.Errorf("update %d: cost %+v", n, u.Cost)
		}
	}
	first, last := r.Updates[0].Cost, r.Updates[1].Cost
	if last != r.SearchCost || first.FLOPs <= 0 || first.FLOPs >= last.FLOPs {
		t.Errorf("costs %+v and %+v of a search of %+v", first, last, r.SearchCost)
	}
	if events.count(progress.Note, "update 1 of 2: ") != 1 || events.count(progress.Note, ", 50 % of the search") != 1 {
		t.Errorf("no line on the first update: %+v", events.events)
	}
	// Plans take widths that are not known yet to use all of the budget.
	end := events.count(progress.Note, ", 99 % of the search") + events.count(progress.Note, ", 100 % of the search")
	if end != 1 {
		t.Errorf("%d lines at the end of the search, want 1", end)
	}
}

// TestRecipesOfSearchAndFinal checks that warm-up and dropout reach trainings, that [search.train] is for those of
// searches alone, and that the result is the same for any number of jobs.
func TestRecipesOfSearchAndFinal(t *testing.T) {
	both := strings.NewReplacer(
		"[train]\nepochs        = 1", "[train]\nepochs = 2\ndrop_rate = 0.3\nwarmup_epochs = 1\nwarmup_learning_rate = 0.01",
		"[search]\nepochs            = 1", "[search]\nepochs = 2", "[prune]\nepochs = 1\n", "").Replace(settings)
	run := func(text string, jobs int) map[string]results.Result {
		out := t.TempDir()
		o, _ := options(parse(t, text+matrix(`"uniform", "adjust"`, "1")), out)
		o.Jobs = jobs
		if s, err := Run(t.Context(), o); err != nil || s.Done != 2 {
			t.Fatal(s, err)
		}
		byMethod := map[string]results.Result{}
		for _, r := range readRecords(t, out) {
			byMethod[r.Result.Method] = r.Result
		}
		return byMethod
	}
	one, two := run(both, 1), run(both, 2)
	if diff := cmp.Diff(one, two); diff != "" {
		t.Errorf("results (-1 job +2 jobs):\n%s", diff)
	}
	if rate := one["uniform"].Final.Epochs[0].LearningRate; rate != 0.01 {
		t.Errorf("the first epoch has learning rate %v, want that of the warm-up", rate)
	}
	other := run(both+"[search.train]\ndrop_rate = 0.0\n", 1)
	if diff := cmp.Diff(one["uniform"], other["uniform"]); diff != "" {
		t.Errorf("the recipe of searches changes what does not search:\n%s", diff)
	}
	if a, b := one["adjust"].Updates[0], other["adjust"].Updates[0]; a.ValidationLoss == b.ValidationLoss {
		t.Error("the recipe of searches does not reach their trainings")
	}
}

func TestSecondRunOnlyRedraws(t *testing.T) {
	out := t.TempDir()
	copyTree(t, referenceDir(t), out, func(string) bool { return false })
	files, err := Report(t.Context(), out, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"report.md", "frame.csv", "layers.csv", "accuracy-vs-flops.png"} {
		if !slices.Contains(files, filepath.Join(out, name)) {
			t.Errorf("no %s among %v", name, files)
		}
	}
	before := snapshot(t, out)
	if lines := strings.Count(before[filepath.Join(out, "frame.csv")], "\n"); lines != 1+6 {
		t.Errorf("frame.csv has %d lines, want a header and 6 cells", lines)
	}
	s, events := mustRun(t, parse(t, settings+matrix(all, "1, 2")), out)
	if diff := cmp.Diff(Summary{Before: 6}, s); diff != "" || len(events.events) > 0 {
		t.Errorf("summary (-want +got):\n%s\n%d events", diff, len(events.events))
	}
	if _, err := Report(t.Context(), out, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, snapshot(t, out)); diff != "" {
		t.Errorf("files (-first +second):\n%s", diff)
	}
}

func TestJobsChangeNoResult(t *testing.T) {
	out := t.TempDir()
	o, events := options(parse(t, settings+matrix(all, "1, 2")), out)
	o.Jobs = 2
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(hashes(t, referenceDir(t)), hashes(t, out)); diff != "" {
		t.Errorf("hashes of results (-1 job +2 jobs):\n%s", diff)
	}
	last := events.events[len(events.events)-1]
	if last.Kind != progress.Finished || last.Done != 6 || last.Total != 6 || last.Share < 0.99 || last.Share > 1 {
		t.Errorf("the last event is %+v", last)
	}
	for i, e := range events.events {
		if e.Share < 0 || e.Share > 1 {
			t.Errorf("event %d: share %v", i, e.Share)
		}
	}
	if n := events.count(progress.Finished, "test top-1"); n != 6 {
		t.Errorf("%d cells are shown as finished, want 6", n)
	}
}

// limited is a device that calls stop when it has run programs as often as left says, and is to run one more.
type limited struct {
	device.Device
	left *atomic.Int64
	stop func()
}

func (l limited) Compile(p *device.Program) (device.Executable, error) {
	e, err := l.Device.Compile(p)
	return limitedExecutable{e, l}, err
}

type limitedExecutable struct {
	device.Executable
	device limited
}

func (e limitedExecutable) Run(inputs []any) error {
	e.device.count()
	return e.Executable.Run(inputs)
}

func (e limitedExecutable) RunDropped(inputs []any, repeats int) error {
	e.device.count()
	return e.Executable.RunDropped(inputs, repeats)
}

func (l limited) count() {
	if l.left.Add(-1) == -1 {
		l.stop()
	}
}

// The same run is interrupted in every third program, a step of a training or an evaluation of one batch, until it is
// done. What has been run is not run again: neither epochs of a search, nor steps, nor evaluations.
func TestInterruptedRunGoesOn(t *testing.T) {
	out := t.TempDir()
	e := parse(t, settings+matrix(`"l1", "adjust"`, "1"))
	// An l1 cell runs 2 steps of training, 1 validation, 3 steps of the final training and 1 test; an adjust cell twice 2
	// steps and 1 measurement, then 3 and 1. A life that is interrupted runs the program that it is at to its end.
	const programs = 2 + 1 + 3 + 1 + 2*(2+1) + 3 + 1
	epochs, lives := interrupted(t, e, out, 3)
	if most := programs/3 + 1; lives > most {
		t.Errorf("the run took %d lives of three programs each, want at most %d", lives, most)
	}
	if epochs != 3 {
		t.Errorf("searches finished %d epochs in all lives, want the 3 of a run without interruption", epochs)
	}
	want := hashes(t, referenceDir(t))
	for id, hash := range hashes(t, out) {
		if want[id] != hash {
			t.Errorf("%s: hash %s, without interruption %s", id, hash, want[id])
		}
	}
	checkTidy(t, out)
}

// Searches that look at their networks for long are interrupted again and again, too. No batch and no candidate is looked
// at twice.
func TestInterruptedLooksGoOn(t *testing.T) {
	looking := strings.NewReplacer("validation = 8", "validation = 140", "test       = 8", "test       = 140").
		Replace(settings) + "gradient_batches = 5\ncandidates = 3\nnorm_batches = 4\nslimmable_steps = 2\nslimmable_random = 1\nrounds = 5\n"
	e := parse(t, looking+matrix(`"taylor", "random_ratio", "autoslim", "synflow", "adjust"`, "1"))
	whole, out := t.TempDir(), t.TempDir()
	o, _ := options(e, whole)
	var left atomic.Int64
	o.Device = func(threads int) (device.Device, error) {
		dev, err := openCPU(threads)
		return limited{dev, &left, func() {}}, err
	}
	if s, err := Run(t.Context(), o); err != nil || s.Done != 5 {
		t.Fatal(s, err)
	}
	programs := int(-left.Load())
	// The last steps of a final training have no checkpoint, since the test set follows.
	const each = 7
	most := programs/each + 1 + len(e.Cells)
	if _, lives := interrupted(t, e, out, each); lives > most {
		t.Errorf("the run of %d programs took %d lives of %d each, want at most %d", programs, lives, each, most)
	}
	if diff := cmp.Diff(hashes(t, whole), hashes(t, out)); diff != "" {
		t.Errorf("(-uninterrupted +interrupted):\n%s", diff)
	}
	checkTidy(t, out)
}

// interrupted runs an experiment until it is done, in lives of so many programs each, and returns how many epochs its
// searches have finished and how many lives that took.
func interrupted(t *testing.T, e *experiments.Experiment, out string, programs int64) (epochs, lives int) {
	t.Helper()
	for done := false; !done; lives++ {
		ctx, cancel := context.WithCancel(t.Context())
		o, events := options(e, out)
		var left atomic.Int64
		left.Store(programs - 1)
		o.Device = func(threads int) (device.Device, error) {
			dev, err := openCPU(threads)
			return limited{dev, &left, cancel}, err
		}
		got, err := Run(ctx, o)
		cancel()
		if err != nil || lives > 1000 {
			t.Fatalf("life %d: %+v, %v", lives+1, got, err)
		}
		done = got.Done+got.Before == len(e.Cells)
		epochs += events.count(progress.Epoch, "start:") + events.count(progress.Epoch, "update ")
	}
	return epochs, lives
}

// checkTidy checks that nothing is left of what interrupted runs go on from.
func checkTidy(t *testing.T, out string) {
	t.Helper()
	for _, pattern := range []string{"cells/*/checkpoint*", "trainings/*checkpoint*", "*/*.lease", "cells/*/lease",
		"cells/*/look*", "cells/*/statistics*", "cells/*/test*", "evaluations/*partial*"} {
		if files, _ := filepath.Glob(filepath.Join(out, pattern)); len(files) > 0 {
			t.Errorf("left behind: %v", files)
		}
	}
}

// TestLeftoversBesideResults kills nothing, but leaves what a process leaves that is killed when it has written a trained
// network or a record and has not yet removed what it would have gone on from. The next run does it.
func TestLeftoversBesideResults(t *testing.T) {
	out := t.TempDir()
	o, _ := options(parse(t, settings+matrix(`"l1"`, "1")), out)
	if s, err := Run(t.Context(), o); err != nil || s.Done != 1 {
		t.Fatal(s, err)
	}
	cells, err := filepath.Glob(filepath.Join(out, "cells", "*"))
	if err != nil || len(cells) != 1 {
		t.Fatal(cells, err)
	}
	training, ok := strings.CutSuffix(trainingFiles(t, out)[0], ".safetensors")
	if !ok {
		t.Fatal(trainingFiles(t, out))
	}
	for _, path := range []string{training + ".checkpoint-1.safetensors", filepath.Join(cells[0], "checkpoint-0.safetensors"),
		filepath.Join(cells[0], "looks.safetensors"), filepath.Join(cells[0], "test.safetensors")} {
		if err := os.WriteFile(path, []byte("cut short"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{training + ".lease", filepath.Join(cells[0], "lease")} {
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		owner, then := filepath.Join(path, "owner.json"), time.Now().Add(-time.Hour)
		err := os.WriteFile(owner, []byte(`{"host": "far", "boot": "another", "pid": 7, "token": "FAR"}`), 0o644)
		if err = errors.Join(err, os.Chtimes(owner, then, then)); err != nil {
			t.Fatal(err)
		}
	}
	longer := matrix(`"l1"`, "1") + "variant = \"longer\"\n[[matrix.set]]\nvalues = {train = {epochs = 2}}\n"
	o, _ = options(parse(t, settings+matrix(`"l1"`, "1")+longer), out)
	if s, err := Run(t.Context(), o); err != nil || s.Done != 1 || s.Before != 1 {
		t.Fatal(s, err)
	}
	checkTidy(t, out)

	// A process that runs the cell again keeps what it goes on from.
	_, l, err := lease.Take(t.Context(), filepath.Join(cells[0], "lease"))
	if err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(cells[0], "checkpoint-0.safetensors")
	write(t, kept, "of another process")
	if s, err := Run(t.Context(), o); err != nil || s.Before != 2 {
		t.Fatal(s, err)
	}
	if got := read(t, kept); got != "of another process" {
		t.Error(got)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
}

func TestRunCancelledBeforeItStarts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o, _ := options(parse(t, settings+matrix(all, "1")), t.TempDir())
	s, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Summary{Stopped: true}, s); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	files, err := Report(t.Context(), o.Out, nil)
	if err != nil || len(files) == 0 {
		t.Errorf("report without a record: %v, %v", files, err)
	}
}

// Cells that differ in their final training only start from the same network.
func TestStartNetworkIsTrainedOnce(t *testing.T) {
	longer := matrix(`"l1"`, "1") + "variant = \"longer\"\n[[matrix.set]]\nvalues = {train = {epochs = 2}}\n"
	e := parse(t, settings+matrix(`"l1"`, "1")+longer)
	out := t.TempDir()
	o, events := options(e, out)
	o.Jobs = 2
	if s, err := Run(t.Context(), o); err != nil || s.Done != 2 {
		t.Fatal(s, err)
	}
	if n := events.count(progress.Epoch, "start:"); n != 1 {
		t.Errorf("start networks were trained for %d epochs, want 1", n)
	}
	if files := trainingFiles(t, out); len(files) != 1 {
		t.Errorf("trainings: %v", files)
	}
	var costs []results.Cost
	for _, r := range readRecords(t, out) {
		costs = append(costs, r.Result.SearchCost)
	}
	if len(costs) != 2 || costs[0] != costs[1] {
		t.Errorf("search costs %+v: want the shared training charged to both", costs)
	}
	p, err := MakePlan(e)
	if err != nil {
		t.Fatal(err)
	}
	alone := p.Cells[0].Search.FLOPs + p.Cells[0].Final.FLOPs + p.Cells[1].Search.FLOPs + p.Cells[1].Final.FLOPs
	training := 3 * 4621268 * int64(16)
	if got := int64(p.GFLOPs*1e9 + 0.5); got != alone-training || p.TrainingImages != 16+24+2*24 {
		t.Errorf("plan: %d FLOPs and %d training images, want %d and %d",
			got, p.TrainingImages, alone-training, 16+24+2*24)
	}
}

func trainingFiles(t *testing.T, out string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(out, "trainings", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}
