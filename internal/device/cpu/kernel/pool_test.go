package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// pools calls f with windows of several sizes, some of which overlap, on a plane of few different values, so that
// maxima are attained several times.
func pools(t *testing.T, f func(t *testing.T, s *Set, r *rand.Rand, x *plane, px, step int, w Windows)) {
	eachFamily(t, func(t *testing.T, s *Set) {
		r := rand.New(rand.NewPCG(23, 24))
		for _, px := range []int{1, 2, 7, 30} {
			for _, k := range [][3]int{{1, 1, 1}, {2, 2, 2}, {3, 3, 2}, {3, 3, 1}, {3, 2, 2}, {1, 3, 2}, {8, 8, 8}, {5, 1, 1}} {
				kh, kw, step := k[0], k[1], k[2]
				x := newPlane(s, r, kh, (px-1)*step+kw)
				x.values(func(_, _, _ int, v *float32) { *v = float32(math.Round(float64(*v))) })
				f(t, s, r, x, px, step, x.windows(kh, kw, step))
			}
		}
	})
}

func (p *plane) windows(kh, kw, step int) Windows {
	return Windows{&p.data[p.at], p.layout.Pixel, p.layout.Row, step * p.layout.Pixel, kh, kw}
}

func TestMaxPool(t *testing.T) {
	pools(t, func(t *testing.T, s *Set, r *rand.Rand, x *plane, px, step int, w Windows) {
		nan, inf := float32(math.NaN()), float32(math.Inf(-1))
		*x.value(0, 0, 3), *x.value(w.KH-1, w.KW-1, 4), *x.value(w.KH/2, w.KW/2, 5), *x.value(0, 0, 6) = nan, nan, nan, inf
		y := newPlane(s, r, 1, px)
		s.MaxPool(px, s.Channels, w, y.plane())
		y.holds(t, "y", func(_, p, c int) float64 {
			v := math.Inf(-1)
			for i := range w.KH * w.KW {
				v = max(v, float64(*x.value(i/w.KW, p*step+i%w.KW, c)))
			}
			return v
		})
	})
}

func TestAvgPool(t *testing.T) {
	pools(t, func(t *testing.T, s *Set, r *rand.Rand, x *plane, px, step int, w Windows) {
		*x.value(w.KH-1, 0, 3) = float32(math.NaN())
		y := newPlane(s, r, 1, px)
		s.AvgPool(px, s.Channels, w, y.plane())
		y.holds(t, "y", func(_, p, c int) (v float64) {
			for i := range w.KH * w.KW {
				v += float64(*x.value(i/w.KW, p*step+i%w.KW, c)) / float64(w.KH*w.KW)
			}
			return v
		})
	})
}

func TestMaxPoolGrad(t *testing.T) {
	pools(t, func(t *testing.T, s *Set, r *rand.Rand, x *plane, px, step int, w Windows) {
		*x.value(0, 0, 3), *x.value(w.KH-1, w.KW-1, 4) = float32(math.NaN()), float32(math.NaN())
		dy, dx := newPlane(s, r, 1, px), newPlane(s, r, x.rows, x.px)
		want := make([]float64, x.rows*x.px*Lanes)
		dx.values(func(row, p, c int, v *float32) { want[(row*x.px+p)*Lanes+c] = float64(*v) })
		for p := range px {
			for c := range s.Channels {
				row, col := 0, p*step
				for i := range w.KH * w.KW {
					if *x.value(i/w.KW, p*step+i%w.KW, c) > *x.value(row, col, c) {
						row, col = i/w.KW, p*step+i%w.KW
					}
				}
				want[(row*x.px+col)*Lanes+c] += float64(*dy.value(0, p, c))
			}
		}
		s.MaxPoolGrad(px, s.Channels, w, dy.plane(), dx.windows(w.KH, w.KW, step))
		dx.holds(t, "dx", func(row, p, c int) float64 { return want[(row*x.px+p)*Lanes+c] })
	})
}

func TestDot(t *testing.T) {
	sizes(t, func(t *testing.T, s *Set, r *rand.Rand, rows, px int) {
		x, d := newPlane(s, r, rows, px), newPlane(s, r, rows, px)
		var want [Lanes]sum
		x.values(func(row, p, c int, v *float32) { want[c].add(*v, *d.value(row, p, c)) })
		got := hundreds()
		s.Dot(rows, px, x.plane(), d.plane(), &got[0])
		sums16(t, "sum", got, want)
	})
}
