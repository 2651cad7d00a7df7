package harness

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"netadjust/internal/device"
	"netadjust/internal/progress"
)

// card is memory for the programs of one job at a time.
type card struct {
	owner   atomic.Pointer[narrow]
	refused chan struct{} // closed when a job has found no memory; the first one waits for that
	once    sync.Once
}

// narrow is the card for one job.
type narrow struct {
	device.Device
	card  *card
	open  int
	never bool // there is no memory at all
}

func (n *narrow) Compile(p *device.Program) (device.Executable, error) {
	if owner := n.card.owner.Load(); n.never || owner != n && !n.card.owner.CompareAndSwap(nil, n) {
		n.card.once.Do(func() { close(n.card.refused) })
		return nil, &device.OutOfMemory{Err: errors.New("no memory left")}
	}
	n.open++
	<-n.card.refused
	e, err := n.Device.Compile(p)
	return &held{e, n}, err
}

// held gives the card back when nothing is on it any more.
type held struct {
	device.Executable
	on *narrow
}

func (h *held) Close() error {
	if h.on.open--; h.on.open == 0 {
		h.on.card.owner.Store(nil)
	}
	return h.Executable.Close()
}

// TestMemoryOfOneCard runs cells at the same time on a card that holds one of them: they wait for each other, and give
// what they give alone. A cell that is too large by itself fails.
func TestMemoryOfOneCard(t *testing.T) {
	e := parse(t, settings+matrix(`"uniform", "l1"`, "1, 2"))
	alone, out := t.TempDir(), t.TempDir()
	mustRun(t, e, alone)
	o, seen := options(e, out)
	shared := card{refused: make(chan struct{})}
	o.Jobs = 3
	o.Device = func(threads int) (device.Device, error) {
		d, err := openCPU(threads)
		return &narrow{Device: d, card: &shared}, err
	}
	summary, err := Run(t.Context(), o)
	if err != nil || summary.Done != 4 || len(summary.Failed) > 0 {
		t.Fatalf("%+v: %v", summary, err)
	}
	if seen.count(progress.Note, "waited for memory of the device: ") == 0 {
		t.Error("no cell has waited")
	}
	for id, hash := range hashes(t, alone) {
		if hashes(t, out)[id] != hash {
			t.Errorf("%s has another result than alone", id)
		}
	}

	o, _ = options(e, t.TempDir())
	o.Jobs = 2
	o.Device = func(threads int) (device.Device, error) {
		d, err := openCPU(threads)
		return &narrow{Device: d, card: &shared, never: true}, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	summary, err = Run(ctx, o)
	if err != nil || len(summary.Failed) != 4 {
		t.Fatalf("without memory %+v: %v", summary, err)
	}
	for id, r := range readRecords(t, o.Out) {
		if f := r.Result.Failure; f == nil || !strings.Contains(f.Reason, "no memory left") {
			t.Errorf("%s: %+v", id, f)
		}
	}
}
