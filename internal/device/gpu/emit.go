package gpu

import (
	"fmt"

	"netadjust/internal/device/gpu/kernels"
	"netadjust/internal/ops"
)

// instruction appends the calls of one instruction.
func (p *planner) instruction(s instruction) error {
	in := func(i int) operand { return operand(s.in[i]) }
	shape := func(i int) []int { return p.values[s.in[i]].shape }
	y, ys := operand(s.out[0]), p.values[max(s.out[0], 0)].shape
	size := func(v operand) int { return p.values[v].size() }
	switch k := s.op.(type) {
	case ops.Images:
		text := kernel{kernels.Images, "images", threads, nil}
		return p.each(text, size(y), in(0), in(1), in(2), y, ys[1], ys[2], ys[3], k.Pad, size(y))
	case ops.Conv2D:
		return p.conv(forward, geometryOf(k, shape(0), shape(1), ys), in(1), in(0), y, ys[0], shape(0)[1], ys[1])
	case ops.Conv2DGradInput:
		g := geometryOf(k.Conv, ys, shape(0), shape(1))
		return p.conv(byInput, g, in(0), in(1), y, ys[0], ys[1], shape(1)[1])
	case ops.Conv2DGradWeights:
		g := geometryOf(k.Conv, shape(0), ys, shape(1))
		return p.conv(byWeights, g, in(1), in(0), y, shape(0)[0], ys[1], ys[0])
	case ops.DepthwiseConv2D:
		g := geometryOf(ops.Conv2D(k), shape(0), shape(1), ys)
		return p.each(g.windows(kernels.Depthwise, "depthwise"), size(y), in(0), in(1), y, ys[1], size(y))
	case ops.DepthwiseConv2DGradInput:
		g := geometryOf(ops.Conv2D(k.Conv), ys, shape(0), shape(1))
		return p.each(g.windows(kernels.Depthwise, "depthwise_by_input"), size(y), in(0), in(1), y, ys[1], size(y))
	case ops.DepthwiseConv2DGradWeights:
		return p.depthwiseByWeights(geometryOf(ops.Conv2D(k.Conv), shape(0), ys, shape(1)), in(0), in(1), y, shape(0)[0])
	case ops.BatchStats:
		return p.stats(in(0), y)
	case apply:
		return p.apply(k, s)
	case sums:
		return p.sums(k, s.in, s.out)
	case ops.BatchNormGradScale:
		return p.sums(sums{centred: true, epsilon: k.Epsilon}, s.in, []int{s.out[0], absent, absent})
	case ops.BatchNormGradShift, ops.SumRows:
		return p.sums(sums{}, s.in, []int{absent, s.out[0], absent})
	case ops.BatchNormGradInput:
		text := ofNorm("norm_by_input", ys)
		return p.each(text, size(y), in(0), in(1), in(2), in(3), in(4), in(5), y, ys[1], size(y), size(y)/ys[1],
			k.BatchNorm.Frozen, k.BatchNorm.Epsilon)
	case ops.ReLUGrad, ops.ReLU6Grad, ops.RowReLUGrad:
		return p.each(ofElements("rectifier_by_input"), size(y), in(0), in(1), y, size(y), topOf(k))
	case ops.Sigmoid:
		return p.each(ofElements("sigmoid"), size(y), in(0), y, size(y))
	case ops.SigmoidGrad:
		return p.each(ofElements("sigmoid_by_input"), size(y), in(0), in(1), y, size(y))
	case ops.ScaleChannelsGrad:
		return p.call(ofPlanes("plane_sum"), [3]int{size(y), 1, 1}, in(0), in(1), y, area(shape(0)), true, 1.0)
	case ops.GlobalAvgPool:
		return p.call(ofPlanes("plane_sum"), [3]int{size(y), 1, 1}, in(0), operand(absent), y, area(shape(0)), false,
			1/float64(area(shape(0))))
	case ops.GlobalAvgPoolGrad:
		return p.each(ofPlanes("plane_spread"), size(y), in(0), y, area(ys), size(y), 1/float64(area(ys)))
	case ops.AvgPool:
		return p.pool("avg_pool", k.Window, shape(0), ys, in(0), y)
	case ops.AvgPoolGrad:
		return p.pool("avg_pool_by_input", k.Window, ys, shape(0), in(0), y)
	case ops.MaxPool:
		return p.pool("max_pool", k.Window, shape(0), ys, in(0), y)
	case ops.MaxPoolGrad:
		return p.pool("max_pool_by_input", k.Window, ys, shape(1), in(0), in(1), y)
	case ops.ChannelWindow:
		return p.each(ofPlanes("window"), size(y), in(0), y, shape(0)[1], ys[1], k.Offset, area(ys), size(y))
	case ops.Concat:
		return p.concat(s)
	case ops.DropMask:
		return p.each(ofElements("drop_mask"), size(y), in(0), in(1), in(2), y, k.Layer, ys[1], shape(1)[0], p.plain > 0,
			size(y))
	case ops.Linear:
		if err := p.conv(forward, point, in(1), in(0), y, ys[0], shape(0)[1], ys[1]); err != nil {
			return err
		}
		return p.each(ofElements("add_bias"), size(y), in(2), y, ys[1], size(y))
	case ops.MatMul: // the gradients of a Linear, and so of a convolution of single pixels
		if k.TransposeA {
			return p.conv(byWeights, point, in(0), in(1), y, shape(0)[0], shape(1)[1], shape(0)[1])
		}
		return p.conv(byInput, point, in(1), in(0), y, ys[0], ys[1], shape(0)[1])
	case ops.CrossEntropy:
		rows := p.add("losses", shape(0)[0])
		if err := p.crossEntropy(s, "cross_entropy", operand(rows), false, k.Smoothing); err != nil {
			return err
		}
		return p.sumParts(operand(rows), y, 1, shape(0)[0])
	case ops.CrossEntropyGrad:
		return p.crossEntropy(s, "cross_entropy", y, true, k.Smoothing)
	case ops.SoftCrossEntropy:
		rows := p.add("losses", shape(0)[0])
		if err := p.crossEntropy(s, "soft_cross_entropy", operand(rows), false); err != nil {
			return err
		}
		return p.sumParts(operand(rows), y, 1, shape(0)[0])
	case ops.SoftCrossEntropyGrad:
		return p.crossEntropy(s, "soft_cross_entropy", y, true)
	case ops.RunningStats:
		return p.each(ofUpdates("running"), size(y), in(0), in(1), shape(0)[1], k.Momentum, k.Unbias())
	case ops.Momentum:
		return p.each(ofUpdates("momentum"), size(y), in(0), in(1), in(2), size(y), k.Momentum, k.Decay)
	case ops.Descend:
		return p.each(ofUpdates("descend"), size(y), in(0), in(1), in(2), size(y))
	case sgd:
		p.steps = append(p.steps, s)
		return nil
	case repeat:
		return p.each(ofElements("repeat_elements"), k.n, in(0), y, k.from, k.period, k.to, k.n)
	}
	return fmt.Errorf("the gpu device has no kernel for %v", s.op)
}

// area is the number of pixels of a plane; rows are planes of one.
func area(shape []int) int {
	if len(shape) < 4 {
		return 1
	}
	return shape[2] * shape[3]
}
