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
	var pack func(dst, w []float32)
	var size int
	y := s.out[0]
	switch k := s.op.(type) {
	case ops.Conv2D:
		x, weights = s.in[0], s.in[1]
		g := geometry(k, e.shape(x), e.shape(weights), e.shape(y))
		conv = kernel.Forward(g, e.layouts[x].strides(), e.layouts[y].strides())
		pack, size = g.PackForward, g.ForwardSize()
	case ops.Conv2DGradInput:
		x, weights = s.in[1], s.in[0]
		g := geometry(k.Conv, e.shape(y), e.shape(weights), e.shape(x))
		conv = kernel.BackwardData(g, e.layouts[x].strides(), e.layouts[y].strides())
		pack, size = g.PackBackward, g.BackwardSize()
	}
	packed := aligned(size)
	e.packWeights([]int{weights}, func() { pack(packed, e.data(weights)) })
	lx, ly := &e.layouts[x], &e.layouts[y]
	return step{run: func(w *worker, _, from, to int) {
		e.dev.kernels.Convolve(conv, to-from, &e.at(w, x, from)[lx.first()], &packed[0], &e.at(w, y, from)[ly.first()],
			kernel.Epilogue{})
	}}, nil
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
	x, weights, stats, gamma, beta, y := s.in[0], s.in[1], s.in[2], s.in[3], s.in[4], s.out[0]
	g := geometry(k.conv, e.shape(x), e.shape(weights), e.shape(y))
	lx, ly := &e.layouts[x], &e.layouts[y]
	conv := kernel.Forward(g, lx.strides(), ly.strides())
	packed, scaled, bias := aligned(g.ForwardSize()), make([]float32, g.OC*g.IC*g.KH*g.KW), aligned(align(g.OC))
	e.packWeights(s.in[1:5], func() {
		n := len(scaled) / g.OC
		for c := range g.OC {
			scale := e.data(gamma)[c] * invStd(e.data(stats)[g.OC+c], k.epsilon)
			bias[c] = e.data(beta)[c] - scale*e.data(stats)[c]
			for i, w := range e.data(weights)[c*n : (c+1)*n] {
				scaled[c*n+i] = scale * w
			}
		}
		g.PackForward(packed, scaled)
	})
	epilogue := kernel.Epilogue{Bias: &bias[0], ReLU: k.rectified}
	var lr *layout
	if k.residual {
		lr = &e.layouts[s.in[5]]
		epilogue.ResidualLayout, epilogue.ResidualGroups = lr.strides(), lr.groups()
	}
	return step{run: func(w *worker, _, from, to int) {
		end := epilogue
		if k.residual {
			end.Residual = &e.at(w, s.in[5], from)[lr.first()]
		}
		e.dev.kernels.Convolve(conv, to-from, &e.at(w, x, from)[lx.first()], &packed[0], &e.at(w, y, from)[ly.first()], end)
	}}
}

// weightGradient sums up in a buffer for each slot, with the weights packed.
func (e *executable) weightGradient(c *compiled, s instruction, k ops.Conv2DGradWeights) (step, error) {
	x, dy, dw := s.in[0], s.in[1], s.out[0]
	g := geometry(k.Conv, e.shape(x), e.shape(dw), e.shape(dy))
	lx, ly := &e.layouts[x], &e.layouts[dy]
	gradient := kernel.BackwardWeights(g, lx.strides(), ly.strides())
	sums := make([][]float32, e.slots)
	for i := range sums {
		sums[i] = aligned(g.ForwardSize())
	}
	c.finish.add(func() {
		for _, other := range sums[1:] {
			e.dev.kernels.Add(sums[0], other)
		}
		g.UnpackForward(e.data(dw), sums[0])
	})
	return step{
		begin: func(slot int) { clear(sums[slot]) },
		run: func(w *worker, slot, from, to int) {
			e.dev.kernels.WeightGradient(gradient, to-from, &e.at(w, x, from)[lx.first()], &e.at(w, dy, from)[ly.first()],
				&sums[slot][0])
		},
	}, nil
}
