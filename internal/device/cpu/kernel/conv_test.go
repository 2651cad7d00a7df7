package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// square makes the geometry of a convolution with a square window.
func square(ic, oc, size, k, stride, pad int) Geometry {
	return Geometry{
		IC: ic, OC: oc, H: size, W: size, OH: (size+2*pad-k)/stride + 1, OW: (size+2*pad-k)/stride + 1,
		KH: k, KW: k, Stride: stride, Pad: pad,
	}
}

// geometries lists the shapes of known networks at small sizes, corner cases, and random ones.
func geometries() []Geometry {
	list := []Geometry{
		square(3, 16, 32, 3, 1, 1), square(16, 16, 9, 3, 1, 1), square(16, 32, 8, 3, 2, 1), square(64, 64, 8, 3, 1, 1),
		square(13, 27, 16, 3, 2, 1), square(51, 51, 7, 3, 1, 1), square(33, 17, 5, 1, 2, 0), square(64, 16, 4, 1, 1, 0),
		square(3, 13, 33, 7, 2, 3), square(5, 5, 14, 5, 1, 2), square(1, 1, 1, 1, 1, 0), square(1, 1, 1, 3, 1, 1),
		square(16, 48, 2, 3, 1, 1), square(16, 80, 3, 3, 1, 1), square(32, 16, 28, 3, 1, 1), square(16, 16, 7, 3, 1, 0),
		square(5, 3, 3, 7, 2, 3), square(3, 3, 9, 3, 3, 1), square(2, 2, 6, 1, 4, 0), square(4, 4, 6, 2, 2, 0),
		{IC: 4, OC: 18, H: 5, W: 9, OH: 5, OW: 11, KH: 3, KW: 1, Stride: 1, Pad: 1},
		{IC: 7, OC: 3, H: 6, W: 4, OH: 3, OW: 1, KH: 1, KW: 3, Stride: 2, Pad: 0},
	}
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(values ...int) int { return values[r.IntN(len(values))] }
	channels := []int{1, 3, 5, 13, 16, 17, 32, 33, 51, 64}
	for len(list) < 110 {
		g := Geometry{
			IC: pick(channels...), OC: pick(channels...), H: 1 + r.IntN(33), W: 1 + r.IntN(33),
			KH: pick(1, 3, 5, 7), KW: pick(1, 3, 5, 7), Stride: pick(1, 2), Pad: r.IntN(4),
		}
		g.OH, g.OW = (g.H+2*g.Pad-g.KH)/g.Stride+1, (g.W+2*g.Pad-g.KW)/g.Stride+1
		if g.H+2*g.Pad >= g.KH && g.W+2*g.Pad >= g.KW && g.IC*g.OC*g.OH*g.OW*g.KH*g.KW < 600_000 {
			list = append(list, g)
		}
	}
	return list
}

// sum is a float64 sum with the magnitude of its terms.
type sum struct{ value, size float64 }

func (s *sum) add(a, b float32) {
	p := float64(a) * float64(b)
	s.value += p
	s.size += math.Abs(p)
}

// holds tells whether v is the sum within the rounding of float32.
func (s sum) holds(v float32) bool { return math.Abs(float64(v)-s.value) <= 4e-6*s.size }

// convolution holds the operands of the three passes of a convolution and their results in float64.
type convolution struct {
	Geometry
	n          int
	tight      bool // whether the channels of x are not padded
	x, dy      *tensor
	w          []float32
	y, dx, dw  []sum // dense, in the order of the tensors' each and of the weights
	packed     []float32
	packedBack []float32
}

