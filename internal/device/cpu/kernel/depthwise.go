package kernel

import (
	"fmt"
	"math"
)

// Depthwise is a depthwise convolution, or the gradient of one with respect to its input, prepared for tensors of fixed
// layout. It is never written to once prepared.
type Depthwise struct{ conv *Conv }

// Size is the number of floats of packed weights.
func (d *Depthwise) Size() int { return d.conv.Size() }

// Pack writes weights [C, 1, KH, KW] as Set.Depthwise takes them.
func (d *Depthwise) Pack(dst, w []float32) { d.conv.Pack(dst, w) }

// DepthwiseForward prepares y = conv(x), where IC and OC of the geometry are both the number of channels. The zeros
// that Forward needs in x are needed here too. It panics if the geometry is inconsistent or does not fit the layouts.
//
// Rows, taps and packed weights are those of a convolution of a single channel. The only difference is that the input
// moves on with the output's vectors of channels.
func (s *Set) DepthwiseForward(g Geometry, x, y Layout) *Depthwise {
	s.checkDepthwise(g, x, y)
	g.IC = 1
	return &Depthwise{s.directForward(g, x, y)}
}

// DepthwiseBackwardData prepares the gradient dx with respect to the input. The zeros that BackwardData needs in dy are
// needed here too. It panics if the geometry is inconsistent or does not fit the layouts.
func (s *Set) DepthwiseBackwardData(g Geometry, dy, dx Layout) *Depthwise {
	s.checkDepthwise(g, dy, dx)
	g.OC = 1
	return &Depthwise{s.directBackwardData(g, dy, dx)}
}

func (s *Set) checkDepthwise(g Geometry, layouts ...Layout) {
	for _, l := range layouts {
		if g.IC != g.OC || l.Pixel < s.Pad(g.IC) {
			panic(fmt.Sprintf("kernel: no such depthwise convolution: %+v, pixels of %d floats", g, l.Pixel))
		}
	}
}

// Rectifier is what bounds results.
type Rectifier int

// The rectifiers: none, max(0, x) and min(max(0, x), 6).
const (
	Linear Rectifier = iota
	ReLU
	ReLU6
)

// bounds are the least and the greatest result.
func (r Rectifier) bounds() (low, high float32) {
	low, high = float32(math.Inf(-1)), float32(math.Inf(1))
	if r != Linear {
		low = 0
	}
	if r == ReLU6 {
		high = 6
	}
	return low, high
}

// Depthwise runs a prepared depthwise convolution on n images. bias has a value for each channel, padded with zeros to
// whole vectors, or is nil. The channels that pad in and w must be zero.
func (s *Set) Depthwise(d *Depthwise, n int, in, w, out, bias *float32, r Rectifier) {
	for o := 0; o < d.conv.channels; {
		k, channels := s.stretch(o, d.conv.channels)
		b := bias
		if b != nil {
			b = at(b, o)
		}
		k.depthwiseStretch(d.conv, channels, n, at(in, o), at(w, o/Lanes*d.conv.weights), at(out, o), b, r)
		o += channels
	}
}

// depthwiseStretch runs a depthwise convolution on some of the channels.
func (s *Set) depthwiseStretch(c *Conv, channels, n int, in, w, out, bias *float32, r Rectifier) {
	low, high := r.bounds()
	ips, ops, most := c.inPixel, c.outPixels*c.out.Pixel, len(s.depthwise)
	// Rows that fill at most half a tile are done for two images at once. The rows of a map are of one length or, with a
	// stride, of two that differ by a pixel.
	pair := 1
	if 2*c.longest() <= most {
		pair = 2
	}
	for i := 0; i < n; {
		images := min(pair, n-i)
		for j := range c.passes {
			p := &c.passes[j]
			taps := &none
			if p.nt > 0 {
				taps = &c.taps[p.taps]
			}
			tiles, ijump, ojump := (p.pixels+most-1)/most, c.inImage, c.out.Image
			first := p.row*c.out.Row + p.col*c.out.Pixel
			for x, t := 0, 0; t < tiles; t++ {
				pixels := (p.pixels - x + tiles - t - 1) / (tiles - t)
				if images == 1 {
					ijump, ojump = (pixels+1)/2*ips, (pixels+1)/2*ops
				}
				s.depthwise[images*pixels-1](at(in, i*c.inImage), 4*(p.in+x*ips), taps, p.nt, w, 4*c.weights,
					4*channels, at(out, i*c.out.Image+first+x*ops), 4*ips, 4*ijump, 4*ops, 4*ojump, bias, low, high)
				x += pixels
			}
		}
		i += images
	}
}

