package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// eachWinograd runs a test on every set of this processor that has Winograd's convolution.
func eachWinograd(t *testing.T, f func(t *testing.T, s *Set)) {
	for _, s := range Available() {
		if s.winogradIn != nil {
			t.Run(s.Name, func(t *testing.T) { f(t, s) })
		}
	}
}

// winogradGeometries lists shapes with whole and with cut tiles, of more and less than a block.
func winogradGeometries() []Geometry {
	var list []Geometry
	for _, g := range geometries() {
		if g.hasWinograd() {
			list = append(list, g)
		}
	}
	for _, s := range []int{1, 2, 3, 4, 5, 7, 8, 14, 28, 33} {
		list = append(list, square(5+s, 20, s, 3, 1, 1), square(33, 3, s, 3, 1, 1))
	}
	for _, s := range [][2]int{{1, 9}, {9, 1}, {2, 17}, {11, 6}} {
		g := square(18, 34, 1, 3, 1, 1)
		g.H, g.W, g.OH, g.OW = s[0], s[1], s[0], s[1]
		list = append(list, g)
	}
	return list
}

// winogradForward runs the convolution with an epilogue.
func (c *convolution) winogradForward(t *testing.T, s *Set, e Epilogue) *tensor {
	t.Helper()
	c = c.padded(s)
	y := c.output(s, c.OH, c.OW, c.OC, 1)
	c.run(t, s, s.winogradForward(c.Geometry, c.x.layout, y.layout), c.x, y, e)
	return y
}

func (c *convolution) winogradBackwardData(t *testing.T, s *Set) *tensor {
	t.Helper()
	c = c.padded(s)
	dx := c.output(s, c.H, c.W, c.IC, 0)
	c.run(t, s, s.winogradBackwardData(c.Geometry, c.dy.layout, dx.layout), c.dy, dx, Epilogue{})
	return dx
}

// winogradBackwardWeights checks the gradient by the weights after two runs over the images, which add up.
func (c *convolution) winogradBackwardWeights(t *testing.T, s *Set) {
	t.Helper()
	c = c.padded(s)
	c.x.zeroPadding()
	c.dy.zeroPadding()
	p := s.winogradBackwardWeights(c.Geometry, c.x.layout, c.dy.layout)
	packed, scratch := newBuffer(p.Size()), newBuffer(s.GradScratch(p))
	clear(packed.data)
	for range 2 {
		s.WeightGradient(p, c.n, c.x.first(), c.dy.first(), &packed.data[0], scratch.data)
	}
	packed.untouched(t, "dw", func(int) bool { return true })
	scratch.untouched(t, "scratch", func(int) bool { return true })
	dw := newBuffer(len(c.w))
	p.Unpack(dw.data, packed.data)
	dw.untouched(t, "unpacked dw", func(int) bool { return true })
	for i, v := range dw.data {
		// The elements of a window are sums of the same products, so the largest of them bounds the errors of all.
		want := sum{value: 2 * c.dw[i].value}
		for _, w := range c.dw[i/9*9:][:9] {
			want.size = max(want.size, 2*w.size)
		}
		if !want.holds(v) {
			t.Fatalf("dw[%d] = %v, want %v", i, v, want.value)
		}
	}
}

// run packs the weights and runs a convolution between guards.
func (c *convolution) run(t *testing.T, s *Set, p *Conv, in, out *tensor, e Epilogue) {
	t.Helper()
	in.zeroPadding()
	packed, scratch := newBuffer(p.Size()), newBuffer(s.Scratch(p))
	p.Pack(packed.data, c.w)
	s.Convolve(p, c.n, in.first(), &packed.data[0], out.first(), e, scratch.data)
	packed.untouched(t, "weights", func(int) bool { return true })
	scratch.untouched(t, "scratch", func(int) bool { return true })
}

