// Package ops defines the operations that networks are made of, as gorgonia operations with symbolic derivatives.
//
// They are coarse: one operation is one kernel of a device. Each has shape inference with errors that name what does not
// fit, its derivative as further operations of this package, and a reference implementation in plain float64 loops that
// every device is tested against. Images are laid out [batch, channels, height, width].
package ops

import (
	"fmt"
	"hash"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Kind describes one operation: its type says what is computed, its fields are the attributes. Kinds are comparable.
type Kind interface {
	// Inputs lists the operands in order.
	Inputs() []Operand
	// Output is what the operation returns.
	Output() Operand
	// Shape gives the shape of the output, or says which input does not fit. The inputs have the right number of
	// dimensions.
	Shape(in []tensor.Shape) (tensor.Shape, error)
	// Gradient returns, for every input, the derivative of the cost, given that of the output; nil where Inputs says
	// that there is none.
	Gradient(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error)
	// Reference computes out from in. An updating operation's out is the new content of its first input.
	Reference(in []Array, out Array)
}

// Operand is the type of an input or output.
type Operand struct {
	Dims           int
	Element        Element
	Differentiable bool // the cost may be differentiated with respect to it
}

// Element is the type of a tensor's elements.
type Element int

const (
	Float Element = iota // float32 on devices, float64 in gradient checks
	Byte                 // uint8, pixels
	Word                 // uint32, indices and keys of random numbers
)

func (e Element) hmType() hm.Type {
	switch e {
	case Byte:
		return tensor.Uint8
	case Word:
		return tensor.Uint32
	}
	return hm.TypeVariable('a')
}

// Array is a dense tensor of the reference implementation, last dimension fastest.
type Array struct {
	Shape []int
	Data  []float64
}

// float and friends abbreviate the operands of this package's kinds.
func float(dims int) Operand    { return Operand{Dims: dims, Differentiable: true} }
func constant(dims int) Operand { return Operand{Dims: dims} }
func words(dims int) Operand    { return Operand{Dims: dims, Element: Word} }

// noGradient is embedded by kinds that the cost is never differentiated through; gradients are among them, since no
// second derivatives are taken.
type noGradient struct{}

func (noGradient) Gradient(in gorgonia.Nodes, _, _ *gorgonia.Node) (gorgonia.Nodes, error) {
	return make(gorgonia.Nodes, len(in)), nil
}

// updating is embedded by kinds whose output replaces the content of their first input.
type updating struct{ noGradient }

func (updating) updates() {}

// Updates tells whether the output of k replaces the content of its first input.
func Updates(k Kind) bool {
	_, ok := k.(interface{ updates() })
	return ok
}

// Apply adds the operation k on the given inputs to their graph.
func Apply(k Kind, in ...*gorgonia.Node) (*gorgonia.Node, error) {
	shapes := make([]tensor.Shape, len(in))
	for i, n := range in {
		shapes[i] = n.Shape()
	}
	if _, err := InferShape(k, shapes); err != nil {
		return nil, err
	}
	return gorgonia.ApplyOp(Op{k}, in...)
}

// InferShape checks the shapes of the inputs and returns that of the output.
func InferShape(k Kind, in []tensor.Shape) (tensor.Shape, error) {
	want := k.Inputs()
	if len(in) != len(want) {
		return nil, fmt.Errorf("%s: %d inputs, want %d", Name(k), len(in), len(want))
	}
	for i, s := range in {
		if s.Dims() != want[i].Dims {
			return nil, fmt.Errorf("%s: input %d has shape %v, want %d dimensions", Name(k), i, s, want[i].Dims)
		}
		if slices.Min(append([]int{1}, s...)) < 1 {
			return nil, fmt.Errorf("%s: input %d has shape %v, every dimension must be at least 1", Name(k), i, s)
		}
	}
	s, err := k.Shape(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Name(k), err)
	}
	return s, nil
}

// Name is the operation with its attributes, as in Conv2D{Stride:2 Pad:1}.
func Name(k Kind) string {
	return withoutEmbedded.Replace(strings.TrimPrefix(fmt.Sprintf("%T%+v", k, k), "ops."))
}

var withoutEmbedded = strings.NewReplacer("noGradient:{} ", "", "noGradient:{}", "", "updating:{noGradient:{}} ", "",
	"updating:{noGradient:{}}", "")

// Op makes a Kind an operation of gorgonia.
type Op struct{ Kind }

var _ gorgonia.SDOp = Op{}

// Arity returns the number of inputs.
func (o Op) Arity() int { return len(o.Inputs()) }

