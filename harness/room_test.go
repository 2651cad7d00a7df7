package harness

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"netadjust/internal/device"
	"netadjust/internal/host"
	"netadjust/internal/progress"
)

// With memory for one cell two jobs run one after the other, and with memory for none they run all the same.
func TestRoom(t *testing.T) {
	e := parse(t, settings+matrix(`"uniform"`, "1, 2, 3"))
	c, err := prepare(e.Cells[0], e.Dataset(e.Cells[0]))
	if err != nil {
		t.Fatal(err)
	}
	need := memories{}.of(c)
	if need < 1<<16 || need > 1<<30 {
		t.Errorf("a cell needs %d bytes", need)
	}
	for _, tt := range []struct {
		name    string
		free    int64
		card    int64
		most    int32
		warning string
	}{
		{"room for one", need * 3 / 2, 0, 1, "waits until another cell has ended"},
		{"room for none", need / 2, 0, 1, "are free; trying"},
		{"room for all", 100 * need, 0, 2, ""},
		{"room for one on a card", 0, need * 3 / 2, 1, "waits until another cell has ended"},
		{"room for all on a card", 0, 100 * need, 2, ""},
	} {
		o, events := options(e, t.TempDir())
		o.Jobs, o.Memory = 2, tt.card
		r, err := newRun(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if tt.card == 0 {
			r.room.memory = func() (host.Memory, bool) { return host.Memory{Total: tt.free, Free: tt.free}, true }
			r.room.own = func() int64 { return 0 }
		}
		var in, most atomic.Int32
		ended := make(chan bool)
		for _, c := range r.cells {
			go func() {
				ok := r.room.enter(t.Context(), c)
				if n := in.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(20 * time.Millisecond)
				for end := time.Now().Add(10 * time.Second); most.Load() < tt.most && time.Now().Before(end); {
					time.Sleep(time.Millisecond)
				}
				in.Add(-1)
				r.room.leave(c)
				ended <- ok
			}()
		}
		for range r.cells {
			if !<-ended {
				t.Errorf("%s: a cell has not been let in", tt.name)
			}
		}
		if n := most.Load(); tt.most == 1 && n != 1 || tt.most > 1 && n < tt.most {
			t.Errorf("%s: %d cells at a time, want %d", tt.name, n, tt.most)
		}
		if warned := events.count(progress.Warning, "of memory"); (warned > 0) != (tt.warning != "") ||
			events.count(progress.Warning, tt.warning) == 0 && tt.warning != "" {
			t.Errorf("%s: %+v", tt.name, events.events)
		}
	}
}

// A cell that waits for memory gives up when the run is told to stop.
func TestRoomIsLeft(t *testing.T) {
	e := parse(t, settings+matrix(`"uniform"`, "1, 2"))
	o, _ := options(e, t.TempDir())
	r, err := newRun(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	r.room.memory = func() (host.Memory, bool) { return host.Memory{Total: 1, Free: 1}, true }
	ctx, cancel := context.WithCancel(t.Context())
	if !r.room.enter(ctx, r.cells[0]) {
		t.Fatal("the first cell has not been let in")
	}
	time.AfterFunc(10*time.Millisecond, cancel)
	if r.room.enter(ctx, r.cells[1]) {
		t.Error("the second cell has been let in")
	}
}

// The number of jobs is measured where the work is worth it.
func TestJobsAreMeasured(t *testing.T) {
	e := parse(t, strings.Replace(settings, "[train]\nepochs        = 1", "[train]\nepochs        = 2", 1)+matrix(`"uniform"`, "1, 2"))
	cells, err := prepareAll(e)
	if err != nil {
		t.Fatal(err)
	}
	var opened atomic.Int32
	open := func(threads int) (device.Device, error) {
		opened.Add(1)
		return openCPU(threads)
	}
	if jobs, err := fastestJobs(t.Context(), cells, 1, open); err != nil || jobs < 1 || opened.Load() > 0 {
		t.Errorf("little work: %d jobs, %v, %d devices opened", jobs, err, opened.Load())
	}
	jobs, err := fastestJobs(t.Context(), cells, 1<<62, open)
	if err != nil || jobs < 1 || jobs > len(cells) || jobs > 1 && opened.Load() == 0 {
		t.Errorf("much work: %d jobs, %v, %d devices opened", jobs, err, opened.Load())
	}
}
