package results

import (
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// nameBox is the place of the name of a mark, and how far the box is from the mark.
type nameBox struct {
	box      vg.Rectangle
	distance vg.Length
}

// nameBoxes finds a place for the name of each mark, as near to it as there is room beside all other marks and names. A
// mark is a circle of the given radius.
func nameBoxes(area vg.Rectangle, marks []vg.Point, radius vg.Length, names []string) []nameBox {
	taken := make([]vg.Rectangle, len(marks))
	for i, at := range marks {
		taken[i] = around(at, radius, radius)
	}
	out := make([]nameBox, len(marks))
	for i, at := range marks {
		width, height := legendText.Width(names[i])/2+0.5, 0.35*tickSize+0.5
		out[i] = roomFor(area, taken, at, radius, width, height)
		taken = append(taken, out[i].box)
	}
	return out
}

// roomFor returns the nearest place around a mark for a box of the given half width and height that is taken by nothing;
// if there is none, the place at its upper right.
func roomFor(area vg.Rectangle, taken []vg.Rectangle, at vg.Point, radius, width, height vg.Length) nameBox {
	const step, steps, directions = 3, 16, 24
	place := func(distance vg.Length, direction int) nameBox {
		d := polar(1, 2*math.Pi*(float64(direction)/directions+1./8)) // the upper right first
		// A direction between two axes leads past the corner of a box around the mark.
		d = d.Scale(1 / max(d.X, -d.X, d.Y, -d.Y))
		beside := vg.Point{X: d.X * (radius + width + distance), Y: d.Y * (radius + height + distance)}
		return nameBox{around(at.Add(beside), width, height), distance}
	}
	for k := range steps {
		for direction := range directions {
			b := place(vg.Length(k*step), direction)
			within := area.Min.X <= b.box.Min.X && b.box.Max.X <= area.Max.X &&
				area.Min.Y <= b.box.Min.Y && b.box.Max.Y <= area.Max.Y
			if within && !slices.ContainsFunc(taken, func(t vg.Rectangle) bool { return meets(t, b.box) }) {
				return b
			}
		}
	}
	return place(0, 0)
}

// around returns the rectangle around a point with the given half width and height.
func around(at vg.Point, width, height vg.Length) vg.Rectangle {
	half := vg.Point{X: width, Y: height}
	return vg.Rectangle{Min: at.Sub(half), Max: at.Add(half)}
}

// meets tells whether two rectangles have more than an edge in common.
func meets(a, b vg.Rectangle) bool {
	return a.Min.X < b.Max.X && b.Min.X < a.Max.X && a.Min.Y < b.Max.Y && b.Min.Y < a.Max.Y
}

// middle returns the middle of a rectangle.
func middle(r vg.Rectangle) vg.Point { return r.Min.Add(r.Max).Scale(0.5) }

// draw draws a name into its box, and a thin line to its mark if they are apart.
func (b nameBox) draw(c draw.Canvas, mark vg.Point, name string) {
	at := middle(b.box)
	if b.distance > 0 {
		end := vg.Point{X: min(max(mark.X, b.box.Min.X), b.box.Max.X), Y: min(max(mark.Y, b.box.Min.Y), b.box.Max.Y)}
		c.StrokeLine2(draw.LineStyle{Color: grey, Width: axisLine}, mark.X, mark.Y, end.X, end.Y)
	}
	sty := legendText
	sty.XAlign = draw.XCenter
	c.FillText(sty, vg.Point{X: at.X, Y: at.Y - textDrop*tickSize}, name)
}
