package harness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"netadjust/internal/atomicfile"
	"netadjust/internal/device"
	"netadjust/internal/lease"
	"netadjust/internal/progress"
	"netadjust/internal/search"
	"netadjust/internal/train"
	"netadjust/networks"
	"netadjust/results"
)

// worker is one job: it has a device of its own.
type worker struct {
	*run
	dev     *timed
	counted int64         // FLOPs of the cell at hand that are in the account
	search  spent         // by its search
	store   *store        // that of the run, which tells this worker of what it writes
	kept    time.Duration // that writing checkpoints of the cell at hand has taken
}

// spent is time, all of it and that of the device.
type spent struct{ wall, device time.Duration }

// work runs cells until there are no more. It returns an error if the run cannot go on.
func (r *run) work(ctx context.Context) error {
	dev, err := r.Device(r.threads)
	if err != nil {
		return err
	}
	defer dev.Close()
	w := r.newWorker(dev)
	for c := w.next(ctx); c != nil; c = w.next(ctx) {
		if !r.room.enter(ctx, c) {
			break
		}
		err := w.claim(ctx, c)
		r.room.leave(c)
		r.quit(c)
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("%s: %w", c.id, err)
		}
	}
	return nil
}

func (r *run) newWorker(dev device.Device) *worker {
	w := &worker{run: r, dev: &timed{Device: dev}}
	w.store = r.store.telling(func(took time.Duration) { w.kept += took })
	return w
}

// claim runs a cell unless another process has done it or is at it.
func (w *worker) claim(ctx context.Context, c *cell) error {
	var held context.Context
	var l *lease.Lease
	err := patiently(ctx, w.warn, func() error {
		if err := os.MkdirAll(w.folder(c), 0o755); err != nil {
			return err
		}
		var err error
		held, l, err = lease.Take(ctx, filepath.Join(w.folder(c), leaseFolder))
		return err
	})
	if taken, ok := errors.AsType[*lease.Taken](err); ok {
		w.leave(c, taken)
		return nil
	}
	if err != nil {
		return err
	}
	state, err := w.look(c)
	if err == nil && state == pending {
		err = w.cell(held, c)
	} else if err == nil {
		w.found(c, state)
	}
	if context.Cause(held) == lease.ErrLost {
		w.leave(c, lease.ErrLost)
		err = nil
	}
	return errors.Join(err, patiently(ctx, w.warn, l.Release))
}

// leaseFolder is the lease of a cell, in its folder.
const leaseFolder = "lease"

// leave puts a cell aside that another process is running.
func (r *run) leave(c *cell, why error) {
	if !c.left {
		r.note(c, why.Error())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c.left = true
	r.elsewhere = append(r.elsewhere, c)
}

// found counts a cell that another process has finished.
func (w *worker) found(c *cell, s state) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.account.spared += c.planned()
	if s == failed {
		w.summary.Failed = append(w.summary.Failed, c.id)
	} else {
		w.summary.Before++
	}
}

// cell runs one cell and writes its record. A cell that cannot be finished for a reason of its own gets a record that
// says so; an error means that there is no record.
func (w *worker) cell(ctx context.Context, c *cell) error {
	if err := atomicfile.Sweep(w.folder(c), ""); err != nil {
		return err
	}
	var log *cellLog
	if err := patiently(ctx, w.warn, func() (err error) {
		log, err = openLog(w.folder(c))
		return err
	}); err != nil {
		return err
	}
	defer log.close()
	c.log = log
	w.mu.Lock()
	w.running++
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.running--
		w.mu.Unlock()
	}()
	w.tell(c, progress.Started, "", slog.Any("layers", c.problem.Network.Adjustable()))
	start, busy := time.Now(), w.dev.busy
	w.kept = 0
	w.dev.clock.Reset()
	images, err := w.library.images(c.Dataset, c.Data)
	if err != nil {
		return err
	}
	record, err := w.attempt(ctx, c, images)
	if err != nil {
		return err
	}
	host, _ := os.Hostname()
	record.Run = results.Run{
		Host: host, Job: os.Getenv("SLURM_JOB_ID"), Jobs: w.jobs, Threads: w.threads, GoVersion: runtime.Version(),
		Processor: processor(),
		Start:     start.UTC().Truncate(time.Second), WallSeconds: time.Since(start).Seconds(),
		DeviceSeconds: (w.dev.busy - busy).Seconds(), CalibrationSeconds: w.dev.clock.Seconds(),
		SearchWallSeconds: w.search.wall.Seconds(), SearchDeviceSeconds: w.search.device.Seconds(),
		CheckpointSeconds: w.kept.Seconds(), Resumed: log.resumed,
	}
	if record.Result.Failure != nil {
		record.Run.Log = log.tail
	}
	if err := patiently(ctx, w.warn, func() error { return results.Write(w.folder(c), record) }); err != nil {
		return err
	}
	w.spare(c.planned() - w.counted) // plans of searches are estimates, and a failed cell leaves work undone
	w.finished(c, record)
	return w.removeKept(c)
}

