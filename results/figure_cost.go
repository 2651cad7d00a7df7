package results

import (
	"fmt"

	"gonum.org/v1/plot"
)

// costFigure shows the top-1 accuracy on the test set over what it took: the FLOPs of the search and of the final
// training, one series a method.
func costFigure(name string, c comparison) figure {
	p := newPlot("", top1Label)
	offset := beside(c)
	offset.step = min(1, offset.step) // most costs differ by themselves
	f := accuracyOver(name, c, p, "total_flops", totalFLOPs, offset)
	top1Axis(p)
	p.X.Label.Text = "FLOPs of search and final training"
	p.X.Scale = plot.LogScale{}
	widenLog(&p.X, 1.25, 6) // at least two ticks
	p.X.Tick.Marker = logTicks{max: 6}
	f.caption = fmt.Sprintf("Test top-1 accuracy against the FLOPs of search and final training together, %s. Marks "+
		"are means over n seeds (%s), bars their 95 %% confidence intervals. The further up and to the left, the more "+
		"accuracy for the FLOPs.", c, seedCounts(c))
	if most := offset.most(); most > 0 {
		f.caption += fmt.Sprintf(" Marks are drawn up to %.3g pt beside their place so that they do not hide each "+
			"other.", most.Points())
	}
	return f
}

// totalFLOPs returns the mean FLOPs of search and final training.
func totalFLOPs(pt point) float64 { return pt.of("search_flops").mean + pt.of("final_flops").mean }

// costsDiffer tells whether any method of c spent FLOPs on a search; otherwise the cost is that of the final training.
func costsDiffer(c comparison) bool {
	for _, pt := range c.points {
		if pt.of("search_flops").mean > 0 {
			return true
		}
	}
	return false
}
