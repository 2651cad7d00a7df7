package gpu

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"netadjust/internal/device"
	"netadjust/internal/device/gpu/driver"
)

// executable is a compiled program.
type executable struct {
	dev     *Device
	program *device.Program
	plan    *plan
	sweep   *sweep  // of RunDropped, once that is called
	clocks  *clocks // that run; nil if none do
}

// Compile makes a plan of the program. What other executables have built is not built again.
func (d *Device) Compile(p *device.Program) (device.Executable, error) {
	pl, err := newPlanner(d, p)
	if err != nil {
		return nil, err
	}
	if err := pl.emit(); err != nil {
		return nil, err
	}
	made, err := pl.finish()
	if err != nil {
		return nil, outOfMemory(err)
	}
	return &executable{dev: d, program: p, plan: made}, nil
}

// Run appends the program to the device's queue. It waits only for the run before the last two.
func (e *executable) Run(inputs []any) error { return e.plan.run(inputs, e.clocks) }

// Kept is how many runs can be in the queue, and their results on the host.
func (e *executable) Kept() int { return len(e.plan.results) }

// Output waits for a run and copies one of its outputs.
func (e *executable) Output(i, ago int, dst []float32) error {
	v := e.program.Values[e.program.Outputs[i]]
	if n := v.Size(); len(dst) != n {
		return fmt.Errorf("room for %d elements, want %d for shape %v", len(dst), n, v.Shape)
	}
	result, err := e.plan.result(i, ago)
	copy(dst, result)
	return err
}

// Close frees the memory.
func (e *executable) Close() error {
	err := e.plan.Close()
	if e.sweep != nil {
		err = errors.Join(err, e.sweep.plan.Close())
	}
	return err
}

// run appends one run. Inputs are as in device.Executable.
func (pl *plan) run(inputs []any, c *clocks) error {
	if err := pl.upload(inputs); err != nil {
		return err
	}
	if pl.dev.poison {
		for _, c := range pl.arena {
			if err := pl.dev.driver.Fill(whole(c), math.Float32bits(float32(math.NaN()))); err != nil {
				return err
			}
		}
	}
	launch := func() error { return pl.dev.driver.Launch(pl.launches...) }
	if c != nil {
		launch = func() error { return c.launch(pl) }
	}
	if err := launch(); err != nil {
		return err
	}
	if len(pl.outputs) == 0 {
		return nil
	}
	pl.last = (pl.last + 1) % len(pl.results)
	r := &pl.results[pl.last]
	for i, b := range pl.outputs {
		host := r.host.Bytes()[pl.places[i]:][:b.Bytes]
		if err := pl.dev.driver.Download(driver.Compute, host, b); err != nil {
			return err
		}
	}
	return r.event.Record(driver.Compute)
}

// upload sends all inputs in one piece. They are copied, so that the caller may change them while the device computes.
func (pl *plan) upload(inputs []any) error {
	if pl.block == nil {
		return nil
	}
	s := &pl.ring[pl.next]
	pl.next = (pl.next + 1) % len(pl.ring)
	if err := s.event.Wait(); err != nil {
		return err
	}
	host := s.host.Bytes()
	for i, b := range pl.inputs {
		to := host[b.Offset:][:b.Bytes]
		switch d := inputs[i].(type) {
		case []float32:
			copy(driver.Slice[float32](to), d)
		case []uint32:
			copy(driver.Slice[uint32](to), d)
		case []uint8:
			copy(to, d)
		case device.Loader:
			load(d, to, pl.batch[i])
		}
	}
	if err := pl.dev.driver.Upload(driver.Compute, whole(pl.block), host); err != nil {
		return err
	}
	return s.event.Record(driver.Compute)
}

// load lets all cores prepare the images of a batch.
func load(from device.Loader, to []uint8, images int) {
	size := len(to) / images
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), images) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < images; i = int(next.Add(1)) - 1 {
				image := to[i*size : (i+1)*size]
				copy(image, from.Load(i, image)) // which does nothing where the image is in place
			}
		})
	}
	all.Wait()
}

// result waits for a run, the last or one so many runs before it, and returns one of its outputs.
func (pl *plan) result(i, ago int) ([]float32, error) {
	if ago < 0 || ago >= len(pl.results) {
		return nil, fmt.Errorf("results of %d runs ago are no longer there", ago)
	}
	r := &pl.results[(pl.last+len(pl.results)-ago)%len(pl.results)]
	if err := r.event.Wait(); err != nil {
		return nil, err
	}
	return driver.Slice[float32](r.host.Bytes()[pl.places[i]:][:pl.outputs[i].Bytes]), nil
}

// Close frees what the plan holds, once the device is done with it.
func (pl *plan) Close() error {
	var errs []error
	for _, l := range pl.launches {
		errs = append(errs, l.Free())
	}
	for _, s := range append(pl.ring[:], pl.results[:]...) {
		if s.event != nil {
			errs = append(errs, s.event.Free())
		}
		if s.host != nil {
			errs = append(errs, s.host.Free())
		}
	}
	for _, c := range append(pl.arena, pl.block, pl.table) {
		if c != nil {
			errs = append(errs, c.Free())
		}
	}
	*pl = plan{}
	return errors.Join(errs...)
}
