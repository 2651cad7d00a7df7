package harness

import (
	"fmt"
	"time"

	"netadjust/internal/progress"
	"netadjust/internal/train"
)

// account follows how much of a run's computation is done, in FLOPs.
type account struct {
	total, done int64
	start       time.Time
}

func (a *account) begin() { a.start = time.Now() }

// share is what is done, and remaining the seconds that the rest takes at the rate so far.
func (a *account) share() (share, remaining float64) {
	if a.total == 0 || a.done == 0 {
		return 0, 0
	}
	share = min(float64(a.done)/float64(a.total), 1)
	return share, time.Since(a.start).Seconds() * (1 - share) / share
}

// advance adds finished work of the cell at hand.
func (w *worker) advance(flops int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counted += flops
	w.account.done += flops
}

// print completes an event with how far the run is, and shows it.
func (r *run) print(e progress.Event) {
	r.mu.Lock()
	e.Done, e.Total = r.summary.Before+r.summary.Done+len(r.summary.Failed), len(r.cells)
	e.Share, e.Remaining = r.account.share()
	r.mu.Unlock()
	r.Progress.Print(e)
}

// tell shows what happens to a cell, and logs it.
func (r *run) tell(c *cell, kind progress.Kind, message string) {
	if c.log != nil {
		c.log.write(kind, message)
	}
	r.print(progress.Event{Kind: kind, Cell: c.id, Message: message})
}

func (r *run) note(c *cell, message string) { r.tell(c, progress.Note, message) }

func (r *run) warn(err error) { r.print(progress.Event{Kind: progress.Warning, Message: err.Error()}) }

// epoch shows an epoch of a training.
func (r *run) epoch(c *cell, purpose string, e, epochs int, report train.Epoch) {
	r.tell(c, progress.Epoch, fmt.Sprintf("%s %s seed %d, %s: epoch %d/%d, loss %.3f, top-1 %.1f %%",
		c.Method, c.Budget, c.Seed, purpose, e+1, epochs, report.Loss, 100*report.Top1))
}
