package harness

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"netadjust/internal/progress"
	"netadjust/internal/train"
)

// account follows how much of a run's computation is done, in FLOPs.
type account struct {
	total    int64
	done     int64 // by this run
	spared   int64 // by others, or not at all
	start    time.Time
	foreseen []foresight
}

// foresight is when a run was expected to end when a share of its computation was done.
type foresight struct {
	share float64
	end   time.Time
}

func (a *account) begin() { a.start = time.Now() }

// share is what is done, and remaining the seconds that the rest takes at the rate so far.
func (a *account) share() (share, remaining float64) {
	if a.total == 0 || a.done <= 0 {
		return 0, 0
	}
	left := max(a.total-a.done-a.spared, 0)
	return 1 - float64(left)/float64(a.total), time.Since(a.start).Seconds() * float64(left) / float64(a.done)
}

// foresee keeps the expected end after the first tenth of the computation, a quarter, a half and three quarters.
func (a *account) foresee() {
	marks := []float64{0.1, 0.25, 0.5, 0.75}
	share, remaining := a.share()
	if n := len(a.foreseen); n < len(marks) && share >= marks[n] && share < 1 {
		end := time.Now().Add(time.Duration(remaining * float64(time.Second)))
		a.foreseen = append(a.foreseen, foresight{share, end})
	}
}

// errors tells how far the expected ends were from the end, now; "" for a run that is too short to judge by.
func (a *account) errors() string {
	took := time.Since(a.start)
	if took < time.Minute || len(a.foreseen) == 0 {
		return ""
	}
	var all []string
	for _, f := range a.foreseen {
		off := time.Until(f.end)
		word := "late"
		if off < 0 {
			off, word = -off, "early"
		}
		all = append(all, fmt.Sprintf("%s too %s with %.0f %% done", progress.Duration(off.Seconds()), word, 100*f.share))
	}
	return fmt.Sprintf("the run took %s; its end was expected %s", progress.Duration(took.Seconds()),
		strings.Join(all, ", "))
}

// advance adds finished work of the cell at hand.
func (w *worker) advance(flops int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counted += flops
	w.account.done += flops
	w.account.foresee()
}

// spare takes work of the cell at hand off the account that was not done in this run; it is more if that is negative.
func (w *worker) spare(flops int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counted += flops
	w.account.spared += flops
}

// print completes an event with how far the run is, and shows it.
func (r *run) print(e progress.Event) {
	r.mu.Lock()
	e.Done, e.Total = r.summary.Before+r.summary.Done+len(r.summary.Failed), len(r.cells)
	e.Failed, e.Running = len(r.summary.Failed), r.running
	e.Share, e.Remaining = r.account.share()
	r.mu.Unlock()
	r.Progress.Print(e)
}

// tell shows what happens to a cell, and logs it, with more about it.
func (r *run) tell(c *cell, kind progress.Kind, message string, more ...slog.Attr) {
	c.log.write(kind, message, more...)
	r.print(progress.Event{Kind: kind, Cell: c.id, Message: message})
}

func (r *run) note(c *cell, message string) { r.tell(c, progress.Note, message) }

func (r *run) warn(err error) { r.print(progress.Event{Kind: progress.Warning, Message: err.Error()}) }

// Training is shown at most so often, and logged at most so often within an epoch.
const (
	showEvery = 2 * time.Second
	logEvery  = time.Minute
)

// course follows one training of a cell: it keeps account of every step, and shows steps and epochs.
type course struct {
	*worker
	cell    *cell
	purpose string
	epochs  int
	images  int   // of an epoch
	flops   int64 // of an image, forward and backward
	charged int64 // FLOPs that are in the account, done or spared

	at            train.Progress
	shown, logged time.Time
	since         time.Time // when the rate was last taken
	passed        int       // images since then
	rate          float64   // images a second
}

func (w *worker) course(c *cell, purpose string, epochs, images int, flops int64) *course {
	now := time.Now()
	return &course{worker: w, cell: c, purpose: purpose, epochs: epochs, images: images, flops: trainingPasses * flops,
		shown: now, logged: now}
}

// step is told of every step. The first one only starts the clock: it may follow those of another life, which are
// spared.
func (t *course) step(p train.Progress) {
	step := p.Images
	if p.Epoch == t.at.Epoch && t.at.Images < p.Images {
		step -= t.at.Images
	}
	t.at = p
	now := time.Now()
	if t.since.IsZero() {
		t.since = now
		before := t.flops * (int64(p.Epoch)*int64(t.images) + int64(p.Images))
		t.charged += before
		t.spare(before)
		return
	}
	t.charge(step)
	t.passed += step
	if now.Sub(t.shown) < showEvery {
		return
	}
	t.rate = float64(t.passed) / now.Sub(t.since).Seconds()
	t.shown, t.since, t.passed = now, now, 0
	event := t.event(progress.Step, p.Epoch, p.Loss, p.Top1)
	if now.Sub(t.logged) >= logEvery {
		t.log(event)
	}
	t.print(event)
}

func (t *course) charge(images int) {
	t.charged += t.flops * int64(images)
	t.advance(t.flops * int64(images))
}

// epoch is told of every epoch.
func (t *course) epoch(e int, report train.Epoch) {
	if now := time.Now(); t.rate == 0 && t.passed > 0 {
		t.rate = float64(t.passed) / now.Sub(t.since).Seconds()
	}
	event := t.event(progress.Epoch, e, report.Loss, report.Top1)
	t.log(event)
	t.print(event)
}

// event is the training as it is.
func (t *course) event(kind progress.Kind, e int, loss, top1 float64) progress.Event {
	c := t.cell
	x := &progress.Training{
		Purpose: t.purpose, Epoch: e + 1, Epochs: t.epochs, Loss: loss, Top1: top1, ImagesPerSecond: t.rate,
	}
	at := ""
	if kind == progress.Step {
		at = fmt.Sprintf(" at %.0f %%", 100*float64(t.at.Images)/float64(t.images))
	}
	message := fmt.Sprintf("%s %s seed %d, %s: epoch %d/%d%s, loss %.3f, top-1 %.1f %%", c.Method, c.Budget, c.Seed,
		t.purpose, x.Epoch, t.epochs, at, loss, 100*top1)
	if t.rate > 0 {
		message += fmt.Sprintf(", %.0f images/s", t.rate)
	}
	return progress.Event{Kind: kind, Cell: c.id, Message: message, Training: x}
}

// log writes an event into the log of its cell, with when the run is expected to end.
func (t *course) log(e progress.Event) {
	t.logged = time.Now()
	more := []slog.Attr{slog.Any("training", e.Training)}
	t.mu.Lock()
	if _, remaining := t.account.share(); remaining > 0 {
		end := t.logged.Add(time.Duration(remaining * float64(time.Second)))
		more = append(more, slog.Time("end", end.Round(time.Second)))
	}
	t.mu.Unlock()
	t.cell.log.write(e.Kind, e.Message, more...)
}
