package cpu

import (
	"netadjust/internal/device/cpu/kernel"
	"netadjust/internal/ops"
)

func geometry(k ops.Conv2D, x, w, y []int) kernel.Geometry {
	return kernel.Geometry{
		IC: x[1], H: x[2], W: x[3], OC: y[1], OH: y[2], OW: y[3], KH: w[2], KW: w[3], Stride: k.Stride, Pad: k.Pad,
	}
}

// strides is the layout as kernels take it.
func (l *layout) strides() kernel.Layout {
	return kernel.Layout{Pixel: l.pitch, Row: l.line(), Image: l.size}
}

func (e *executable) shape(v int) []int { return e.program.Values[v].Shape }

// convolution is a convolution or its gradient by the images. Its weights are packed once a run, if they have changed.
func (e *executable) convolution(s instruction) (step, error) {
	var conv *kernel.Conv
	var x, weights int
	y := s.out[0]
	switch k := s.op.(type) {
	case ops.Conv2D:
		x, weights = s.in[0], s.in[1]
		g := geometry(k, e.shape(x), e.shape(weights), e.shape(y))
		conv = e.forward(g, x, y)
	case ops.Conv2DGradInput:
		x, weights = s.in[1], s.in[0]
		g := geometry(k.Conv, e.shape(y), e.shape(weights), e.shape(x))
		conv = e.dev.kernels.BackwardData(g, e.layouts[x].strides(), e.layouts[y].strides())
	}
	packed := e.packed(conv)
	e.packWeights([]int{weights}, func() { conv.Pack(packed, e.data(weights)) })
	lx, ly := &e.layouts[x], &e.layouts[y]
	return step{run: func(w *worker, _, from, to int) {
		e.dev.kernels.Convolve(conv, to-from, &e.at(w, x, from)[lx.first()], &packed[0], &e.at(w, y, from)[ly.first()],
			kernel.Epilogue{}, w.scratch)
	}}, nil
}

// packed allocates the weights of a convolution, and sees to it that workers have room for what it needs besides.
func (e *executable) packed(c *kernel.Conv) []float32 {
	e.scratch = max(e.scratch, e.dev.kernels.Scratch(c))
	return aligned(c.Size())
}

// packWeights has something made of state before the phases, whenever the state is not what it was in the last run.
func (e *executable) packWeights(values []int, pack func()) {
	made := make([]int, len(values)) // versions, of which 0 is none
	e.prepare.add(func() {
		fresh := true
		for i, v := range values {
			state, ok := e.program.Values[v].State.(*array)
			if !ok || made[i] != state.version+1 {
				fresh = false
			}
			if ok {
				made[i] = state.version + 1
			}
		}
		if !fresh {
			pack()
		}
	})
}

// convolve has the batch norm's scale in the weights, and its shift as the convolution's bias.
func (e *executable) convolve(s instruction, k convolve) step {
	x, y := s.in[0], s.out[0]
	g := geometry(k.conv, e.shape(x), e.shape(s.in[1]), e.shape(y))
	conv := e.forward(g, x, y)
	packed := e.packed(conv)
	bias := e.foldNorm(s.in[1:5], k.epsilon, packed, conv.Pack)
	residual := -1
	if k.residual {
		residual = s.in[len(s.in)-1]
	}
	fused := e.convolveTo(g, x, y, residual, packed, kernel.Epilogue{Bias: &bias[0], Rectifier: k.rectifier})
	if !k.masked {
		return fused
	}
	// The mask has a pass of its own where it may hold something. In a sweep a layer behind the dropped one has a mask
	// of ones, and the dropped layer itself has its convolution from the run without dropout.
	mask, z := s.in[5], s.out[1]
	plain := e.convolveTo(g, x, z, -1, packed, kernel.Epilogue{Bias: &bias[0]})
	apply := e.normalize(instruction{in: append([]int{z}, s.in[5:]...), out: []int{y}},
		normalize{masked: true, residual: k.residual, rectifier: k.rectifier})
	return step{begin: apply.begin, run: func(w *worker, slot, from, to int) {
		if w.changed != nil && !w.changed[mask] {
			fused.run(w, slot, from, to)
			return
		}
		if w.changed == nil || w.changed[x] {
			plain.run(w, slot, from, to)
		}
		apply.run(w, slot, from, to)
	}}
}

