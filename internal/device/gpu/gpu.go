// Package gpu runs programs on a GPU, through whichever driver layer reaches it.
//
// A program becomes a flat list of kernel launches with frozen arguments, in memory planned in advance. A run copies
// the inputs into pinned memory, appends one upload, the launches and the downloads of the outputs to the device's
// queue, and returns; what reads an output waits for it. Geometry is compiled into the kernels, and the batch and all
// widths are their arguments: a network with other widths compiles nothing.
package gpu

import (
	"errors"
	"fmt"
	"runtime"
	"slices"

	"netadjust/internal/device"
	"netadjust/internal/device/gpu/driver"
	"netadjust/internal/device/gpu/kernels"
)

// Device is a GPU. It implements device.Device.
type Device struct {
	name   string
	driver driver.Driver
	state  *pool
	tiles  []kernels.Tile
	only   int         // the one tile that plans take, from 1; 0: they choose
	stage  driver.Host // through which state is written and read; nil until it is needed
	done   driver.Event
	sweep  int  // bytes that the feature maps of a RunDropped may take
	poison bool // fill memory with what is no number before each run, for tests
	apart  bool // no two values of a plan share memory, for tests
}

// New returns a device on a driver, which it closes in the end. The name is the one by which it was chosen.
func New(name string, d driver.Driver) (*Device, error) {
	done, err := d.NewEvent()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p := d.Properties()
	tiles := kernels.Tiles
	if p.Processor {
		tiles = tiles[:1] // a processor gains nothing by others, and each takes its compiler a second
	}
	return &Device{name: name, driver: d, state: &pool{driver: d}, tiles: tiles, done: done, sweep: p.Memory / 4}, nil
}

// Info describes the device: card, driver, layer and compiler are part of its kernels' name.
func (d *Device) Info() device.Info {
	p := d.driver.Properties()
	text := fmt.Sprintf("%s, driver %s, %s by %s, revision %d", p.Name, p.Version, p.Layer, p.Compiler, kernels.Revision)
	return device.Info{Name: d.name, Kernels: text, Threads: 1}
}

// Tiles names the tiles that convolutions choose from.
func (d *Device) Tiles() []string {
	var names []string
	for _, t := range d.tiles {
		names = append(names, t.Name())
	}
	return names
}

// OnlyTile lets plans take tile i alone from now on, for measurements; -1 lets them choose again.
func (d *Device) OnlyTile(i int) { d.only = i + 1 }

// Close frees what the device holds and closes the driver. Executables must have been closed before.
func (d *Device) Close() error {
	errs := []error{d.state.close(), d.done.Free()}
	if d.stage != nil {
		errs = append(errs, d.stage.Free())
	}
	return errors.Join(append(errs, d.driver.Close())...)
}

// NewTensor allocates zeroed state. Its memory is used again when nothing refers to the tensor any more.
func (d *Device) NewTensor(shape []int) (device.Tensor, error) {
	size := (device.Value{Shape: shape}).Size()
	b, err := d.state.take(4 * size)
	if err != nil {
		return nil, outOfMemory(fmt.Errorf("state of shape %v: %w", shape, err))
	}
	t := &tensor{dev: d, shape: slices.Clone(shape), size: size, buffer: b}
	runtime.AddCleanup(t, d.state.give, b)
	return t, d.driver.Fill(b, 0)
}

// outOfMemory tells errors of that kind in the words of package device.
func outOfMemory(err error) error {
	if errors.As(err, new(*driver.OutOfMemory)) {
		return &device.OutOfMemory{Err: err}
	}
	return err
}

// tensor is state, in the order of its shape, last dimension fastest.
type tensor struct {
	dev    *Device
	shape  []int
	size   int
	buffer driver.Buffer // may be longer
}

func (t *tensor) Shape() []int { return t.shape }

func (t *tensor) Write(src []float32) error {
	if len(src) != t.size {
		return fmt.Errorf("got %d elements, want %d for shape %v", len(src), t.size, t.shape)
	}
	host, err := t.dev.staged(t.buffer.Bytes)
	if err != nil {
		return err
	}
	copy(driver.Slice[float32](host), src)
	if err := t.dev.driver.Upload(driver.Compute, t.buffer, host); err != nil {
		return err
	}
	return t.dev.wait()
}

func (t *tensor) Read(dst []float32) error {
	if len(dst) != t.size {
		return fmt.Errorf("room for %d elements, want %d for shape %v", len(dst), t.size, t.shape)
	}
	host, err := t.dev.staged(t.buffer.Bytes)
	if err != nil {
		return err
	}
	if err := t.dev.driver.Download(driver.Compute, host, t.buffer); err != nil {
		return err
	}
	if err := t.dev.wait(); err != nil {
		return err
	}
	copy(dst, driver.Slice[float32](host))
	return nil
}

// staged returns pinned memory that is free: its users wait for what they do with it.
func (d *Device) staged(bytes int) ([]byte, error) {
	if d.stage == nil || len(d.stage.Bytes()) < bytes {
		if d.stage != nil {
			if err := d.stage.Free(); err != nil {
				return nil, err
			}
			d.stage = nil
		}
		var err error
		if d.stage, err = d.driver.Pin(max(bytes, 1<<20)); err != nil {
			return nil, err
		}
	}
	return d.stage.Bytes()[:bytes], nil
}

// wait waits for all that is in the queue of launches.
func (d *Device) wait() error {
	if err := d.done.Record(driver.Compute); err != nil {
		return err
	}
	return d.done.Wait()
}
