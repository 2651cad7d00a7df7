package results

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"

	"netadjust/results/markdown"
	"netadjust/results/paired"
)

// moments are the mean and the sample standard deviation (n-1 in the denominator) of n values. The mean is NaN for n =
// 0 and the deviation for n < 2.
type moments struct {
	n         int
	mean, std float64
}

// momentsOf returns the moments of x without the values that are missing.
func momentsOf(x []float64) moments {
	x = slices.DeleteFunc(slices.Clone(x), math.IsNaN)
	switch len(x) {
	case 0:
		return moments{0, math.NaN(), math.NaN()}
	case 1:
		return moments{1, x[0], math.NaN()}
	}
	mean, std := stat.MeanStdDev(x, nil)
	return moments{len(x), mean, std}
}

// spread writes a mean with its standard deviation.
func spread(m moments, factor float64, decimals int) string {
	return markdown.Fixed(factor*m.mean, decimals) + " ± " + markdown.Fixed(factor*m.std, decimals)
}

// margin returns half of the 95 % confidence interval of the mean by Student's t, NaN for one value.
func (m moments) margin() float64 {
	low, high := paired.Around(m.mean, m.std, m.n, 1-significance)
	return (high - low) / 2
}

// comparison holds the finished cells that may be compared with each other: same network, width, padding and dataset.
type comparison struct {
	network, width, padding, dataset string
	cells                            table
	points                           []point // by budget, largest first, then by method
}

// String names what the cells have in common.
func (c comparison) String() string {
	return fmt.Sprintf("%s at width %s (%s padding) on %s", c.network, c.width, c.padding, c.dataset)
}

// point holds the finished cells of one method, in one of its variants, at one budget; they differ in the seed.
type point struct {
	method, budget string // method is named by withVariant
	cells          table
}

// withVariant names a method with its variant, if it has one.
func withVariant(method, variant string) string {
	if variant == "" {
		return method
	}
	return method + ", " + variant
}

// of returns the moments of a column over the seeds.
func (p point) of(column string) moments { return momentsOf(p.cells.numbers(column)) }

// comparisons groups the finished cells of the frame, in the order of the frame.
func comparisons(frame table) []comparison {
	var out []comparison
	for _, g := range groupBy(frame.in("state", []string{stateDone}), "network", "width", "padding", "dataset") {
		c := comparison{network: g.key[0], width: g.key[1], padding: g.key[2], dataset: g.key[3], cells: g.rows}
		for _, p := range groupBy(g.rows, "method", "variant", "budget") {
			c.points = append(c.points, point{withVariant(p.key[0], p.key[1]), p.key[2], p.rows})
		}
		slices.SortStableFunc(c.points, func(a, b point) int {
			return cmp.Or(-cmp.Compare(a.of("budget_flops").mean, b.of("budget_flops").mean),
				cmp.Compare(a.budget, b.budget), compareMethods(a.method, b.method))
		})
		out = append(out, c)
	}
	return out
}

// rowGroup holds the rows that have the same values in the columns they were grouped by.
type rowGroup struct {
	key  []string
	rows table
}

// groupBy splits t by the values of columns; groups come in the order of their first row.
func groupBy(t table, columns ...string) []rowGroup {
	values := make([][]string, len(columns))
	for i, c := range columns {
		values[i] = t.strings(c)
	}
	var groups []rowGroup
	var members [][]int
	index := make(map[string]int)
	for row := range t.rows() {
		key := make([]string, len(columns))
		for i := range columns {
			key[i] = values[i][row]
		}
		joined := strings.Join(key, "\x00")
		g, ok := index[joined]
		if !ok {
			g = len(groups)
			index[joined] = g
			groups = append(groups, rowGroup{key: key})
			members = append(members, nil)
		}
		members[g] = append(members[g], row)
	}
	for g := range groups {
		groups[g].rows = t.at(members[g])
	}
	return groups
}