// longest is the number of pixels of the longest pass.
func (c *Conv) longest() int {
	longest := 0
	for i := range c.passes {
		longest = max(longest, c.passes[i].pixels)
	}
	return longest
}

// DepthwiseGrad is the gradient of a depthwise convolution with respect to its weights, prepared for tensors of fixed
// layout. It is never written to once prepared.
type DepthwiseGrad struct {
	g     Geometry // with IC 1
	x, dy Layout
}

// Size is the number of floats of a packed gradient.
func (d *DepthwiseGrad) Size() int { return d.g.ForwardSize() }

// Unpack writes a packed gradient as [C, 1, KH, KW].
func (d *DepthwiseGrad) Unpack(w, packed []float32) { d.g.UnpackForward(w, packed) }

// DepthwiseBackwardWeights prepares the gradient with respect to the weights. The zeros that Forward needs in x are
// needed here too; dy needs none. It panics if the geometry is inconsistent or does not fit the layouts.
func (s *Set) DepthwiseBackwardWeights(g Geometry, x, dy Layout) *DepthwiseGrad {
	g.check()
	s.checkDepthwise(g, x, dy)
	x.check("x", g.IC, g.W, g.Pad)
	dy.check("dy", g.OC, g.OW, 0)
	g.IC = 1
	return &DepthwiseGrad{g, x, dy}
}

// depthwiseGradFloats bounds the part of x, of one vector of channels, that the tiles of a weight gradient go through
// one after the other, so that it stays in the first level cache.
const depthwiseGradFloats = 4096

// DepthwiseGradient adds the gradient over n images to dw, which has the form of Depthwise.Pack.
func (s *Set) DepthwiseGradient(d *DepthwiseGrad, n int, x, dy, dw *float32) {
	g := &d.g
	block := max(1, depthwiseGradFloats/(g.Stride*g.Stride*g.OW*Lanes))
	for i := range n {
		for r := 0; r < g.OH; r += block {
			for o, pixel := 0, s.Pad(g.OC); o < pixel; {
				k := s.At(o, pixel)
				from, grad, to := at(x, i*d.x.Image+o), at(dy, i*d.dy.Image+o), at(dw, o/Lanes*g.KH*g.KW*Lanes)
				for kh := range g.KH {
					lo, hi := g.inside(kh, r, min(r+block, g.OH))
					if lo < hi {
						k.depthwiseRow(d, hi-lo, at(from, (lo*g.Stride+kh-g.Pad)*d.x.Row-g.Pad*d.x.Pixel),
							at(grad, lo*d.dy.Row), at(to, kh*g.KW*Lanes))
					}
				}
				o += k.Channels
			}
		}
	}
}

// inside is the part of the output rows from lo to hi for which row kh of the window lies inside the input.
func (g *Geometry) inside(kh, lo, hi int) (int, int) {
	for lo < hi && lo*g.Stride+kh-g.Pad < 0 {
		lo++
	}
	for lo < hi && (hi-1)*g.Stride+kh-g.Pad >= g.H {
		hi--
	}
	return lo, hi
}

// depthwiseRow adds the gradient of a row of the window over some output rows, for one vector of channels, in as few
// and as even tiles as it can.
func (s *Set) depthwiseRow(d *DepthwiseGrad, rows int, x, dy, dw *float32) {
	most := len(s.depthwiseGrad)
	tiles := (d.g.KW + most - 1) / most
	for c, t := 0, 0; t < tiles; t++ {
		n := (d.g.KW - c + tiles - t - 1) / (tiles - t)
		s.depthwiseGrad[n-1](at(x, c*d.x.Pixel), 4*d.g.Stride*d.x.Row, 4*d.g.Stride*d.x.Pixel, 4*d.x.Pixel,
			dy, 4*d.dy.Row, 4*d.dy.Pixel, at(dw, c*Lanes), rows, d.g.OW)
		c += n
	}
}
