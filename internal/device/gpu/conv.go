package gpu

import (
	"netadjust/internal/device/gpu/kernels"
	"netadjust/internal/ops"
)

// pass is what a convolution kernel computes.
type pass int

// The passes, as the kernel's text numbers them.
const (
	forward pass = iota
	byInput
	byWeights
)

// geometry is what is compiled into kernels that go through windows.
type geometry struct{ hi, wi, ho, wo, kh, kw, stride, pad int }

// point is the geometry of a product of matrices.
var point = geometry{1, 1, 1, 1, 1, 1, 1, 0}

// geometryOf is that of a convolution of images x with weights w to y.
func geometryOf(k ops.Conv2D, x, w, y []int) geometry {
	return geometry{x[2], x[3], y[2], y[3], w[2], w[3], k.Stride, k.Pad}
}

func (g geometry) options() []string {
	return []string{
		define("HI", g.hi), define("WI", g.wi), define("HO", g.ho), define("WO", g.wo), define("KH", g.kh),
		define("KW", g.kw), define("STRIDE", g.stride), define("PAD", g.pad),
	}
}

// windows is a kernel of a text that knows the geometry.
func (g geometry) windows(text, name string) kernel {
	return kernel{text, name, windowThreads, g.options()}
}

// pool appends a kernel for pooling images x to y. Its last operand is what it gives.
func (p *planner) pool(name string, k ops.Window, x, y []int, operands ...any) error {
	n := p.values[operands[len(operands)-1].(operand)].size()
	args := append(operands, x[2], x[3], y[2], y[3], k.Size, k.Stride, k.Pad, n)
	return p.each(kernel{kernels.Pool, name, windowThreads, nil}, n, args...)
}

// groups is how many groups a sum over the inner dimension is split for: as many as fill the largest cards. It is the
// same on all cards, so that they add in the same order.
const groups = 512

// shortest is the least of the inner dimension that a part of a split sum has.
const shortest = 512

// conv appends one pass of a convolution with ci input and co output channels as the product of a and b.
func (p *planner) conv(pass pass, g geometry, a, b, c operand, batch, ci, co int) error {
	taps, in, out := g.kh*g.kw, batch*g.hi*g.wi, batch*g.ho*g.wo
	m, n, inner := co, out, ci*taps
	switch pass {
	case byInput:
		m, n, inner = ci, in, co*taps
	case byWeights:
		n, inner = ci*taps, out
	}
	t := p.dev.tileFor(m, n)
	parts, span := 1, inner
	if tiles := ceil(m, t.M) * ceil(n, t.N); pass == byWeights {
		parts = max(1, min(groups/tiles, inner/shortest))
		span = ceil(ceil(inner, parts), t.K) * t.K
		parts = ceil(inner, span)
	}
	target := c
	if parts > 1 {
		target = operand(p.add("parts of weight gradient", parts, m, n))
	}
	options := append([]string{define("PASS", int(pass))}, g.options()...)
	grid := [3]int{ceil(n, t.N), ceil(m, t.M), parts}
	args := []any{a, b, target, batch, ci, co, span}
	err := p.append(kernels.Conv(p.dev.tiles), options, "conv_"+t.Name(), grid, t.Threads(), args)
	if err != nil {
		return err
	}
	p.counted(int64(out) * int64(ci) * int64(co) * int64(taps))
	return p.sumParts(target, c, m*n, parts)
}

// sumParts adds up parts that are not yet where their sum belongs.
func (p *planner) sumParts(parts, y operand, n, count int) error {
	if parts == y {
		return nil
	}
	return p.each(ofElements("sum_parts"), n, parts, y, n, count)
}

// tileFor chooses the tile for a product of m x n: the one with the least to load and to multiply, padding included.
func (d *Device) tileFor(m, n int) kernels.Tile {
	if d.only > 0 {
		return d.tiles[d.only-1]
	}
	var best kernels.Tile
	least := 0
	for _, t := range d.tiles {
		const load = 8 // multiply-adds that loading an element costs
		cost := ceil(m, t.M) * ceil(n, t.N) * (t.M*t.N + load*(t.M+t.N))
		if least == 0 || cost < least {
			best, least = t, cost
		}
	}
	return best
}

// depthwiseByWeights appends the gradient of a depthwise convolution by its weights.
func (p *planner) depthwiseByWeights(g geometry, x, dy, dw operand, batch int) error {
	n, size := batch*g.ho*g.wo, p.values[dw].size()
	parts, span := split(n)
	target := dw
	if parts > 1 {
		target = operand(p.add("parts of weight gradient", parts, size))
	}
	text := g.windows(kernels.Depthwise, "depthwise_by_weights")
	if err := p.call(text, [3]int{size, parts, 1}, x, dy, target, p.values[dw].shape[0], n, span); err != nil {
		return err
	}
	p.counted(int64(n) * int64(size))
	return p.sumParts(target, dw, size, parts)
}

// split cuts a sum of n values into parts of the length span.
func split(n int) (parts, span int) {
	parts = min(ceil(n, 2048), 64)
	span = ceil(n, parts)
	return ceil(n, span), span
}
