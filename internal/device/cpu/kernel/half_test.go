package kernel

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestHalfVectors checks that a set's results do not depend on whether it has kernels for half a vector, to the last
// bit: how a map's channels are padded is nothing that a record has to tell.
func TestHalfVectors(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	for _, s := range Available() {
		if s.half == nil {
			continue
		}
		whole := *s
		whole.half = nil
		for _, g := range append(geometries(), winogradGeometries()...) {
			c := newConvolution(g, 2, false, r)
			if a, b := results(t, s, c), results(t, &whole, c); !slices.EqualFunc(a, b, slices.Equal) {
				t.Errorf("%s: other bits for %+v", s.Name, g)
			}
		}
	}
}

// results lists what the passes of a convolution give with a residual on half of the channels, directly and by
// Winograd's convolution, and the sums of its output.
func results(t *testing.T, s *Set, c *convolution) (all [][]float32) {
	t.Helper()
	c = c.padded(s)
	c.x.zeroPadding()
	c.dy.zeroPadding()
	residual := newTensor(c.n, c.OH, c.OW, (c.OC+1)/2, s.Pad((c.OC+1)/2), 1).randomize(rand.New(rand.NewPCG(23, 24)))
	residual.zeroPadding()
	e := Epilogue{
		Residual: residual.first(), ResidualLayout: residual.layout, ResidualChannels: residual.layout.Pixel, Rectifier: ReLU,
	}
	convolve := func(k *Conv, in, out *tensor, e Epilogue) {
		packed, scratch := make([]float32, k.Size()), make([]float32, s.Scratch(k))
		k.Pack(packed, c.w)
		s.Convolve(k, c.n, in.first(), &packed[0], out.first(), e, append(scratch, 0))
		all = append(all, out.values())
	}
	gradient := func(k *WeightGrad) {
		packed, scratch, dw := make([]float32, k.Size()), make([]float32, s.GradScratch(k)), make([]float32, len(c.w))
		s.WeightGradient(k, c.n, c.x.first(), c.dy.first(), &packed[0], append(scratch, 0))
		k.Unpack(dw, packed)
		all = append(all, dw)
	}
	y, dx := c.output(s, c.OH, c.OW, c.OC, 1), c.output(s, c.H, c.W, c.IC, 0)
	convolve(s.directForward(c.Geometry, c.x.layout, y.layout), c.x, y, e)
	convolve(s.directBackwardData(c.Geometry, c.dy.layout, dx.layout), c.dy, dx, Epilogue{})
	gradient(s.directBackwardWeights(c.Geometry, c.x.layout, c.dy.layout))
	if c.hasWinograd() {
		convolve(s.winogradForward(c.Geometry, c.x.layout, y.layout), c.x, y, e)
		convolve(s.winogradBackwardData(c.Geometry, c.dy.layout, dx.layout), c.dy, dx, Epilogue{})
		gradient(s.winogradBackwardWeights(c.Geometry, c.x.layout, c.dy.layout))
	}

	ref := make([]float32, Lanes)
	sum, square, dot := make([]float64, s.Pad(c.OC)), make([]float64, s.Pad(c.OC)), make([]float64, s.Pad(c.OC))
	for o := 0; o < s.Pad(c.OC); {
		k := s.At(o, s.Pad(c.OC))
		p := Plane{&y.data[y.index(0, 0, 0, o)], y.layout.Pixel, y.layout.Row}
		k.Stats(c.OH, c.OW, p, &ref[0], &sum[o], &square[o])
		k.Dot(c.OH, c.OW, p, p, &dot[o])
		o += k.Channels
	}
	for _, v := range [][]float64{sum, square, dot} {
		narrow := make([]float32, c.OC)
		for i := range narrow {
			narrow[i] = float32(v[i])
		}
		all = append(all, narrow)
	}
	return all
}