// Type returns the operation's type for gorgonia's type inference.
func (o Op) Type() hm.Type {
	var types []hm.Type
	for _, x := range append(o.Inputs(), o.Output()) {
		var t hm.Type = x.Element.hmType()
		if x.Dims > 0 {
			t = gorgonia.TensorType{Dims: x.Dims, Of: t}
		}
		types = append(types, t)
	}
	return hm.NewFnType(types...)
}

// InferShape returns the shape of the output.
func (o Op) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	shapes, err := gorgonia.DimSizersToShapes(in)
	if err != nil {
		return nil, err
	}
	return InferShape(o.Kind, shapes)
}

// DiffWRT tells for which inputs there is a derivative.
func (o Op) DiffWRT(int) []bool {
	var d []bool
	for _, x := range o.Inputs() {
		d = append(d, x.Differentiable)
	}
	return d
}

// SymDiff returns the derivatives of the cost by the inputs.
func (o Op) SymDiff(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	return o.Gradient(in, out, grad)
}

// Do runs the reference implementation, in float64 whatever the element type of the values. An updating operation
// writes its first input and returns it.
func (o Op) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	arrays, shapes := make([]Array, len(in)), make([]tensor.Shape, len(in))
	element := tensor.Float64
	for i, v := range in {
		a, err := toArray(v)
		if err != nil {
			return nil, fmt.Errorf("%s: input %d: %w", Name(o.Kind), i, err)
		}
		arrays[i], shapes[i] = a, v.Shape()
		if v.Dtype() == tensor.Float32 {
			element = tensor.Float32
		}
	}
	shape, err := InferShape(o.Kind, shapes)
	if err != nil {
		return nil, err
	}
	out := Array{Shape: shape, Data: make([]float64, shape.TotalSize())}
	o.Reference(arrays, out)
	if Updates(o.Kind) {
		store(out.Data, in[0].Data())
		return in[0], nil
	}
	if shape.Dims() == 0 {
		if element == tensor.Float32 {
			return gorgonia.NewF32(float32(out.Data[0])), nil
		}
		return gorgonia.NewF64(out.Data[0]), nil
	}
	t := tensor.New(tensor.WithShape(shape...), tensor.Of(element))
	store(out.Data, t.Data())
	return t, nil
}

func toArray(v gorgonia.Value) (Array, error) {
	a := Array{Shape: v.Shape()}
	switch d := v.Data().(type) {
	case []float64:
		a.Data = d
	case []float32:
		a.Data = widen(d)
	case []uint8:
		a.Data = widen(d)
	case []uint32:
		a.Data = widen(d)
	case float64:
		a.Data = []float64{d}
	case float32:
		a.Data = []float64{float64(d)}
	default:
		return a, fmt.Errorf("elements of type %T are not supported", d)
	}
	return a, nil
}

func widen[T float32 | uint8 | uint32](d []T) []float64 {
	w := make([]float64, len(d))
	for i, x := range d {
		w[i] = float64(x)
	}
	return w
}

func store(from []float64, to any) {
	switch d := to.(type) {
	case []float64:
		copy(d, from)
	case []float32:
		for i, x := range from {
			d[i] = float32(x)
		}
	}
}

// ReturnsPtr tells gorgonia that values are passed by reference.
func (o Op) ReturnsPtr() bool { return true }

// CallsExtern tells gorgonia that no foreign code is called.
func (o Op) CallsExtern() bool { return false }

// OverwritesInput returns the input that the output replaces, or -1.
func (o Op) OverwritesInput() int {
	if Updates(o.Kind) {
		return 0
	}
	return -1
}

// WriteHash makes operations with equal attributes equal for gorgonia.
func (o Op) WriteHash(h hash.Hash) { fmt.Fprint(h, o.String()) }

// Hashcode is the hash of the name with attributes.
func (o Op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// String is the name with attributes.
func (o Op) String() string { return Name(o.Kind) }

// gradients applies one kind for each differentiable input.
func gradients(apply ...func() (*gorgonia.Node, error)) (gorgonia.Nodes, error) {
	out := make(gorgonia.Nodes, len(apply))
	for i, f := range apply {
		if f == nil {
			continue
		}
		n, err := f()
		if err != nil {
			return nil, err
		}
		out[i] = n
	}
	return out, nil
}

// with delays Apply, for gradients.
func with(k Kind, in ...*gorgonia.Node) func() (*gorgonia.Node, error) {
	return func() (*gorgonia.Node, error) { return Apply(k, in...) }
}

// mismatch is the error for two shapes that do not belong together.
func mismatch(what string, got, want any) error {
	return fmt.Errorf("%s is %v, want %v", what, got, want)
}
