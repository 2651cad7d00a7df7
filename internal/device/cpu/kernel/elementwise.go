package kernel

import "unsafe"

// Plane is one vector of channels of a map: the address of the vector of its first pixel and the distances, in
// floats, between neighbouring pixels and rows. The zero Plane stands for an operand that is left out.
type Plane struct {
	Data       *float32
	Pixel, Row int
}

// Mask is a map of a bit for each channel of one vector: 16 bits a pixel, or 8 for half a vector, the lowest first.
// Distances are in bytes. The zero Mask stands for an operand that is left out.
type Mask struct {
	Data       *uint8
	Pixel, Row int
}

// dense tells whether the rows of px pixels follow each other without a gap.
func (p Plane) dense(px int) bool { return p.Data == nil || p.Row == px*p.Pixel }
func (m Mask) dense(px int) bool  { return m.Data == nil || m.Row == px*m.Pixel }

// At is the address of the vector of pixel x of row r.
func (p Plane) At(r, x int) *float32 {
	if p.Data == nil {
		return nil
	}
	return at(p.Data, r*p.Row+x*p.Pixel)
}

func (m Mask) at(r, x int) *uint8 {
	if m.Data == nil {
		return nil
	}
	return (*uint8)(unsafe.Add(unsafe.Pointer(m.Data), r*m.Row+x*m.Pixel))
}

// step and skip are the distances, in bytes, between pixels, and from the end of a row of px pixels to the next row.
func (p Plane) step() int       { return 4 * p.Pixel }
func (p Plane) skip(px int) int { return 4 * (p.Row - px*p.Pixel) }
func (m Mask) step() int        { return m.Pixel }
func (m Mask) skip(px int) int  { return m.Row - px*m.Pixel }

// joined makes one row of all rows if they are dense.
func joined(rows, px int, dense bool) (int, int) {
	if dense {
		return 1, rows * px
	}
	return rows, px
}

// sumPixels is how many pixels are summed in float32 before the sums go to float64.
const sumPixels = 512

// sumBlock is the size of the blocks of at most sumPixels pixels that rows of px pixels are cut into.
func sumBlock(px int) (rows, pixels int) {
	pixels = min(px, sumPixels)
	return sumPixels / pixels, pixels
}

// Stats adds the sums of y-ref and (y-ref)^2 over rows of px pixels to the sums of each channel in sum and
// square. The values of ref are any near the channels' means: they keep the precision of the variance when the mean is large.
func (s *Set) Stats(rows, px int, y Plane, ref *float32, sum, square *float64) {
	rows, px = joined(rows, px, y.dense(px))
	br, bx := sumBlock(px)
	for r := 0; r < rows; r += br {
		for x := 0; x < px; x += bx {
			n := min(bx, px-x)
			s.stats(min(br, rows-r), n, y.At(r, x), y.step(), y.skip(n), ref, sum, square)
		}
	}
}

// Apply sets a = y*scale + shift, with a scale and a shift for each channel, adds the residual if there is one, and rectifies
// if asked to. When it rectifies and there is a mask, the bits of channels that lie between the bounds are set in it and
// the others cleared. A NaN counts as between them, so that it stays to be seen. a may be y or the residual.
func (s *Set) Apply(rows, px int, y Plane, scale, shift *float32, residual Plane, rect Rectifier, m Mask, a Plane) {
	rows, px = joined(rows, px, y.dense(px) && residual.dense(px) && m.dense(px) && a.dense(px))
	form := 0
	if rect != Linear {
		form = 2*int(rect) - 1 + has(m.Data)
	}
	s.apply[has(residual.Data)][form](rows, px, y.Data, y.step(), y.skip(px), a.Data, a.step(), a.skip(px),
		residual.Data, residual.step(), residual.skip(px), m.Data, m.step(), m.skip(px), scale, shift)
}

// BackStats sets dz = dx + residual, without what is left out, where the mask is set, and zero elsewhere, and adds the
// sums of dz and dz*(y-mean) to those of each channel in s1 and s2. dz may be dx or the residual.
func (s *Set) BackStats(rows, px int, dx, residual Plane, m Mask, y Plane, mean *float32, dz Plane, s1, s2 *float64) {
	rows, px = joined(rows, px, dx.dense(px) && residual.dense(px) && m.dense(px) && y.dense(px) && dz.dense(px))
	k := s.backStats[has(residual.Data)][has(m.Data)]
	br, bx := sumBlock(px)
	for r := 0; r < rows; r += br {
		for x := 0; x < px; x += bx {
			n := min(bx, px-x)
			k(min(br, rows-r), n, dx.At(r, x), dx.step(), dx.skip(n), residual.At(r, x), residual.step(), residual.skip(n),
				m.at(r, x), m.step(), m.skip(n), y.At(r, x), y.step(), y.skip(n), dz.At(r, x), dz.step(), dz.skip(n),
				mean, s1, s2)
		}
	}
}

// BackApply sets dy = k1*dz + k2*y + k3, with factors for each channel. dy may be dz or y.
func (s *Set) BackApply(rows, px int, dz, y Plane, k1, k2, k3 *float32, dy Plane) {
	rows, px = joined(rows, px, dz.dense(px) && y.dense(px) && dy.dense(px))
	s.backApply(rows, px, dz.Data, dz.step(), dz.skip(px), y.Data, y.step(), y.skip(px),
		dy.Data, dy.step(), dy.skip(px), k1, k2, k3)
}

// AddScaled adds alpha*src to dst.
func (s *Set) AddScaled(rows, px int, dst, src Plane, alpha float32) {
	rows, px = joined(rows, px, dst.dense(px) && src.dense(px))
	s.addScaled(rows, px, dst.Data, dst.step(), dst.skip(px), src.Data, src.step(), src.skip(px), alpha)
}

// Add adds src to dst, both of the same length.
func (s *Set) Add(dst, src []float32) {
	src = src[:len(dst)]
	if n := len(dst) / Lanes; n > 0 {
		s.AddScaled(1, n, Plane{&dst[0], Lanes, 0}, Plane{&src[0], Lanes, 0}, 1)
	}
	for i := len(dst) / Lanes * Lanes; i < len(dst); i++ {
		dst[i] += src[i]
	}
}

// SGD takes a step of stochastic gradient descent with momentum and weight decay on weights w with velocity v and
// gradient dw, all of the same length: v = momentum*v + dw + decay*w, w = w - lr*v.
func (s *Set) SGD(w, v, dw []float32, lr, momentum, decay float32) {
	v, dw = v[:len(w)], dw[:len(w)]
	if n := len(w) / Lanes; n > 0 {
		s.sgd(n, &w[0], &v[0], &dw[0], lr, momentum, decay)
	}
	for i := len(w) / Lanes * Lanes; i < len(w); i++ {
		v[i] = momentum*v[i] + (decay*w[i] + dw[i])
		w[i] -= lr * v[i]
	}
}

// has is 1 if the operand is there, else 0.
func has[T any](p *T) int {
	if p == nil {
		return 0
	}
	return 1
}
