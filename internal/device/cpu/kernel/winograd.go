package kernel

// Winograd's convolution F(2x2, 3x3), for windows of 3x3 pixels with stride 1 and one zero around the input: 4x4 pixels
// d of the input and the window g give a tile of 2x2 pixels of the output with 16 multiplications instead of 36,
//
//	A'[(G g G') * (B' d B)]A
//
// where * is by element: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016. Over many tiles
// and channels that is a matrix product for each of the 16 elements, which are called frequencies here.

// frequencies is the number of elements of a transformed tile.
const frequencies = 16

// The size of a block of tiles: as many as have winogradFloats when they are transformed, input and output together,
// but at least winogradTiles, because each block reads all weights.
const (
	winogradFloats = 24 << 10
	winogradTiles  = 24
)

// The same for the gradient by the weights, which loads and stores the gradient for each block.
const (
	gradFloats = 64 << 10
	gradTiles  = 64
)

// skew is added to the distance of two frequencies. Without it these distances are multiples of large powers of two,
// and all frequencies of a tile fall into a few sets of the first level cache.
const skew = Lanes

// winograd is what Winograd's convolution has in Conv.
type winograd struct {
	ic, oc     int
	h, w       int // of the input and of the output
	rows, cols int // tiles of an image
	in, out    Layout
}

// hasWinograd tells whether a convolution and its gradient by the input can be done by Winograd's.
func (g Geometry) hasWinograd() bool { return g.KH == 3 && g.KW == 3 && g.Stride == 1 && g.Pad == 1 }

// winogradPays tells whether Winograd's convolution is faster than the direct one for a convolution that sums over the
// given number of channels, and for a gradient by the weights with at least that many on both sides. The transforms of a
// tile are the same work for few and for many channels; from 8 on they cost less than they save. Tiles that reach over
// the border are as much work as whole ones: on maps of 5x5 pixels and less the direct way, which leaves out what lies
// outside, is as fast.
func (g Geometry) winogradPays(channels int) bool {
	const least = 8
	rows, cols := (g.H+1)/2, (g.W+1)/2
	return g.hasWinograd() && channels >= least && min(g.H, g.W) > 3 && g.H*g.W >= 3*rows*cols
}

func (s *Set) winogradForward(g Geometry, x, y Layout) *Conv {
	g.check()
	x.check("x", s.Pad(g.IC), g.W, 1)
	y.check("y", s.Pad(g.OC), g.OW, 0)
	return newConv(g, filters{oc: g.OC, ic: g.IC, step: 9, outStep: 9 * g.IC}, x, y)
}

// winogradBackwardData is a convolution of dy with windows that are turned round.
func (s *Set) winogradBackwardData(g Geometry, dy, dx Layout) *Conv {
	g.check()
	dy.check("dy", s.Pad(g.OC), g.OW, 1)
	dx.check("dx", s.Pad(g.IC), g.W, 0)
	return newConv(g, filters{oc: g.IC, ic: g.OC, step: 9 * g.IC, outStep: 9, turned: true}, dy, dx)
}

// winogradBackwardWeights sums up the gradient by the transformed windows, which is a product of transformed tiles of x
// and of dy, and transforms the sum.
func (s *Set) winogradBackwardWeights(g Geometry, x, dy Layout) *WeightGrad {
	g.check()
	x.check("x", s.Pad(g.IC), g.W, 1)
	dy.check("dy", s.Pad(g.OC), g.OW, 0)
	f := filters{oc: g.OC, ic: g.IC, step: 9, outStep: 9 * g.IC}
	return &WeightGrad{size: f.size(), unpack: f.unpack, winograd: newWinograd(g, f, x, dy)}
}

func newConv(g Geometry, f filters, in, out Layout) *Conv {
	return &Conv{size: f.size(), pack: f.pack, winograd: newWinograd(g, f, in, out)}
}

