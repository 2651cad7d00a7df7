package results

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot/vg"
)

// accuracyFigure shows the top-1 accuracy on the test set over the FLOPs of the final network, one series a method.
func accuracyFigure(name string, c comparison) figure {
	f, beside := accuracyOver(name, c, "flops_millions", func(pt point) float64 { return pt.of("flops").mean / 1e6 })
	p := f.panels[0]
	p.X.Label.Text = "FLOPs (million multiply-adds)"
	widen(&p.X, 0.08, 0.1*p.X.Max) // budgets are met within 1 %: that much should look like nothing
	p.X.Tick.Marker = roundTicks{max: 6}
	f.caption = fmt.Sprintf("Test top-1 accuracy against the FLOPs of the final network, %s. Marks are means over n "+
		"seeds (%s), bars one sample standard deviation. The higher a mark, the more accuracy for the same FLOPs.",
		c, seedCounts(c))
	if beside > 0 {
		f.caption += fmt.Sprintf(" Marks of the same budget are drawn up to %.3g pt beside their FLOPs so that they "+
			"do not hide each other.", beside.Points())
	}
	return f
}

// accuracyOver draws the top-1 accuracy on the test set over what x returns, which data has as the column given, one
// series a method. It also returns how far a mark can be beside its place.
func accuracyOver(name string, c comparison, column string, x func(point) float64) (figure, vg.Length) {
	f := figure{name: name, height: 2.1 * vg.Inch}
	f.data = [][]string{{"network", "width", "padding", "dataset", "method", "budget", "n",
		column, "top1_percent", "top1_percent_std", "cells"}}
	p := newPlot("", "Test top-1 (%)")
	methods := distinct(methodsOf(c))
	const most = vg.Length(24)
	step := min(3, most/vg.Length(max(1, len(methods)-1)))
	for i, method := range methods {
		s := curve{style: styleOf(method), offset: step * (vg.Length(i) - vg.Length(len(methods)-1)/2)}
		for _, pt := range c.points {
			if pt.method != method {
				continue
			}
			top1 := pt.of("test_top1")
			s.x = append(s.x, x(pt))
			s.y = append(s.y, 100*top1.mean)
			s.err = append(s.err, 100*top1.std)
			f.data = append(f.data, []string{c.network, c.width, c.padding, c.dataset, method, pt.budget,
				strconv.Itoa(top1.n), number(x(pt)), number(100 * top1.mean), number(100 * top1.std),
				strings.Join(pt.cells.strings("id"), " ")})
		}
		p.Add(s)
		f.legend = append(f.legend, legendEntry{method, s.style})
	}
	widen(&p.Y, 0.05, 0.5)
	p.Y.Tick.Marker = roundTicks{max: 6}
	f.panels = append(f.panels, p)
	return f, step * vg.Length(len(methods)-1) / 2
}

// methodsOf returns the method of each point, in the usual order.
func methodsOf(c comparison) []string {
	methods := make([]string, len(c.points))
	for i, p := range c.points {
		methods[i] = p.method
	}
	slices.SortFunc(methods, compareMethods)
	return methods
}

// seedCounts writes the number of seeds behind the points of c, for each method where they differ.
func seedCounts(c comparison) string {
	var all []int
	byMethod := make(map[string][]int)
	for _, p := range c.points {
		n := p.cells.rows()
		all, byMethod[p.method] = append(all, n), append(byMethod[p.method], n)
	}
	if slices.Min(all) == slices.Max(all) {
		return fmt.Sprintf("n = %d", all[0])
	}
	var counts []string
	for _, method := range distinct(methodsOf(c)) {
		counts = append(counts, fmt.Sprintf("n = %s for %s", countRange(byMethod[method]), method))
	}
	return strings.Join(counts, ", ")
}

// countRange writes counts as one number or as smallest–largest.
func countRange(n []int) string {
	if low, high := slices.Min(n), slices.Max(n); low != high {
		return fmt.Sprintf("%d–%d", low, high)
	}
	return strconv.Itoa(n[0])
}
