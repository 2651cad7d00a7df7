package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// plane is a vector of channels of a map of random values, somewhere among other channels.
type plane struct {
	*tensor
	at, rows, px, lanes int
}

func newPlane(s *Set, r *rand.Rand, rows, px int) *plane {
	pixel, gap := s.Channels*(1+r.IntN(3)), r.IntN(2)
	x := newTensor(1, rows, px, pixel, pixel, gap)
	p := &plane{x, x.index(0, 0, 0, 0) + s.Channels*r.IntN(pixel/s.Channels), rows, px, s.Channels}
	p.values(func(_, _, _ int, v *float32) { *v = float32(r.NormFloat64()) })
	return p
}

func (p *plane) plane() Plane { return Plane{&p.data[p.at], p.layout.Pixel, p.layout.Row} }

// value is the place of channel c of pixel x of row r.
func (p *plane) value(r, x, c int) *float32 { return &p.data[p.at+r*p.layout.Row+x*p.layout.Pixel+c] }

func (p *plane) values(f func(r, x, c int, v *float32)) {
	for r := range p.rows {
		for x := range p.px {
			for c := range p.lanes {
				f(r, x, c, p.value(r, x, c))
			}
		}
	}
}

// holds checks every value, and that nothing else was written.
func (p *plane) holds(t *testing.T, name string, want func(r, x, c int) float64) {
	t.Helper()
	p.values(func(r, x, c int, v *float32) {
		w := want(r, x, c)
		if math.Abs(float64(*v)-w) > 2e-6*(1+math.Abs(w)) || (*v != *v) != (w != w) {
			t.Fatalf("%s[%d, %d, %d] = %v, want %v", name, r, x, c, *v, w)
		}
	})
	p.untouched(t, name, func(i int) bool {
		i -= p.at
		return i >= 0 && i/p.layout.Row < p.rows && i%p.layout.Row/p.layout.Pixel < p.px && i%p.layout.Pixel < p.lanes
	})
}

// bits is a mask in memory between guards.
type bits struct {
	all        []uint16
	mask       Mask
	pixel, row int
}

func newBits(r *rand.Rand, rows, px int) *bits {
	pixel := 1 + r.IntN(3)
	b := &bits{pixel: pixel, row: (px + r.IntN(2)) * pixel}
	b.all = make([]uint16, 2*guard+rows*b.row)
	for i := range b.all {
		b.all[i] = uint16(r.Uint32())
	}
	b.mask = Mask{(*uint8)(unsafe.Pointer(&b.all[guard])), 2 * b.pixel, 2 * b.row}
	return b
}

func (b *bits) at(r, x int) uint16 { return b.all[guard+r*b.row+x*b.pixel] }

// sizes calls f with sets and numbers of rows and pixels.
func sizes(t *testing.T, f func(t *testing.T, s *Set, r *rand.Rand, rows, px int)) {
	eachFamily(t, func(t *testing.T, s *Set) {
		r := rand.New(rand.NewPCG(13, 14))
		list := [][2]int{{1, 1}, {3, 2}, {2, 3}, {5, 4}, {4, 5}, {7, 7}, {8, 8}, {33, 31}, {1, 1100}, {3, 513}, {600, 1}}
		for _, n := range list {
			for range 4 {
				f(t, s, r, n[0], n[1])
			}
		}
	})
}

func toFloat64(v []float32) (w [Lanes]float64) {
	for c := range w {
		w[c] = float64(v[c])
	}
	return w
}

// sums16 fails the test unless got holds 100 plus the sums.
func sums16(t *testing.T, name string, got [Lanes]float64, want [Lanes]sum) {
	t.Helper()
	for c, v := range got {
		if math.Abs(v-100-want[c].value) > 1e-6*want[c].size {
			t.Fatalf("%s[%d] = %v, want %v", name, c, v-100, want[c].value)
		}
	}
}

func hundreds() (s [Lanes]float64) {
	for c := range s {
		s[c] = 100
	}
	return s
}

func TestStats(t *testing.T) {
	sizes(t, func(t *testing.T, s *Set, r *rand.Rand, rows, px int) {
		y, ref := newPlane(s, r, rows, px), randomSlice(r, Lanes)
		var s1, s2 [Lanes]sum
		y.values(func(_, _, c int, v *float32) {
			s1[c].add(*v-ref[c], 1)
			s2[c].add(*v-ref[c], *v-ref[c])
		})
		got1, got2 := hundreds(), hundreds()
		s.Stats(rows, px, y.plane(), &ref[0], &got1[0], &got2[0])
		sums16(t, "sum", got1, s1)
		sums16(t, "square", got2, s2)
	})
}