func newWinograd(g Geometry, f filters, in, out Layout) *winograd {
	return &winograd{f.ic, f.oc, g.H, g.W, (g.H + 1) / 2, (g.W + 1) / 2, in, out}
}

// filters are weights of ic input and oc output channels: the distances between the windows of neighbouring channels,
// and whether windows are turned round.
type filters struct {
	oc, ic        int
	step, outStep int
	turned        bool
}

// size is the number of floats of transformed weights.
func (f filters) size() int { return frequencies * Groups(f.oc) * f.ic * Lanes }

// pack writes the transformed windows G g G' as [16, oc/16, ic, 16], with zeros for the missing output channels. It
// computes in float64: the result is rounded once.
func (f filters) pack(dst, w []float32) {
	var t [frequencies]vector // windows of an input channel
	for group := range Groups(f.oc) {
		lanes := min(Lanes, f.oc-group*Lanes)
		for i := range f.ic {
			if lanes < Lanes {
				clear(t[:])
			}
			for lane := range lanes {
				f.transform(&t, lane, w[i*f.step+(group*Lanes+lane)*f.outStep:][:9])
			}
			for k := range t {
				*(*vector)(dst[((k*Groups(f.oc)+group)*f.ic+i)*Lanes:]) = t[k]
			}
		}
	}
}

// transform writes a transformed window to a lane of t.
func (f filters) transform(t *[frequencies]vector, lane int, g []float32) {
	var window [9]float64
	for i, v := range g {
		if f.turned {
			i = 8 - i
		}
		window[i] = float64(v)
	}
	var rows [4][3]float64
	for c := range 3 {
		rows[0][c], rows[1][c], rows[2][c], rows[3][c] = winogradWeights(window[c], window[3+c], window[6+c])
	}
	for r := range rows {
		a, b, c, d := winogradWeights(rows[r][0], rows[r][1], rows[r][2])
		to := t[4*r : 4*r+4]
		to[0][lane], to[1][lane], to[2][lane], to[3][lane] = float32(a), float32(b), float32(c), float32(d)
	}
}

// winogradWeights multiplies a column of a window by G.
func winogradWeights(a, b, c float64) (w, x, y, z float64) {
	even, odd := (a+c)/2, b/2
	return a, even + odd, even - odd, c
}

// unpack writes a sum of gradients by transformed windows U, in the form that pack gives, as G' U G.
func (f filters) unpack(w, packed []float32) {
	var t [frequencies]vector
	for group := range Groups(f.oc) {
		for i := range f.ic {
			for k := range t {
				t[k] = *(*vector)(packed[((k*Groups(f.oc)+group)*f.ic+i)*Lanes:])
			}
			for lane := range min(Lanes, f.oc-group*Lanes) {
				f.transpose(&t, lane, w[i*f.step+(group*Lanes+lane)*f.outStep:][:9])
			}
		}
	}
}

// transpose writes the window of a lane of t: the transpose of transform.
func (f filters) transpose(t *[frequencies]vector, lane int, g []float32) {
	var rows [4][3]float64
	for r := range rows {
		u := t[4*r : 4*r+4]
		rows[r][0], rows[r][1], rows[r][2] = winogradWindow(float64(u[0][lane]), float64(u[1][lane]),
			float64(u[2][lane]), float64(u[3][lane]))
	}
	for c := range 3 {
		a, b, d := winogradWindow(rows[0][c], rows[1][c], rows[2][c], rows[3][c])
		g[c], g[3+c], g[6+c] = float32(a), float32(b), float32(d)
	}
}

// winogradWindow multiplies a column by G'.
func winogradWindow(w, x, y, z float64) (a, b, c float64) {
	even := (x + y) / 2
	return w + even, (x - y) / 2, even + z
}

// tiles is the number of tiles of a block.
func (p *winograd) tiles(s *Set) int {
	return s.wholeBlocks(max(winogradTiles, winogradFloats/(frequencies*(s.Pad(p.ic)+s.Pad(p.oc)))))
}

