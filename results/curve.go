package results

import (
	"image/color"
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
	err    []float64 // half length of the error bars; NaN or 0 for none, nil for none at all
	every  int       // marks at every so many points only; 0 is 1
	first  int       // the first point with a mark
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
		e := s.half(i)
		if e == 0 {
			continue
		}
		low, high := toY(s.y[i]-e), toY(s.y[i]+e)
		c.StrokeLine2(s.style.bar(), at.X, low, at.X, high)
		for _, y := range []vg.Length{low, high} {
			c.StrokeLine2(s.style.bar(), at.X-s.style.size, y, at.X+s.style.size, y)
		}
	}
	for i := s.first; i < len(points); i += max(1, s.every) {
		c.DrawGlyphNoClip(s.style.glyph(), points[i])
	}
}

// markedIn returns the curve with about eight marks, at other points than those of the other curves of the same plot.
func (s curve) markedIn(i, curves int) curve {
	s.every = max(1, len(s.x)/8)
	s.first = i * s.every / curves
	return s
}

// half returns half the length of an error bar, 0 if there is none.
func (s curve) half(i int) float64 {
	if s.err == nil || math.IsNaN(s.err[i]) {
		return 0
	}
	return s.err[i]
}

// DataRange implements plot.DataRanger: the range of the points with their error bars.
func (s curve) DataRange() (xmin, xmax, ymin, ymax float64) {
	xmin, xmax, ymin, ymax = math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for i := range s.x {
		e := s.half(i)
		xmin, xmax = min(xmin, s.x[i]), max(xmax, s.x[i])
		ymin, ymax = min(ymin, s.y[i]-e), max(ymax, s.y[i]+e)
	}
	return xmin, xmax, ymin, ymax
}

// band fills the range of the error bars of a curve with a light shade. It implements plot.Plotter and plot.DataRanger.
type band curve

// Plot implements plot.Plotter.
func (b band) Plot(c draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&c)
	var edge []vg.Point
	for i := range b.x {
		edge = append(edge, vg.Point{X: toX(b.x[i]), Y: toY(b.y[i] + curve(b).half(i))})
	}
	for i := len(b.x) - 1; i >= 0; i-- {
		edge = append(edge, vg.Point{X: toX(b.x[i]), Y: toY(b.y[i] - curve(b).half(i))})
	}
	c.FillPolygon(lighten(b.style.color), edge)
}

// DataRange implements plot.DataRanger.
func (b band) DataRange() (xmin, xmax, ymin, ymax float64) { return curve(b).DataRange() }

// boxes draws a light box around each of the numbers y at x = 0, 1, 2, ..., err high on both sides. It implements
// plot.Plotter and plot.DataRanger.
type boxes struct {
	color  color.Color
	y, err []float64
}

// Plot implements plot.Plotter.
func (b boxes) Plot(c draw.Canvas, p *plot.Plot) {
	const half = 0.42
	toX, toY := p.Transforms(&c)
	for i, y := range b.y {
		x := float64(i)
		fillBox(c, lighten(b.color), toX(x-half), toY(y-b.err[i]), toX(x+half), toY(y+b.err[i]))
	}
}

// DataRange implements plot.DataRanger.
func (b boxes) DataRange() (xmin, xmax, ymin, ymax float64) {
	ymin, ymax = math.Inf(1), math.Inf(-1)
	for i, y := range b.y {
		ymin, ymax = min(ymin, y-b.err[i]), max(ymax, y+b.err[i])
	}
	return 0, float64(len(b.y) - 1), ymin, ymax
}

// trail joins points of different curves by a broad light line. It implements plot.Plotter.
type trail struct {
	x, y    []float64
	offsets []vg.Length // those of the curves that the points are on
}

// Plot implements plot.Plotter.
func (t trail) Plot(c draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&c)
	points := make([]vg.Point, len(t.x))
	for i := range points {
		points[i] = vg.Point{X: toX(t.x[i]) + t.offsets[i], Y: toY(t.y[i])}
	}
	c.StrokeLines(draw.LineStyle{Color: lighten(grey), Width: 2 * markSize}, points)
}

// level is a thin horizontal line behind the data.
type level float64

// Plot implements plot.Plotter.
func (l level) Plot(c draw.Canvas, p *plot.Plot) {
	if float64(l) < p.Y.Min || float64(l) > p.Y.Max {
		return
	}
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
