package harness

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/device"
	"netadjust/internal/lease"
	"netadjust/internal/progress"
	"netadjust/results"
)

// Two runs with one output folder share the cells between them: none is run twice, nor is a training of a search.
func TestTwoRunsShareTheCells(t *testing.T) {
	e := parse(t, settings+matrix(all, "1, 2"))
	out := t.TempDir()
	o, events := options(e, out)
	second, others := options(e, out)
	ended := make(chan error)
	go func() {
		_, err := Run(t.Context(), second)
		ended <- err
	}()
	s, err := Run(t.Context(), o)
	if err := errors.Join(err, <-ended); err != nil || s.Done+s.Before != 6 {
		t.Fatal(s, err)
	}
	finished := map[string]int{}
	for _, event := range append(events.events, others.events...) {
		if event.Kind == progress.Finished {
			finished[event.Cell]++
		}
	}
	for _, c := range e.Cells {
		if finished[c.ID()] != 1 {
			t.Errorf("%s was finished %d times", c.ID(), finished[c.ID()])
		}
	}
	if n := events.count(progress.Epoch, ", start: ") + others.count(progress.Epoch, ", start: "); n != 2 {
		t.Errorf("start networks were trained for %d epochs, want 2", n)
	}
	if diff := cmp.Diff(hashes(t, referenceDir(t)), hashes(t, out)); diff != "" {
		t.Errorf("hashes (-one run +two runs):\n%s", diff)
	}
}

// A cell that another process runs is left to it until that is done or gone.
func TestCellOfAnotherProcess(t *testing.T) {
	e := parse(t, settings+matrix(`"uniform"`, "1, 2"))
	out := t.TempDir()
	id := e.Cells[0].ID()
	folder := filepath.Join(out, results.CellsFolder, id)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	_, l, err := lease.Take(t.Context(), filepath.Join(folder, leaseFolder))
	if err != nil {
		t.Fatal(err)
	}
	o, events := options(e, out)
	o.Progress.(*recorder).on = func(event progress.Event) {
		if event.Kind == progress.Finished && event.Cell == e.Cells[1].ID() {
			copyTree(t, filepath.Join(referenceDir(t), results.CellsFolder, id), folder, func(string) bool { return false })
			if err := l.Release(); err != nil {
				t.Error(err)
			}
		}
	}
	s, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Summary{Done: 1, Before: 1}, s); diff != "" || events.count(progress.Note, "taken by process ") != 1 {
		t.Errorf("(-want +got):\n%s\nevents %+v", diff, events.events)
	}
}

func TestShards(t *testing.T) {
	e := parse(t, settings+matrix(all, "1, 2"))
	out := t.TempDir()
	for i := range 2 {
		o, _ := options(e, out)
		if err := o.Shard.Set(string(rune('0'+i)) + "/2"); err != nil {
			t.Fatal(err)
		}
		s, err := Run(t.Context(), o)
		if diff := cmp.Diff(Summary{Done: 3}, s); diff != "" || err != nil {
			t.Errorf("shard %d (-want +got):\n%s%v", i, diff, err)
		}
	}
	if diff := cmp.Diff(hashes(t, referenceDir(t)), hashes(t, out)); diff != "" {
		t.Errorf("hashes (-all +shards):\n%s", diff)
	}
	o, _ := options(parse(t, settings+matrix(all, "1")), out)
	o.Shard = Shard{0, 2}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "plan.json has other cells than tiny.toml") {
		t.Errorf("a shard of another experiment: error %v", err)
	}
	for _, wrong := range []string{"", "1", "2/2", "-1/2", "a/b", "1/2/3"} {
		if err := new(Shard).Set(wrong); err == nil {
			t.Errorf("shard %q is taken", wrong)
		}
	}
}

// broken is a device that fails, or makes the program panic, so many times.
type broken struct {
	device.Device
	left   *atomic.Int32
	panics bool
}

func (b broken) Compile(p *device.Program) (device.Executable, error) {
	if b.left.Add(-1) >= 0 {
		if b.panics {
			panic("index out of range")
		}
		return nil, errors.New("device is lost")
	}
	return b.Device.Compile(p)
}

func TestFailingDevice(t *testing.T) {
	e := parse(t, settings+matrix(`"uniform"`, "1, 2"))
	for _, tt := range []struct {
		name    string
		times   int32
		panics  bool
		change  func(o *Options)
		want    Summary
		failure string
	}{
		{"fails", 1, false, func(*Options) {}, Summary{Done: 1, Failed: []string{e.Cells[0].ID()}}, "device is lost"},
		{"panics", 1, true, func(*Options) {}, Summary{Done: 1, Failed: []string{e.Cells[0].ID()}},
			"the program has a mistake: index out of range"},
		{"retried", 2, false, func(o *Options) { o.Retries = 2 }, Summary{Done: 2}, ""},
		{"fail fast", 1, false, func(o *Options) { o.FailFast = true },
			Summary{Failed: []string{e.Cells[0].ID()}, Stopped: true}, "device is lost"},
	} {
		out := t.TempDir()
		o, events := options(e, out)
		var left atomic.Int32
		left.Store(tt.times)
		o.Device = func(threads int) (device.Device, error) {
			dev, err := openCPU(threads)
			return broken{dev, &left, tt.panics}, err
		}
		tt.change(&o)
		s, err := Run(t.Context(), o)
		if diff := cmp.Diff(tt.want, s); diff != "" || err != nil {
			t.Errorf("%s (-want +got):\n%s%v", tt.name, diff, err)
		}
		if n := events.count(progress.Warning, " failed and is tried again: "); n != o.Retries {
			t.Errorf("%s: %d warnings", tt.name, n)
		}
		if tt.failure == "" {
			continue
		}
		r := readRecords(t, out)[e.Cells[0].ID()]
		if !strings.Contains(r.Result.Failure.Reason, tt.failure) || len(r.Run.Log) == 0 {
			t.Errorf("%s: %+v, %+v", tt.name, r.Result.Failure, r.Run)
		}
		log := read(t, filepath.Join(out, results.CellsFolder, e.Cells[0].ID(), logFile))
		if !strings.Contains(log, `"msg":"final training: `+tt.failure) && !strings.Contains(log, tt.failure) ||
			tt.panics != strings.Contains(log, "claim_test.go") {
			t.Errorf("%s: log\n%s", tt.name, log)
		}
		if s, _ := mustRun(t, e, out); len(s.Failed) != 1 {
			t.Errorf("%s: the next run ends with %+v", tt.name, s)
		}
		o, _ = options(e, out)
		o.Again = true
		if s, err := Run(t.Context(), o); err != nil || len(s.Failed) > 0 || s.Done != 1 || s.Before != 1 {
			t.Errorf("%s: again: %+v, %v", tt.name, s, err)
		}
	}
}

func TestPatience(t *testing.T) {
	var warned []error
	warn := func(err error) { warned = append(warned, err) }
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	full := &os.PathError{Op: "write", Path: "record.json", Err: syscall.ENOSPC}
	if err := patiently(ctx, warn, func() error { return full }); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v", err)
	}
	if len(warned) != 1 || !strings.Contains(warned[0].Error(), "record.json: no space left on device; waiting until") {
		t.Errorf("warnings %v", warned)
	}
	other := errors.New("not for want of space")
	if err := patiently(t.Context(), warn, func() error { return other }); err != other || len(warned) != 1 {
		t.Errorf("error %v, warnings %v", err, warned)
	}
}