func newConvolution(g Geometry, n int, tight bool, r *rand.Rand) *convolution {
	c := &convolution{
		Geometry: g, n: n, tight: tight, w: randomSlice(r, g.OC*g.IC*g.KH*g.KW),
		x:  newTensor(n, g.H, g.W, g.IC, g.IC, g.Pad).randomize(r),
		dy: newTensor(n, g.OH, g.OW, g.OC, g.OC, g.GradPad()).randomize(r),
		y:  make([]sum, n*g.OH*g.OW*g.OC), dx: make([]sum, n*g.H*g.W*g.IC), dw: make([]sum, g.OC*g.IC*g.KH*g.KW),
	}
	for i := range n {
		for oh := range g.OH {
			for ow := range g.OW {
				for kh := range g.KH {
					for kw := range g.KW {
						h, w := oh*g.Stride+kh-g.Pad, ow*g.Stride+kw-g.Pad
						if h >= 0 && h < g.H && w >= 0 && w < g.W {
							c.addPixel(i, oh, ow, kh, kw, h, w)
						}
					}
				}
			}
		}
	}
	c.packed, c.packedBack = randomSlice(r, g.ForwardSize()), randomSlice(r, g.BackwardSize())
	g.PackForward(c.packed, c.w)
	g.PackBackward(c.packedBack, c.w)
	return c
}

func (c *convolution) addPixel(i, oh, ow, kh, kw, h, w int) {
	x := c.x.data[c.x.index(i, h, w, 0):][:c.IC]
	dy := c.dy.data[c.dy.index(i, oh, ow, 0):][:c.OC]
	y := c.y[((i*c.OH+oh)*c.OW+ow)*c.OC:]
	dx := c.dx[((i*c.H+h)*c.W+w)*c.IC:]
	for oc, d := range dy {
		for ic, v := range x {
			at := ((oc*c.IC+ic)*c.KH+kh)*c.KW + kw
			y[oc].add(v, c.w[at])
			dx[ic].add(d, c.w[at])
			c.dw[at].add(v, d)
		}
	}
}

// padded returns the convolution with its tensors as the set pads them.
func (c *convolution) padded(s *Set) *convolution {
	p := *c
	if !c.tight {
		p.x = c.x.padded(s)
	}
	p.dy = c.dy.padded(s)
	return &p
}

// output returns a tensor of canaries with as many channels as the set pads them to.
func (c *convolution) output(s *Set, h, w, channels, gap int) *tensor {
	return newTensor(c.n, h, w, channels, s.Pad(channels), gap)
}

func (c *convolution) forward(t *testing.T, s *Set) {
	c = c.padded(s)
	y := c.output(s, c.OH, c.OW, c.OC, 1)
	s.Convolve(s.directForward(c.Geometry, c.x.layout, y.layout), c.n, c.x.first(), &c.packed[0], y.first(), Epilogue{}, nil)
	compare(t, "y", y, c.y)
}

func (c *convolution) backwardData(t *testing.T, s *Set) {
	c = c.padded(s)
	dx := c.output(s, c.H, c.W, c.IC, 0)
	s.Convolve(s.directBackwardData(c.Geometry, c.dy.layout, dx.layout), c.n, c.dy.first(), &c.packedBack[0], dx.first(),
		Epilogue{}, nil)
	compare(t, "dx", dx, c.dx)
}

// compare checks the channels of a result, zeros in those that pad it, and that nothing was written between pixels.
func compare(t *testing.T, name string, got *tensor, want []sum) {
	t.Helper()
	got.untouched(t, name, got.inPixel)
	channels := got.c
	got.c = got.layout.Pixel
	got.each(func(n, r, p, c int, v *float32) {
		var w sum
		if c < channels {
			w, want = want[0], want[1:]
		}
		if !w.holds(*v) {
			t.Fatalf("%s[%d, %d, %d, %d] = %v, want %v", name, n, r, p, c, *v, w.value)
		}
	})
}

func (c *convolution) backwardWeights(t *testing.T, s *Set) {
	c = c.padded(s)
	packed := newBuffer(c.ForwardSize())
	for i := range packed.data {
		packed.data[i] = 1
	}
	p := s.directBackwardWeights(c.Geometry, c.x.layout, c.dy.layout)
	s.WeightGradient(p, c.n, c.x.first(), c.dy.first(), &packed.data[0], nil)
	packed.untouched(t, "dw", func(int) bool { return true })
	dw := make([]float32, len(c.w))
	c.UnpackForward(dw, packed.data)
	for i, v := range dw {
		want := sum{c.dw[i].value + 1, c.dw[i].size + 1}
		if !want.holds(v) {
			t.Fatalf("dw[%d] = %v, want %v", i, v, want.value)
		}
	}
}

