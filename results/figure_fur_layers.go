package results

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot/vg"
)

// furLayersFigure shows the FLOPs utilization ratio of each layer at the last update with how sure it is. layers holds
// the rows of layers.csv of the cells of the point.
func furLayersFigure(name string, c comparison, pt point, layers table) figure {
	f := figure{name: name, height: 1.8 * vg.Inch}
	f.data = [][]string{{"layer", "layer_name", "n", "fur", "fur_std_err", "fur_std", "cells"}}
	sty := styleOf(pt.method)
	var fur []moments
	noise := boxes{color: sty.color}
	last := latestUpdates(layers, math.Inf(1))
	over := "over images"
	if slices.ContainsFunc(last.numbers("fur_image_std_err"), math.IsNaN) {
		over = "over the draws of the dropout"
	}
	for l, of := range groupBy(last, "layer", "layer_name") {
		m, measured := momentsOf(of.rows.numbers("fur")), rootMeanSquare(measurementErrors(of.rows))
		fur = append(fur, m)
		noise.y, noise.err = append(noise.y, m.mean), append(noise.err, measured)
		f.data = append(f.data, []string{strconv.Itoa(l), of.key[1], strconv.Itoa(m.n),
			number(m.mean), number(measured), number(m.std), strings.Join(of.rows.strings("id"), " ")})
	}
	p := newPlot("Layer", "FUR")
	p.Add(level(0), noise, layerCurve(sty, fur))
	layerAxis(p, len(fur))
	widen(&p.Y, 0.05, 1e-6)
	p.Y.Tick.Marker = roundTicks{max: 6}
	f.panels = append(f.panels, p)
	f.caption = fmt.Sprintf("FLOPs utilization ratio (FUR) of each layer at the last update of %s at budget %s, %s: "+
		"mean over %s. Boxes are the standard error of one measurement %s, bars one sample standard deviation over "+
		"seeds: two layers whose boxes overlap cannot be told apart by one measurement, and those whose bars overlap may "+
		"change places with another seed.",
		pt.method, pt.budget, c, seeds(pt.cells.rows()), over)
	return f
}

// latestUpdates returns the rows of layers.csv that belong to the latest update of their cell, of those up to the given
// one, counted from 0.
func latestUpdates(layers table, upTo float64) table {
	ids, updates := layers.strings("id"), layers.numbers("update")
	last := make(map[string]float64)
	for i, id := range ids {
		if updates[i] <= upTo {
			last[id] = max(last[id], updates[i])
		}
	}
	var rows []int
	for i, id := range ids {
		if updates[i] == last[id] {
			rows = append(rows, i)
		}
	}
	return layers.at(rows)
}

// measurementErrors returns the standard errors of the ratios in rows of layers.csv: that over images, which contains
// the noise of the draws, or that over the draws alone in records that lack it.
func measurementErrors(layers table) []float64 {
	errs, draws := layers.numbers("fur_image_std_err"), layers.numbers("fur_std_err")
	for i, e := range errs {
		if math.IsNaN(e) {
			errs[i] = draws[i]
		}
	}
	return errs
}

// rootMeanSquare returns the typical size of x, for standard errors of measurements that are one like another.
func rootMeanSquare(x []float64) float64 {
	var sum float64
	for _, v := range x {
		sum += v * v
	}
	return math.Sqrt(sum / float64(len(x)))
}
