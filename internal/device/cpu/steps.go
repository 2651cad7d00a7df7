package cpu

import (
	"fmt"
	"math"
	"unsafe"

	"netadjust/internal/ops"
)

// compile turns the instructions of a phase into steps.
func (e *executable) compile(c *compiled, ph phase) error {
	for _, i := range ph.chunked {
		s := e.list[i]
		st, err := e.step(c, s)
		if err != nil {
			return err
		}
		c.steps = append(c.steps, e.withMargins(s, st))
	}
	c.run = func(slot, worker int) { e.chunks(c, slot, e.workers[worker]) }
	for _, i := range ph.after {
		f, err := e.single(e.list[i])
		if err != nil {
			return err
		}
		c.after.add(f)
	}
	return nil
}

// withMargins lets a step zero the margins of the feature maps that it gives.
func (e *executable) withMargins(s instruction, st step) step {
	for _, v := range s.out {
		l := &e.layouts[v]
		if l.role != image || l.margin == 0 || v >= len(e.program.Values) {
			continue
		}
		run := st.run
		st.run = func(w *worker, slot, from, to int) {
			run(w, slot, from, to)
			for n := from; n < to; n++ {
				l.clearMargin(e.at(w, v, n))
			}
		}
	}
	return st
}

// eachImage makes a step of what happens to one image.
func eachImage(f func(w *worker, n int)) step {
	return step{run: func(w *worker, _, from, to int) {
		for n := from; n < to; n++ {
			f(w, n)
		}
	}}
}

// step returns what runs one instruction on a chunk. Sums add what finishes them to the phase.
func (e *executable) step(c *compiled, s instruction) (step, error) {
	in := func(w *worker, i, n int) []float32 { return e.at(w, s.in[i], n) }
	out := func(w *worker, n int) []float32 { return e.at(w, s.out[0], n) }
	lin := func(i int) *layout { return &e.layouts[s.in[i]] }
	lout := &e.layouts[s.out[0]]
	switch k := s.op.(type) {
	case ops.Conv2D, ops.Conv2DGradInput:
		return e.convolution(s)
	case convolve:
		return e.convolve(s, k), nil
	case ops.Conv2DGradWeights:
		return e.weightGradient(c, s, k)
	case normalize:
		return e.normalize(s, k), nil
	case backStats:
		return e.backStats(c, s, k), nil
	case ops.BatchStats:
		return e.batchStats(c, s), nil
	case ops.BatchNormGradScale:
		return e.normGradient(c, s, k.Epsilon), nil
	case ops.BatchNormGradShift:
		return e.shiftGradient(c, s), nil
	case ops.BatchNormGradInput:
		return e.normGradInput(s, k), nil

	case backReLU:
		return eachImage(func(w *worker, n int) {
			dy, dx := in(w, 1, n), out(w, n)
			for g := range lout.groups() {
				bits := unsafe.Slice(e.signs(w, s.in[0], n, g).Data, lout.h*lout.w)
				lout.eachPixel(lin(1), func(to, from, pixel int) {
					for c := range lanes {
						v := dy[from+g*lanes+c]
						if bits[pixel]>>c&1 == 0 {
							v = 0
						}
						dx[to+g*lanes+c] = v
					}
				})
			}
		}), nil
	case ops.ReLUGrad:
		return eachImage(func(w *worker, n int) {
			y, dy, dx := in(w, 0, n), in(w, 1, n), out(w, n)
			at := lin(0).positions()
			pixel := 0
			lout.eachPixel(lin(1), func(to, from, _ int) {
				for c := range lout.pitch {
					v := dy[from+c]
					if y[at[pixel]+c] == 0 {
						v = 0
					}
					dx[to+c] = v
				}
				pixel++
			})
		}), nil
	case ops.AvgPool:
		return eachImage(func(w *worker, n int) { avgPool(k.Window, in(w, 0, n), lin(0), out(w, n), lout) }), nil
	case ops.AvgPoolGrad:
		return eachImage(func(w *worker, n int) { avgPoolGrad(k.Window, in(w, 0, n), lin(0), out(w, n), lout) }), nil
	case ops.MaxPool:
		return eachImage(func(w *worker, n int) { maxPool(k.Window, in(w, 0, n), lin(0), out(w, n), lout) }), nil
	case ops.MaxPoolGrad:
		best, places := e.channels(lout), make([][]int, e.slots)
		for slot := range places {
			places[slot] = make([]int, lout.pitch)
		}
		return step{run: func(w *worker, slot, from, to int) {
			for n := from; n < to; n++ {
				maxPoolGrad(k.Window, in(w, 0, n), lin(0), in(w, 1, n), lin(1), out(w, n), lout, best[slot], places[slot])
			}
		}}, nil
	case ops.GlobalAvgPool:
		sums := e.sums(lin(0).pitch, 1)
		return step{run: func(w *worker, slot, from, to int) {
			sum := sums.slot[slot][0]
			for n := from; n < to; n++ {
				clear(sum)
				lin(0).sum(in(w, 0, n), sum)
				for c := range lout.c {
					out(w, n)[c] = float32(sum[c] / float64(lin(0).h*lin(0).w))
				}
			}
		}}, nil
	case ops.GlobalAvgPoolGrad:
		values := e.channels(lout)
		area := float32(lout.h * lout.w)
		return step{run: func(w *worker, slot, from, to int) {
			value := values[slot]
			for n := from; n < to; n++ {
				dy, dx := in(w, 0, n), out(w, n)
				for c := range lout.c {
					value[c] = dy[c] / area
				}
				lout.eachPixel(lout, func(at, _, _ int) { copy(dx[at:], value) })
			}
		}}, nil
	case ops.ChannelWindow:
		return eachImage(func(w *worker, n int) {
			x, y := in(w, 0, n), out(w, n)
			lo, hi := max(0, -k.Offset), min(k.Count, lin(0).c-k.Offset) // output channels that exist in x
			lout.eachPixel(lin(0), func(to, from, _ int) {
				clear(y[to : to+lout.pitch])
				copy(y[to+lo:to+hi], x[from+lo+k.Offset:])
			})
		}), nil
	case ops.DropMask:
		return eachImage(func(w *worker, n int) {
			rate, key := e.data(s.in[0])[k.Layer], [3]uint32(e.words[s.in[2]])
			if e.kept {
				key[2] = uint32(w.drop.repeat)
				if w.drop.layer != k.Layer {
					rate = 0
				}
			}
			k.Factors(rate, e.words[s.in[1]][n], key, out(w, n)[:k.Channels])
		}), nil
	case ops.Images:
		return eachImage(func(w *worker, n int) { e.loadImage(k, s, n, out(w, n)) }), nil
	case ops.Linear, ops.MatMul, ops.SumRows, ops.CrossEntropy, ops.CrossEntropyGrad:
		return e.classifier(c, s)
	}
	return step{}, fmt.Errorf("the cpu device has no kernel for %v", s.op)
}

