package kernel

import (
	"fmt"
	"testing"
	"time"
)

// layer is a convolution of ResNet-20, or of one with odd widths, as benchmarks run it: on as many images as fill
// 256 KiB, with tensors as the engine lays them out.
type layer struct {
	Geometry
	n            int
	x, y, dy, dx Layout
	xs, ys       []float32 // hold x or dx, and y or dy
	lead         int       // index of the first pixel in both
	w, dw        []float32
}

func layers(s *Set) []layer {
	list := []Geometry{
		square(3, 16, 32, 3, 1, 1), square(16, 16, 32, 3, 1, 1), square(16, 32, 32, 3, 2, 1), square(32, 32, 16, 3, 1, 1),
		square(32, 64, 16, 3, 2, 1), square(64, 64, 8, 3, 1, 1), square(8, 8, 32, 3, 1, 1), square(10, 10, 32, 3, 1, 1), square(13, 13, 32, 3, 1, 1), square(27, 27, 16, 3, 1, 1),
		square(51, 51, 8, 3, 1, 1), square(51, 27, 8, 3, 1, 1), square(64, 64, 56, 3, 1, 1), square(256, 256, 14, 3, 1, 1),
		square(512, 512, 7, 3, 1, 1), square(256, 64, 56, 1, 1, 0),
	}
	layers := make([]layer, len(list))
	for i, g := range list {
		ic, oc := s.Pad(g.IC), s.Pad(g.OC)
		if g.IC == 3 {
			ic = 3
		}
		l := layer{Geometry: g, n: max(1, 65536/max(g.H*g.W*ic, g.OH*g.OW*oc))}
		layout := func(h, w, pixel int) Layout { return Layout{pixel, w * pixel, h * w * pixel} }
		l.x, l.dx = layout(g.H, g.W+g.Pad, ic), layout(g.H, g.W, s.Pad(g.IC))
		l.y, l.dy = layout(g.OH, g.OW, oc), layout(g.OH, g.OW+g.GradPad(), oc)
		l.lead = max(g.Pad, g.GradPad()) * max(l.dx.Pixel, oc)
		l.xs = aligned(l.lead + l.n*max(l.x.Image, l.dx.Image))
		l.ys = aligned(l.lead + l.n*l.dy.Image)
		l.w = aligned(max(g.ForwardSize(), g.BackwardSize()))
		l.dw = aligned(g.ForwardSize())
		layers[i] = l
	}
	return layers
}

func (l *layer) String() string {
	return fmt.Sprintf("%dto%d,%dpx,%dx%d,stride%d", l.IC, l.OC, l.H, l.KH, l.KW, l.Stride)
}

// BenchmarkConvolution reports GFLOP/s of logical work and their share of the throughput of multiply-adds on registers,
// both of the fastest call, so that a busy machine does not blur them.
func BenchmarkConvolution(b *testing.B) {
	for _, s := range Available() {
		for _, l := range layers(s) {
			x, y := &l.xs[l.lead], &l.ys[l.lead]
			forward, data, weights := s.directForward(l.Geometry, l.x, l.y), s.directBackwardData(l.Geometry, l.dy, l.dx),
				s.directBackwardWeights(l.Geometry, l.x, l.dy)
			run := func(name string, f func()) {
				b.Run(fmt.Sprintf("%s/%v/%s", s.Name, &l, name), func(b *testing.B) {
					best := fastest(b, f)
					rate := 2 * float64(l.n*l.IC*l.OC*l.OH*l.OW*l.KH*l.KW) / best
					b.ReportMetric(rate, "GFLOP/s")
					b.ReportMetric(100*rate/s.Peak(0.01), "%peak")
				})
			}
			run("forward", func() { s.Convolve(forward, l.n, x, &l.w[0], y, Epilogue{}, nil) })
			run("data", func() { s.Convolve(data, l.n, y, &l.w[0], x, Epilogue{}, nil) })
			if l.hasWinograd() && l.x.Pixel >= s.Pad(l.IC) && s.winogradIn != nil {
				forward, data := s.winogradForward(l.Geometry, l.x, l.y), s.winogradBackwardData(l.Geometry, l.dy, l.dx)
				u, scratch := aligned(max(forward.Size(), data.Size())), aligned(max(s.Scratch(forward), s.Scratch(data)))
				run("winograd", func() { s.Convolve(forward, l.n, x, &u[0], y, Epilogue{}, scratch) })
				run("winograddata", func() { s.Convolve(data, l.n, y, &u[0], x, Epilogue{}, scratch) })
				weights := s.winogradBackwardWeights(l.Geometry, l.x, l.dy)
				dw, scratch := aligned(weights.Size()), aligned(s.GradScratch(weights))
				run("winogradweights", func() { s.WeightGradient(weights, l.n, x, y, &dw[0], scratch) })
			}
			run("weights", func() { s.WeightGradient(weights, l.n, x, y, &l.dw[0], nil) })
		}
	}
}

// fastest runs a benchmark and returns the time of the fastest call in nanoseconds.
func fastest(b *testing.B, f func()) float64 {
	best := time.Hour
	for b.Loop() {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
	}
	return float64(best.Nanoseconds())
}

// BenchmarkElementwise reports the memory traffic of the passes on 256 KiB of a map with one and with four vectors of
// channels, rows of a with a zero pixel.
func BenchmarkElementwise(b *testing.B) {
	for _, s := range Available() {
		for _, groups := range []int{1, 4} {
			const floats = 65536
			h := 32 / groups
			w, pixel := h, groups*Lanes
			rows := floats / (w * pixel)
			y, a, z := aligned(floats), aligned(rows*(w+1)*pixel), aligned(floats)
			m := make([]uint8, 2*rows*w*groups)
			k, sums := make([]float32, pixel), make([]float64, pixel)
			dense := func(x []float32, o int) Plane { return Plane{&x[o*Lanes], pixel, w * pixel} }
			padded := func(o int) Plane { return Plane{&a[o*Lanes], pixel, (w + 1) * pixel} }
			run := func(name string, tensors float64, f func(o int)) {
				b.Run(fmt.Sprintf("%s/%d/%s", s.Name, pixel, name), func(b *testing.B) {
					best := fastest(b, func() {
						for o := range groups {
							f(o)
						}
					})
					b.ReportMetric(tensors*4*floats/best, "GB/s")
				})
			}
			run("stats", 1, func(o int) { s.Stats(rows, w, dense(y, o), &k[0], &sums[0], &sums[0]) })
			run("apply", 2, func(o int) {
				s.Apply(rows, w, dense(y, o), &k[0], &k[0], Plane{}, ReLU, Mask{&m[2*o*rows*w], 2, 2 * w}, padded(o))
			})
			run("backstats", 3, func(o int) {
				s.BackStats(rows, w, dense(z, o), Plane{}, Mask{&m[2*o*rows*w], 2, 2 * w}, dense(y, o), &k[0], dense(z, o),
					&sums[0], &sums[0])
			})
			run("backapply", 3, func(o int) { s.BackApply(rows, w, dense(z, o), dense(y, o), &k[0], &k[0], &k[0], padded(o)) })
		}
	}
}
