package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// depthwise holds the operands of the three passes of a depthwise convolution and their results in float64.
type depthwise struct {
	Geometry
	n         int
	x, dy     *tensor
	w, bias   []float32
	y, dx, dw []sum // dense, in the order of the tensors' each and of the weights
}

func newDepthwise(s *Set, g Geometry, n int, r *rand.Rand) *depthwise {
	c, window := g.OC, g.KH*g.KW
	pixel := s.Pad(c)
	d := &depthwise{
		Geometry: g, n: n, w: randomSlice(r, c*window), bias: make([]float32, pixel),
		x:  newTensor(n, g.H, g.W, c, pixel, g.Pad).randomize(r),
		dy: newTensor(n, g.OH, g.OW, c, pixel, g.GradPad()).randomize(r),
		y:  make([]sum, n*g.OH*g.OW*c), dx: make([]sum, n*g.H*g.W*c), dw: make([]sum, c*window),
	}
	copy(d.bias, randomSlice(r, c))
	for _, t := range []*tensor{d.x, d.dy} {
		for i, v := range t.data {
			if v != v {
				t.data[i] = 0 // the channels that pad
			}
		}
	}
	for i := range d.y {
		d.y[i].add(d.bias[i%c], 1)
	}
	for i := range n * g.OH * g.OW * window {
		v, u, ow, oh, im := i%g.KW, i/g.KW%g.KH, i/window%g.OW, i/window/g.OW%g.OH, i/window/g.OW/g.OH
		h, w := oh*g.Stride+u-g.Pad, ow*g.Stride+v-g.Pad
		if h < 0 || h >= g.H || w < 0 || w >= g.W {
			continue
		}
		x, dy := d.x.data[d.x.index(im, h, w, 0):], d.dy.data[d.dy.index(im, oh, ow, 0):]
		for ch := range c {
			at := ch*window + u*g.KW + v
			d.y[((im*g.OH+oh)*g.OW+ow)*c+ch].add(x[ch], d.w[at])
			d.dx[((im*g.H+h)*g.W+w)*c+ch].add(dy[ch], d.w[at])
			d.dw[at].add(x[ch], dy[ch])
		}
	}
	return d
}

func (d *depthwise) output(s *Set, h, w, gap int) *tensor {
	return newTensor(d.n, h, w, d.OC, s.Pad(d.OC), gap)
}

func (d *depthwise) forward(t *testing.T, s *Set) {
	y := d.output(s, d.OH, d.OW, 1)
	k := s.DepthwiseForward(d.Geometry, d.x.layout, y.layout)
	packed := make([]float32, k.Size())
	k.Pack(packed, d.w)
	s.Depthwise(k, d.n, d.x.first(), &packed[0], y.first(), &d.bias[0], Linear)
	compare(t, "y", y, d.y)
	for _, r := range []Rectifier{ReLU, ReLU6} {
		bounded := d.output(s, d.OH, d.OW, 0)
		k := s.DepthwiseForward(d.Geometry, d.x.layout, bounded.layout)
		s.Depthwise(k, d.n, d.x.first(), &packed[0], bounded.first(), &d.bias[0], r)
		low, high := r.bounds()
		bounded.each(func(n, row, p, c int, v *float32) {
			if want := min(max(y.data[y.index(n, row, p, c)], low), high); *v != want {
				t.Fatalf("y[%d, %d, %d, %d] with rectifier %d is %v, want %v", n, row, p, c, r, *v, want)
			}
		})
	}
}

func (d *depthwise) backwardData(t *testing.T, s *Set) {
	dx := d.output(s, d.H, d.W, 0)
	k := s.DepthwiseBackwardData(d.Geometry, d.dy.layout, dx.layout)
	packed := make([]float32, k.Size())
	k.Pack(packed, d.w)
	s.Depthwise(k, d.n, d.dy.first(), &packed[0], dx.first(), nil, Linear)
	compare(t, "dx", dx, d.dx)
}

func (d *depthwise) backwardWeights(t *testing.T, s *Set) {
	k := s.DepthwiseBackwardWeights(d.Geometry, d.x.layout, d.dy.layout)
	packed := newBuffer(k.Size())
	clear(packed.data)
	s.DepthwiseGradient(k, d.n, d.x.first(), d.dy.first(), &packed.data[0])
	packed.untouched(t, "dw", func(int) bool { return true })
	dw := make([]float32, len(d.dw))
	k.Unpack(dw, packed.data)
	for i, v := range dw {
		if !d.dw[i].holds(v) {
			t.Fatalf("dw[%d] = %v, want %v", i, v, d.dw[i].value)
		}
	}
}

// TestDepthwise compares all passes with sums in float64, on the shapes of the other convolutions.
func TestDepthwise(t *testing.T) {
	eachSet(t, func(t *testing.T, s *Set) {
		for i, g := range geometries() {
			g.OC = g.IC
			t.Run(fmt.Sprintf("%+v", g), func(t *testing.T) {
				d := newDepthwise(s, g, 1+i%3, rand.New(rand.NewPCG(uint64(i), 5)))
				d.forward(t, s)
				d.backwardData(t, s)
				d.backwardWeights(t, s)
			})
		}
	})
}

// TestDepthwiseNaN checks that a NaN stays through the rectifiers.
func TestDepthwiseNaN(t *testing.T) {
	eachSet(t, func(t *testing.T, s *Set) {
		d := newDepthwise(s, square(5, 5, 4, 3, 1, 1), 1, rand.New(rand.NewPCG(6, 7)))
		d.x.data[d.x.index(0, 0, 0, 2)] = float32(math.NaN())
		y := d.output(s, 4, 4, 0)
		k := s.DepthwiseForward(d.Geometry, d.x.layout, y.layout)
		packed := make([]float32, k.Size())
		k.Pack(packed, d.w)
		for _, r := range []Rectifier{Linear, ReLU, ReLU6} {
			s.Depthwise(k, 1, d.x.first(), &packed[0], y.first(), nil, r)
			y.each(func(_, row, p, c int, v *float32) {
				if want := row < 2 && p < 2 && c == 2; (*v != *v) != want {
					t.Errorf("rectifier %d, row %d, pixel %d, channel %d: %v", r, row, p, c, *v)
				}
			})
		}
	})
}

func TestDepthwiseErrors(t *testing.T) {
	s, g := portable, square(20, 20, 4, 3, 1, 1)
	good := Layout{32, 5 * 32, 20 * 32}
	for name, f := range map[string]func(){
		"channels": func() { s.DepthwiseForward(square(20, 21, 4, 3, 1, 1), good, good) },
		"pixels":   func() { s.DepthwiseForward(g, Layout{20, 5 * 20, 400}, good) },
		"output":   func() { s.DepthwiseBackwardData(g, good, Layout{16, 5 * 16, 320}) },
		"zeros":    func() { s.DepthwiseBackwardWeights(g, Layout{32, 4 * 32, 16 * 32}, good) },
	} {
		func() {
			defer func() {
				if err := fmt.Sprint(recover()); !strings.HasPrefix(err, "kernel: ") {
					t.Errorf("%s: no panic of this package, but %s", name, err)
				}
			}()
			f()
		}()
	}
}