// single returns what runs an instruction that has no batch.
func (e *executable) single(s instruction) (func(), error) {
	switch k := s.op.(type) {
	case ops.RunningStats:
		return func() {
			running, batch := e.data(s.out[0]), e.data(s.in[1])
			for i, r := range running {
				b := batch[i]
				if i >= len(running)/2 {
					b *= float32(k.Unbias())
				}
				running[i] = r + float32(k.Momentum)*(b-r)
			}
			e.changed(s.out[0])
		}, nil
	case ops.Momentum:
		return func() {
			v, w, g := e.data(s.out[0]), e.data(s.in[1]), e.data(s.in[2])
			for i := range v {
				v[i] = float32(k.Momentum)*v[i] + g[i] + float32(k.Decay)*w[i]
			}
			e.changed(s.out[0])
		}, nil
	case ops.Descend:
		return func() {
			w, v, rate := e.data(s.out[0]), e.data(s.in[1]), e.data(s.in[2])[0]
			for i := range w {
				w[i] -= rate * v[i]
			}
			e.changed(s.out[0])
		}, nil
	case sgd:
		return func() {
			v, w := e.data(s.out[0]), e.data(s.out[1])
			g, rate := e.data(s.in[2])[:len(w)], e.data(s.in[3])[0]
			e.dev.kernels.SGD(w, v, g, rate, float32(k.Momentum.Momentum), float32(k.Decay))
			e.changed(s.out[0])
			e.changed(s.out[1])
		}, nil
	}
	return nil, fmt.Errorf("the cpu device has no kernel for %v", s.op)
}

// changed notes that state is not what it was.
func (e *executable) changed(v int) { e.program.Values[v].State.(*array).version++ }

// eachPixel visits the pixels of a feature map: the place of the pixel in l, that in other, and its number.
func (l *layout) eachPixel(other *layout, visit func(at, atOther, pixel int)) {
	for y := range l.h {
		for x := range l.w {
			visit(l.first()+y*l.line()+x*l.pitch, other.first()+y*other.line()+x*other.pitch, y*l.w+x)
		}
	}
}

// positions lists the places of the pixels.
func (l *layout) positions() []int {
	at := make([]int, 0, l.h*l.w)
	l.eachPixel(l, func(p, _, _ int) { at = append(at, p) })
	return at
}

