package gpu

import (
	"slices"

	"netadjust/internal/device"
	"netadjust/internal/ops"
)

// instruction is one operation of a plan: a kind of package ops, or one of those below, which stand for several kinds
// in one pass over the data.
type instruction struct {
	op      any
	in, out []int
}

// absent is the operand that an instruction does not have.
const absent = -1

// apply is y = rectify(norm(x) * factors + residual), each part only if it is there. Its inputs are x, the statistics,
// gamma and beta of the batch norm, the factors, and the residual.
type apply struct {
	normed, factored, added, rectified bool
	epsilon                            float64
	top                                float64 // of the rectifier, 0 if there is none
	first                              int     // row of y that the first row of factors belongs to, see sweep
}

// sums is the way back into a batch norm: dz = [y is not cut] (dy + more) and the gradients by gamma and beta, which
// are sums of dz. Its inputs are the images and statistics of the batch norm if centred, dy, more if added, and y if
// rectified. Its outputs are dgamma if centred, dbeta, and dz if added or rectified, else absent.
type sums struct {
	centred, added, rectified bool
	epsilon, top              float64
}

// sgd is a whole step of gradient descent for one parameter. Its inputs are velocity, parameter, gradient and learning
// rate, its outputs the new velocity and parameter in the same places.
type sgd struct{ ops.Momentum }

// fuse makes instructions of a program's steps.
func fuse(p *device.Program) []instruction {
	f := fuser{uses: make([]int, len(p.Values)), from: make([]int, len(p.Values))}
	for v := range f.from {
		f.from[v] = -1
	}
	for i, s := range p.Steps {
		f.list = append(f.list, instruction{s.Op, slices.Clone(s.In), []int{s.Out}})
		f.from[s.Out] = i
		for _, v := range s.In {
			f.uses[v]++
		}
	}
	for _, v := range p.Outputs {
		f.uses[v]++ // an output has to be there by itself
	}
	for i := range f.list {
		f.forward(i)
	}
	for i := range f.list {
		f.backward(i)
	}
	for i := range f.list {
		f.descend(i)
	}
	return slices.DeleteFunc(f.list, func(i instruction) bool { return i.op == nil })
}

type fuser struct {
	list []instruction
	uses []int // readers of each value
	from []int // the instruction that gives each value, -1 for inputs and state
}

// producer returns the instruction that gives v, nil for inputs and state.
func (f *fuser) producer(v int) *instruction {
	if f.from[v] < 0 {
		return nil
	}
	return &f.list[f.from[v]]
}

// forward makes batch norms, factors, sums and rectifiers one apply, as far as they follow each other in that order and
// nothing else reads what is between them.
func (f *fuser) forward(i int) {
	s := &f.list[i]
	switch k := s.op.(type) {
	case ops.BatchNorm:
		s.op = apply{normed: true, epsilon: k.Epsilon}
	case ops.ScaleChannels:
		// A dropout mask is not negative, so it may come before a ReLU as well as after it.
		drop := f.producer(s.in[1])
		_, mask := opOf(drop).(ops.DropMask)
		f.extend(i, 0, func(a apply) bool {
			return !a.factored && !a.added && (!a.rectified || mask && a.top == 0)
		}, func(a *apply) { a.factored = true })
	case ops.Add:
		bare := func(a apply) bool { return !a.added && !a.rectified }
		side := 1
		if _, ok := f.open(s.in[1], bare); !ok {
			side = 0
		}
		f.extend(i, side, bare, func(a *apply) { a.added = true })
	case ops.ReLU, ops.RowReLU, ops.ReLU6:
		f.extend(i, 0, func(a apply) bool { return !a.rectified }, func(a *apply) { a.rectified, a.top = true, topOf(k) })
	}
}

func opOf(i *instruction) any {
	if i == nil {
		return nil
	}
	return i.op
}

// topOf is the upper bound of a rectifier, or of the one that a gradient belongs to.
func topOf(op any) float64 {
	switch op.(type) {
	case ops.ReLU6, ops.ReLU6Grad:
		return 6
	}
	return 0
}

// open returns the apply that gives v, if it fits and nothing else reads v.
func (f *fuser) open(v int, fits func(apply) bool) (apply, bool) {
	a, ok := opOf(f.producer(v)).(apply)
	return a, ok && f.uses[v] == 1 && fits(a)
}

// extend makes instruction i an apply that adds something to the one that gives its operand, if that fits, or to the
// operand itself.
func (f *fuser) extend(i, operand int, fits func(apply) bool, add func(*apply)) {
	s := &f.list[i]
	in := []int{s.in[operand]}
	a, ok := f.open(s.in[operand], fits)
	if ok {
		from := f.producer(s.in[operand])
		in, from.op = slices.Clone(from.in), nil
	} else {
		a = apply{}
	}
	add(&a)
	s.op, s.in = a, append(in, slices.Delete(slices.Clone(s.in), operand, operand+1)...)
}

// backward makes the gradients by gamma and beta of one output gradient one instruction, together with the rectifier
// and the sum that give it.
func (f *fuser) backward(i int) {
	s := &f.list[i]
	scale, ok := s.op.(ops.BatchNormGradScale)
	if !ok {
		return
	}
	dz := s.in[2]
	shift := slices.IndexFunc(f.list, func(s instruction) bool {
		_, ok := s.op.(ops.BatchNormGradShift)
		return ok && s.in[0] == dz
	})
	if shift < 0 {
		return
	}
	k := sums{centred: true, epsilon: scale.Epsilon}
	at, in := min(i, shift), []int{dz}
	from := f.producer(dz)
	switch op := opOf(from).(type) {
	case ops.ReLUGrad, ops.ReLU6Grad:
		y, dy := from.in[0], from.in[1]
		k.rectified, k.top, in = true, topOf(op), []int{dy, y}
		if sum := f.producer(dy); isSum(sum) && f.uses[dy] == 1 {
			k.added, in = true, []int{sum.in[0], sum.in[1], y}
			sum.op = nil
		}
	case apply:
		if isSum(from) {
			k.added, in = true, from.in
		}
	}
	out := []int{s.out[0], f.list[shift].out[0], absent}
	if k.added || k.rectified {
		at, out[2] = f.from[dz], dz
	}
	in = slices.Concat(s.in[:2], in)
	s.op, f.list[shift].op = nil, nil
	f.list[at] = instruction{k, in, out}
}

// isSum tells whether an instruction adds two values and does nothing else.
func isSum(i *instruction) bool { return opOf(i) == apply{added: true} }

// descend merges both halves of a step of gradient descent.
func (f *fuser) descend(i int) {
	s := &f.list[i]
	if _, ok := s.op.(ops.Descend); !ok || f.uses[s.in[1]] != 1 {
		return
	}
	m := f.producer(s.in[1])
	if k, ok := opOf(m).(ops.Momentum); ok && m.in[1] == s.in[0] {
		s.op, s.in, s.out = sgd{k}, append(slices.Clone(m.in), s.in[2]), []int{m.out[0], s.out[0]}
		m.op = nil
	}
}
