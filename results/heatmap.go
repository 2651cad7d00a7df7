package results

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// heatMap draws a box for each number: values[row][column] stands at x = column and y = row + 1. It implements
// plot.Plotter.
type heatMap struct {
	values [][]float64
	scale  rootScale
}

// Plot implements plot.Plotter.
func (h heatMap) Plot(c draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&c)
	for row, values := range h.values {
		y0, y1 := toY(float64(row)+0.5), toY(float64(row)+1.5)
		for column, v := range values {
			x0, x1 := toX(float64(column)-0.5), toX(float64(column)+0.5)
			gap := min(0.3, 0.05*(x1-x0)) // viewers would show a seam between boxes that touch, or not: always show it
			left, bottom, right, top := x0+gap, min(y0, y1)+gap, x1-gap, max(y0, y1)-gap
			position := h.scale.position(v)
			fillBox(c, shade(position), left, bottom, right, top)
			dashInside(c, position, left, bottom, right, top)
		}
	}
}

// dashInside marks a box of a position below 0, so that it is told from one above 0 without colours.
func dashInside(c draw.Canvas, position float64, left, bottom, right, top vg.Length) {
	if position >= 0 {
		return
	}
	y, half := (bottom+top)/2, min(2.5, 0.3*(right-left))
	middle := (left + right) / 2
	c.StrokeLine2(draw.LineStyle{Color: ink(position), Width: axisLine}, middle-half, y, middle+half, y)
}

// fillBox fills a rectangle.
func fillBox(c draw.Canvas, fill color.Color, left, bottom, right, top vg.Length) {
	c.FillPolygon(fill, []vg.Point{{X: left, Y: bottom}, {X: right, Y: bottom}, {X: right, Y: top}, {X: left, Y: top}})
}
