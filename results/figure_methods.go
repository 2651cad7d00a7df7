package results

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// methodsFigures show the methods of a budget one below the other, for budgets with more methods than can be told apart
// where they all lie at the same FLOPs.
func methodsFigures(name string, c comparison, suffix string) (out []figure) {
	for _, at := range groupBy(c.cells, "budget") {
		points := slices.Clone(c.points)
		points = slices.DeleteFunc(points, func(pt point) bool { return pt.budget != at.key[0] })
		if len(points) > inColumn {
			out = append(out, methodsFigure(name+"-"+slug(at.key[0])+suffix, c, points))
		}
	}
	return out
}

// methodsFigure shows the top-1 accuracy on the test set of points at one budget, the best on top.
func methodsFigure(name string, c comparison, points []point) figure {
	slices.SortStableFunc(points, func(a, b point) int {
		return cmp.Compare(a.of("test_top1").mean, b.of("test_top1").mean)
	})
	f := figure{name: name, height: vg.Length(len(points))*methodRow + 30}
	f.data = [][]string{{"network", "width", "padding", "dataset", "budget", "method", "n", "top1_percent",
		"top1_percent_std", "top1_percent_margin", "top1_percent_by_seed", "cells"}}
	p := newPlot(top1Label, "")
	var list methodList
	var ticks plot.ConstantTicks
	for i, pt := range points {
		top1 := pt.of("test_top1")
		r := methodResult{style: styleOf(pt.method), mean: 100 * top1.mean, margin: 100 * top1.margin()}
		var seeds []string
		for _, v := range pt.cells.numbers("test_top1") {
			r.seeds = append(r.seeds, 100*v)
			seeds = append(seeds, number(100*v))
		}
		if pt.method == "uniform" {
			p.Add(upright(r.mean))
		}
		list = append(list, r)
		ticks = append(ticks, plot.Tick{Value: float64(i), Label: pt.method})
		f.data = append(f.data, []string{c.network, c.width, c.padding, c.dataset, pt.budget, pt.method,
			strconv.Itoa(top1.n), number(r.mean), number(100 * top1.std), number(r.margin), strings.Join(seeds, " "),
			strings.Join(pt.cells.strings("id"), " ")})
	}
	p.Add(list)
	p.Y.Tick.Marker, p.Y.Tick.Length = ticks, 0
	widen(&p.X, 0.04, 0.5)
	p.X.Tick.Marker = roundTicks{max: 6}
	f.panels = []*plot.Plot{p}
	f.caption = fmt.Sprintf("Test top-1 accuracy of all methods at budget %s, %s, the highest mean on top. Small dots are "+
		"seeds, marks their means, bars 95 %% confidence intervals of the means; the grey line is the mean of uniform.",
		points[0].budget, c)
	return f
}

// methodRow is the height of a method's row.
const methodRow = tickSize + 3

// methodResult is what seeds of one method gave, in percent.
type methodResult struct {
	style        style
	mean, margin float64
	seeds        []float64
}

// bounds are the least and the greatest number that is drawn.
func (r methodResult) bounds() (low, high float64) {
	low, high = slices.Min(r.seeds), slices.Max(r.seeds)
	if !math.IsNaN(r.margin) {
		low, high = min(low, r.mean-r.margin), max(high, r.mean+r.margin)
	}
	return low, high
}

// methodList draws results one above the other, the first at 0. It implements plot.Plotter and plot.DataRanger.
type methodList []methodResult

// Plot implements plot.Plotter.
func (l methodList) Plot(c draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&c)
	for i, r := range l {
		y := toY(float64(i))
		if !math.IsNaN(r.margin) {
			c.StrokeLine2(r.style.bar(), toX(r.mean-r.margin), y, toX(r.mean+r.margin), y)
		}
		small := draw.GlyphStyle{Color: lighten(r.style.color), Radius: markSize / 2, Shape: draw.CircleGlyph{}}
		for _, v := range r.seeds {
			c.DrawGlyphNoClip(small, vg.Point{X: toX(v), Y: y})
		}
		c.DrawGlyphNoClip(r.style.glyph(), vg.Point{X: toX(r.mean), Y: y})
	}
}

// DataRange implements plot.DataRanger.
func (l methodList) DataRange() (xmin, xmax, ymin, ymax float64) {
	xmin, xmax = math.Inf(1), math.Inf(-1)
	for _, r := range l {
		low, high := r.bounds()
		xmin, xmax = min(xmin, low), max(xmax, high)
	}
	return xmin, xmax, -0.5, float64(len(l)) - 0.5
}

// upright is a grey line at a number of the x axis. It implements plot.Plotter.
type upright float64

// Plot implements plot.Plotter.
func (u upright) Plot(c draw.Canvas, p *plot.Plot) {
	toX, _ := p.Transforms(&c)
	c.StrokeLine2(draw.LineStyle{Color: grey, Width: axisLine}, toX(float64(u)), c.Min.Y, toX(float64(u)), c.Max.Y)
}