func (e *executable) forward(g kernel.Geometry, x, y int) *kernel.Conv {
	return e.dev.kernels.Forward(g, e.layouts[x].strides(), e.layouts[y].strides())
}

// foldNorm packs weights with the scale of the batch norm behind them, and returns its shift, the bias. The values are
// the weights, and the statistics, gamma and beta of the batch norm.
func (e *executable) foldNorm(values []int, epsilon float64, packed []float32, pack func(dst, w []float32)) []float32 {
	channels := e.shape(values[0])[0]
	bias, scaled := aligned(align(channels)), make([]float32, e.program.Values[values[0]].Size())
	e.packWeights(values, func() {
		weights, stats, gamma, beta := e.data(values[0]), e.data(values[1]), e.data(values[2]), e.data(values[3])
		n := len(scaled) / channels
		for c := range channels {
			scale := gamma[c] * invStd(stats[channels+c], epsilon)
			bias[c] = beta[c] - scale*stats[c]
			for i, w := range weights[c*n : (c+1)*n] {
				scaled[c*n+i] = scale * w
			}
		}
		pack(packed, scaled)
	})
	return bias
}

// convolveTo convolves and adds a residual; none if that is negative.
func (e *executable) convolveTo(g kernel.Geometry, x, y, residual int, weights []float32, end kernel.Epilogue) step {
	conv := e.forward(g, x, y)
	lx, ly := &e.layouts[x], &e.layouts[y]
	var lr *layout
	if residual >= 0 {
		lr = &e.layouts[residual]
		end.ResidualLayout, end.ResidualChannels = lr.strides(), lr.pitch
	}
	return step{run: func(w *worker, _, from, to int) {
		end := end
		if residual >= 0 {
			end.Residual = &e.at(w, residual, from)[lr.first()]
		}
		e.dev.kernels.Convolve(conv, to-from, &e.at(w, x, from)[lx.first()], &weights[0], &e.at(w, y, from)[ly.first()], end,
			w.scratch)
	}}
}

// slotSums returns packed buffers for a gradient by weights, one for each slot, that are added in slot order and
// unpacked to dw when all images have been through.
func (e *executable) slotSums(c *compiled, size, dw int, unpack func(w, packed []float32)) [][]float32 {
	sums := make([][]float32, e.slots)
	for i := range sums {
		sums[i] = aligned(size)
	}
	c.finish.add(func() {
		for _, other := range sums[1:] {
			e.dev.kernels.Add(sums[0], other)
		}
		unpack(e.data(dw), sums[0])
	})
	return sums
}

// weightGradient sums up in a buffer for each slot, with the weights packed.
func (e *executable) weightGradient(c *compiled, s instruction, k ops.Conv2DGradWeights) (step, error) {
	x, dy, dw := s.in[0], s.in[1], s.out[0]
	g := geometry(k.Conv, e.shape(x), e.shape(dw), e.shape(dy))
	lx, ly := &e.layouts[x], &e.layouts[dy]
	gradient := e.dev.kernels.BackwardWeights(g, lx.strides(), ly.strides())
	e.scratch = max(e.scratch, e.dev.kernels.GradScratch(gradient))
	sums := e.slotSums(c, gradient.Size(), dw, gradient.Unpack)
	return step{
		begin: func(slot int) { clear(sums[slot]) },
		run: func(w *worker, slot, from, to int) {
			e.dev.kernels.WeightGradient(gradient, to-from, &e.at(w, x, from)[lx.first()], &e.at(w, dy, from)[ly.first()],
				&sums[slot][0], w.scratch)
		},
	}, nil
}
