package results

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
)

// learningFigure shows how the final trainings went: loss and top-1 accuracy on the training images over the epochs, a
// row of panels for each budget and a series for each method. epochs holds the rows of epochs.csv.
func learningFigure(name string, c comparison, epochs table) figure {
	f := figure{name: name, width: pageWidth, columns: 2}
	f.data = [][]string{{"method", "budget", "epoch", "n", "train_loss", "train_loss_std", "train_top1_percent",
		"train_top1_percent_std", "cells"}}
	methods := distinct(methodsOf(c))
	for _, pt := range c.points {
		title := "budget " + pt.budget
		if last := len(f.panels); last == 0 || f.panels[last-1].Title.Text != title {
			f.panels = append(f.panels, trainingPanel(title, "Training loss"),
				trainingPanel(title, "Training top-1 (%)"))
		}
		loss := curve{style: styleOf(pt.method)}
		top1 := loss
		for e, epoch := range groupBy(epochs.in("id", pt.cells.strings("id")), "epoch") {
			l, t := momentsOf(epoch.rows.numbers("train_loss")), momentsOf(epoch.rows.numbers("train_top1"))
			f.data = append(f.data, []string{pt.method, pt.budget, strconv.Itoa(e + 1), strconv.Itoa(l.n),
				number(l.mean), number(l.std), number(100 * t.mean), number(100 * t.std),
				strings.Join(epoch.rows.strings("id"), " ")})
			loss.x, loss.y = append(loss.x, float64(e+1)), append(loss.y, l.mean)
			top1.x, top1.y = append(top1.x, float64(e+1)), append(top1.y, 100*t.mean)
		}
		i := slices.Index(methods, pt.method)
		for j, p := range f.panels[len(f.panels)-2:] {
			p.Add([]curve{loss, top1}[j].markedIn(i, len(methods)))
		}
	}
	for _, p := range f.panels {
		widen(&p.X, 0.03, 0)
		widen(&p.Y, 0.08, 1e-6)
	}
	for _, p := range f.panels[len(f.panels)-2:] {
		p.X.Label.Text = "Epoch"
	}
	for _, method := range methods {
		f.legend = append(f.legend, legendEntry{method, styleOf(method)})
	}
	f.height = min(1.7*vg.Inch, 2*pageHeight/vg.Length(len(f.panels)))
	f.caption = fmt.Sprintf("Final trainings, %s: loss and top-1 accuracy on the training images, augmented, as mean "+
		"over each epoch and n seeds (%s). Lines that still fall or rise at the end are trainings that were cut short.",
		c, seedCounts(c))
	return f
}

// trainingPanel returns an empty panel over epochs.
func trainingPanel(title, yLabel string) *plot.Plot {
	p := newPlot("", yLabel)
	p.Title.Text = title
	p.X.Tick.Marker, p.Y.Tick.Marker = roundTicks{max: 8, integer: true}, roundTicks{max: 6}
	return p
}

// epochsShown tells whether there is a line to draw: two epochs of one training.
func epochsShown(c comparison) bool { return slices.Max(c.cells.numbers("epochs")) > 1 }