// sum adds up each channel over space.
func (l *layout) sum(x []float32, sums []float64) {
	l.eachPixel(l, func(at, _, _ int) {
		for c, v := range x[at : at+l.pitch] {
			sums[c] += float64(v)
		}
	})
}

func avgPool(k ops.Window, x []float32, lx *layout, y []float32, ly *layout) {
	eachWindow(k, lx, ly, func(to, h0, h1, w0, w1 int) {
		dst := y[to : to+ly.pitch]
		clear(dst)
		share := 1 / float32((h1-h0)*(w1-w0))
		for h := h0; h < h1; h++ {
			for w := w0; w < w1; w++ {
				src := x[lx.first()+h*lx.line()+w*lx.pitch:][:len(dst)]
				for c := range dst {
					dst[c] += share * src[c]
				}
			}
		}
	})
}

func avgPoolGrad(k ops.Window, dy []float32, ly *layout, dx []float32, lx *layout) {
	clear(dx[:lx.size])
	eachWindow(k, lx, ly, func(from, h0, h1, w0, w1 int) {
		src := dy[from : from+ly.pitch]
		share := 1 / float32((h1-h0)*(w1-w0))
		for h := h0; h < h1; h++ {
			for w := w0; w < w1; w++ {
				dst := dx[lx.first()+h*lx.line()+w*lx.pitch:][:len(src)]
				for c := range dst {
					dst[c] += share * src[c]
				}
			}
		}
	})
}

// maxPool takes the largest value of each window; a NaN is larger than anything, so that it stays to be seen.
func maxPool(k ops.Window, x []float32, lx *layout, y []float32, ly *layout) {
	eachWindow(k, lx, ly, func(to, h0, h1, w0, w1 int) {
		dst := y[to : to+ly.pitch]
		for h := h0; h < h1; h++ {
			for w := w0; w < w1; w++ {
				src := x[lx.first()+h*lx.line()+w*lx.pitch:][:len(dst)]
				if h == h0 && w == w0 {
					copy(dst, src)
					continue
				}
				for c, v := range src {
					dst[c] = max(dst[c], v)
				}
			}
		}
	})
}

// maxPoolGrad adds the gradient of each output to the first element of its window that attains the maximum. best and
// places have room for a value of each channel.
func maxPoolGrad(k ops.Window, x []float32, lx *layout, dy []float32, ly *layout, dx []float32, ldx *layout,
	best []float32, places []int) {
	clear(dx[:ldx.size])
	eachWindow(k, lx, ly, func(from, h0, h1, w0, w1 int) {
		for h := h0; h < h1; h++ {
			for w := w0; w < w1; w++ {
				src := x[lx.first()+h*lx.line()+w*lx.pitch:][:len(best)]
				place := ldx.first() + h*ldx.line() + w*ldx.pitch
				first := h == h0 && w == w0
				for c, v := range src {
					if v > best[c] || first {
						best[c], places[c] = v, place
					}
				}
			}
		}
		for c, d := range dy[from : from+len(best)] {
			dx[places[c]+c] += d
		}
	})
}

// eachWindow visits the windows of an image: the place of the pooled pixel, and the rows and columns of the window.
func eachWindow(k ops.Window, lx, ly *layout, visit func(at, h0, h1, w0, w1 int)) {
	for y := range ly.h {
		h0, h1 := k.Bounds(y, lx.h)
		for x := range ly.w {
			w0, w1 := k.Bounds(x, lx.w)
			visit(ly.first()+y*ly.line()+x*ly.pitch, h0, h1, w0, w1)
		}
	}
}

func (e *executable) loadImage(k ops.Images, s instruction, n int, out []float32) {
	l := &e.layouts[s.out[0]]
	moves, scale := e.words[s.in[1]][3*n:3*n+3], e.data(s.in[2])
	down, right, mirror := int(moves[0])-k.Pad, int(moves[1])-k.Pad, moves[2] == 1
	size := l.h * l.w
	pixels := e.bytes[s.in[0]][n*l.c*size:][:l.c*size]
	if l.pitch > l.c {
		clear(out[:l.size])
	}
	for c := range l.c {
		a, b := scale[c], scale[l.c+c]
		for y := range l.h {
			dst := out[l.first()+y*l.line()+c:]
			src := pixels[c*size:]
			inside := y+down >= 0 && y+down < l.h
			for x := range l.w {
				col := x
				if mirror {
					col = l.w - 1 - x
				}
				v := b
				if col += right; inside && col >= 0 && col < l.w {
					v += a * float32(src[(y+down)*l.w+col])
				}
				dst[x*l.pitch] = v
			}
		}
	}
}

func invStd(variance float32, epsilon float64) float32 {
	return float32(1 / math.Sqrt(float64(variance)+epsilon))
}
