package kernel

import (
	"fmt"
	"testing"
)

// BenchmarkDepthwise reports GFLOP/s of the depthwise convolutions of MobileNetV2 and MnasNet-A1, on as many images as
// fill 256 KiB but one at least, and the memory traffic: x and y, or dy and dx, or x and dy, once each.
func BenchmarkDepthwise(b *testing.B) {
	for _, s := range Available() {
		for _, g := range []Geometry{
			square(32, 32, 112, 3, 1, 1), square(96, 96, 112, 3, 2, 1), square(144, 144, 56, 3, 1, 1),
			square(72, 72, 56, 5, 2, 2), square(120, 120, 28, 5, 1, 2), square(384, 384, 14, 3, 1, 1),
			square(960, 960, 7, 3, 1, 1), square(96, 96, 32, 3, 1, 1), square(13, 13, 32, 3, 1, 1),
		} {
			pixel := s.Pad(g.OC)
			layout := func(h, w int) Layout { return Layout{pixel, w * pixel, h * w * pixel} }
			x, y, dy, dx := layout(g.H, g.W+g.Pad), layout(g.OH, g.OW), layout(g.OH, g.OW+g.GradPad()), layout(g.H, g.W)
			n := max(1, 65536/x.Image)
			lead := max(g.Pad, g.GradPad()) * pixel
			xs, ys := aligned(lead+n*x.Image), aligned(lead+n*dy.Image)
			forward, data := s.DepthwiseForward(g, x, y), s.DepthwiseBackwardData(g, dy, dx)
			weights := s.DepthwiseBackwardWeights(g, x, dy)
			w := aligned(forward.Size())
			for _, m := range [][]float32{xs, ys, w} {
				for i := range m {
					m[i] = 1 // memory that was never written to is not read from memory
				}
			}
			run := func(name string, f func()) {
				b.Run(fmt.Sprintf("%s/%d,%dpx,%dx%d,stride%d/%s", s.Name, g.OC, g.H, g.KH, g.KW, g.Stride, name),
					func(b *testing.B) {
						best := fastest(b, f)
						b.ReportMetric(2*float64(n*g.OC*g.OH*g.OW*g.KH*g.KW)/best, "GFLOP/s")
						b.ReportMetric(4*float64(n*g.OC*(g.H*g.W+g.OH*g.OW))/best, "GB/s")
					})
			}
			run("forward", func() { s.Depthwise(forward, n, &xs[lead], &w[0], &ys[lead], nil, ReLU6) })
			run("data", func() { s.Depthwise(data, n, &ys[lead], &w[0], &xs[lead], nil, Linear) })
			run("weights", func() { s.DepthwiseGradient(weights, n, &xs[lead], &ys[lead], &w[0]) })
		}
	}
}

// BenchmarkPooling reports the memory traffic of pooling, the input and the output once each, on maps of 256 KiB.
func BenchmarkPooling(b *testing.B) {
	const size, groups = 32, 4
	for _, s := range Available() {
		for _, k := range [][2]int{{2, 2}, {3, 2}} {
			window, step := k[0], k[1]
			out := (size-window)/step + 1
			const pixel = groups * Lanes
			x, y, z := aligned(size*size*pixel), aligned(out*out*pixel), aligned(size*size*pixel)
			windows := func(m []float32, r int) Windows {
				return Windows{&m[r*step*size*pixel], pixel, size * pixel, step * pixel, window, window}
			}
			run := func(name string, tensors int, f func(r int)) {
				b.Run(fmt.Sprintf("%s/%dx%d,stride%d/%s", s.Name, window, window, step, name), func(b *testing.B) {
					best := fastest(b, func() {
						for r := range out {
							f(r)
						}
					})
					b.ReportMetric(4*float64(tensors*len(x)+len(y))/best, "GB/s")
				})
			}
			plane := func(r int) Plane { return Plane{&y[r*out*pixel], pixel, out * pixel} }
			run("max", 1, func(r int) { s.MaxPool(out, pixel, windows(x, r), plane(r)) })
			run("mean", 1, func(r int) { s.AvgPool(out, pixel, windows(x, r), plane(r)) })
			run("maxgrad", 2, func(r int) { s.MaxPoolGrad(out, pixel, windows(x, r), plane(r), windows(z, r)) })
		}
	}
}