// zeroPadding zeroes the channels that pad the pixels: Winograd's convolution reads whole vectors.
func (x *tensor) zeroPadding() {
	for i := range x.data {
		if x.inPixel(i) && (i-x.gap*x.layout.Pixel)%x.layout.Pixel >= x.c {
			x.data[i] = 0
		}
	}
}

func TestWinograd(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for i, g := range winogradGeometries() {
		c := newConvolution(g, 1+i%3, false, r)
		t.Run(fmt.Sprintf("%+v", g), func(t *testing.T) {
			eachWinograd(t, func(t *testing.T, s *Set) {
				compare(t, "y", c.winogradForward(t, s, Epilogue{}), c.y)
				compare(t, "dx", c.winogradBackwardData(t, s), c.dx)
				c.winogradBackwardWeights(t, s)
			})
		})
	}
}

// deviation is the root of the mean squared error of a result.
func deviation(got []float32, want []sum) float64 {
	total := 0.0
	for i, v := range got {
		d := float64(v) - want[i].value
		total += d * d
	}
	return math.Sqrt(total / float64(len(want)))
}

// values lists the channels of a tensor in the order of each.
func (x *tensor) values() (list []float32) {
	x.each(func(_, _, _, _ int, v *float32) { list = append(list, *v) })
	return list
}

// TestWinogradAccuracy compares the errors of both ways against sums in float64. The transforms round a few times more,
// but there are fewer products to add up: from 16 channels on the errors are smaller than those of the direct way.
func TestWinogradAccuracy(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	for _, g := range []Geometry{square(16, 16, 32, 3, 1, 1), square(64, 64, 8, 3, 1, 1), square(128, 128, 7, 3, 1, 1)} {
		c := newConvolution(g, 2, false, r)
		eachWinograd(t, func(t *testing.T, s *Set) {
			c := c.padded(s)
			c.x.zeroPadding()
			y, dx := c.output(s, g.OH, g.OW, g.OC, 0), c.output(s, g.H, g.W, g.IC, 0)
			s.Convolve(s.directForward(g, c.x.layout, y.layout), c.n, c.x.first(), &c.packed[0], y.first(), Epilogue{}, nil)
			s.Convolve(s.directBackwardData(g, c.dy.layout, dx.layout), c.n, c.dy.first(), &c.packedBack[0], dx.first(),
				Epilogue{}, nil)
			gradient := func(p *WeightGrad) []float32 {
				packed, dw, scratch := make([]float32, p.Size()), make([]float32, len(c.w)), make([]float32, s.GradScratch(p))
				s.WeightGradient(p, c.n, c.x.first(), c.dy.first(), &packed[0], scratch)
				p.Unpack(dw, packed)
				return dw
			}
			for _, pass := range []struct {
				name             string
				direct, winograd []float32
				want             []sum
			}{
				{"forward", y.values(), c.winogradForward(t, s, Epilogue{}).values(), c.y},
				{"data", dx.values(), c.winogradBackwardData(t, s).values(), c.dx},
				{"weights", gradient(s.directBackwardWeights(g, c.x.layout, c.dy.layout)),
					gradient(s.winogradBackwardWeights(g, c.x.layout, c.dy.layout)), c.dw},
			} {
				direct, winograd := deviation(pass.direct, pass.want), deviation(pass.winograd, pass.want)
				if winograd > 1.5*direct {
					t.Errorf("%d channels, %s: error %.3g, direct %.3g", g.IC, pass.name, winograd, direct)
				}
			}
		})
	}
}

