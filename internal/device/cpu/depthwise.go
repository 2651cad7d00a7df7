package cpu

import (
	"netadjust/internal/device/cpu/kernel"
	"netadjust/internal/ops"
)

// depthwiseConvolution is a depthwise convolution or its gradient by the images.
func (e *executable) depthwiseConvolution(s instruction) step {
	var conv *kernel.Depthwise
	var x, weights int
	y := s.out[0]
	switch k := s.op.(type) {
	case ops.DepthwiseConv2D:
		x, weights = s.in[0], s.in[1]
		g := geometry(ops.Conv2D(k), e.shape(x), e.shape(weights), e.shape(y))
		conv = e.dev.kernels.DepthwiseForward(g, e.layouts[x].strides(), e.layouts[y].strides())
	case ops.DepthwiseConv2DGradInput:
		x, weights = s.in[1], s.in[0]
		g := geometry(ops.Conv2D(k.Conv), e.shape(y), e.shape(weights), e.shape(x))
		conv = e.dev.kernels.DepthwiseBackwardData(g, e.layouts[x].strides(), e.layouts[y].strides())
	}
	packed := aligned(conv.Size())
	e.packWeights([]int{weights}, func() { conv.Pack(packed, e.data(weights)) })
	return e.runDepthwise(conv, x, y, packed, nil, kernel.Linear)
}

// depthwise has the batch norm's scale in the weights, and its shift as the convolution's bias.
func (e *executable) depthwise(s instruction, k depthwise) step {
	x, y := s.in[0], s.out[0]
	g := geometry(ops.Conv2D(k.conv), e.shape(x), e.shape(s.in[1]), e.shape(y))
	conv := e.dev.kernels.DepthwiseForward(g, e.layouts[x].strides(), e.layouts[y].strides())
	packed := aligned(conv.Size())
	bias := e.foldNorm(s.in[1:5], k.epsilon, packed, conv.Pack)
	return e.runDepthwise(conv, x, y, packed, &bias[0], k.rectifier)
}

func (e *executable) runDepthwise(conv *kernel.Depthwise, x, y int, packed []float32, bias *float32,
	r kernel.Rectifier) step {
	lx, ly := &e.layouts[x], &e.layouts[y]
	return step{run: func(w *worker, _, from, to int) {
		e.dev.kernels.Depthwise(conv, to-from, &e.at(w, x, from)[lx.first()], &packed[0], &e.at(w, y, from)[ly.first()],
			bias, r)
	}}
}

// depthwiseGradient sums up in a buffer for each slot, with the weights packed.
func (e *executable) depthwiseGradient(c *compiled, s instruction, k ops.DepthwiseConv2DGradWeights) step {
	x, dy, dw := s.in[0], s.in[1], s.out[0]
	lx, ly := &e.layouts[x], &e.layouts[dy]
	g := geometry(ops.Conv2D(k.Conv), e.shape(x), e.shape(dw), e.shape(dy))
	gradient := e.dev.kernels.DepthwiseBackwardWeights(g, lx.strides(), ly.strides())
	sums := e.slotSums(c, gradient.Size(), dw, gradient.Unpack)
	return step{
		begin: func(slot int) { clear(sums[slot]) },
		run: func(w *worker, slot, from, to int) {
			e.dev.kernels.DepthwiseGradient(gradient, to-from, &e.at(w, x, from)[lx.first()],
				&e.at(w, dy, from)[ly.first()], &sums[slot][0])
		},
	}
}
