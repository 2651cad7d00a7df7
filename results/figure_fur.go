package results

import (
	"fmt"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
)

// furFigure shows the FLOPs utilization ratio of each layer, one panel for each update. layers holds the rows of
// layers.csv of the cells of the point.
func furFigure(name string, c comparison, pt point, layers table) figure {
	f := figure{name: name}
	f.data = [][]string{{"update", "layer", "layer_name", "n", "fur", "fur_std", "cells"}}
	sty := styleOf(pt.method)
	for _, update := range groupBy(layers, "update") {
		var fur []moments
		for l, row := range groupBy(update.rows, "layer", "layer_name") {
			m := momentsOf(row.rows.numbers("fur"))
			fur = append(fur, m)
			f.data = append(f.data, []string{update.key[0], strconv.Itoa(l), row.key[1], strconv.Itoa(m.n),
				number(m.mean), number(m.std), strings.Join(row.rows.strings("id"), " ")})
		}
		p := newPlot("", "FUR")
		p.Title.Text = "update " + update.key[0]
		p.Add(level(0), layerCurve(sty, fur))
		layerAxis(p, len(fur))
		f.panels = append(f.panels, p)
	}
	alignAxes(f.panels)
	const page = 8.5 * vg.Inch
	f.height = min(1.3*vg.Inch, max(0.8*vg.Inch, page/vg.Length(len(f.panels))))
	f.caption = fmt.Sprintf("FLOPs utilization ratio of each layer at each update of %s at budget %s, %s: the rise of "+
		"the validation loss when channels worth the same FLOPs are dropped in that layer alone. Marks are means over "+
		"%s, bars one sample standard deviation.", pt.method, pt.budget, c, seeds(pt.cells.rows()))
	return f
}

// alignAxes gives all panels the same y axis, with zero on it, and labels the x axis of the last one only.
func alignAxes(panels []*plot.Plot) {
	var low, high float64
	for _, p := range panels {
		low, high = min(low, p.Y.Min), max(high, p.Y.Max)
	}
	last := len(panels) - 1
	for _, p := range panels {
		p.Y.Min, p.Y.Max = low, high
		widen(&p.Y, 0.05, 1e-6)
		p.Y.Tick.Marker = roundTicks{max: 4}
	}
	for _, p := range panels[:last] {
		p.X.Tick.Marker = unlabelled{p.X.Tick.Marker}
	}
	panels[last].X.Label.Text = "Layer"
}