// wholeBlocks rounds tiles up to what winogradMultiply takes at a time, for whole and for half vectors.
func (s *Set) wholeBlocks(tiles int) int {
	most := len(s.conv[0])
	if s.half != nil {
		most = len(s.half.conv[0]) // a multiple of the other
	}
	return (tiles + most - 1) / most * most
}

// scratch returns the sizes of the transformed input and output of a block.
func (p *winograd) scratch(s *Set, tiles int) (v, m int) {
	return frequencies * (tiles*s.Pad(p.ic) + skew), frequencies * (tiles*s.Pad(p.oc) + skew)
}

// convolve runs the convolution on n images, a block of tiles after the other. A tile's result does not depend on its
// place in a block.
func (p *winograd) convolve(s *Set, n int, in, w, out *float32, e *Epilogue, scratch []float32) {
	tiles := p.tiles(s)
	size, _ := p.scratch(s, tiles)
	v, m := &scratch[0], &scratch[size]
	last := n * p.rows * p.cols
	for from := 0; from < last; from += tiles {
		to := min(from+tiles, last)
		block := s.wholeBlocks(to - from)
		p.transform(s, from, to, in, v, block*s.Pad(p.ic)+skew)
		p.multiply(s, block, v, w, m)
		p.inverse(s, from, to, block, m, out, e)
	}
}

// multiply sets m to the products of the transformed tiles of a block and the weights, of each frequency those of one
// vector of channels after the other.
func (p *winograd) multiply(s *Set, tiles int, v, w, m *float32) {
	in, out, weights := s.Pad(p.ic), s.Pad(p.oc), p.ic*Lanes
	for c := 0; c < out; {
		k, n := s.stretch(c, out)
		most, groups := len(k.conv[0]), n/k.Channels
		k.winogradMultiply(v, 4*in, 4*((most+1)/2)*in, 4*most*in, 4*(tiles*in+skew), tiles/most,
			at(w, c/Lanes*weights), 4*(Groups(p.oc)-groups)*weights, p.ic, groups, at(m, c*tiles), 4*((out-n)*tiles+skew))
		c += n
	}
}

// row returns the tiles of the same image and row as tile at, from it on and at most up to end: the image, the row and
// column of the first tile, and their number.
func (p *winograd) row(at, end int) (image, row, col, tiles int) {
	image, row, col = at/(p.rows*p.cols), at/p.cols%p.rows, at%p.cols
	return image, row, col, min(p.cols-col, end-at)
}

// zeros stands for a row of pixels above or below an image.
var zeros [Lanes]float32

// transform writes the transformed tiles [from, to) to v.
func (p *winograd) transform(s *Set, from, to int, in, v *float32, vfs int) {
	pixel := s.Pad(p.ic)
	for t := from; t < to; {
		image, row, col, k := p.row(t, to)
		var d [4]*float32
		var steps, ahead [4]int
		for r := range d {
			d[r] = &zeros[0]
			if y := 2*row - 1 + r; y >= 0 && y < p.h {
				d[r] = at(in, image*p.in.Image+y*p.in.Row+(2*col-1)*p.in.Pixel)
				steps[r], ahead[r] = 4*p.in.Pixel, 1
			}
		}
		for c := 0; c < pixel; {
			part := s.At(c, pixel)
			part.winogradIn(at(d[0], c*ahead[0]), at(d[1], c*ahead[1]), at(d[2], c*ahead[2]), at(d[3], c*ahead[3]),
				steps[0], steps[1], steps[2], steps[3], min(2*k, p.w-2*col), at(v, (t-from)*pixel+c), 4*pixel, 4*vfs)
			c += part.Channels
		}
		t += k
	}
}