// removeKept removes what a cell goes on from after an interruption.
func (r *run) removeKept(c *cell) error {
	err := r.store.checkpoints(filepath.Join(r.folder(c), checkpointFile), content{}).Remove()
	for _, file := range []string{looksFile, lookFile, statisticsFile, testFile} {
		err = errors.Join(err, r.store.partial(filepath.Join(r.folder(c), file), "").Remove())
	}
	return err
}

// Files of what comes behind the search, in the folder of the cell, while it is under way.
const (
	checkpointFile = "checkpoint" // of the final training
	testFile       = "test"       // what the evaluation on the test set has come to
)

// attempt makes the record of a cell, again if it fails for a reason that may pass.
func (w *worker) attempt(ctx context.Context, c *cell, images *images) (*results.Record, error) {
	w.begin()
	defer w.end()
	alone := 0
	for left := w.Retries; ; left-- {
		w.counted = 0
		record := &results.Record{Result: w.result(c, images)}
		err := w.guarded(ctx, c, images, &record.Result)
		if err == nil {
			return record, nil
		}
		if errors.As(err, new(*device.OutOfMemory)) && w.makeRoom(ctx, &alone) {
			w.note(c, "waited for memory of the device: "+err.Error())
			w.spare(-w.counted)
			left++
			continue
		}
		if record.Result.Failure = failure(ctx, err); record.Result.Failure == nil {
			return nil, err
		}
		record.Result.Final = nil
		if left <= 0 || errors.As(err, new(*train.Diverged)) { // which it would do again
			return record, nil
		}
		w.spare(-w.counted)
		w.warn(fmt.Errorf("%s failed and is tried again: %w", c.id, err))
	}
}

// begin and end count the cells that compute.
func (r *run) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy++
	r.begun++
}

func (r *run) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy--
	if r.ended != nil {
		close(r.ended)
		r.ended = nil
	}
}

// makeRoom is for a cell that has not found enough memory, which the others on the device may have. It waits until one of
// them ends. Where there is none it notes at which cell that was, and the next time, if none has begun since, returns
// false: the cell is too large by itself.
func (r *run) makeRoom(ctx context.Context, alone *int) bool {
	r.mu.Lock()
	if r.busy == 1 {
		defer r.mu.Unlock()
		again := *alone != r.begun
		*alone = r.begun
		return again && r.jobs > 1
	}
	if r.ended == nil {
		r.ended = make(chan struct{})
	}
	ended := r.ended
	r.busy--
	r.mu.Unlock()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	r.begin()
	return true
}

// guarded is searchAndTrain with a panic as an error; the log tells where it was.
func (w *worker) guarded(ctx context.Context, c *cell, images *images, r *results.Result) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the program has a mistake: %v", p)
			c.log.write(progress.Warning, string(debug.Stack()))
		}
	}()
	return w.searchAndTrain(ctx, c, images, r)
}

// checkpoints are those of a cell's final training.
func (w *worker) checkpoints(c *cell, of content) *train.Checkpoints {
	return w.store.checkpoints(filepath.Join(w.folder(c), checkpointFile), of)
}

func (w *worker) finished(c *cell, record *results.Record) {
	w.mu.Lock()
	f := record.Result.Failure
	if f != nil {
		w.summary.Failed = append(w.summary.Failed, c.id)
	} else {
		w.summary.Done++
	}
	w.mu.Unlock()
	if f == nil {
		w.tell(c, progress.Finished, fmt.Sprintf("test top-1 %.2f %%, %.3g MFLOPs, %s", 100*record.Result.Final.TestTop1,
			float64(record.Result.Final.FLOPs)/1e6, progress.Duration(record.Run.WallSeconds)))
		return
	}
	w.tell(c, progress.Failed, f.Reason)
	if w.FailFast {
		w.stop()
	}
}

// fatal is an error that no cell is to blame for and that the others would meet too, such as a full disk.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

