package harness

import (
	"time"

	"netadjust/internal/calibration"
	"netadjust/internal/device"
)

// timed measures how long a device computes, and how fast the machine is meanwhile.
type timed struct {
	device.Device
	busy  time.Duration
	clock calibration.Clock
}

// Compile wraps the program so that its runs are timed.
func (t *timed) Compile(p *device.Program) (device.Executable, error) {
	e, err := t.Device.Compile(p)
	if err != nil {
		return nil, err
	}
	return &timedExecutable{e, t}, nil
}

type timedExecutable struct {
	device.Executable
	device *timed
}

func (e *timedExecutable) Run(inputs []any) error {
	defer e.device.since(time.Now())
	return e.Executable.Run(inputs)
}

func (e *timedExecutable) RunDropped(inputs []any, repeats int) error {
	defer e.device.since(time.Now())
	return e.Executable.RunDropped(inputs, repeats)
}

// Output waits for devices whose runs do not.
func (e *timedExecutable) Output(i, ago int, dst []float32) error {
	defer e.device.since(time.Now())
	return e.Executable.Output(i, ago, dst)
}

func (t *timed) since(start time.Time) {
	t.busy += time.Since(start)
	t.clock.Tick()
}
