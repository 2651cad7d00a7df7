package main

import (
	"fmt"
	"sync/atomic"

	"netadjust/internal/device"
	"netadjust/internal/device/cpu"
	"netadjust/internal/device/gpu"
	"netadjust/internal/device/gpu/choose"
	"netadjust/internal/device/gpu/driver"
)

// chosen is the device that --device asks for.
type chosen struct {
	open   func(threads int) (device.Device, error) // one for each job
	gpu    bool
	memory int64  // of a GPU
	reason string // for the choice
}

// openDevice chooses a device: auto is a GPU if there is one. A GPU is opened at once, so that all jobs of a run
// compute on the same device, or none starts.
func openDevice(name string) (*chosen, error) {
	processor := &chosen{open: func(threads int) (device.Device, error) { return cpu.New(threads) }, reason: "asked for"}
	switch name {
	case "cpu":
		return processor, nil
	case "", "auto":
		c, err := openGPU("gpu")
		if err != nil {
			processor.reason = err.Error()
			return processor, nil
		}
		return c, nil
	}
	if _, err := choose.Parse(name); err != nil {
		return nil, failf(exitUsage, "unknown device %q; devices are auto, cpu, %s", name, choose.Names)
	}
	return openGPU(name)
}

// openGPU chooses a GPU. The first that is asked for it gets what has been opened to see whether it is there.
func openGPU(name string) (*chosen, error) {
	choice, err := choose.Parse(name)
	if err != nil {
		return nil, err
	}
	d, passed, err := choice.Open()
	if err != nil {
		return nil, err
	}
	var first atomic.Pointer[driver.Driver]
	first.Store(&d)
	p := d.Properties()
	c := &chosen{gpu: true, memory: int64(p.Memory)}
	c.reason = fmt.Sprintf("through %s; %d MiB of memory, %d compute units", p.Library, p.Memory>>20, p.Units)
	for _, err := range passed {
		c.reason += "\nnot through " + err.Error()
	}
	c.open = func(int) (device.Device, error) {
		if d := first.Swap(nil); d != nil {
			return gpu.New(choice.Name(), *d)
		}
		d, _, err := choice.Open()
		if err != nil {
			return nil, err
		}
		return gpu.New(choice.Name(), d)
	}
	return c, nil
}

// jobs is how many cells run at a time if that is not said: one on a GPU, which they would share, and else one per
// core, for which 0 stands.
func (c *chosen) jobs(asked int) int {
	if asked == 0 && c.gpu {
		return 1
	}
	return asked
}
