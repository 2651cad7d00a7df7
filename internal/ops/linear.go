package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Linear is the classifier: features [n, f], weights [k, f] and bias [k] give logits [n, k].
type Linear struct{}

// Inputs are features, weights and bias.
func (Linear) Inputs() []Operand { return []Operand{float(2), float(2), float(1)} }

// Output is the logits.
func (Linear) Output() Operand { return float(2) }

// Shape checks that features, weights and bias agree.
func (Linear) Shape(in []tensor.Shape) (tensor.Shape, error) {
	x, w, b := in[0], in[1], in[2]
	if x[1] != w[1] {
		return nil, fmt.Errorf("features %v have %d columns, weights %v expect %d", x, x[1], w, w[1])
	}
	if b[0] != w[0] {
		return nil, mismatch("length of the bias", b[0], w[0])
	}
	return tensor.Shape{x[0], w[0]}, nil
}

// Gradient gives the gradients by features, weights and bias.
func (Linear) Gradient(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	return gradients(
		with(MatMul{}, grad, in[1]),
		with(MatMul{TransposeA: true}, grad, in[0]),
		with(SumRows{}, grad))
}

// Reference computes x w^T + b.
func (Linear) Reference(in []Array, out Array) {
	x, w, b := in[0], in[1], in[2]
	f, k := w.Shape[1], w.Shape[0]
	for i := range out.Data {
		sum := b.Data[i%k]
		for j := range f {
			sum += x.Data[i/k*f+j] * w.Data[i%k*f+j]
		}
		out.Data[i] = sum
	}
}

// MatMul is the matrix product a b, or a^T b. The gradients of Linear are such products.
type MatMul struct {
	noGradient
	TransposeA bool
}

// Inputs are the factors.
func (MatMul) Inputs() []Operand { return []Operand{constant(2), constant(2)} }

// Output is the product.
func (MatMul) Output() Operand { return constant(2) }

// Shape checks the inner extent.
func (k MatMul) Shape(in []tensor.Shape) (tensor.Shape, error) {
	m, inner := in[0][0], in[0][1]
	if k.TransposeA {
		m, inner = inner, m
	}
	if inner != in[1][0] {
		return nil, fmt.Errorf("matrices %v and %v do not fit: inner extents are %d and %d", in[0], in[1], inner, in[1][0])
	}
	return tensor.Shape{m, in[1][1]}, nil
}

// Reference computes the product.
func (k MatMul) Reference(in []Array, out Array) {
	a, b := in[0], in[1]
	n := b.Shape[1]
	for i := range a.Data {
		row, col := i/a.Shape[1], i%a.Shape[1]
		if k.TransposeA {
			row, col = col, row
		}
		for j := range n {
			out.Data[row*n+j] += a.Data[i] * b.Data[col*n+j]
		}
	}
}

// SumRows is the sum of a matrix [n, k] over its rows, [k].
type SumRows struct{ noGradient }

// Inputs are the matrix.
func (SumRows) Inputs() []Operand { return []Operand{constant(2)} }

// Output is the sums.
func (SumRows) Output() Operand { return constant(1) }

// Shape is [k].
func (SumRows) Shape(in []tensor.Shape) (tensor.Shape, error) { return tensor.Shape{in[0][1]}, nil }

// Reference computes the sums.
func (SumRows) Reference(in []Array, out Array) {
	for i, x := range in[0].Data {
		out.Data[i%len(out.Data)] += x
	}
}
