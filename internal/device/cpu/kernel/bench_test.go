package kernel

import (
	"fmt"
	"testing"
)

// layer is a convolution of ResNet-20, or of one with odd widths, as benchmarks run it: on as many images as fill
// 256 KiB, with tensors as the engine lays them out.
type layer struct {
	Geometry
	n             int
	xPixel        int
	x, y, dy, dx  Layout
	xs, ys        []float32
	w, dw         []float32
	xFirst, first int
}

func layers() []layer {
	list := []Geometry{
		square(3, 16, 32, 3, 1, 1), square(16, 16, 32, 3, 1, 1), square(16, 32, 32, 3, 2, 1), square(32, 32, 16, 3, 1, 1),
		square(32, 64, 16, 3, 2, 1), square(64, 64, 8, 3, 1, 1), square(13, 13, 32, 3, 1, 1), square(27, 27, 16, 3, 1, 1),
		square(51, 51, 8, 3, 1, 1), square(51, 27, 8, 3, 1, 1), square(64, 64, 56, 3, 1, 1), square(256, 256, 14, 3, 1, 1),
		square(512, 512, 7, 3, 1, 1), square(256, 64, 56, 1, 1, 0),
	}
	layers := make([]layer, len(list))
	for i, g := range list {
		ic, oc := Groups(g.IC)*Lanes, Groups(g.OC)*Lanes
		if g.IC == 3 {
			ic = 3
		}
		l := layer{Geometry: g, xPixel: ic}
		l.n = max(1, 65536/max(g.H*g.W*ic, g.OH*g.OW*oc))
		row := (g.W + g.Pad) * ic
		l.x = Layout{ic, row, g.H * row}
		l.dx = Layout{Groups(ic) * Lanes, g.W * Groups(ic) * Lanes, g.H * g.W * Groups(ic) * Lanes}
		l.y = Layout{oc, g.OW * oc, g.OH * g.OW * oc}
		l.dy = Layout{oc, (g.OW + g.GradPad()) * oc, g.OH * (g.OW + g.GradPad()) * oc}
		lead := max(g.Pad, g.GradPad()) * max(l.dx.Pixel, oc)
		l.xFirst = lead
		l.xs = aligned(lead + l.n*max(l.x.Image, l.dx.Image))
		l.ys = aligned(lead + l.n*l.dy.Image)
		l.w = aligned(max(g.ForwardSize(), g.BackwardSize()))
		l.dw = aligned(g.ForwardSize())
		layers[i] = l
	}
	return layers
}

func (l *layer) String() string {
	return fmt.Sprintf("%dto%d,%dpx,%dx%d,stride%d", l.IC, l.OC, l.H, l.KH, l.KW, l.Stride)
}

// BenchmarkConvolution reports GFLOP/s of logical work, and the share of the throughput of multiply-adds on registers
// measured beside it.
func BenchmarkConvolution(b *testing.B) {
	for _, s := range Available() {
		for _, l := range layers() {
			x, y := &l.xs[l.xFirst], &l.ys[l.xFirst]
			forward, data, weights := Forward(l.Geometry, l.x, l.y), BackwardData(l.Geometry, l.dy, l.dx),
				BackwardWeights(l.Geometry, l.x, l.dy)
			run := func(name string, f func()) {
				b.Run(fmt.Sprintf("%s/%v/%s", s.Name, &l, name), func(b *testing.B) {
					peak := s.Peak(0.01)
					for b.Loop() {
						f()
					}
					flops := 2 * float64(l.n*l.IC*l.OC*l.OH*l.OW*l.KH*l.KW) * float64(b.N)
					rate := flops / float64(b.Elapsed().Nanoseconds())
					b.ReportMetric(rate, "GFLOP/s")
					b.ReportMetric(100*rate/max(peak, s.Peak(0.01)), "%peak")
				})
			}
			run("forward", func() { s.Convolve(forward, l.n, x, &l.w[0], y, Epilogue{}) })
			run("data", func() { s.Convolve(data, l.n, y, &l.w[0], x, Epilogue{}) })
			run("weights", func() { s.WeightGradient(weights, l.n, x, y, &l.dw[0]) })
		}
	}
}
