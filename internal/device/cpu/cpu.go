// Package cpu runs programs on the processor in plain Go, with matrix products by gonum.
//
// A batch is cut into a fixed number of slots, each computed by one worker at a time, and what slots add up (statistics,
// weight gradients) is summed in slot order: results do not depend on the number of workers, to the last bit.
package cpu

import (
	"fmt"
	"runtime"
	"slices"

	"netadjust/internal/device"
	"netadjust/internal/ops"
)

// Device is the processor. It implements device.Device.
type Device struct{ pool *pool }

// New returns a device that works with the given number of threads, or with one per core if threads is 0.
func New(threads int) (*Device, error) {
	if threads < 0 {
		return nil, fmt.Errorf("cpu device: %d threads, want 0 (one per core) or more", threads)
	}
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	return &Device{pool: newPool(threads)}, nil
}

// Info describes the device.
func (d *Device) Info() device.Info {
	return device.Info{Name: "cpu", Kernels: "go+gonum/" + runtime.GOARCH, Threads: d.pool.threads}
}

// Close ends the workers.
func (d *Device) Close() error {
	d.pool.close()
	return nil
}

// NewTensor allocates zeroed state.
func (d *Device) NewTensor(shape []int) (device.Tensor, error) {
	return &array{shape: slices.Clone(shape), data: make([]float32, (&device.Value{Shape: shape}).Size())}, nil
}

// array is state: its elements in the order of the shape, last dimension fastest.
type array struct {
	shape []int
	data  []float32
}

func (a *array) Shape() []int { return a.shape }

func (a *array) Write(src []float32) error {
	if len(src) != len(a.data) {
		return fmt.Errorf("got %d elements, want %d for shape %v", len(src), len(a.data), a.shape)
	}
	copy(a.data, src)
	return nil
}

func (a *array) Read(dst []float32) error {
	if len(dst) != len(a.data) {
		return fmt.Errorf("room for %d elements, want %d for shape %v", len(dst), len(a.data), a.shape)
	}
	copy(dst, a.data)
	return nil
}

// executable is a compiled program.
type executable struct {
	dev     *Device
	program *device.Program
	floats  [][]float32 // by value; for inputs set at each run
	bytes   [][]uint8
	words   [][]uint32
	phases  []phase
	scratch [][]float32 // by worker
}

// phase is work on slots that may run in any order at the same time; the next phase starts when all are done.
type phase struct {
	slots int
	run   func(slot int, scratch []float32)
}

// Compile places all values in one arena and chooses a kernel for each step.
func (d *Device) Compile(p *device.Program) (device.Executable, error) {
	e := &executable{
		dev: d, program: p,
		floats: make([][]float32, len(p.Values)), bytes: make([][]uint8, len(p.Values)), words: make([][]uint32, len(p.Values)),
	}
	e.place()
	scratch := 0
	for _, s := range p.Steps {
		phases, need, err := e.kernel(s)
		if err != nil {
			return nil, err
		}
		e.phases = append(e.phases, phases...)
		scratch = max(scratch, need)
	}
	for range d.pool.threads {
		e.scratch = append(e.scratch, make([]float32, scratch))
	}
	return e, nil
}

// place gives every computed value its memory: that of the state it updates, that of an operand that is not needed any
// more, or a block of the arena.
func (e *executable) place() {
	p := e.program
	first, last := p.Lifetimes()
	block := make([]int, len(p.Values)) // by value, index into blocks
	for i := range block {
		block[i] = -1
	}
	var blocks []device.Block
	for s, step := range p.Steps {
		out := step.Out
		if p.Values[out].State != nil {
			continue
		}
		for _, i := range inPlace(step.Op) {
			in := step.In[i]
			if block[in] >= 0 && last[in] == s && p.Values[in].Size() == p.Values[out].Size() {
				block[out] = block[in]
				blocks[block[in]].Last = last[out]
				break
			}
		}
		if block[out] < 0 {
			block[out] = len(blocks)
			blocks = append(blocks, device.Block{Size: align(p.Values[out].Size()), First: first[out], Last: last[out]})
		}
	}
	offsets, total := device.PlanArena(blocks)
	arena := make([]float32, total)
	for v, value := range p.Values {
		switch {
		case value.State != nil:
			e.floats[v] = value.State.(*array).data
		case block[v] >= 0:
			at := offsets[block[v]]
			e.floats[v] = arena[at : at+value.Size() : at+value.Size()]
		}
	}
}

// align rounds up to whole cache lines.
func align(n int) int { return (n + 15) &^ 15 }

// inPlace lists the operands whose memory an operation may take for its result.
func inPlace(k ops.Kind) []int {
	switch k.(type) {
	case ops.ReLU, ops.ScaleChannels, ops.BatchNorm:
		return []int{0}
	case ops.Add:
		return []int{0, 1}
	case ops.ReLUGrad:
		return []int{1}
	case ops.BatchNormGradInput:
		return []int{5}
	}
	return nil
}

// Run executes the program once.
func (e *executable) Run(inputs []any) error {
	for i, v := range e.program.Inputs {
		switch d := inputs[i].(type) {
		case []float32:
			e.floats[v] = d
		case []uint8:
			e.bytes[v] = d
		case []uint32:
			e.words[v] = d
		}
	}
	for _, ph := range e.phases {
		e.dev.pool.run(ph.slots, func(slot, worker int) { ph.run(slot, e.scratch[worker]) })
	}
	return nil
}

// Output copies an output of the last run.
func (e *executable) Output(i int, dst []float32) error {
	v := e.program.Outputs[i]
	if len(dst) != len(e.floats[v]) {
		return fmt.Errorf("room for %d elements, want %d for shape %v", len(dst), len(e.floats[v]), e.program.Values[v].Shape)
	}
	copy(dst, e.floats[v])
	return nil
}

// Close lets go of the memory.
func (e *executable) Close() error {
	*e = executable{dev: e.dev, program: e.program}
	return nil
}
