package results

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"

	"netadjust/results/published"
)

// accuracyFigure shows the top-1 accuracy on the test set over the FLOPs of the final network, one series a method.
func accuracyFigure(name string, c comparison) figure {
	p := newPlot("", top1Label)
	offset := beside(c)
	p.Add(trailOf(front(c), offset.of))
	f := accuracyOver(name, c, p, "flops_millions", millionFLOPs, offset)
	f.addPaper(c)
	top1Axis(p)
	p.X.Label.Text = "FLOPs (million multiply-adds)"
	widen(&p.X, 0.08, 0.1*p.X.Max) // budgets are met within 1 %: that much should look like nothing
	p.X.Tick.Marker = roundTicks{max: 6}
	f.caption = fmt.Sprintf("Test top-1 accuracy against the FLOPs of the final network, %s. Marks are means over n "+
		"seeds (%s), bars their 95 %% confidence intervals. The higher a mark, the more accuracy for the same FLOPs.",
		c, seedCounts(c))
	if len(front(c)) > 1 {
		f.caption += " The broad grey line is the front: leaders of budgets whose mean is above those at fewer FLOPs."
	}
	if f.legend[len(f.legend)-1].style.hollow {
		f.caption += " Hollow marks are the numbers that the paper reports for this network."
	}
	if offset.most() > 0 {
		f.caption += fmt.Sprintf(" Marks of the same budget are drawn up to %.3g pt beside their FLOPs so that they "+
			"do not hide each other.", offset.most().Points())
	}
	return f
}

// millionFLOPs returns the mean FLOPs of the networks of a point, in millions.
func millionFLOPs(pt point) float64 { return pt.of("flops").mean / 1e6 }

// front returns the leaders of the budgets that no leader of a smaller budget reaches, from the smallest budget on.
// FLOPs differ by up to 1 % at one budget, which is no reason to be on the front.
func front(c comparison) []leader {
	ls := leaders(c)
	slices.Reverse(ls)
	best := math.Inf(-1)
	return slices.DeleteFunc(ls, func(l leader) bool {
		top1 := l.of("test_top1").mean
		behind := top1 <= best
		best = max(best, top1)
		return behind
	})
}

// trailOf draws a front through the marks of its points, which are beside their places.
func trailOf(ls []leader, offset func(method string) vg.Length) trail {
	var t trail
	for _, l := range ls {
		t.x, t.y = append(t.x, millionFLOPs(l.point)), append(t.y, 100*l.of("test_top1").mean)
		t.offsets = append(t.offsets, offset(l.method))
	}
	return t
}

// addPaper adds the points that the paper reports for the network, width and dataset of c, hollow, where it has any.
func (f *figure) addPaper(c comparison) {
	rows := published.Rows()
	for i, method := range distinct(methodsOf(c)) {
		for _, row := range rows {
			if row.Network != c.network || fmt.Sprint(row.Width) != c.width || row.Table != c.dataset ||
				row.Method != method || math.IsNaN(row.Top1) {
				continue
			}
			s := f.legend[i].style
			s.hollow, s.dashes = true, nil
			flops := row.MFLOPs
			if row.WithoutStem() {
				stem := c.points[0]
				flops += (stem.of("flops").mean - stem.of("flops_without_stem").mean) / 1e6
			}
			f.panels[0].Add(curve{style: s, x: []float64{flops}, y: []float64{row.Top1}})
			name := method + " (paper)"
			f.legend = append(f.legend, legendEntry{name, s})
			f.data = append(f.data, []string{c.network, c.width, c.padding, c.dataset, name, "", "", number(flops),
				number(row.Top1), "", "", ""})
		}
	}
}

// top1Label is that of every axis of accuracies on the test set.
const top1Label = "Test top-1 (%)"

// sideways says how far the marks of each method are drawn beside their places.
type sideways struct {
	methods []string
	step    vg.Length
}

// inColumn is the number of methods up to which a figure of accuracies fits into one column of a paper.
const inColumn = 7

// beside returns the places of the methods of c.
func beside(c comparison) sideways {
	methods := distinct(methodsOf(c))
	most := vg.Length(24)
	if len(methods) > inColumn {
		most = 42
	}
	return sideways{methods, min(3, most/vg.Length(max(1, len(methods)-1)))}
}

// of returns how far to the right the marks of a method are.
func (s sideways) of(method string) vg.Length {
	return s.step * (vg.Length(slices.Index(s.methods, method)) - vg.Length(len(s.methods)-1)/2)
}

// most is the largest distance of any method.
func (s sideways) most() vg.Length { return s.step * vg.Length(len(s.methods)-1) / 2 }

// accuracyOver adds the top-1 accuracy on the test set over what x returns to p, one series a method. In the data of
// the figure x has the name column.
func accuracyOver(name string, c comparison, p *plot.Plot, column string, x func(point) float64, offset sideways) figure {
	f := figure{name: name, height: 2.1 * vg.Inch, panels: []*plot.Plot{p}}
	f.data = [][]string{{"network", "width", "padding", "dataset", "method", "budget", "n",
		column, "top1_percent", "top1_percent_std", "top1_percent_margin", "cells"}}
	if len(offset.methods) > inColumn {
		f.width, f.height = pageWidth, 3*vg.Inch
	}
	for _, method := range offset.methods {
		s := curve{style: styleOf(method), offset: offset.of(method)}
		for _, pt := range c.points {
			if pt.method != method {
				continue
			}
			top1 := pt.of("test_top1")
			s.x = append(s.x, x(pt))
			s.y = append(s.y, 100*top1.mean)
			s.err = append(s.err, 100*top1.margin())
			f.data = append(f.data, []string{c.network, c.width, c.padding, c.dataset, method, pt.budget,
				strconv.Itoa(top1.n), number(x(pt)), number(100 * top1.mean), number(100 * top1.std),
				number(100 * top1.margin()), strings.Join(pt.cells.strings("id"), " ")})
		}
		p.Add(s)
		f.legend = append(f.legend, legendEntry{method, s.style})
	}
	return f
}

// top1Axis leaves some room around the accuracies of a plot.
func top1Axis(p *plot.Plot) {
	widen(&p.Y, 0.05, 0.5)
	p.Y.Tick.Marker = roundTicks{max: 6}
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
