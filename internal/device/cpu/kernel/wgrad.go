package kernel

// WeightGrad is the gradient of a convolution with respect to its weights, prepared for tensors of fixed layout.
// It is never written to once prepared.
type WeightGrad struct {
	size   int // floats of the packed gradient
	unpack func(w, packed []float32)

	winograd *winograd // how Winograd's convolution does it, which needs nothing of the following

	g     Geometry
	x, dy Layout
	runs  int // stretches of input channels for each row of the window
	run   int // channels of a stretch

	rows, images int // output rows and images that a tile goes through at a time
}

// Bounds on the part of the tensors that the tiles of a weight gradient go through one after the other: small enough to
// stay in the first level cache, but not so few pixels that loading and storing a tile counts.
const (
	wgradFloats = 8192
	wgradPixels = 64
)

// BackwardWeights prepares the gradient of a convolution with respect to its weights, by Winograd's convolution or
// directly. The zeros that Forward needs in x are needed here too; dy needs none. It panics if the geometry is
// inconsistent or does not fit the layouts.
func (s *Set) BackwardWeights(g Geometry, x, dy Layout) *WeightGrad {
	if s.winogradIn != nil && g.winogradPays(min(g.IC, g.OC)) && x.Pixel >= s.Pad(g.IC) {
		return s.winogradBackwardWeights(g, x, dy)
	}
	return s.directBackwardWeights(g, x, dy)
}

func (s *Set) directBackwardWeights(g Geometry, x, dy Layout) *WeightGrad {
	g.check()
	x.check("x", g.IC, g.W, g.Pad)
	dy.check("dy", s.Pad(g.OC), g.OW, 0)
	p := &WeightGrad{size: g.ForwardSize(), unpack: g.UnpackForward, g: g, x: x, dy: dy, runs: g.KW, run: g.IC}
	if g.IC == x.Pixel {
		p.runs, p.run = 1, g.KW*g.IC
	}
	pixels := max(wgradPixels, wgradFloats/(g.Stride*g.Stride*x.Pixel+dy.Pixel))
	p.rows = min(max(1, pixels/g.OW), g.OH)
	p.images = max(1, pixels/(g.OW*g.OH))
	return p
}

// Size is the number of floats of the gradient in packed form.
func (p *WeightGrad) Size() int { return p.size }

// Unpack writes a packed gradient as [OC, IC, KH, KW].
func (p *WeightGrad) Unpack(w, packed []float32) { p.unpack(w, packed) }

// GradScratch is the number of floats that WeightGradient needs for itself, for any number of images.
func (s *Set) GradScratch(p *WeightGrad) int {
	if p.winograd == nil {
		return 0
	}
	v, m := p.winograd.scratch(s, p.winograd.gradTiles(s))
	return v + m
}

// WeightGradient adds the gradient over n images to dw, in packed form, with at least GradScratch floats of scratch; dy
// must be zero in the channels that pad it.
func (s *Set) WeightGradient(p *WeightGrad, n int, x, dy, dw *float32, scratch []float32) {
	if p.winograd != nil {
		p.winograd.gradient(s, n, x, dy, dw, scratch)
		return
	}
	g := &p.g
	for i := 0; i < n; i += p.images {
		images := min(p.images, n-i)
		for r := 0; r < g.OH; r += p.rows {
			for kh := range g.KH {
				lo, hi := r, min(r+p.rows, g.OH)
				for lo < hi && lo*g.Stride+kh-g.Pad < 0 {
					lo++
				}
				for lo < hi && (hi-1)*g.Stride+kh-g.Pad >= g.H {
					hi--
				}
				if lo < hi {
					from := at(x, i*p.x.Image+(lo*g.Stride+kh-g.Pad)*p.x.Row-g.Pad*p.x.Pixel)
					s.windowRow(p, kh, images, hi-lo, from, at(dy, i*p.dy.Image+lo*p.dy.Row), dw)
				}
			}
		}
	}
}

// windowRow adds the gradient of row kh of the window over some output rows of some images; x is the first pixel that
// the row of the window covers.
func (s *Set) windowRow(p *WeightGrad, kh, images, rows int, x, dy, dw *float32) {
	g := &p.g
	group := g.KH * g.KW * g.IC * Lanes
	for o, pixel := 0, s.Pad(g.OC); o < pixel; {
		k := s.At(o, pixel)
		width := min(len(k.wgrad), (pixel-o)/k.Channels)
		kernels := k.wgrad[width-1]
		tiles := (p.run + len(kernels) - 1) / len(kernels)
		for run := range p.runs {
			to := at(dw, o/Lanes*group+(kh*g.KW+run)*g.IC*Lanes)
			for c, t := 0, 0; t < tiles; t++ {
				channels := (p.run - c + tiles - t - 1) / (tiles - t)
				kernels[channels-1](at(x, run*p.x.Pixel+c), at(dy, o), at(to, c*Lanes), 4*group, images, rows, g.OW,
					4*p.x.Image, 4*g.Stride*p.x.Row, 4*g.Stride*p.x.Pixel, 4*p.dy.Image, 4*p.dy.Row, 4*p.dy.Pixel)
				c += channels
			}
		}
		o += width * k.Channels
	}
}
