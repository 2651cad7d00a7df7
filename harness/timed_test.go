package harness

import (
	"testing"
	"time"

	"netadjust/internal/device"
)

// slow is a device whose programs take a millisecond.
type slow struct{ device.Device }

func (slow) Compile(*device.Program) (device.Executable, error) { return slowExecutable{}, nil }

type slowExecutable struct{ device.Executable }

func (slowExecutable) Run([]any) error {
	time.Sleep(time.Millisecond)
	return nil
}

func (e slowExecutable) RunDropped(inputs []any, _ int) error { return e.Run(inputs) }

func TestTimedCountsEveryRun(t *testing.T) {
	clock := &timed{Device: slow{}}
	e, err := clock.Compile(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, run := range []func() error{
		func() error { return e.Run(nil) },
		func() error { return e.RunDropped(nil, 1) },
	} {
		before := clock.busy
		if err := run(); err != nil || clock.busy < before+time.Millisecond {
			t.Errorf("run %d: %v busy after %v, error %v", i+1, clock.busy, before, err)
		}
	}
}
