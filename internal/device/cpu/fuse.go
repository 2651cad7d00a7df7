package cpu

import (
	"slices"

	"netadjust/internal/device"
	"netadjust/internal/device/cpu/kernel"
	"netadjust/internal/ops"
)

// The kinds of instructions that stand for one or several operations, each one pass over the data.

// normalize is what may stand between two convolutions: y = ReLU(BatchNorm(x) * mask + residual), each part only if it
// is there; the ReLU may be a ReLU6. One of x and residual may have fewer channels than y, and counts as zero in the
// others. Its inputs are x, the statistics, gamma and beta of the batch norm, the mask, and the residual. Its outputs
// are y and, where the gradient of the ReLU needs them, the signs of y: a bit for each element, set where it is not
// zero.
type normalize struct {
	norm             bool
	epsilon          float64
	masked, residual bool
	rectifier        kernel.Rectifier
}

// convolve is a convolution with what follows it in inference: y = ReLU(BatchNorm(conv(x)) * mask + residual), the last
// three only if they are there. Its inputs are x and the weights, the statistics, gamma and beta of the batch norm, a
// mask of channel dropout, and the residual, which may have fewer channels than y. Its outputs are y and, if there is a
// mask, BatchNorm(conv(x)).
type convolve struct {
	conv             ops.Conv2D
	epsilon          float64
	masked, residual bool
	rectifier        kernel.Rectifier
}

// depthwise is a depthwise convolution with what follows it in inference: y = ReLU(BatchNorm(conv(x))), the last only
// if it is there. Its inputs are x and the weights, the statistics, gamma and beta of the batch norm.
type depthwise struct {
	conv      ops.DepthwiseConv2D
	epsilon   float64
	rectifier kernel.Rectifier
}

// backReLU is the gradient of a ReLU or ReLU6. Its inputs are signs and output gradient.
type backReLU struct{}

// backStats is the way back into a batch norm: dz = [y > 0] (dx + dr), where dr is the gradient that comes by a shortcut,
// and the gradients of the batch norm by gamma and beta, which are sums of dz * mask. The batch norm may have fewer
// channels than dz, and dz fewer than dr if there are signs. Its inputs are the images and statistics of the batch norm,
// dx, the signs of y, dr, and the mask; its outputs are dz and the gradients by gamma and beta.
type backStats struct {
	epsilon                   float64
	rectified, summed, masked bool
}

// backNorm is the gradient of a batch norm by its images, where a mask comes behind it. The output gradient, before the
// mask, may have more channels than the images. Its inputs are those of the operation, and the mask.
type backNorm struct{ ops.BatchNormGradInput }

// sgd is a whole step of gradient descent for one parameter. Its inputs are velocity, parameter, gradient and learning
// rate, its outputs the new velocity and parameter in the same places.
type sgd struct{ ops.Momentum }

// updates tells whether an instruction writes state.
func updates(op any) bool {
	if _, ok := op.(sgd); ok {
		return true
	}
	k, ok := op.(ops.Kind)
	return ok && ops.Updates(k)
}

// fuse makes instructions of a program's steps. Signs are values of their own: the i-th of them, which belongs to value
// signs[i], comes after the program's values.
func fuse(p *device.Program) (list []instruction, signs []int) {
	f := fuser{program: p, values: len(p.Values), uses: make([]int, len(p.Values))}
	for _, s := range p.Steps {
		f.list = append(f.list, instruction{s.Op, slices.Clone(s.In), []int{s.Out}})
		for _, v := range s.In {
			f.uses[v]++
		}
	}
	for _, v := range p.Outputs {
		f.uses[v]++ // an output has to be there by itself
	}
	f.takeSigns()
	f.forward()
	f.fold()
	f.widen()
	f.backward()
	f.descend()
	return slices.DeleteFunc(f.list, func(i instruction) bool { return i.op == nil }), f.signs
}

type fuser struct {
	program *device.Program
	list    []instruction
	values  int
	uses    []int // readers of each value
	signs   []int
}

// producer returns the instruction whose first output is v, nil for inputs and state.
func (f *fuser) producer(v int) *instruction {
	i := slices.IndexFunc(f.list, func(i instruction) bool { return i.op != nil && i.out[0] == v })
	if i < 0 {
		return nil
	}
	return &f.list[i]
}

// takeSigns lets gradients of ReLUs read signs instead of the output itself.
func (f *fuser) takeSigns() {
	for i := range f.list {
		s := &f.list[i]
		y := s.in[0]
		switch s.op.(type) {
		case ops.ReLUGrad, ops.ReLU6Grad:
		default:
			continue
		}
		from := f.producer(y)
		if from == nil || rectifierOf(from.op) == kernel.Linear {
			continue
		}
		if len(from.out) == 1 {
			from.out = append(from.out, f.values+len(f.signs))
			f.signs = append(f.signs, y)
			f.uses = append(f.uses, 0)
		}
		s.op, s.in[0] = backReLU{}, from.out[1]
		f.uses[y]--
		f.uses[s.in[0]]++
	}
}

