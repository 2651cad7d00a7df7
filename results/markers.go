package results

import (
	"image/color"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// polygon is a filled marker. Its corners are in units of the marker's radius, around the origin.
type polygon []vg.Point

// markers are all filled, so that they show at small size, and differ in outline, so that they differ in grey.
var markers = []polygon{
	regular(4, math.Pi/4, 1.15), // square
	regular(16, 0, 1.05),        // disc
	regular(3, math.Pi/2, 1.35), // triangle
	regular(4, 0, 1.35),         // diamond
	regular(3, -math.Pi/2, 1.35),
	cross(0),           // plus
	cross(math.Pi / 4), // cross
	star(5, 1.5),
}

// DrawGlyph implements draw.GlyphDrawer.
func (p polygon) DrawGlyph(c *draw.Canvas, sty draw.GlyphStyle, at vg.Point) {
	if len(p) == 0 {
		return
	}
	points := make([]vg.Point, len(p))
	for i, q := range p {
		points[i] = at.Add(q.Scale(sty.Radius))
	}
	c.FillPolygon(sty.Color, points)
}

// outline is a marker of which only the edge is drawn, around white.
type outline polygon

// DrawGlyph implements draw.GlyphDrawer.
func (o outline) DrawGlyph(c *draw.Canvas, sty draw.GlyphStyle, at vg.Point) {
	edge := make([]vg.Point, 0, len(o)+1)
	for _, q := range o {
		edge = append(edge, at.Add(q.Scale(sty.Radius)))
	}
	c.FillPolygon(color.White, edge)
	c.StrokeLines(draw.LineStyle{Color: sty.Color, Width: axisLine}, append(edge, edge[0]))
}

// polar returns the point at distance r in the direction of the angle.
func polar(r, angle float64) vg.Point {
	sin, cos := math.Sincos(angle)
	return vg.Point{X: vg.Length(r * cos), Y: vg.Length(r * sin)}
}

// regular returns a regular polygon with n corners, the first in the direction of the angle.
func regular(n int, angle, r float64) polygon {
	p := make(polygon, n)
	for i := range p {
		p[i] = polar(r, angle+2*math.Pi*float64(i)/float64(n))
	}
	return p
}

// cross returns two crossed bars, the first in the direction of the angle.
func cross(angle float64) polygon {
	const length, half = 1.35, 0.35
	inner, outer := half*math.Sqrt2, math.Hypot(length, half)
	spread := math.Atan2(half, length)
	var p polygon
	for i := range 4 {
		arm := angle + math.Pi/2*float64(i)
		p = append(p, polar(outer, arm-spread), polar(outer, arm+spread), polar(inner, arm+math.Pi/4))
	}
	return p
}

// star returns a star with n points.
func star(n int, r float64) polygon {
	var p polygon
	for i := range n {
		tip := math.Pi/2 + 2*math.Pi*float64(i)/float64(n)
		p = append(p, polar(r, tip), polar(0.45*r, tip+math.Pi/float64(n)))
	}
	return p
}
