// Package device is what a machine that runs networks must offer: storage for state and compiled programs.
package device

import (
	"netadjust/internal/ops"
)

// Device runs programs. A device is used by one goroutine at a time.
type Device interface {
	// Info describes the device for records.
	Info() Info
	// NewTensor allocates zeroed state of the given shape: parameters and the like, shared by programs.
	NewTensor(shape []int) (Tensor, error)
	// Compile prepares a program to be run many times.
	Compile(p *Program) (Executable, error)
	// Close frees what the device holds. Its tensors and executables must not be used afterwards.
	Close() error
}

// Info says what a device is.
type Info struct {
	Name    string `json:"name"`    // as in --device: cpu
	Kernels string `json:"kernels"` // which kernels it runs, for numbers may differ between them
	Threads int    `json:"threads"`
}

// OutOfMemory is the error of a device that has not enough memory. What else runs there may be to blame.
type OutOfMemory struct{ Err error }

func (e *OutOfMemory) Error() string { return e.Err.Error() }
func (e *OutOfMemory) Unwrap() error { return e.Err }

// Tensor is state that lives on a device, logically [batch, channels, height, width] or less; how it is laid out is the
// device's own affair.
type Tensor interface {
	Shape() []int
	// Write sets all elements; src must have as many as the tensor.
	Write(src []float32) error
	// Read copies all elements to dst.
	Read(dst []float32) error
}

// Executable is a compiled program.
type Executable interface {
	// Run executes the program once. Inputs are in the program's order, as []float32, []uint8 or []uint32; a Loader may
	// stand for the []uint8 of images.
	Run(inputs []any) error
	// Output copies output i of a run to dst: of the last one, or of the one so many runs before it. A device whose runs
	// do not wait thus has work while the host reads what came before.
	Output(i, ago int, dst []float32) error
	// Kept is of how many runs outputs can be read, 1 or more.
	Kept() int
	// RunDropped executes the program without channel dropout, and then for every layer that has ops.DropMask, and for
	// each repeat 0, 1, …, with dropout in that layer alone, at its rate. The results are what Run gives with all other
	// rates zero and the repeat in the key, but for the rounding where a device adds bias and residual in another order.
	// It is for inference: no operation may sum over the batch, and every output has a row for each image.
	RunDropped(inputs []any, repeats int) error
	// OutputDropped copies output i of one of these runs to dst; layer -1 is the one without dropout.
	OutputDropped(i, layer, repeat int, dst []float32) error
	Close() error
}

// Loader gives the images of a batch one by one, when a device comes to them, so that preparing them is shared by what
// works on them.
type Loader interface {
	// Load returns the bytes of image i of the batch: in buffer, which has as many, or elsewhere if they are there already.
	// It is called once or more often for each image of a run, from any goroutine.
	Load(i int, buffer []uint8) []uint8
}

// Program is a straight list of operations on values, each assigned once.
type Program struct {
	Values  []Value
	Steps   []Step
	Inputs  []int // values handed in at each run
	Outputs []int // values that can be read after a run
}

// Value is an operand of a program's steps.
type Value struct {
	Name  string
	Shape []int
	Elem  ops.Element
	State Tensor // for state that outlives a run, else nil
}

// Size is the number of elements.
func (v Value) Size() int { return size(v.Shape) }

func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// Step computes Out from In. If the operation updates (ops.Updates), its result replaces the state In[0], and Out is the
// same storage.
type Step struct {
	Op  ops.Kind
	In  []int
	Out int
}

// Lifetimes returns, for every value that a step computes, the first and the last step that touch it: values with
// disjoint lifetimes can share memory. Outputs live to the end. For inputs and state first is -1.
func (p *Program) Lifetimes() (first, last []int) {
	first, last = make([]int, len(p.Values)), make([]int, len(p.Values))
	for i := range first {
		first[i], last[i] = -1, -1
	}
	for s, step := range p.Steps {
		if p.Values[step.Out].State == nil {
			first[step.Out], last[step.Out] = s, s
		}
		for _, v := range step.In {
			last[v] = s
		}
	}
	for _, v := range p.Outputs {
		last[v] = len(p.Steps)
	}
	return first, last
}
