package kernel

// Windows is a row of windows of KH x KW pixels on a map, Step floats apart. Each has at least one pixel.
type Windows struct {
	Data       *float32 // the first pixel of the first window
	Pixel, Row int      // floats between neighbouring pixels and rows
	Step       int
	KH, KW     int
}

// MaxPool sets px pixels of y, of the given number of vectors of channels, to the maxima over the windows of x. A NaN
// is larger than anything, so that it stays to be seen.
func (s *Set) MaxPool(px, groups int, x Windows, y Plane) {
	s.maxPool(px, 4*Lanes*groups, x.Data, 4*x.Row, 4*x.Pixel, 4*x.Step, y.Data, y.step(), x.KH, x.KW, 0)
}

// AvgPool sets px pixels of y, of the given number of vectors of channels, to the means over the windows of x.
func (s *Set) AvgPool(px, groups int, x Windows, y Plane) {
	s.avgPool(px, 4*Lanes*groups, x.Data, 4*x.Row, 4*x.Pixel, 4*x.Step, y.Data, y.step(), x.KH, x.KW,
		1/float32(x.KH*x.KW))
}

// MaxPoolGrad adds each of px pixels of dy, in their order, to the element of its window of dx that is the largest of
// its window of x: the first element, or one that is larger than all before it. dx has windows of the same size.
func (s *Set) MaxPoolGrad(px, groups int, x Windows, dy Plane, dx Windows) {
	s.maxPoolGrad(px, 4*Lanes*groups, x.Data, 4*x.Row, 4*x.Pixel, 4*x.Step, dy.Data, dy.step(),
		dx.Data, 4*dx.Row, 4*dx.Pixel, 4*dx.Step, x.KH, x.KW)
}

// Dot adds the sums of x*d over rows of px pixels to the 16 sums.
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
