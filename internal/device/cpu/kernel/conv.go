package kernel

// Conv is a convolution, or the gradient of one with respect to its input, prepared for tensors of fixed layout.
// It is never written to once prepared.
type Conv struct {
	passes   []pass
	joined   []pass // passes of several rows each where pixels of x and out lie one after the other; else nil
	taps     []int  // pairs of byte offsets: input, weights
	channels int    // of the output, with padding

	size int // floats of packed weights
	pack func(dst, w []float32)

	winograd *winograd // how Winograd's convolution does it, which needs nothing of the following

	weights   int // floats of weights of one vector of output channels
	inPixel   int // floats between the input pixels of a pass
	inImage   int // floats between input images
	out       Layout
	outPixels int // output pixels from one pixel of a pass to the next
}

// pass is a row of output pixels that share their taps.
type pass struct {
	taps, nt int // the first tap, an index into Conv.taps, and how many
	ic       int // floats that each tap reads of the input
	in       int // floats from an image to the pixel that the taps of the first output pixel are relative to
	row, col int // the first output pixel
	pixels   int
}

// Epilogue is what a convolution does to its sums before it stores them: it adds a bias and a residual, then rectifies.
type Epilogue struct {
	Bias             *float32 // a value for each output channel, padded to whole vectors, or nil
	Residual         *float32 // a tensor to add, or nil
	ResidualLayout   Layout   // distances in Residual for a step of one pixel, row or image of the output
	ResidualChannels int      // channels that Residual has, with their padding; further ones get nothing added
	Rectifier        Rectifier
}

// Forward prepares y = conv(x) by Winograd's convolution or directly, whichever is faster with the kernels of the set.
// Each row of x must be followed by Pad zero pixels, and the first one be preceded by Pad zero pixels; x needs no zero
// rows. It panics if the geometry is inconsistent or does not fit the layouts.
func (s *Set) Forward(g Geometry, x, y Layout) *Conv {
	if s.winogradIn != nil && g.winogradPays(g.IC) && x.Pixel >= s.Pad(g.IC) {
		return s.winogradForward(g, x, y)
	}
	return s.directForward(g, x, y)
}

// BackwardData prepares the gradient dx of a convolution with respect to its input, from the gradient dy of its output.
// Each row of dy must be followed by GradPad zero pixels, and the first one be preceded by as many. It panics if the
// geometry is inconsistent or does not fit the layouts.
func (s *Set) BackwardData(g Geometry, dy, dx Layout) *Conv {
	if s.winogradIn != nil && g.winogradPays(g.OC) {
		return s.winogradBackwardData(g, dy, dx)
	}
	return s.directBackwardData(g, dy, dx)
}

func (s *Set) directForward(g Geometry, x, y Layout) *Conv {
	g.check()
	x.check("x", g.IC, g.W, g.Pad)
	y.check("y", s.Pad(g.OC), g.OW, 0)
	c := &Conv{
		size: g.ForwardSize(), pack: g.PackForward,
		channels: s.Pad(g.OC), weights: g.KH * g.KW * g.IC * Lanes,
		inPixel: g.Stride * x.Pixel, inImage: x.Image, out: y, outPixels: 1,
	}
	window := c.window(g.KH, g.KW, x, g.IC, func(u, v int) int { return u*g.KW + v })
	for r := range g.OH {
		top := r*g.Stride - g.Pad
		p := pass{in: top*x.Row - g.Pad*x.Pixel, row: r, pixels: g.OW}
		window.clip(&p, top, g.H)
		c.passes = append(c.passes, p)
	}
	if g.pointwise() && x.dense(g.W) && y.dense(g.OW) {
		c.joinRows(g.IC, g.OC)
	}
	return c
}

// joinFloats bounds the input that the tiles of a pass of several rows read for each vector of output channels again,
// so that it stays in the first level cache.
const joinFloats = 8192

// joinRows makes passes of several rows, so that more tiles are full and weights are read less often. Where weights are
// many they matter more than the input.
func (c *Conv) joinRows(ic, oc int) {
	row := c.passes[0].pixels
	rows := max(1, max(joinFloats, ic*oc/2)/(row*ic))
	for i := 0; i < len(c.passes); i += rows {
		p := c.passes[i]
		p.pixels = row * min(rows, len(c.passes)-i)
		c.joined = append(c.joined, p)
	}
}

// directBackwardData is BackwardData without transforms. Input pixels whose rows and columns leave the same remainders
// by the stride are reached through the same part of the window, so each such phase is a convolution of dy of its own,
// and nothing is computed on zeros.
func (s *Set) directBackwardData(g Geometry, dy, dx Layout) *Conv {
	g.check()
	dy.check("dy", g.OC, g.OW, g.GradPad())
	dx.check("dx", s.Pad(g.IC), g.W, 0)
	c := &Conv{
		size: g.BackwardSize(), pack: g.PackBackward,
		channels: s.Pad(g.IC), weights: g.KH * g.KW * g.OC * Lanes,
		inPixel: dy.Pixel, inImage: dy.Image, out: dx, outPixels: g.Stride,
	}
	for rowPhase := range min(g.Stride, g.H) {
		rows, start := g.rows(rowPhase), 0
		for colPhase := range min(g.Stride, g.W) {
			cols := g.columns(colPhase)
			window := c.window(len(rows), len(cols), dy, g.OC, func(u, v int) int { return rows[u]*g.KW + start + v })
			start += len(cols)
			for r := rowPhase; r < g.H; r += g.Stride {
				p := pass{row: r, col: colPhase, pixels: (g.W - colPhase + g.Stride - 1) / g.Stride}
				if len(rows) > 0 && len(cols) > 0 {
					top := (r + g.Pad - rows[0]) / g.Stride
					p.in = top*dy.Row + (colPhase+g.Pad-cols[0])/g.Stride*dy.Pixel
					window.clip(&p, top, g.OH)
				}
				c.passes = append(c.passes, p)
			}
		}
	}
	if g.pointwise() && dy.dense(g.OW) && dx.dense(g.W) {
		c.joinRows(g.OC, g.IC)
	}
	return c
}

