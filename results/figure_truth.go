package results

import (
	"fmt"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// truthFigure shows the truth of each layer over its utilization ratio, one panel for each direction.
func truthFigure(name string, c comparison, t truth) figure {
	f := figure{name: name, height: 1.7 * vg.Inch}
	f.data = [][]string{{"direction", "layer", "layer_name", "n", "fur", "fur_std_err", "loss_per_mflop",
		"loss_per_mflop_std_err", "cells"}}
	for _, d := range directions {
		p := newPlot("", "Loss per MFLOP")
		p.Title.Text = d
		s := scatter{style: styleOf(t.point.method)}
		for l, name := range t.layers {
			x, y := momentsOf(columnOf(t.fur, l)), momentsOf(columnOf(t.gains[d], l))
			s.x, s.y = append(s.x, x), append(s.y, y)
			s.names = append(s.names, strconv.Itoa(l))
			f.data = append(f.data, []string{d, strconv.Itoa(l), name, strconv.Itoa(x.n), number(x.mean), number(x.stdErr()),
				number(y.mean), number(y.stdErr()), t.ids()})
		}
		p.Add(level(0), s)
		widen(&p.X, 0.06, 1e-4)
		widen(&p.Y, 0.06, 1e-6)
		p.X.Tick.Marker, p.Y.Tick.Marker = roundTicks{max: 5}, roundTicks{max: 5}
		f.panels = append(f.panels, p)
	}
	last := len(f.panels) - 1
	for _, p := range f.panels[:last] {
		p.X.Tick.Marker = unlabelled{p.X.Tick.Marker}
	}
	f.panels[last].X.Label.Text = "FLOPs utilization ratio"
	f.caption = fmt.Sprintf("What more channels of a layer are worth when the network is trained with them, over the "+
		"FLOPs utilization ratio that dropout estimates, %s. The closer the layers are to a rising curve, the better "+
		"ratios tell which layers to widen. Numbers are layers. Marks are means over %s, bars one standard error of the mean.",
		c, seeds(len(t.seeds)))
	return f
}

// columnOf returns a column of a matrix.
func columnOf(m [][]float64, i int) []float64 {
	out := make([]float64, len(m))
	for r := range m {
		out[r] = m[r][i]
	}
	return out
}

// stdErr returns the standard error of the mean.
func (m moments) stdErr() float64 { return m.std / math.Sqrt(float64(m.n)) }

// scatter draws points with bars in both directions and a name beside each. It implements plot.Plotter
// and plot.DataRanger.
type scatter struct {
	style style
	x, y  []moments // bars are standard errors
	names []string
}

// Plot implements plot.Plotter.
func (s scatter) Plot(c draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&c)
	marks := make([]vg.Point, len(s.x))
	for i := range s.x {
		x, y := s.x[i], s.y[i]
		at := vg.Point{X: toX(x.mean), Y: toY(y.mean)}
		marks[i] = at
		if dx, dy := x.stdErr(), y.stdErr(); x.n > 1 {
			c.StrokeLine2(s.style.bar(), toX(x.mean-dx), at.Y, toX(x.mean+dx), at.Y)
			c.StrokeLine2(s.style.bar(), at.X, toY(y.mean-dy), at.X, toY(y.mean+dy))
		}
	}
	for i, b := range nameBoxes(c.Rectangle, marks, s.style.size, s.names) {
		b.draw(c, marks[i], s.names[i])
	}
	for _, at := range marks {
		c.DrawGlyphNoClip(s.style.glyph(), at)
	}
}

// DataRange implements plot.DataRanger: the range of the points with their bars.
func (s scatter) DataRange() (xmin, xmax, ymin, ymax float64) {
	span := func(all []moments) (low, high float64) {
		low, high = math.Inf(1), math.Inf(-1)
		for _, m := range all {
			e := 0.
			if m.n > 1 {
				e = m.stdErr()
			}
			low, high = min(low, m.mean-e), max(high, m.mean+e)
		}
		return low, high
	}
	xmin, xmax = span(s.x)
	ymin, ymax = span(s.y)
	return xmin, xmax, ymin, ymax
}
