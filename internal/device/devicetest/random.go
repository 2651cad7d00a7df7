package devicetest

import (
	"math/rand/v2"
	"testing"

	"netadjust/internal/device"
	"netadjust/internal/ops"
)

// CheckRandom does what Run does, for the operation and the shapes that the seed draws: any that works on feature maps,
// with 1 to 40 channels, maps of 1x1 to 20x20 pixels and batches of 1 to 9.
func CheckRandom(t *testing.T, open func(threads int) (device.Device, error), seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 5))
	o := randomOperation(r)
	t.Log(o)
	check(t, open, []int{2, 1}, o, r)
}

// upTo draws from 1 to n, 1 more often than the others.
func upTo(r *rand.Rand, n int) int { return max(1, r.IntN(n+1)) }

func randomOperation(r *rand.Rand) Operation {
	x := []int{upTo(r, 9), upTo(r, 40), upTo(r, 20), upTo(r, 20)}
	if r.IntN(2) == 0 {
		return randomConvolution(r, x)
	}
	c, stats := x[1:2], []int{2, x[1]}
	window := randomWindow(r)
	norm := ops.BatchNorm{Epsilon: 1e-5, Frozen: r.IntN(2) == 0}
	channels := ops.ChannelWindow{Offset: r.IntN(2*x[1]-1) - x[1] + 1}
	channels.Count = max(1, 1-channels.Offset) + r.IntN(40)
	maps := [][]int{x}
	for range r.IntN(4) {
		maps = append(maps, []int{x[0], upTo(r, 40), x[2], x[3]})
	}
	pooled := func() []int { return shapeOf(ops.AvgPool{Window: window}, x) }
	table := []Operation{
		{ops.BatchStats{}, [][]int{x}},
		{norm, [][]int{x, stats, c, c}},
		{ops.BatchNormGradInput{BatchNorm: norm}, [][]int{x, stats, c, c, c, x}},
		{ops.BatchNormGradScale{Epsilon: 1e-5}, [][]int{x, stats, x}},
		{ops.BatchNormGradShift{}, [][]int{x}},
		{ops.ReLU{}, [][]int{x}},
		{ops.ReLUGrad{}, [][]int{x, x}},
		{ops.ReLU6{}, [][]int{x}},
		{ops.ReLU6Grad{}, [][]int{x, x}},
		{ops.Add{}, [][]int{x, x}},
		{ops.ScaleChannels{}, [][]int{x, x[:2]}},
		{ops.ScaleChannelsGrad{}, [][]int{x, x}},
		{channels, [][]int{x}},
		{ops.Concat{Maps: len(maps)}, maps},
		{ops.GlobalAvgPool{}, [][]int{x}},
		{ops.GlobalAvgPoolGrad{Height: x[2], Width: x[3]}, [][]int{x[:2]}},
		{ops.AvgPool{Window: window}, [][]int{x}},
		{ops.AvgPoolGrad{Window: window, Height: x[2], Width: x[3]}, [][]int{pooled()}},
		{ops.MaxPool{Window: window}, [][]int{x}},
		{ops.MaxPoolGrad{Window: window}, [][]int{x, pooled()}},
		{ops.Images{Pad: r.IntN(4)}, [][]int{x, {x[0], 3}, stats}},
		{ops.Linear{}, [][]int{x[:2], {x[2], x[1]}, {x[2]}}},
		{ops.MatMul{TransposeA: true}, [][]int{{x[0], x[2]}, x[:2]}},
		{ops.CrossEntropy{Smoothing: 0.1}, [][]int{x[:2], x[:1]}},
		{ops.CrossEntropyGrad{}, [][]int{x[:2], x[:1]}},
	}
	return table[r.IntN(len(table))]
}

// randomWindow draws a pooling window.
func randomWindow(r *rand.Rand) ops.Window {
	size := upTo(r, 5)
	return ops.Window{Size: size, Stride: 1 + r.IntN(size), Pad: r.IntN(size/2 + 1)}
}

// randomConvolution draws a convolution of images x, or of others if that is much work for the reference, or one of its
// gradients.
func randomConvolution(r *rand.Rand, x []int) Operation {
	const most = 4e6 // products
	k := ops.Conv2D{Stride: 1 + r.IntN(3)*r.IntN(2)}
	high, wide := upTo(r, 7), upTo(r, 7)
	if r.IntN(2) == 0 { // as networks have them
		high = 1 + 2*r.IntN(4)
		wide, k.Pad = high, high/2
	}
	k.Pad = max(k.Pad, r.IntN(4)*r.IntN(2), (max(high-x[2], wide-x[3])+1)/2)
	channels := upTo(r, 40)
	if x[0]*x[1]*x[2]*x[3]*channels*high*wide > most {
		return randomConvolution(r, []int{upTo(r, 9), upTo(r, 40), upTo(r, 20), upTo(r, 20)})
	}
	if r.IntN(4) == 0 {
		w := []int{x[1], 1, high, wide}
		y := shapeOf(ops.DepthwiseConv2D(k), x, w)
		return []Operation{
			{ops.DepthwiseConv2D(k), [][]int{x, w}},
			{ops.DepthwiseConv2DGradInput{Conv: ops.DepthwiseConv2D(k), Height: x[2], Width: x[3]}, [][]int{w, y}},
			{ops.DepthwiseConv2DGradWeights{Conv: ops.DepthwiseConv2D(k), Height: high, Width: wide}, [][]int{x, y}},
		}[r.IntN(3)]
	}
	w := []int{channels, x[1], high, wide}
	y := shapeOf(k, x, w)
	return []Operation{
		{k, [][]int{x, w}},
		{ops.Conv2DGradInput{Conv: k, Height: x[2], Width: x[3]}, [][]int{w, y}},
		{ops.Conv2DGradWeights{Conv: k, Height: high, Width: wide}, [][]int{x, y}},
	}[r.IntN(3)]
}