// TestStatsPrecision takes the variance of values far from zero.
func TestStatsPrecision(t *testing.T) {
	const n = 10000
	r := rand.New(rand.NewPCG(15, 16))
	y, ref := make([]float32, n*Lanes), make([]float32, Lanes)
	var mean, want [Lanes]float64
	for c := range ref {
		ref[c] = float32(1000 * (c + 1))
	}
	for i := range y {
		y[i] = ref[i%Lanes] + float32(r.NormFloat64())
		mean[i%Lanes] += float64(y[i]) / n
	}
	for i, v := range y {
		want[i%Lanes] += math.Pow(float64(v)-mean[i%Lanes], 2) / n
	}
	eachFamily(t, func(t *testing.T, s *Set) {
		var s1, s2 [Lanes]float64
		s.Stats(1, n, Plane{&y[0], Lanes, 0}, &ref[0], &s1[0], &s2[0])
		for c := range s.Channels {
			if got := s2[c]/n - s1[c]/n*s1[c]/n; math.Abs(got/want[c]-1) > 1e-6 {
				t.Errorf("variance of channel %d is %v, want %v", c, got, want[c])
			}
		}
	})
}

func TestApply(t *testing.T) {
	sizes(t, func(t *testing.T, s *Set, r *rand.Rand, rows, px int) {
		for form := range 12 {
			rect, masked, residual := Rectifier(form%3), form/3%2 != 0, form/6 != 0
			y, res, a, m := newPlane(s, r, rows, px), newPlane(s, r, rows, px), newPlane(s, r, rows, px), newBits(r, rows, px)
			*y.value(0, 0, 3), *y.value(rows-1, px-1, 7) = float32(math.NaN()), float32(math.Inf(1))
			scale, shift := randomSlice(r, Lanes), randomSlice(r, Lanes)
			mask, added, before := Mask{}, Plane{}, append([]uint16(nil), m.all...)
			if masked {
				mask = m.mask
			}
			if residual {
				added = res.plane()
			}
			s.Apply(rows, px, y.plane(), &scale[0], &shift[0], added, rect, mask, a.plane())
			k, b := toFloat64(scale), toFloat64(shift)
			low, high := rect.bounds()
			a.holds(t, fmt.Sprintf("a of form %d", form), func(r, x, c int) float64 {
				v := float64(*y.value(r, x, c))*k[c] + b[c]
				if residual {
					v += float64(*res.value(r, x, c))
				}
				return min(max(v, float64(low)), float64(high))
			})
			if rect != Linear && masked {
				a.values(func(r, x, c int, v *float32) {
					if got, want := m.at(r, x)>>c&1 != 0, *v != 0 && (rect != ReLU6 || *v != high); got != want {
						t.Fatalf("bit %d of the mask at %d, %d is %v for %v", c, r, x, got, *v)
					}
					word, written := &before[guard+r*m.row+x*m.pixel], uint16(1)<<s.Channels-1
					*word = *word&^written | m.at(r, x)&written
				})
			}
			for i, v := range m.all {
				if v != before[i] {
					t.Fatalf("form %d: word %d of the mask was overwritten", form, i-guard)
				}
			}
		}
	})
}

func TestBackStats(t *testing.T) {
	sizes(t, func(t *testing.T, s *Set, r *rand.Rand, rows, px int) {
		for form := range 4 {
			masked, residual := form&1 != 0, form&2 != 0
			dx, res, y, dz := newPlane(s, r, rows, px), newPlane(s, r, rows, px), newPlane(s, r, rows, px), newPlane(s, r, rows, px)
			m, mean := newBits(r, rows, px), randomSlice(r, Lanes)
			mask, added := Mask{}, Plane{}
			if masked {
				mask = m.mask
			}
			if residual {
				added = res.plane()
			}
			got1, got2 := hundreds(), hundreds()
			s.BackStats(rows, px, dx.plane(), added, mask, y.plane(), &mean[0], dz.plane(), &got1[0], &got2[0])
			var s1, s2 [Lanes]sum
			dz.holds(t, fmt.Sprintf("dz of form %d", form), func(r, x, c int) float64 {
				v := float64(*dx.value(r, x, c))
				if residual {
					v += float64(*res.value(r, x, c))
				}
				if masked && m.at(r, x)>>c&1 == 0 {
					v = 0
				}
				s1[c].add(float32(v), 1)
				s2[c].add(float32(v), *y.value(r, x, c)-mean[c])
				return v
			})
			sums16(t, "s1", got1, s1)
			sums16(t, "s2", got2, s2)
		}
	})
}

