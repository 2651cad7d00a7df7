package ops

import (
	"gorgonia.org/tensor"
)

// Momentum is the first half of a step of stochastic gradient descent with weight decay, on parameters of any shape
// given as Dims: velocity, parameters and gradient give the new velocity, Momentum velocity + gradient + Decay parameters.
type Momentum struct {
	updating
	Dims            int
	Momentum, Decay float64
}

// Inputs are velocity, parameters and gradient.
func (k Momentum) Inputs() []Operand {
	return []Operand{constant(k.Dims), constant(k.Dims), constant(k.Dims)}
}

// Output is the new velocity.
func (k Momentum) Output() Operand { return constant(k.Dims) }

// Shape checks that all agree.
func (k Momentum) Shape(in []tensor.Shape) (tensor.Shape, error) {
	if _, err := same(in[:2]); err != nil {
		return nil, err
	}
	return same(in[1:])
}

// Reference computes the new velocity.
func (k Momentum) Reference(in []Array, out Array) {
	for i, v := range in[0].Data {
		out.Data[i] = k.Momentum*v + in[2].Data[i] + k.Decay*in[1].Data[i]
	}
}

// Descend is the second half: parameters, velocity and learning rate [1] give parameters - rate velocity.
type Descend struct {
	updating
	Dims int
}

// Inputs are parameters, velocity and learning rate.
func (k Descend) Inputs() []Operand {
	return []Operand{constant(k.Dims), constant(k.Dims), constant(1)}
}

// Output is the new parameters.
func (k Descend) Output() Operand { return constant(k.Dims) }

// Shape checks that parameters and velocity agree.
func (k Descend) Shape(in []tensor.Shape) (tensor.Shape, error) {
	if in[2][0] != 1 {
		return nil, mismatch("number of learning rates", in[2][0], 1)
	}
	return same(in)
}

// Reference computes the new parameters.
func (k Descend) Reference(in []Array, out Array) {
	for i, w := range in[0].Data {
		out.Data[i] = w - in[2].Data[0]*in[1].Data[i]
	}
}
