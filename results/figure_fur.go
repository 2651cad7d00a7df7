package results

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
)

// furFigure shows the FLOPs utilization ratio of each layer at each update as a heat map. layers holds the rows of
// layers.csv of the cells of the point.
func furFigure(name string, c comparison, pt point, layers table) figure {
	f := figure{name: name}
	f.data = [][]string{{"update", "layer", "layer_name", "n", "fur", "fur_std", "cells"}}
	var values [][]float64
	var low, high float64
	for k, update := range groupBy(layers, "update") {
		var row []float64
		for l, of := range groupBy(update.rows, "layer", "layer_name") {
			m := momentsOf(of.rows.numbers("fur"))
			row = append(row, m.mean)
			low, high = min(low, m.mean), max(high, m.mean)
			f.data = append(f.data, []string{strconv.Itoa(k + 1), strconv.Itoa(l), of.key[1], strconv.Itoa(m.n),
				number(m.mean), number(m.std), strings.Join(of.rows.strings("id"), " ")})
		}
		values = append(values, row)
	}
	scale := rootScale{max(-low, high)}
	f.bar = &colorBar{label: "FUR", scale: scale, low: low, high: high}
	p := newPlot("Layer", "Update")
	p.Add(heatMap{values, scale})
	layerAxis(p, len(values[0]))
	p.X.Min, p.X.Max = -0.5, float64(len(values[0]))-0.5
	updateAxis(&p.Y, len(values))
	f.panels = append(f.panels, p)
	f.height = 0.35*vg.Inch + min(0.17*vg.Inch*vg.Length(len(values)), pageHeight/2)
	f.caption = fmt.Sprintf("FLOPs utilization ratio (FUR) of each layer at each update of %s at budget %s, %s: by "+
		"default the rise of the validation loss when channels, worth the same FLOPs if the method does not say otherwise, "+
		"are dropped in that layer alone, here the mean over %s. The darkest boxes are the layers whose FLOPs are worth most, so they get channels; "+
		"the lightest ones, and those with a dash, whose ratio is below 0, give channels. Shades follow the square root "+
		"of the ratio.",
		pt.method, pt.budget, c, seeds(pt.cells.rows()))
	if updates := pt.cells.numbers("updates"); slices.Min(updates) < slices.Max(updates) {
		f.caption += " Some searches ended early: later updates are the mean over the others."
	}
	return f
}

// updateAxis numbers updates from 1, downwards.
func updateAxis(a *plot.Axis, updates int) {
	a.Min, a.Max = 0.5, float64(updates)+0.5
	a.Scale = plot.InvertedScale{Normalizer: plot.LinearScale{}}
	a.Tick.Marker = roundTicks{max: 13, integer: true}
}
