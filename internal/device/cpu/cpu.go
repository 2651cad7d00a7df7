// Package cpu runs programs on the processor.
//
// A program is cut into phases between the moments at which all images of a batch must have been through (the statistics
// of batch norm). In a phase every worker takes a few images at a time through all of the phase's instructions, while
// what they hand to each other lies in the worker's cache. A batch is cut into a fixed number of slots, and what they sum
// up is added in slot order: results do not depend on the number of workers, to the last bit.
package cpu

import (
	"fmt"
	"os"
	"runtime"
	"slices"

	"netadjust/internal/device"
	"netadjust/internal/device/cpu/kernel"
)

// Device is the processor. It implements device.Device.
type Device struct {
	pool    *pool
	kernels *kernel.Set
}

// KernelsVariable is the environment variable that chooses the kernels: avx512, avx2 or go.
const KernelsVariable = "NETADJUST_CPU"

// New returns a device that works with the given number of threads, or with one per core if threads is 0. Its kernels are
// those that KernelsVariable names, else the best that the processor runs.
func New(threads int) (*Device, error) {
	kernels := kernel.Best()
	if name := os.Getenv(KernelsVariable); name != "" {
		var err error
		if kernels, err = kernel.ByName(name); err != nil {
			return nil, fmt.Errorf("%s: %w", KernelsVariable, err)
		}
	}
	if threads < 0 {
		return nil, fmt.Errorf("cpu device: %d threads, want 0 (one per core) or more", threads)
	}
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	return &Device{pool: newPool(threads), kernels: kernels}, nil
}

// Info describes the device.
func (d *Device) Info() device.Info {
	kernels := fmt.Sprintf("%s/%s, revision %d", d.kernels.Name, runtime.GOARCH, kernel.Revision)
	return device.Info{Name: "cpu", Kernels: kernels, Threads: d.pool.threads}
}

// Peak measures the multiply-add throughput of the device's threads together, in GFLOP/s: loops on registers only.
func (d *Device) Peak() float64 {
	const seconds = 0.2
	peaks := make([]float64, d.pool.threads)
	d.pool.run(len(peaks), func(i, _ int) { peaks[i] = d.kernels.Peak(seconds) })
	sum := 0.
	for _, p := range peaks {
		sum += p
	}
	return sum
}

// Close ends the workers.
func (d *Device) Close() error {
	d.pool.close()
	return nil
}

// NewTensor allocates zeroed state.
func (d *Device) NewTensor(shape []int) (device.Tensor, error) {
	return &array{shape: slices.Clone(shape), data: allocate[float32]((&device.Value{Shape: shape}).Size())}, nil
}

// array is state: its elements in the order of the shape, last dimension fastest.
type array struct {
	shape   []int
	data    []float32
	version int // counts changes
}

func (a *array) Shape() []int { return a.shape }

func (a *array) Write(src []float32) error {
	if len(src) != len(a.data) {
		return fmt.Errorf("got %d elements, want %d for shape %v", len(src), len(a.data), a.shape)
	}
	copy(a.data, src)
	a.version++
	return nil
}

func (a *array) Read(dst []float32) error {
	if len(dst) != len(a.data) {
		return fmt.Errorf("room for %d elements, want %d for shape %v", len(dst), len(a.data), a.shape)
	}
	copy(dst, a.data)
	return nil
}