// inverse writes the output of the tiles [from, to), whose products are at m as multiply has put them.
func (p *winograd) inverse(s *Set, from, to, tiles int, m, out *float32, e *Epilogue) {
	low, high := e.Rectifier.bounds()
	channels := s.Pad(p.oc)
	mfs := tiles*channels + skew
	for c := 0; c < channels; {
		part := s.At(c, channels, e.ResidualChannels)
		group := c / Lanes * Lanes
		width := min(Lanes, channels-group) // of the vector in m, which part may have half of
		bias := &zeros[0]
		if e.Bias != nil {
			bias = at(e.Bias, c)
		}
		residual := e.Residual != nil && c < e.ResidualChannels
		for t := from; t < to; {
			image, row, col, k := p.row(t, to)
			y, x := 2*row, 2*col
			var res *float32
			var rps, rrs int
			if residual {
				r := &e.ResidualLayout
				res = at(e.Residual, image*r.Image+y*r.Row+x*r.Pixel+c)
				rps, rrs = 4*r.Pixel, 4*r.Row
			}
			part.winogradOut[min(2, p.h-y)-1](at(m, group*tiles+(t-from)*width+c-group), 4*width, 4*mfs, min(2*k, p.w-x),
				at(out, image*p.out.Image+y*p.out.Row+x*p.out.Pixel+c), 4*p.out.Pixel, 4*p.out.Row,
				bias, res, rps, rrs, low, high)
			t += k
		}
		c += part.Channels
	}
}

// gradTiles is the number of tiles of a block of the gradient by the weights.
func (p *winograd) gradTiles(s *Set) int {
	return max(gradTiles, gradFloats/(frequencies*(s.Pad(p.ic)+s.Pad(p.oc))))
}

// gradient adds the gradient by the transformed windows over n images to dw.
func (p *winograd) gradient(s *Set, n int, x, dy, dw *float32, scratch []float32) {
	tiles := p.gradTiles(s)
	size, _ := p.scratch(s, tiles)
	v, m := &scratch[0], &scratch[size]
	last := n * p.rows * p.cols
	for from := 0; from < last; from += tiles {
		to := min(from+tiles, last)
		vfs, mfs := (to-from)*s.Pad(p.ic)+skew, (to-from)*s.Pad(p.oc)+skew
		p.transform(s, from, to, x, v, vfs)
		p.spread(s, from, to, dy, m, mfs)
		for f := range frequencies {
			p.addProduct(s, to-from, at(v, f*vfs), at(m, f*mfs), at(dw, f*Groups(p.oc)*p.ic*Lanes))
		}
	}
}

// spread writes the transformed tiles [from, to) of dy to m.
func (p *winograd) spread(s *Set, from, to int, dy, m *float32, mfs int) {
	pixel := s.Pad(p.oc)
	for t := from; t < to; {
		image, row, col, k := p.row(t, to)
		y, x := 2*row, 2*col
		for c := 0; c < pixel; {
			part := s.At(c, pixel)
			part.winogradGrad[min(2, p.h-y)-1](at(dy, image*p.out.Image+y*p.out.Row+x*p.out.Pixel+c), 4*p.out.Pixel,
				4*p.out.Row, min(2*k, p.w-x), at(m, (t-from)*pixel+c), 4*pixel, 4*mfs)
			c += part.Channels
		}
		t += k
	}
}

// addProduct adds the product of the tiles of one frequency to its part of dw.
func (p *winograd) addProduct(s *Set, tiles int, v, m, dw *float32) {
	pixel := s.Pad(p.oc)
	vps, mps := 4*s.Pad(p.ic), 4*pixel
	for o := 0; o < pixel; {
		part := s.At(o, pixel)
		width := min(len(part.wgrad), (pixel-o)/part.Channels)
		kernels := part.wgrad[width-1]
		n := (p.ic + len(kernels) - 1) / len(kernels)
		for c, t := 0, 0; t < n; t++ {
			channels := (p.ic - c + n - t - 1) / (n - t)
			kernels[channels-1](at(v, c), at(m, o), at(dw, (o/Lanes*p.ic+c)*Lanes), 4*p.ic*Lanes, 1, 1, tiles,
				0, 0, vps, 0, 0, mps)
			c += channels
		}
		o += width * part.Channels
	}
}
