package kernel

// Windows is a row of windows of KH x KW pixels on a map, Step floats apart. Each has at least one pixel.
type Windows struct {
	Data       *float32 // the first pixel of the first window
	Pixel, Row int      // floats between neighbouring pixels and rows
	Step       int
	KH, KW     int
}

// MaxPool sets px pixels of y, of so many channels with their padding, to the maxima over the windows of x. A NaN is
// larger than anything, so that it stays to be seen.
func (s *Set) MaxPool(px, channels int, x Windows, y Plane) {
	for c := 0; c < channels; {
		k, n := s.stretch(c, channels)
		k.maxPool(px, 4*n, at(x.Data, c), 4*x.Row, 4*x.Pixel, 4*x.Step, at(y.Data, c), y.step(), x.KH, x.KW, 0)
		c += n
	}
}

// AvgPool sets px pixels of y, of so many channels with their padding, to the means over the windows of x.
func (s *Set) AvgPool(px, channels int, x Windows, y Plane) {
	share := 1 / float32(x.KH*x.KW)
	for c := 0; c < channels; {
		k, n := s.stretch(c, channels)
		k.avgPool(px, 4*n, at(x.Data, c), 4*x.Row, 4*x.Pixel, 4*x.Step, at(y.Data, c), y.step(), x.KH, x.KW, share)
		c += n
	}
}

// MaxPoolGrad adds each of px pixels of dy, in their order, to the element of its window of dx that is the largest of
// its window of x: the first element, or one that is larger than all before it. dx has windows of the same size.
func (s *Set) MaxPoolGrad(px, channels int, x Windows, dy Plane, dx Windows) {
	for c := 0; c < channels; {
		k, n := s.stretch(c, channels)
		k.maxPoolGrad(px, 4*n, at(x.Data, c), 4*x.Row, 4*x.Pixel, 4*x.Step, at(dy.Data, c), dy.step(),
			at(dx.Data, c), 4*dx.Row, 4*dx.Pixel, 4*dx.Step, x.KH, x.KW)
		c += n
	}
}

// Dot adds the sums of x*d over rows of px pixels to the sum of each channel.
func (s *Set) Dot(rows, px int, x, d Plane, sum *float64) {
	rows, px = joined(rows, px, x.dense(px) && d.dense(px))
	br, bx := sumBlock(px)
	for r := 0; r < rows; r += br {
		for c := 0; c < px; c += bx {
			n := min(bx, px-c)
			s.dot(min(br, rows-r), n, x.At(r, c), x.step(), x.skip(n), d.At(r, c), d.step(), d.skip(n), sum)
		}
	}
}
