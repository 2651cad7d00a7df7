package ops

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"slices"
)

// ReLU is max(0, x) on images.
type ReLU struct{}

// Inputs are the images.
func (ReLU) Inputs() []Operand { return []Operand{float(4)} }

// Output is the rectified images.
func (ReLU) Output() Operand { return float(4) }

// Shape is that of the input.
func (ReLU) Shape(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }

// Gradient is ReLUGrad.
func (ReLU) Gradient(_ gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	return gradients(with(ReLUGrad{}, out, grad))
}

// Reference computes max(0, x); not-a-number stays.
func (ReLU) Reference(in []Array, out Array) {
	for i, x := range in[0].Data {
		out.Data[i] = max(0, x)
	}
}

// ReLUGrad passes the output gradient on where the output is not zero.
type ReLUGrad struct{ noGradient }

// Inputs are output and output gradient.
func (ReLUGrad) Inputs() []Operand { return []Operand{constant(4), constant(4)} }

// Output is the gradient by the input.
func (ReLUGrad) Output() Operand { return constant(4) }

// Shape checks that output and gradient agree.
func (ReLUGrad) Shape(in []tensor.Shape) (tensor.Shape, error) { return same(in) }

// Reference computes the gradient.
func (ReLUGrad) Reference(in []Array, out Array) {
	for i, y := range in[0].Data {
		if y != 0 {
			out.Data[i] = in[1].Data[i]
		}
	}
}

// ReLU6 is min(max(0, x), 6) on images, the rectifier of MobileNets.
type ReLU6 struct{}

// Inputs are the images.
func (ReLU6) Inputs() []Operand { return []Operand{float(4)} }

// Output is the rectified images.
func (ReLU6) Output() Operand { return float(4) }

// Shape is that of the input.
func (ReLU6) Shape(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }

// Gradient is ReLU6Grad.
func (ReLU6) Gradient(_ gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	return gradients(with(ReLU6Grad{}, out, grad))
}

// Reference computes min(max(0, x), 6); not-a-number stays.
func (ReLU6) Reference(in []Array, out Array) {
	for i, x := range in[0].Data {
		out.Data[i] = min(max(0, x), 6)
	}
}

// ReLU6Grad passes the output gradient on where the output is neither 0 nor 6.
type ReLU6Grad struct{ noGradient }

// Inputs are output and output gradient.
func (ReLU6Grad) Inputs() []Operand { return []Operand{constant(4), constant(4)} }

// Output is the gradient by the input.
func (ReLU6Grad) Output() Operand { return constant(4) }

// Shape checks that output and gradient agree.
func (ReLU6Grad) Shape(in []tensor.Shape) (tensor.Shape, error) { return same(in) }

// Reference computes the gradient.
func (ReLU6Grad) Reference(in []Array, out Array) {
	for i, y := range in[0].Data {
		if y != 0 && y != 6 {
			out.Data[i] = in[1].Data[i]
		}
	}
}

// Add is the sum of two images, the end of a residual block.
type Add struct{}

// Inputs are the two summands.
func (Add) Inputs() []Operand { return []Operand{float(4), float(4)} }

// Output is the sum.
func (Add) Output() Operand { return float(4) }

// Shape checks that both agree.
func (Add) Shape(in []tensor.Shape) (tensor.Shape, error) { return same(in) }

// Gradient is that of the sum, for both.
func (Add) Gradient(_ gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	return gorgonia.Nodes{grad, grad}, nil
}

// Reference computes the sum.
func (Add) Reference(in []Array, out Array) {
	for i, x := range in[0].Data {
		out.Data[i] = x + in[1].Data[i]
	}
}

func same(in []tensor.Shape) (tensor.Shape, error) {
	if !slices.Equal(in[1], in[0]) {
		return nil, mismatch("second shape", in[1], in[0])
	}
	return in[0], nil
}