// TestWinogradChunks checks that the bits of an image do not depend on the images beside it.
func TestWinogradChunks(t *testing.T) {
	c := newConvolution(square(20, 40, 7, 3, 1, 1), 9, false, rand.New(rand.NewPCG(17, 18)))
	eachWinograd(t, func(t *testing.T, s *Set) {
		c := c.padded(s)
		c.x.zeroPadding()
		all := c.winogradForward(t, s, Epilogue{})
		one := c.output(s, c.OH, c.OW, c.OC, 1)
		p := s.winogradForward(c.Geometry, c.x.layout, one.layout)
		packed, scratch := make([]float32, p.Size()), make([]float32, s.Scratch(p))
		p.Pack(packed, c.w)
		for from := 0; from < c.n; {
			k := min(1+from%3, c.n-from)
			s.Convolve(p, k, at(c.x.first(), from*c.x.layout.Image), &packed[0], at(one.first(), from*one.layout.Image),
				Epilogue{}, scratch)
			from += k
		}
		all.each(func(n, r, p, ch int, v *float32) {
			if w := one.data[one.index(n, r, p, ch)]; math.Float32bits(w) != math.Float32bits(*v) {
				t.Fatalf("y[%d, %d, %d, %d] = %v by itself, %v among others", n, r, p, ch, w, *v)
			}
		})
	})
}

// TestWinogradPays checks the rule by which layers get Winograd's convolution, and that sets that have it follow it.
func TestWinogradPays(t *testing.T) {
	for _, tt := range []struct {
		name          string
		g             Geometry
		forward, back bool
	}{
		{"ResNet-20's first stage", square(16, 16, 32, 3, 1, 1), true, true},
		{"ResNet-18's last stage", square(512, 512, 7, 3, 1, 1), true, true},
		{"odd widths", square(13, 51, 8, 3, 1, 1), true, true},
		{"few channels to sum over", square(7, 64, 8, 3, 1, 1), false, true},
		{"few channels to sum over on the way back", square(64, 7, 8, 3, 1, 1), true, false},
		{"small map", square(64, 64, 2, 3, 1, 1), false, false},
		{"most of the last tiles outside", square(64, 64, 5, 3, 1, 1), false, false},
		{"stride 2", square(64, 64, 8, 3, 2, 1), false, false},
		{"no padding", square(64, 64, 8, 3, 1, 0), false, false},
		{"5x5", square(64, 64, 8, 5, 1, 2), false, false},
	} {
		if forward, back := tt.g.winogradPays(tt.g.IC), tt.g.winogradPays(tt.g.OC); forward != tt.forward || back != tt.back {
			t.Errorf("%s: forward %v, back %v, want %v, %v", tt.name, forward, back, tt.forward, tt.back)
		}
	}
	g := square(32, 32, 8, 3, 1, 1)
	l := Layout{32, 9 * 32, 8 * 9 * 32}
	eachSet(t, func(t *testing.T, s *Set) {
		has := s.winogradIn != nil
		if got := s.Forward(g, l, l).winograd != nil; got != has {
			t.Errorf("Forward is by Winograd: %v, want %v", got, has)
		}
		if got := s.BackwardData(g, l, l).winograd != nil; got != has {
			t.Errorf("BackwardData is by Winograd: %v, want %v", got, has)
		}
		if got := s.BackwardWeights(g, l, l).winograd != nil; got != has {
			t.Errorf("BackwardWeights is by Winograd: %v, want %v", got, has)
		}
	})
}

// TestWinogradPropagatesNaN checks that a NaN reaches all pixels of its window, and none of other images.
func TestWinogradPropagatesNaN(t *testing.T) {
	c := newConvolution(square(12, 20, 6, 3, 1, 1), 2, false, rand.New(rand.NewPCG(19, 20)))
	c.x.data[c.x.index(1, 2, 3, 1)] = float32(math.NaN())
	eachWinograd(t, func(t *testing.T, s *Set) {
		c.winogradForward(t, s, Epilogue{Rectifier: ReLU}).each(func(n, r, p, ch int, v *float32) {
			window := n == 1 && r >= 1 && r <= 3 && p >= 2 && p <= 4
			if got := *v != *v; window && !got || n == 0 && got {
				t.Fatalf("y[%d, %d, %d, %d] is %v", n, r, p, ch, *v)
			}
		})
	})
}