// failure is what a cell's record says of an error. It returns nil for errors that are not the cell's own: the run
// stops, and the cell runs again next time.
func failure(ctx context.Context, err error) *results.Failure {
	if ctx.Err() != nil || errors.As(err, &fatal{}) {
		return nil
	}
	f := &results.Failure{Reason: err.Error()}
	var diverged *train.Diverged
	if errors.As(err, &diverged) {
		f.Epoch, f.Step, f.LearningRate = diverged.Epoch, diverged.Step, diverged.LearningRate
	}
	return f
}

// searchAndTrain lets the method choose widths, trains the network that has them, and tests it.
func (w *worker) searchAndTrain(ctx context.Context, c *cell, images *images, r *results.Result) error {
	l := &lab{worker: w, cell: c, data: images, cost: &r.SearchCost, cuts: w.looks(c, images.checksum)}
	start, busy := time.Now(), w.dev.busy
	found, err := c.method.Search(ctx, l, c.problem)
	l.cuts.end(ctx)
	w.search = spent{time.Since(start), w.dev.busy - busy}
	if err != nil {
		return fmt.Errorf("search: %w", err)
	}
	describe(c, found, r)
	n := c.problem.Network
	if c.RoundTo > 0 {
		if found.Channels, err = search.RoundToMultiples(n, found.Channels, c.problem.Budget, c.RoundTo); err != nil {
			return err
		}
	}
	flops := n.FLOPs(found.Channels)
	if c.RoundTo == 0 && !search.WithinBudget(flops, c.problem.Budget) {
		return fmt.Errorf("%s ended at %d FLOPs, which is not within 1 %% below the budget of %d",
			c.Method, flops, c.problem.Budget)
	}
	r.Final = &results.Final{
		Channels: found.Channels, FLOPs: flops, FLOPsWithoutStem: n.FLOPsWithoutStem(found.Channels),
		Params: n.Params(found.Channels),
	}
	stream := train.Stream{Seed: c.Seed, Purpose: "final"}
	watch := w.course(c, stream.Purpose, c.recipe.Epochs, images.both.Len(), flops)
	model, epochs, err := w.finish(ctx, c, found, images, stream, watch)
	if err != nil {
		return fmt.Errorf("final training: %w", err)
	}
	for i, e := range epochs {
		r.Final.Epochs = append(r.Final.Epochs, results.Epoch{
			Index: i, LearningRate: e.LearningRate, TrainLoss: e.Loss, TrainTop1: e.Top1,
		})
	}
	trained(&r.Final.Cost, flops, images.both.Len()*c.recipe.Epochs)
	if err := patiently(ctx, w.warn, func() error {
		return model.Save(filepath.Join(w.folder(c), weightsFile), map[string]string{"cell": c.id})
	}); err != nil {
		return fatal{err}
	}
	return w.test(ctx, c, model, images, flops, r.Final)
}

// finish trains the network that was found, from scratch or from the weights that it has inherited.
func (w *worker) finish(ctx context.Context, c *cell, found *search.Outcome, images *images, stream train.Stream,
	watch *course) (*train.Model, []train.Epoch, error) {
	keep := w.checkpoints(c, finalOf(c, found.Channels, images.checksum, w.dev.Info()))
	keep.Watch = watch.step
	if c.Finetune == nil {
		return train.Resume(ctx, w.dev, c.problem.Network, found.Channels, images.both, images.norm, c.recipe, stream, keep,
			watch.epoch)
	}
	left, ok := found.Inherited.(*trainedNetwork)
	if !ok {
		return nil, nil, fmt.Errorf("method %s leaves no weights to go on with", c.Method)
	}
	if err := left.estimate(ctx); err != nil {
		return nil, nil, err
	}
	model := left.model.Clone()
	epochs, err := train.Continue(ctx, w.dev, model, images.both, c.recipe, stream, keep, watch.epoch)
	return model, epochs, err
}