// forward merges batch norm, mask, residual sum and ReLU into the last of them.
func (f *fuser) forward() {
	for i := range f.list {
		s := &f.list[i]
		switch k := s.op.(type) {
		case ops.BatchNorm:
			s.op = normalize{norm: true, epsilon: k.Epsilon}
		case ops.ScaleChannels:
			// A dropout mask is not negative, so it may come before the ReLU as well as after it.
			drop := f.dropped(s.in[1])
			f.extend(s, 0, func(n normalize) bool {
				return !n.masked && !n.residual && (n.rectifier == kernel.Linear || n.rectifier == kernel.ReLU && drop)
			}, func(n *normalize) { n.masked = true })
		case ops.Add:
			side := 0
			if !f.canTake(s.in[0], addable) {
				side = 1
			}
			f.extend(s, side, addable, func(n *normalize) { n.residual = true })
		case ops.ReLU, ops.ReLU6:
			f.extend(s, 0, func(n normalize) bool { return n.rectifier == kernel.Linear },
				func(n *normalize) { n.rectifier = rectifierOf(k) })
		}
	}
}

// rectifierOf is the rectifier that an operation applies.
func rectifierOf(op any) kernel.Rectifier {
	switch op.(type) {
	case ops.ReLU:
		return kernel.ReLU
	case ops.ReLU6:
		return kernel.ReLU6
	}
	return kernel.Linear
}

// dropped tells whether v is a dropout mask.
func (f *fuser) dropped(v int) bool {
	from := f.producer(v)
	if from == nil {
		return false
	}
	_, ok := from.op.(ops.DropMask)
	return ok
}

func addable(n normalize) bool { return !n.residual && n.rectifier == kernel.Linear }

// canTake tells whether v comes from a normalize that fits and that nothing else reads.
func (f *fuser) canTake(v int, fits func(normalize) bool) bool {
	from := f.producer(v)
	if from == nil || f.uses[v] != 1 {
		return false
	}
	n, ok := from.op.(normalize)
	return ok && fits(n)
}

// extend makes s a normalize that adds something to what gives its operand, if that fits, or to the operand itself.
func (f *fuser) extend(s *instruction, operand int, fits func(normalize) bool, add func(*normalize)) {
	var n normalize
	in := []int{s.in[operand]}
	if f.canTake(s.in[operand], fits) {
		from := f.producer(s.in[operand])
		n, in = from.op.(normalize), slices.Clone(from.in)
		s.out = append(s.out, from.out[1:]...)
		from.op = nil
	}
	add(&n)
	s.op, s.in = n, append(in, slices.Delete(slices.Clone(s.in), operand, operand+1)...)
}

// fold merges convolutions with the batch norm behind them where nothing else reads what they give. In training the
// statistics do.
func (f *fuser) fold() {
	for i := range f.list {
		s := &f.list[i]
		n, ok := s.op.(normalize)
		if !ok || !n.norm || len(s.out) > 1 {
			continue
		}
		c := f.producer(s.in[0])
		if c == nil || f.uses[s.in[0]] != 1 {
			continue
		}
		switch k := c.op.(type) {
		case ops.Conv2D:
			if n.masked && (!f.dropped(s.in[4]) || n.rectifier == kernel.ReLU6) {
				continue
			}
			s.op = convolve{k, n.epsilon, n.masked, n.residual, n.rectifier}
			if n.masked {
				s.out = append(s.out, s.in[0])
			}
			s.in = append(slices.Clone(c.in), s.in[1:]...)
			c.op = nil
		case ops.DepthwiseConv2D:
			if !n.residual && !n.masked {
				s.op = depthwise{conv: k, epsilon: n.epsilon, rectifier: n.rectifier}
				s.in = append(slices.Clone(c.in), s.in[1:]...)
				c.op = nil
			}
		}
	}
}

// widen lets residual sums read what is padded with channels of zeros without the padding, and merges the batch norm
// before it. Only one operand of a sum is padded, or it would have no channel in the last ones.
func (f *fuser) widen() {
	for i := range f.list {
		s := &f.list[i]
		last := len(s.in) - 1
		if k, ok := s.op.(convolve); ok && k.residual {
			s.in[last], _ = f.narrow(s.in[last], true)
			continue
		}
		n, ok := s.op.(normalize)
		if !ok || !n.residual {
			continue
		}
		var padded bool
		if s.in[last], padded = f.narrow(s.in[last], true); padded && n == (normalize{residual: true, rectifier: n.rectifier}) {
			s.in[0], s.in[last] = s.in[last], s.in[0]
		} else if !padded && !n.norm && !n.masked {
			s.in[0], padded = f.narrow(s.in[0], true)
		}
		if !padded || n.norm || n.masked || !f.canTake(s.in[0], addable) {
			continue
		}
		from := f.producer(s.in[0])
		merged := from.op.(normalize)
		merged.residual, merged.rectifier = true, n.rectifier
		s.op, s.in = merged, append(slices.Clone(from.in), s.in[last])
		from.op = nil
	}
}