func TestBackApply(t *testing.T) {
	sizes(t, func(t *testing.T, s *Set, r *rand.Rand, rows, px int) {
		dz, y, dy := newPlane(s, r, rows, px), newPlane(s, r, rows, px), newPlane(s, r, rows, px)
		k1, k2, k3 := randomSlice(r, Lanes), randomSlice(r, Lanes), randomSlice(r, Lanes)
		*dz.value(0, 0, 5) = float32(math.NaN())
		s.BackApply(rows, px, dz.plane(), y.plane(), &k1[0], &k2[0], &k3[0], dy.plane())
		f, g, h := toFloat64(k1), toFloat64(k2), toFloat64(k3)
		dy.holds(t, "dy", func(r, x, c int) float64 {
			return f[c]*float64(*dz.value(r, x, c)) + g[c]*float64(*y.value(r, x, c)) + h[c]
		})
	})
}

func TestAddScaled(t *testing.T) {
	sizes(t, func(t *testing.T, s *Set, r *rand.Rand, rows, px int) {
		dst, src := newPlane(s, r, rows, px), newPlane(s, r, rows, px)
		before := append([]float32(nil), dst.data...)
		was := func(r, x, c int) float64 { return float64(before[dst.at+r*dst.layout.Row+x*dst.layout.Pixel+c]) }
		s.AddScaled(rows, px, dst.plane(), src.plane(), -1.5)
		dst.holds(t, "AddScaled", func(r, x, c int) float64 { return was(r, x, c) - 1.5*float64(*src.value(r, x, c)) })
	})
}

// TestInPlace checks that results may replace their operands.
func TestInPlace(t *testing.T) {
	eachFamily(t, func(t *testing.T, s *Set) {
		r := rand.New(rand.NewPCG(17, 18))
		const rows, px = 3, 7
		y, want := newPlane(s, r, rows, px), newPlane(s, r, rows, px)
		k, b := randomSlice(r, Lanes), randomSlice(r, Lanes)
		m := newBits(r, rows, px)
		s.Apply(rows, px, y.plane(), &k[0], &b[0], y.plane(), ReLU, Mask{}, want.plane())
		s.Apply(rows, px, y.plane(), &k[0], &b[0], y.plane(), ReLU, Mask{}, y.plane())
		same := func(name string) {
			t.Helper()
			y.holds(t, name, func(r, x, c int) float64 { return float64(*want.value(r, x, c)) })
		}
		same("Apply")
		var s1, s2 [Lanes]float64
		s.BackStats(rows, px, y.plane(), y.plane(), m.mask, y.plane(), &b[0], want.plane(), &s1[0], &s2[0])
		s.BackStats(rows, px, y.plane(), y.plane(), m.mask, y.plane(), &b[0], y.plane(), &s1[0], &s2[0])
		same("BackStats")
		s.BackApply(rows, px, y.plane(), y.plane(), &k[0], &b[0], &k[0], want.plane())
		s.BackApply(rows, px, y.plane(), y.plane(), &k[0], &b[0], &k[0], y.plane())
		same("BackApply")
	})
}

func TestFlat(t *testing.T) {
	eachSet(t, func(t *testing.T, s *Set) {
		r := rand.New(rand.NewPCG(19, 20))
		for _, n := range []int{0, 1, 15, 16, 17, 32, 100, 1000} {
			random := func() *buffer {
				b := newBuffer(n)
				copy(b.data, randomSlice(r, n))
				return b
			}
			w, v, dw := random(), random(), random()
			wantW, wantV, wantSum := make([]float64, n), make([]float64, n), make([]float64, n)
			for i := range n {
				wantV[i] = 0.9*float64(v.data[i]) + float64(dw.data[i]) + 0.01*float64(w.data[i])
				wantW[i] = float64(w.data[i]) - 0.1*wantV[i]
				wantSum[i] = wantW[i] + float64(dw.data[i])
			}
			check := func(name string, b *buffer, want []float64) {
				t.Helper()
				b.untouched(t, name, func(int) bool { return true })
				for i, v := range b.data {
					if math.Abs(float64(v)-want[i]) > 1e-6*(1+math.Abs(want[i])) {
						t.Fatalf("%s[%d] = %v, want %v", name, i, v, want[i])
					}
				}
			}
			s.SGD(w.data, v.data, dw.data, 0.1, 0.9, 0.01)
			check("v", v, wantV)
			check("w", w, wantW)
			s.Add(w.data, dw.data)
			check("sum", w, wantSum)
		}
	})
}