func TestConvolution(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for i, g := range geometries() {
		c := newConvolution(g, 1+i%3, i%2 == 0, r)
		for _, s := range Available() {
			t.Run(fmt.Sprintf("%s/%+v", s.Name, g), func(t *testing.T) {
				c.forward(t, s)
				c.backwardData(t, s)
				c.backwardWeights(t, s)
			})
		}
	}
}

func TestEpilogue(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, g := range []Geometry{square(5, 70, 7, 3, 1, 1), square(16, 33, 12, 3, 2, 1), square(3, 16, 17, 1, 1, 0)} {
		c := newConvolution(g, 3, false, r)
		bias := make([]float32, Groups(g.OC)*Lanes)
		copy(bias, randomSlice(r, g.OC))
		// A residual of every second pixel of a map that is twice as large and has fewer channels.
		channels := (g.OC + 1) / 2
		dense := newTensor(3, 2*g.OH, 2*g.OW, channels, channels, 1).randomize(r)
		for _, rectifier := range []Rectifier{Linear, ReLU, ReLU6} {
			low, high := rectifier.bounds()
			want := make([]sum, 0, len(c.y))
			for i, y := range c.y {
				oc := i % g.OC
				y.add(bias[oc], 1)
				if oc < channels {
					p := i / g.OC
					y.add(dense.data[dense.index(p/(g.OH*g.OW), p/g.OW%g.OH*2, p%g.OW*2, oc)], 1)
				}
				y.value = min(max(y.value, float64(low)), float64(high))
				want = append(want, y)
			}
			eachSet(t, func(t *testing.T, s *Set) {
				c, res := c.padded(s), dense.padded(s)
				res.zeroPadding()
				layout := Layout{2 * res.layout.Pixel, 2 * res.layout.Row, res.layout.Image}
				e := Epilogue{&bias[0], res.first(), layout, res.layout.Pixel, rectifier}
				y := c.output(s, g.OH, g.OW, g.OC, 2)
				s.Convolve(s.directForward(g, c.x.layout, y.layout), 3, c.x.first(), &c.packed[0], y.first(), e, nil)
				compare(t, "y", y, want)
				if g.hasWinograd() && s.winogradIn != nil {
					compare(t, "y by Winograd", c.winogradForward(t, s, e), want)
				}
			})
		}
	}
}

// TestJoinedRows checks that a pointwise convolution has the same bits whether it takes several rows at a time, as it
// does where no map has gaps, or one after the other.
func TestJoinedRows(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	for _, g := range []Geometry{square(24, 40, 7, 1, 1, 0), square(5, 33, 9, 1, 1, 0), square(96, 20, 14, 1, 1, 0)} {
		c := newConvolution(g, 2, false, r)
		eachSet(t, func(t *testing.T, s *Set) {
			c := c.padded(s)
			dense, gaps := c.output(s, g.OH, g.OW, g.OC, 0), c.output(s, g.OH, g.OW, g.OC, 1)
			joined, rows := s.directForward(g, c.x.layout, dense.layout), s.directForward(g, c.x.layout, gaps.layout)
			if len(joined.joined) == 0 || len(joined.joined) >= g.OH || rows.joined != nil {
				t.Fatalf("%+v: %d passes where there are no gaps, %d where there are", g, len(joined.joined), len(rows.joined))
			}
			for gap, conv := range []*Conv{joined, rows} {
				y := c.output(s, g.OH, g.OW, g.OC, gap)
				s.Convolve(conv, 2, c.x.first(), &c.packed[0], y.first(), Epilogue{}, nil)
				compare(t, "y", y, c.y)
				dx := c.output(s, g.H, g.W, g.IC, gap)
				s.Convolve(s.directBackwardData(g, c.dy.layout, dx.layout), 2, c.dy.first(), &c.packedBack[0], dx.first(),
					Epilogue{}, nil)
				compare(t, "dx", dx, c.dx)
			}
			for gap := range 2 {
				res := newTensor(2, g.OH, g.OW, s.Pad(g.OC), s.Pad(g.OC), gap).randomize(r)
				e := Epilogue{Residual: res.first(), ResidualLayout: res.layout, ResidualChannels: s.Pad(g.OC)}
				s.Convolve(joined, 2, c.x.first(), &c.packed[0], dense.first(), e, nil)
				s.Convolve(rows, 2, c.x.first(), &c.packed[0], gaps.first(), e, nil)
				if !slices.Equal(dense.values(), gaps.values()) {
					t.Errorf("%+v: other sums with a residual whose rows have a gap of %d pixels", g, gap)
				}
			}
		})
	}
}