// narrow returns what v is padded from with channels of zeros, or cut from, and removes the padding or the cut, if
// nothing else reads v; otherwise v.
func (f *fuser) narrow(v int, padded bool) (int, bool) {
	from := f.producer(v)
	if from == nil || f.uses[v] != 1 {
		return v, false
	}
	k, ok := from.op.(ops.ChannelWindow)
	if !ok || k.Offset != 0 || padded == f.isCut(from) {
		return v, false
	}
	from.op = nil
	return from.in[0], true
}

// backward merges the gradients by gamma and beta with what gives the output gradient that they sum up.
func (f *fuser) backward() {
	for i := range f.list {
		if scale, ok := f.list[i].op.(ops.BatchNormGradScale); ok {
			f.backThrough(scale.Epsilon, i)
		}
	}
}

// backThrough merges the sums of the batch norm whose gradient by gamma is instruction i. A mask between them and what
// gives the output gradient becomes a factor of the sums, and channels that a padding cut off are left out.
func (f *fuser) backThrough(epsilon float64, i int) {
	x, stats, d := f.list[i].in[0], f.list[i].in[1], f.list[i].in[2]
	shift := slices.IndexFunc(f.list, func(s instruction) bool {
		_, ok := s.op.(ops.BatchNormGradShift)
		return ok && s.in[0] == d
	})
	grad := slices.IndexFunc(f.list, func(s instruction) bool {
		_, ok := s.op.(ops.BatchNormGradInput)
		return ok && s.in[0] == x && s.in[5] == d
	})
	if shift < 0 {
		return
	}
	dz, mask := d, -1
	var gone []*instruction
	pass := func(from *instruction) { dz, gone = from.in[0], append(gone, from) }
	from, alone := f.producer(d), grad >= 0 && f.uses[d] == 3
	if alone && isMask(from) {
		mask = from.in[1]
		pass(from)
		from, alone = f.producer(dz), f.uses[dz] == 1
	}
	if alone && f.isCut(from) {
		pass(from)
		from = f.producer(dz)
	}
	if from == nil || len(from.out) > 1 {
		return
	}
	k := backStats{epsilon: epsilon}
	in := []int{x, stats}
	sum := from
	if _, ok := from.op.(backReLU); ok {
		k.rectified = true
		bits, dx := from.in[0], from.in[1]
		if m := f.producer(dx); alone && dz == d && isMask(m) && f.uses[dx] == 1 {
			dx, mask, gone = m.in[0], m.in[1], append(gone, m)
		}
		in = append(in, dx, bits)
		if sum = f.producer(dx); isSum(sum) && f.uses[dx] == 1 {
			gone = append(gone, sum)
		} else {
			sum = nil
		}
	} else if !isSum(from) {
		return
	}
	if sum != nil {
		k.summed = true
		dx, dr := sum.in[1], sum.in[0] // if one has fewer channels, it is the first
		if k.rectified {
			dx, _ = f.narrow(dx, false)
			dr, _ = f.narrow(dr, false)
		}
		in = append(append([]int{x, stats, dx}, in[min(3, len(in)):]...), dr)
	}
	if mask >= 0 {
		k.masked = true
		in = append(in, mask)
		f.list[grad].op = backNorm{f.list[grad].op.(ops.BatchNormGradInput)}
		f.list[grad].in = append(slices.Clone(f.list[grad].in), mask)
	}
	if grad >= 0 {
		f.list[grad].in[5] = dz
	}
	for _, s := range gone {
		s.op = nil
	}
	*from = instruction{k, in, []int{dz, f.list[i].out[0], f.list[shift].out[0]}}
	f.list[i].op, f.list[shift].op = nil, nil
}

// isSum tells whether an instruction adds two values and does nothing else.
func isSum(i *instruction) bool { return i != nil && i.op == normalize{residual: true} }

// isMask tells whether an instruction scales channels and does nothing else.
func isMask(i *instruction) bool { return i != nil && i.op == normalize{masked: true} }

// isCut tells whether an instruction takes the first channels.
func (f *fuser) isCut(i *instruction) bool {
	if i == nil {
		return false
	}
	k, ok := i.op.(ops.ChannelWindow)
	return ok && k.Offset == 0 && k.Count <= f.program.Values[i.in[0]].Shape[1]
}

// descend merges both halves of a step of gradient descent.
func (f *fuser) descend() {
	for i := range f.list {
		s := &f.list[i]
		if _, ok := s.op.(ops.Descend); !ok {
			continue
		}
		m := f.producer(s.in[1])
		if m == nil || f.uses[s.in[1]] != 1 {
			continue
		}
		if k, ok := m.op.(ops.Momentum); ok && m.in[1] == s.in[0] {
			s.op, s.in, s.out = sgd{k}, append(slices.Clone(m.in), s.in[2]), []int{m.out[0], s.out[0]}
			m.op = nil
		}
	}
}
