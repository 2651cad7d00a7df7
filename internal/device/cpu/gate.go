package cpu

import (
	"math"

	"netadjust/internal/ops"
)

// rowFunction computes the functions on rows of squeeze-excitation, y = f(x), and their gradients, dx = f(y, dy).
func (e *executable) rowFunction(s instruction) step {
	width := e.layouts[s.out[0]].c
	f := func(_, _ float32) float32 { return 0 }
	switch s.op.(type) {
	case ops.Sigmoid:
		f = func(x, _ float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }
	case ops.SigmoidGrad:
		f = func(y, dy float32) float32 { return y * (1 - y) * dy }
	case ops.RowReLU:
		f = func(x, _ float32) float32 { return max(x, 0) }
	case ops.RowReLUGrad:
		f = func(y, dy float32) float32 {
			if y == 0 {
				return 0
			}
			return dy
		}
	}
	last := s.in[len(s.in)-1]
	return eachImage(func(w *worker, n int) {
		x, dy, out := e.at(w, s.in[0], n), e.at(w, last, n), e.at(w, s.out[0], n)
		for i := range width {
			out[i] = f(x[i], dy[i])
		}
	})
}

// scaleGradient sums up images times output gradient over space.
func (e *executable) scaleGradient(s instruction) step {
	x, dy, out := s.in[0], s.in[1], s.out[0]
	lx, ly := &e.layouts[x], &e.layouts[dy]
	sums := e.sums(lx.pitch, 1)
	return step{run: func(w *worker, slot, from, to int) {
		sum := sums.slot[slot][0]
		for n := from; n < to; n++ {
			clear(sum)
			for c := 0; c < min(lx.pitch, ly.pitch); {
				k := e.dev.kernels.At(c, lx.pitch, ly.pitch)
				k.Dot(lx.h, lx.w, e.plane(w, x, n, c), e.plane(w, dy, n, c), &sum[c])
				c += k.Channels
			}
			row := e.at(w, out, n)
			for c := range lx.c {
				row[c] = float32(sum[c])
			}
		}
	}}
}
