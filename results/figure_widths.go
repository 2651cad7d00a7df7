package results

import (
	"fmt"
	"image/color"
	"strconv"
	"strings"

	"gonum.org/v1/plot/vg"
)

// widthsFigure shows the widths a method started from and those it ended with, layer by layer.
func widthsFigure(name string, c comparison, pt point) (figure, error) {
	before, err := perLayer(pt.cells, "start_channels")
	if err != nil {
		return figure{}, err
	}
	after, err := perLayer(pt.cells, "channels")
	if err != nil {
		return figure{}, err
	}
	f := figure{name: name, height: 1.8 * vg.Inch}
	f.data = [][]string{{"layer", "layer_name", "n", "channels_before", "channels_before_std",
		"channels_after", "channels_after_std", "cells"}}
	names := strings.Fields(pt.cells.strings("layers")[0])
	ids := strings.Join(pt.cells.strings("id"), " ")
	for l := range before {
		f.data = append(f.data, []string{strconv.Itoa(l), names[l], strconv.Itoa(after[l].n),
			number(before[l].mean), number(before[l].std), number(after[l].mean), number(after[l].std), ids})
	}
	p := newPlot("Layer", "Channels")
	start := layerCurve(style{color: color.Black, dashes: dashes[0]}, before)
	end := layerCurve(styleOf(pt.method), after)
	p.Add(end, start)
	p.Y.Min = 0
	layerAxis(p, len(before))
	p.Y.Max *= 1.05
	p.Y.Tick.Marker = roundTicks{max: 6, integer: true}
	f.panels = append(f.panels, p)
	f.legend = []legendEntry{{"before", start.style}, {"after", end.style}}
	f.caption = fmt.Sprintf("Channels of each adjustable layer before and after %s at budget %s, %s. Marks are means "+
		"over %s, bars one sample standard deviation. A mark above the dashed line is a layer that got channels.",
		pt.method, pt.budget, c, seeds(pt.cells.rows()))
	return f, nil
}

// perLayer returns the moments of a column of width vectors of one length, layer by layer.
func perLayer(cells table, column string) ([]moments, error) {
	var values [][]float64
	for i, s := range cells.strings(column) {
		v, err := splitNumbers(s)
		if err != nil {
			return nil, fmt.Errorf("column %s of cell %s: %w", column, cells.strings("id")[i], err)
		}
		if len(values) == 0 {
			values = make([][]float64, len(v))
		}
		for l, x := range v {
			values[l] = append(values[l], x)
		}
	}
	out := make([]moments, len(values))
	for l := range values {
		out[l] = momentsOf(values[l])
	}
	return out, nil
}
