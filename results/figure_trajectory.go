package results

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
)

// trajectoryFigure shows how the width of each layer moves from update to update, in one small panel a layer. layers
// holds the rows of layers.csv of the cells of the point.
func trajectoryFigure(name string, c comparison, pt point, layers table) figure {
	f := figure{name: name, width: pageWidth, xLabel: "Update", yLabel: "Channels (% of the start)"}
	f.data = [][]string{{"layer", "layer_name", "update", "n", "channels", "channels_std", "cells"}}
	updates := int(slices.Max(pt.cells.numbers("updates")))
	var stages []string
	var plots []*plot.Plot
	for l, layer := range groupBy(layers, "layer", "layer_name") {
		var widths []moments
		add := func(rows table, column string) {
			m := momentsOf(rows.numbers(column))
			f.data = append(f.data, []string{strconv.Itoa(l), layer.key[1], strconv.Itoa(len(widths)),
				strconv.Itoa(m.n), number(m.mean), number(m.std), strings.Join(rows.strings("id"), " ")})
			widths = append(widths, m)
		}
		add(latestUpdates(layer.rows, 0), "channels_before")
		for k := range updates { // a search that ended early keeps its widths
			add(latestUpdates(layer.rows, float64(k)), "channels_after")
		}
		stages = append(stages, stageOf(layer.key[1]))
		plots = append(plots, trajectoryPanel(styleOf(pt.method), l, widths))
	}
	f.panels, f.columns = byStage(plots, stages)
	f.height = min(0.95*vg.Inch, pageHeight/vg.Length(len(f.panels)/f.columns))
	shareAxes(f.panels, f.columns)
	f.caption = fmt.Sprintf("Channels of each layer after each update of %s at budget %s, %s, in percent of the "+
		"channels that the search started from (update 0): mean and, shaded, one sample standard deviation over %s. A "+
		"panel's title has the number of the layer and its channels at the start and at the end; each stage starts a "+
		"new row. A line that rises is a layer that got channels from those that fall.",
		pt.method, pt.budget, c, seeds(pt.cells.rows()))
	return f
}

// trajectoryPanel shows the channels of layer l at the start and after each update, in percent of those at the start.
func trajectoryPanel(sty style, l int, widths []moments) *plot.Plot {
	sty.size, sty.dashes = 1.2, nil
	start, end := widths[0].mean, widths[len(widths)-1].mean
	line := curve{style: sty}
	for k, m := range widths {
		line.x = append(line.x, float64(k))
		line.y = append(line.y, 100*m.mean/start)
		line.err = append(line.err, 100*m.std/start)
	}
	p := newPlot("", "")
	p.Title.Text = fmt.Sprintf("%d: %.3g to %.3g", l, start, end)
	p.Title.TextStyle.Font.Size = smallSize
	p.Add(level(100), band(line), curve{style: sty, x: line.x, y: line.y})
	widen(&p.X, 0.05, 0)
	p.X.Tick.Marker = roundTicks{max: 4, integer: true}
	return p
}

// stageOf returns the stage that a layer belongs to, the part of its name before the first dot.
func stageOf(layer string) string {
	stage, _, found := strings.Cut(layer, ".")
	if !found {
		return ""
	}
	return stage
}

// byStage arranges one panel a layer in rows, each stage from a new row on, with as many columns as leave the fewest
// places empty. The result is row by row, nil where there is no panel.
func byStage(panels []*plot.Plot, stages []string) (grid []*plot.Plot, columns int) {
	const most, least = 9, 4
	for n := most; n >= min(least, len(panels)); n-- {
		var g []*plot.Plot
		for i, p := range panels {
			if i > 0 && stages[i] != stages[i-1] {
				g = fillRow(g, n)
			}
			g = append(g, p)
		}
		if g = fillRow(g, n); grid == nil || len(g) < len(grid) {
			grid, columns = g, n
		}
	}
	return grid, columns
}

// fillRow adds empty places up to a whole number of rows.
func fillRow(grid []*plot.Plot, columns int) []*plot.Plot {
	for len(grid)%columns != 0 {
		grid = append(grid, nil)
	}
	return grid
}

// shareAxes gives all panels of a grid the same y axis, and labels the y axes of the first column and the lowest x axis
// of each column only.
func shareAxes(grid []*plot.Plot, columns int) {
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range grid {
		if p != nil {
			low, high = min(low, p.Y.Min), max(high, p.Y.Max)
		}
	}
	for i, p := range grid {
		if p == nil {
			continue
		}
		p.Y.Min, p.Y.Max = low, high
		widen(&p.Y, 0.05, 1)
		p.Y.Tick.Marker = roundTicks{max: 5}
		if i%columns != 0 {
			p.Y.Tick.Marker = unlabelled{p.Y.Tick.Marker}
		}
		if below := i + columns; below < len(grid) && grid[below] != nil {
			p.X.Tick.Marker = unlabelled{p.X.Tick.Marker}
		}
	}
}