// test evaluates a finished network on the test set. Nothing else reads it.
func (w *worker) test(ctx context.Context, c *cell, m *train.Model, images *images, flops int64, f *results.Final) error {
	test, err := images.openTest()
	if err != nil {
		return fatal{err}
	}
	e, err := train.NewEvaluator(w.dev, m, test, false)
	if err != nil {
		return err
	}
	defer e.Close()
	of := evaluation{Training: finalOf(c, m.Channels, images.checksum, w.dev.Info()), Images: rangeOf(test)}
	e.Keep = w.store.partial(filepath.Join(w.folder(c), testFile), keyOf(of))
	result, err := e.Evaluate(ctx)
	if err != nil {
		return err
	}
	if math.IsNaN(result.Loss) || math.IsInf(result.Loss, 0) {
		return fmt.Errorf("test loss is %v: training diverged in its last step; try a lower learning rate", result.Loss)
	}
	evaluated(&f.Cost, flops, result.Images)
	w.advance(flops * int64(result.Images))
	f.TestTop1, f.TestLoss = result.Top1, result.Loss
	return nil
}

// result is what a record says before anything is run.
func (w *worker) result(c *cell, images *images) results.Result {
	info := w.dev.Info()
	return results.Result{
		ID: c.id, Experiment: w.Experiment.Name, Network: c.Network, Width: c.Width, Padding: c.Padding, Dataset: c.Dataset,
		Method: c.Method, Variant: c.FullVariant(), Budget: strings.TrimPrefix(c.Budget.String(), "b"),
		BudgetFLOPs: c.problem.Budget, Seed: c.Seed, Config: c.Canonical(),
		Layers: c.problem.Network.Adjustable(), Device: info.Name + " (" + info.Kernels + ")", Version: w.Version,
		ResultsVersion: results.ResultsVersion, Libraries: libraries(), DatasetChecksum: images.checksum,
		DatasetNote: images.dataset.Note,
	}
}

// processor is the name of the processor and how many there are, empty where Linux does not tell.
var processor = sync.OnceValue(func() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // elsewhere there is none
	for line := range strings.Lines(string(text)) {
		if key, name, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return fmt.Sprintf("%d cores of %s", runtime.NumCPU(), strings.TrimSpace(name))
		}
	}
	return ""
})

// describe records what the search found.
func describe(c *cell, found *search.Outcome, r *results.Result) {
	n := c.problem.Network
	if found.Start != nil {
		r.Start = &results.Start{Channels: found.Start, FLOPs: n.FLOPs(found.Start), Params: n.Params(found.Start)}
	}
	if found.Network != nil {
		top1 := found.Network.Validation.Top1
		r.Start.ValidationTop1 = &top1
	}
	for k, u := range found.Updates {
		r.Updates = append(r.Updates, updateOf(n, k, u))
	}
	r.Stopped = found.Stopped
	if found.Truth != nil {
		r.Truth = truthOf(found.Truth, n.FLOPs(found.Truth.Channels))
	}
}

// updateOf records an update.
func updateOf(n *networks.Network, index int, u search.Update) results.Update {
	return results.Update{
		Index: index, Channels: u.Channels, FLOPs: n.FLOPs(u.Channels), ValidationLoss: u.Validation.Loss,
		ValidationTop1: u.Validation.Top1, FUR: u.FUR, FURStdErr: u.FURStdErr, FURImageStdErr: u.FURImageStdErr,
		DropRates: u.DropRates, FLOPsPerChannel: u.FLOPsPerChannel, Grown: u.Grown, Shrunk: u.Shrunk, Next: u.Next,
		Cost: results.Cost(u.Cost),
	}
}

// truthOf records what retraining has shown.
func truthOf(t *search.Truth, flops int64) *results.Truth {
	neighbours := func(trained []search.Neighbour) (all []results.Neighbour) {
		for _, n := range trained {
			all = append(all, results.Neighbour{
				Channels: n.Channels, FLOPs: n.FLOPs, ValidationLoss: n.Validation.Loss, ValidationTop1: n.Validation.Top1,
			})
		}
		return all
	}
	return &results.Truth{
		Channels: t.Channels, FLOPs: flops, ValidationLoss: t.Validation.Loss, ValidationTop1: t.Validation.Top1,
		FUR: t.FUR, FURStdErr: t.FURStdErr, FURImageStdErr: t.FURImageStdErr, DropRates: t.DropRates,
		FLOPsPerChannel: t.FLOPsPerChannel, Narrower: neighbours(t.Narrower), Wider: neighbours(t.Wider),
	}
}

// libraries are the versions of the modules that numbers depend on.
func libraries() map[string]string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	used := []string{"gorgonia.org/gorgonia", "gorgonia.org/tensor", "gonum.org/v1/gonum"}
	versions := map[string]string{}
	for _, m := range info.Deps {
		if slices.Contains(used, m.Path) {
			versions[m.Path] = m.Version
		}
	}
	return versions
}
