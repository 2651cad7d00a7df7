package ops

import (
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// The functions on rows between the two Linear of squeeze-excitation and behind them.

// RowReLU is max(0, x) on rows [n, k].
type RowReLU struct{}

// Inputs are the rows.
func (RowReLU) Inputs() []Operand { return []Operand{float(2)} }

// Output is the rectified rows.
func (RowReLU) Output() Operand { return float(2) }

// Shape is that of the input.
func (RowReLU) Shape(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }

// Gradient is RowReLUGrad.
func (RowReLU) Gradient(_ gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	return gradients(with(RowReLUGrad{}, out, grad))
}

// Reference computes max(0, x); not-a-number stays.
func (RowReLU) Reference(in []Array, out Array) { ReLU{}.Reference(in, out) }

// RowReLUGrad passes the output gradient on where the output is not zero.
type RowReLUGrad struct{ noGradient }

// Inputs are output and output gradient.
func (RowReLUGrad) Inputs() []Operand { return []Operand{constant(2), constant(2)} }

// Output is the gradient by the input.
func (RowReLUGrad) Output() Operand { return constant(2) }

// Shape checks that output and gradient agree.
func (RowReLUGrad) Shape(in []tensor.Shape) (tensor.Shape, error) { return same(in) }

// Reference computes the gradient.
func (RowReLUGrad) Reference(in []Array, out Array) { ReLUGrad{}.Reference(in, out) }

// Sigmoid is 1/(1+exp(-x)) on rows [n, k].
type Sigmoid struct{}

// Inputs are the rows.
func (Sigmoid) Inputs() []Operand { return []Operand{float(2)} }

// Output is the rows between 0 and 1.
func (Sigmoid) Output() Operand { return float(2) }

// Shape is that of the input.
func (Sigmoid) Shape(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }

// Gradient is SigmoidGrad.
func (Sigmoid) Gradient(_ gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	return gradients(with(SigmoidGrad{}, out, grad))
}

// Reference computes the function.
func (Sigmoid) Reference(in []Array, out Array) {
	for i, x := range in[0].Data {
		out.Data[i] = 1 / (1 + math.Exp(-x))
	}
}

// SigmoidGrad is the gradient of a sigmoid with output y: y (1 - y) times the output gradient.
type SigmoidGrad struct{ noGradient }

// Inputs are output and output gradient.
func (SigmoidGrad) Inputs() []Operand { return []Operand{constant(2), constant(2)} }

// Output is the gradient by the input.
func (SigmoidGrad) Output() Operand { return constant(2) }

// Shape checks that output and gradient agree.
func (SigmoidGrad) Shape(in []tensor.Shape) (tensor.Shape, error) { return same(in) }

// Reference computes the gradient.
func (SigmoidGrad) Reference(in []Array, out Array) {
	for i, y := range in[0].Data {
		out.Data[i] = y * (1 - y) * in[1].Data[i]
	}
}
