package results

import (
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// curve draws points with vertical error bars, joined by a line in their order. It implements plot.Plotter
// and plot.DataRanger.
type curve struct {
	style  style
	x, y   []float64
	err    []float64 // half length of the error bars; NaN for none
	offset vg.Length // shift to the right, so that series with the same x can be told apart
}

// Plot implements plot.Plotter.
func (s curve) Plot(c draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&c)
	points := make([]vg.Point, len(s.x))
	for i := range points {
		points[i] = vg.Point{X: toX(s.x[i]) + s.offset, Y: toY(s.y[i])}
	}
	c.StrokeLines(s.style.line(), points)
	for i, at := range points {
		if math.IsNaN(s.err[i]) {
			continue
		}
		low, high := toY(s.y[i]-s.err[i]), toY(s.y[i]+s.err[i])
		c.StrokeLine2(s.style.bar(), at.X, low, at.X, high)
		for _, y := range []vg.Length{low, high} {
			c.StrokeLine2(s.style.bar(), at.X-s.style.size, y, at.X+s.style.size, y)
		}
	}
	for _, at := range points {
		c.DrawGlyphNoClip(s.style.glyph(), at)
	}
}

// DataRange implements plot.DataRanger: the range of the points with their error bars.
func (s curve) DataRange() (xmin, xmax, ymin, ymax float64) {
	xmin, xmax, ymin, ymax = math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for i := range s.x {
		e := s.err[i]
		if math.IsNaN(e) {
			e = 0
		}
		xmin, xmax = min(xmin, s.x[i]), max(xmax, s.x[i])
		ymin, ymax = min(ymin, s.y[i]-e), max(ymax, s.y[i]+e)
	}
	return xmin, xmax, ymin, ymax
}

// level is a thin horizontal line behind the data.
type level float64

// Plot implements plot.Plotter.
func (l level) Plot(c draw.Canvas, p *plot.Plot) {
	_, toY := p.Transforms(&c)
	y := toY(float64(l))
	c.StrokeLine2(draw.LineStyle{Color: grey, Width: axisLine}, c.Min.X, y, c.Max.X, y)
}

// corner closes the gap that gonum leaves where the two axis lines meet.
type corner struct{}

// Plot implements plot.Plotter.
func (corner) Plot(c draw.Canvas, _ *plot.Plot) {
	y := c.Min.Y - axisLine/2
	c.StrokeLine2(axisStyle, c.Min.X-axisLine, y, c.Min.X, y)
}
