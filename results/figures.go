package results

import (
	"fmt"
	"slices"
	"strings"
)

// accuracyName is the name of the figure of the only or first comparison; readers find it under this name.
const accuracyName = "accuracy-vs-flops"

// figures draws everything about a comparison: accuracy over FLOPs, by method where there are many, and over the cost;
// the final trainings; and for each point of a method that adjusts channels the widths and the FLOPs utilization ratios.
// Figures with nothing to show are left out. suffix keeps the file names of several comparisons apart.
func figures(c comparison, layers, epochs table, suffix string) ([]figure, error) {
	out := append([]figure{accuracyFigure(accuracyName+suffix, c)}, methodsFigures("accuracy-by-method", c, suffix)...)
	if costsDiffer(c) {
		out = append(out, costFigure("accuracy-vs-cost"+suffix, c))
	}
	if epochsShown(c) {
		out = append(out, learningFigure("learning-curves"+suffix, c, epochs.in("id", c.cells.strings("id"))))
	}
	many := len(distinct(methodsOf(c))) > inColumn
	for _, pt := range c.points {
		if many && strings.Contains(pt.method, ", ") {
			continue // dozens of figures of variants hide the others; layers.csv has their numbers
		}
		if slices.Min(pt.cells.numbers("updates")) == 0 || len(distinct(pt.cells.strings("layers"))) > 1 {
			continue // nothing was adjusted, or the layers cannot be put side by side
		}
		name := "-" + slug(pt.method+"-"+pt.budget) + suffix
		widths, err := widthsFigure("widths"+name, c, pt)
		if err != nil {
			return nil, fmt.Errorf("figure widths%s: %w", name, err)
		}
		rows := layers.in("id", pt.cells.strings("id"))
		several := slices.Max(pt.cells.numbers("updates")) > 1 // the figures of the last one say all about a single one
		measured := slices.Max(rows.numbers("drop_rate")) > 0  // not where random numbers stand for ratios
		if several && measured {
			out = append(out, furFigure("fur"+name, c, pt, rows))
		}
		if measured {
			out = append(out, furLayersFigure("fur-layers"+name, c, pt, rows))
		}
		out = append(out, widths)
		if several {
			out = append(out, trajectoryFigure("widths-updates"+name, c, pt, rows))
		}
	}
	return out, nil
}

// suffixes returns the ends of the file names of each comparison's figures: none if there is only one.
func suffixes(cs []comparison) []string {
	out := make([]string, len(cs))
	for i, c := range cs {
		if len(cs) == 1 {
			break
		}
		out[i] = unused(out[:i], "-"+slug(strings.Join([]string{c.network, c.width, c.padding, c.dataset}, "-")))
	}
	return out
}

// unused returns a name that is not among others: name, or the first that a number from 2 behind it gives. Slugs of
// different texts can be the same. A dash before the number would be that of processors in the name of a benchmark.
func unused(others []string, name string) string {
	free := name
	for n := 2; slices.Contains(others, free); n++ {
		free = fmt.Sprintf("%s_%d", name, n)
	}
	return free
}

// slug makes a piece of a file name: lower-case letters, digits, dots, underscores and dashes.
func slug(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '_' {
			return c
		}
		return '-'
	}, strings.ToLower(s))
}
