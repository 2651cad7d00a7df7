package cpu

import (
	"netadjust/internal/device/cpu/kernel"
	"netadjust/internal/ops"
)

// stretch is a run of positions along an axis whose windows have the same extent, not clipped or clipped alike.
type stretch struct{ first, count, from, size int }

// stretches lists those of an axis, in order.
func stretches(k ops.Window, positions, extent int) []stretch {
	var list []stretch
	for p := range positions {
		lo, hi := k.Bounds(p, extent)
		last := len(list) - 1
		if last >= 0 && list[last].size == hi-lo && list[last].from+list[last].count*k.Stride == lo {
			list[last].count++
			continue
		}
		list = append(list, stretch{p, 1, lo, hi - lo})
	}
	return list
}

// block is a rectangle of positions whose windows have the same extents.
type block struct{ rows, cols stretch }

// blocks lists the blocks of a pooling of lx to ly.
func blocks(k ops.Window, lx, ly *layout) []block {
	var list []block
	for _, rows := range stretches(k, ly.h, lx.h) {
		for _, cols := range stretches(k, ly.w, lx.w) {
			list = append(list, block{rows, cols})
		}
	}
	return list
}

// corner is the plane p of an input from the first pixel of the block's windows in row r of the block on.
func (b *block) corner(p kernel.Plane, k ops.Window, r int) kernel.Windows {
	row := b.rows.from + r*k.Stride
	return kernel.Windows{
		Data: p.At(row, b.cols.from), Pixel: p.Pixel, Row: p.Row, Step: k.Stride * p.Pixel, KH: b.rows.size, KW: b.cols.size,
	}
}

// position is the plane p of an output from the first position of row r of the block on.
func (b *block) position(p kernel.Plane, r int) kernel.Plane {
	return kernel.Plane{Data: p.At(b.rows.first+r, b.cols.first), Pixel: p.Pixel, Row: p.Row}
}

// pool reduces windows of images.
func (e *executable) pool(s instruction, k ops.Window,
	reduce func(px, channels int, x kernel.Windows, y kernel.Plane)) step {
	lx, ly := &e.layouts[s.in[0]], &e.layouts[s.out[0]]
	list := blocks(k, lx, ly)
	return eachImage(func(w *worker, n int) {
		x, y := e.plane(w, s.in[0], n, 0), e.plane(w, s.out[0], n, 0)
		for i := range list {
			b := &list[i]
			for r := range b.rows.count {
				reduce(b.cols.count, ly.pitch, b.corner(x, k, r), b.position(y, r))
			}
		}
	})
}

// maxPoolGradient adds the gradient of each output to the first element of its window that attains the maximum.
func (e *executable) maxPoolGradient(s instruction, k ops.Window) step {
	lx, ly := &e.layouts[s.in[0]], &e.layouts[s.in[1]]
	list := blocks(k, lx, ly)
	return eachImage(func(w *worker, n int) {
		clear(e.at(w, s.out[0], n)[:e.layouts[s.out[0]].size])
		x, dy, dx := e.plane(w, s.in[0], n, 0), e.plane(w, s.in[1], n, 0), e.plane(w, s.out[0], n, 0)
		for i := range list {
			b := &list[i]
			for r := range b.rows.count {
				e.dev.kernels.MaxPoolGrad(b.cols.count, ly.pitch, b.corner(x, k, r), b.position(dy, r), b.corner(dx, k, r))
			}
		}
	})
}

// avgPoolGradient adds the share of each output to the elements of its window: one element of all the windows of a
// block after the other.
func (e *executable) avgPoolGradient(s instruction, k ops.Window) step {
	ly, lx := &e.layouts[s.in[0]], &e.layouts[s.out[0]]
	list := blocks(k, lx, ly)
	return eachImage(func(w *worker, n int) {
		clear(e.at(w, s.out[0], n)[:lx.size])
		for c := 0; c < lx.pitch; {
			kernels := e.dev.kernels.At(c, lx.pitch)
			dy, dx := e.plane(w, s.in[0], n, c), e.plane(w, s.out[0], n, c)
			for _, b := range list {
				share := 1 / float32(b.rows.size*b.cols.size)
				for i := range b.rows.size * b.cols.size {
					to := kernel.Plane{
						Data:  dx.At(b.rows.from+i/b.cols.size, b.cols.from+i%b.cols.size),
						Pixel: k.Stride * dx.Pixel, Row: k.Stride * dx.Row,
					}
					kernels.AddScaled(b.rows.count, b.cols.count, to, b.position(dy, 0), share)
				}
			}
			c += kernels.Channels
		}
	})
}

// globalAvgPool takes the mean of each channel over space.
func (e *executable) globalAvgPool(s instruction) step {
	x, y := s.in[0], s.out[0]
	lx := &e.layouts[x]
	sums, zeros := e.sums(lx.pitch, 2), aligned(lx.pitch)
	area := float64(lx.h * lx.w)
	return step{run: func(w *worker, slot, from, to int) {
		for n := from; n < to; n++ {
			sums.begin(slot)
			e.addStats(w, n, x, zeros, sums.slot[slot])
			row := e.at(w, y, n)
			for c := range lx.c {
				row[c] = float32(sums.slot[slot][0][c] / area)
			}
		}
	}}
}

// globalAvgPoolGradient spreads the gradient of the mean evenly over space.
func (e *executable) globalAvgPoolGradient(s instruction) step {
	dy, dx := s.in[0], s.out[0]
	l := &e.layouts[dx]
	values := e.channels(l)
	area := float32(l.h * l.w)
	return step{run: func(w *worker, slot, from, to int) {
		value := values[slot]
		for n := from; n < to; n++ {
			row := e.at(w, dy, n)
			for c := range l.c {
				value[c] = row[c] / area
			}
			to := e.at(w, dx, n)
			l.eachPixel(l, func(at, _, _ int) { copy(to[at:], value) })
		}
	}}
}
