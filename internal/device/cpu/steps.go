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
	case ops.DepthwiseConv2D, ops.DepthwiseConv2DGradInput:
		return e.depthwiseConvolution(s), nil
	case depthwise:
		return e.depthwise(s, k), nil
	case ops.DepthwiseConv2DGradWeights:
		return e.depthwiseGradient(c, s, k), nil
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
	case backNorm:
		return e.normGradInput(s, k.BatchNormGradInput), nil

	case backReLU:
		return eachImage(func(w *worker, n int) {
			dy, dx := in(w, 1, n), out(w, n)
			for first := 0; first < lout.pitch; first += 8 {
				signs := e.signs(w, s.in[0], n, first)
				bits := unsafe.Slice(signs.Data, signs.Pixel*(lout.h*lout.w-1)+1)
				lout.eachPixel(lin(1), func(to, from, pixel int) {
					for c := range 8 {
						v := dy[from+first+c]
						if bits[pixel*signs.Pixel]>>c&1 == 0 {
							v = 0
						}
						dx[to+first+c] = v
					}
				})
			}
		}), nil
	case ops.ReLUGrad:
		return e.rectifierGradient(s, 0), nil
	case ops.ReLU6Grad:
		return e.rectifierGradient(s, 6), nil
	case ops.AvgPool:
		return e.pool(s, k.Window, e.dev.kernels.AvgPool), nil
	case ops.AvgPoolGrad:
		return e.avgPoolGradient(s, k.Window), nil
	case ops.MaxPool:
		return e.pool(s, k.Window, e.dev.kernels.MaxPool), nil
	case ops.MaxPoolGrad:
		return e.maxPoolGradient(s, k.Window), nil
	case ops.GlobalAvgPool:
		return e.globalAvgPool(s), nil
	case ops.GlobalAvgPoolGrad:
		return e.globalAvgPoolGradient(s), nil
	case ops.ChannelWindow:
		return e.channelWindow(s, k), nil
	case ops.Concat:
		return e.concat(s), nil
	case ops.Sigmoid, ops.SigmoidGrad, ops.RowReLU, ops.RowReLUGrad:
		return e.rowFunction(s), nil
	case ops.ScaleChannelsGrad:
		return e.scaleGradient(s), nil
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
		e.pixels = max(e.pixels, lout.c*lout.h*lout.w)
		return eachImage(func(w *worker, n int) { e.loadImage(w, k, s, n, out(w, n)) }), nil
	case ops.Linear, ops.MatMul, ops.SumRows, ops.CrossEntropy, ops.CrossEntropyGrad, ops.SoftCrossEntropy,
		ops.SoftCrossEntropyGrad:
		return e.classifier(c, s)
	}
	return step{}, fmt.Errorf("the cpu device has no kernel for %v", s.op)
}

// rectifierGradient passes the output gradient on where the output is neither 0 nor the upper bound.
func (e *executable) rectifierGradient(s instruction, bound float32) step {
	ly, ldy, ldx := &e.layouts[s.in[0]], &e.layouts[s.in[1]], &e.layouts[s.out[0]]
	at := ly.positions()
	return eachImage(func(w *worker, n int) {
		y, dy, dx := e.at(w, s.in[0], n), e.at(w, s.in[1], n), e.at(w, s.out[0], n)
		ldx.eachPixel(ldy, func(to, from, pixel int) {
			for c := range ldx.pitch {
				v := dy[from+c]
				if u := y[at[pixel]+c]; u == 0 || u == bound {
					v = 0
				}
				dx[to+c] = v
			}
		})
	})
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

// loadImage moves and scales an image.
func (e *executable) loadImage(w *worker, k ops.Images, s instruction, n int, out []float32) {
	l := &e.layouts[s.out[0]]
	moves, scale := e.words[s.in[1]][3*n:3*n+3], e.data(s.in[2])
	down, right := int(moves[0])-k.Pad, int(moves[1])-k.Pad
	size := l.h * l.w
	var pixels []uint8
	if load := e.loaders[s.in[0]]; load != nil {
		pixels = load.Load(n, w.pixels[:l.c*size])
	} else {
		pixels = e.bytes[s.in[0]][n*l.c*size:][:l.c*size]
	}
	if l.pitch > l.c {
		clear(out[:l.size])
	}
	// Columns [from, to) of the output come from column first of the image on, to the right or, mirrored, to the left.
	from, to, first, step := min(max(-right, 0), l.w), max(min(l.w-right, l.w), 0), max(right, 0), 1
	if moves[2] == 1 {
		from, to, first, step = l.w-to, l.w-from, min(l.w-1+right, l.w-1), -1
	}
	for c := range l.c {
		a, b := scale[c], scale[l.c+c]
		for y := range l.h {
			dst := out[l.first()+y*l.line()+c:][:(l.w-1)*l.pitch+1]
			if y+down < 0 || y+down >= l.h {
				fillEvery(dst, l.pitch, b)
				continue
			}
			fillEvery(dst[:from*l.pitch], l.pitch, b)
			fillEvery(dst[min(to*l.pitch, len(dst)):], l.pitch, b)
			src := pixels[c*size+(y+down)*l.w:][:l.w]
			for x, col := from, first; x < to; x, col = x+1, col+step {
				v := b
				v += a * float32(src[col])
				dst[x*l.pitch] = v
			}
		}
	}
}

// fillEvery puts v at every pitch-th place.
func fillEvery(dst []float32, pitch int, v float32) {
	for i := 0; i < len(dst); i += pitch {
		dst[i] = v
	}
}

func invStd(variance float32, epsilon float64) float32 {
	return float32(1 / math.Sqrt(float64(variance)+epsilon))
}