// window is a rectangle of taps, row by row.
type window struct{ first, rows, perRow, ic int }

// window adds the taps of a window of rows x cols pixels, relative to its first pixel. Where channels fill their
// pixels, the pixels of a row of the window follow each other in memory like the channels of one pixel, and are one
// tap. The weights of pixel (u, v) of the window are block weights(u, v).
func (c *Conv) window(rows, cols int, l Layout, channels int, weights func(u, v int) int) window {
	w := window{first: len(c.taps), rows: rows, perRow: cols, ic: channels}
	if channels == l.Pixel && cols > 0 {
		w.perRow, w.ic = 1, cols*channels
	}
	for u := range rows {
		for v := range w.perRow {
			c.taps = append(c.taps, 4*(u*l.Row+v*l.Pixel), 4*weights(u, v)*channels*Lanes)
		}
	}
	return w
}

// clip gives the pass the rows of the window that lie inside an input of height h when its first row lies on top.
func (w window) clip(p *pass, top, h int) {
	lo := min(max(0, -top), w.rows)
	hi := max(min(w.rows, h-top), lo)
	p.taps, p.nt, p.ic = w.first+2*lo*w.perRow, (hi-lo)*w.perRow, w.ic
}

// Size is the number of floats of packed weights.
func (c *Conv) Size() int { return c.size }

// Pack writes weights [OC, IC, KH, KW] to dst as Convolve wants them.
func (c *Conv) Pack(dst, w []float32) { c.pack(dst, w) }

// Scratch is the number of floats that Convolve needs for itself, for any number of images.
func (s *Set) Scratch(c *Conv) int {
	if c.winograd == nil {
		return 0
	}
	v, m := c.winograd.scratch(s, c.winograd.tiles(s))
	return v + m
}

// Convolve runs a prepared convolution on n images, with weights from Conv.Pack and at least Scratch floats of scratch.
// The channels of out are padded to whole vectors: those without weights get the epilogue of a zero sum.
func (s *Set) Convolve(c *Conv, n int, in, w, out *float32, e Epilogue, scratch []float32) {
	if c.winograd != nil {
		c.winograd.convolve(s, n, in, w, out, &e, scratch)
		return
	}
	passes := c.passes
	if c.joined != nil && (e.Residual == nil || e.ResidualLayout.dense(passes[0].pixels)) {
		passes = c.joined
	}
	for i := range passes {
		p := &passes[i]
		for o := 0; o < c.channels; {
			k := s.At(o, c.channels, e.ResidualChannels)
			end := c.channels
			if o < e.ResidualChannels {
				end = min(end, e.ResidualChannels)
			}
			width := min(len(k.conv), (end-o)/k.Channels)
			k.convolveRow(c, p, n, in, w, out, o, width, &e)
			o += width * k.Channels
		}
	}
}

// convolveRow computes one pass for width vectors of output channels from channel o on, in as few and as even tiles as
// it can. Rows that fill at most half a tile are done for two images at once.
func (s *Set) convolveRow(c *Conv, p *pass, n int, in, w, out *float32, o, width int, e *Epilogue) {
	kernels := s.conv[width-1]
	taps := &none
	if p.nt > 0 {
		taps = &c.taps[p.taps]
	}
	w = at(w, o/Lanes*c.weights+o%Lanes)
	ips, ops := c.inPixel, c.outPixels*c.out.Pixel
	first := p.row*c.out.Row + p.col*c.out.Pixel + o

	var bias, res *float32
	if e.Bias != nil {
		bias = at(e.Bias, o)
	}
	low, high := e.Rectifier.bounds()
	rps, resFirst := 0, 0
	residual := e.Residual != nil && o < e.ResidualChannels
	if residual {
		rps = c.outPixels * e.ResidualLayout.Pixel
		resFirst = p.row*e.ResidualLayout.Row + p.col*e.ResidualLayout.Pixel + o
	}

	most := len(kernels)
	for i := 0; i < n; {
		tiles, ijump, ojump, rjump := (p.pixels+most-1)/most, 0, 0, 0
		pair := n-i >= 2 && 2*p.pixels <= most
		if pair {
			ijump, ojump, rjump = c.inImage, c.out.Image, e.ResidualLayout.Image
		}
		for x, t := 0, 0; t < tiles; t++ {
			pixels := (p.pixels - x + tiles - t - 1) / (tiles - t)
			k := kernels[pixels-1]
			if pair {
				k = kernels[2*pixels-1]
			} else {
				half := (pixels + 1) / 2
				ijump, ojump, rjump = half*ips, half*ops, half*rps
			}
			if residual {
				res = at(e.Residual, i*e.ResidualLayout.Image+resFirst+x*rps)
			}
			k(at(in, i*c.inImage), 4*(p.in+x*ips), taps, p.nt, p.ic, w, 4*c.weights,
				at(out, i*c.out.Image+first+x*ops), 4*ips, 4*ijump, 4*ops, 4*ojump, bias, res, 4*rps, 4*rjump, low, high)
			x += pixels
		}
		i++
		if pair {
			i++
		}
	}
}

// none stands for the taps of a pass that has none.
var none int