func TestConvolutionPropagatesNaN(t *testing.T) {
	g := square(4, 20, 6, 3, 1, 1)
	c := newConvolution(g, 2, true, rand.New(rand.NewPCG(7, 8)))
	c.x.data[c.x.index(1, 2, 3, 1)] = float32(math.NaN())
	eachSet(t, func(t *testing.T, s *Set) {
		c := c.padded(s)
		y := c.output(s, g.OH, g.OW, g.OC, 0)
		s.Convolve(s.directForward(g, c.x.layout, y.layout), 2, c.x.first(), &c.packed[0], y.first(), Epilogue{Rectifier: ReLU}, nil)
		y.each(func(n, r, p, ch int, v *float32) {
			want := n == 1 && r >= 1 && r <= 3 && p >= 2 && p <= 4
			if got := *v != *v; got != want {
				t.Fatalf("y[%d, %d, %d, %d] is %v", n, r, p, ch, *v)
			}
		})
	})
}

// TestAllTiles calls every tile size: the widths that geometries happen to have leave some out.
func TestAllTiles(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for w := 1; w <= 17; w++ {
		for _, oc := range []int{8, 16, 32} {
			g := Geometry{IC: w + 8, OC: oc, H: 3, W: w, OH: 3, OW: w, KH: 1, KW: 1, Stride: 1}
			c := newConvolution(g, 1, w%2 == 0, r)
			eachSet(t, func(t *testing.T, s *Set) {
				c.forward(t, s)
				c.backwardWeights(t, s)
			})
			g.IC = w
			c = newConvolution(g, 1, w%2 == 1, r)
			eachSet(t, c.backwardWeights)
		}
	}
}

func TestGeometryPanics(t *testing.T) {
	g := square(3, 16, 8, 3, 1, 1)
	s := portable
	tests := map[string]func(){
		"kernel: no such convolution: {IC:3 OC:16 H:8 W:8 OH:9 OW:8 KH:3 KW:3 Stride:1 Pad:1}": func() {
			wrong := g
			wrong.OH = 9
			s.directForward(wrong, Layout{3, 27, 216}, Layout{16, 128, 1024})
		},
		"kernel: layout of x {Pixel:3 Row:24 Image:192} does not hold rows of 8+1 pixels of 3 channels": func() {
			s.directForward(g, Layout{3, 24, 192}, Layout{16, 128, 1024})
		},
		"kernel: layout of dy {Pixel:16 Row:128 Image:1024} does not hold rows of 8+1 pixels of 16 channels": func() {
			s.directBackwardData(g, Layout{16, 128, 1024}, Layout{16, 128, 1024})
		},
	}
	for want, f := range tests {
		func() {
			defer func() {
				if got := recover(); got != want {
					t.Errorf("got %v, want %v", got, want)
				}
			}()
			f()
		}()
	}
}

func TestConvolutionAllocatesNothing(t *testing.T) {
	c := newConvolution(square(16, 40, 8, 3, 1, 1), 2, true, rand.New(rand.NewPCG(11, 12)))
	dw := make([]float32, c.ForwardSize())
	eachSet(t, func(t *testing.T, s *Set) {
		c := c.padded(s)
		y := c.output(s, 8, 8, 40, 0)
		forward := s.directForward(c.Geometry, c.x.layout, y.layout)
		weights := s.directBackwardWeights(c.Geometry, c.x.layout, c.dy.layout)
		n := testing.AllocsPerRun(1, func() {
			s.Convolve(forward, 2, c.x.first(), &c.packed[0], y.first(), Epilogue{Rectifier: ReLU}, nil)
			s.WeightGradient(weights, 2, c.x.first(), c.dy.first(), &dw[0], nil)
		})
		if n != 0 {
			t.Errorf("%v allocations, want none", n)
		}
	})
}
