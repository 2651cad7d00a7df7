package gpu

import (
	"netadjust/internal/device/gpu/kernels"
)

// stats appends the statistics of a batch norm.
func (p *planner) stats(x, y operand) error {
	shape := p.values[x].shape
	ch, n := shape[1], p.values[x].size()/shape[1]
	count, span := split(n)
	parts := operand(p.add("parts of statistics", ch, count, 2))
	text := func(name string) kernel { return ofNorm(name, shape) }
	if err := p.call(text("stats_parts"), [3]int{count, ch, 1}, x, parts, ch, n, span, count); err != nil {
		return err
	}
	return p.each(text("stats"), ch, x, parts, y, ch, n, count)
}

// apply appends what stands behind a convolution.
func (p *planner) apply(k apply, s instruction) error {
	rest := s.in
	take := func(there bool) operand {
		if !there {
			return absent
		}
		v := rest[0]
		rest = rest[1:]
		return operand(v)
	}
	size := func(v operand) int {
		if v == absent {
			return 0
		}
		return p.values[v].size()
	}
	x := take(true)
	stats, gamma, beta := take(k.normed), take(k.normed), take(k.normed)
	factors, residual, y := take(k.factored), take(k.added), operand(s.out[0])
	shape := p.values[y].shape
	image := size(y) / shape[0]
	return p.each(ofNorm("apply", shape), size(y), x, stats, gamma, beta, factors, residual,
		y, shape[1], size(y), size(x), size(residual), max(p.plain, 1)*image, k.first*shape[1], size(factors), k.normed,
		k.added, k.rectified, k.epsilon, k.top)
}

// sums appends the way back into a batch norm, or the sum of all values of each channel.
func (p *planner) sums(k sums, in, out []int) error {
	rest := in
	take := func(there bool) operand {
		if !there {
			return absent
		}
		v := rest[0]
		rest = rest[1:]
		return operand(v)
	}
	x, stats, dy := take(k.centred), take(k.centred), take(true)
	more, y := take(k.added), take(k.rectified)
	dgamma, dbeta, dz := operand(out[0]), operand(out[1]), operand(out[2])
	shape := p.values[dy].shape
	ch, n := shape[1], p.values[dy].size()/shape[1]
	if dbeta == absent {
		dbeta = operand(p.add("sums", ch))
	}
	count, span := split(n)
	parts := operand(p.add("parts of sums", ch, count, 2))
	text := func(name string) kernel { return ofNorm(name, shape) }
	err := p.call(text("sums_parts"), [3]int{count, ch, 1}, x, stats, dy, more, y, dz, parts, ch, n, span, count,
		k.centred, k.added, k.rectified, k.top)
	if err != nil {
		return err
	}
	return p.each(text("sums"), ch, parts, stats, dgamma, dbeta, ch, count, k.centred, k.epsilon)
}

// concat appends a copy for each map.
func (p *planner) concat(s instruction) error {
	shape := p.values[s.out[0]].shape
	offset := 0
	for _, v := range s.in {
		x := &p.values[v]
		err := p.each(ofPlanes("place"), x.size(), operand(v), operand(s.out[0]), x.shape[1], shape[1], offset, area(shape),
			x.size())
		if err != nil {
			return err
		}
		offset += x.shape[1]
	}
	return nil
}

// crossEntropy appends the losses of all rows of logits, or their gradient, by the named kernel, whose last parameters
// follow.
func (p *planner) crossEntropy(s instruction, name string, y operand, gradient bool, more ...any) error {
	rows, k := p.values[s.in[0]].shape[0], p.values[s.in[0]].shape[1]
	parameters := append([]any{operand(s.in[0]), operand(s.in[1]), y, k, gradient, float64(rows)}, more...)
	return p.call(kernel{kernels.Loss, name, planeThreads, nil}, [3]int{rows, 1, 1}, parameters...)
}
