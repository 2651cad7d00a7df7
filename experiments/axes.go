package experiments

import (
	"fmt"
	"slices"
	"strings"
)

// axes are the lists of a [[matrix]], which are crossed, or of an exclude or a where, which select cells. A list that
// is nil is absent from the file.
type axes struct {
	network []Network
	width   []float64
	padding []string
	dataset []string
	method  []string
	variant []string
	final   []string
	budget  []Budget
	seed    []uint64
}

func readAxes(t *table, catalog Catalog) axes {
	return axes{
		network: list(t, "network", catalog.network(t.file)),
		width:   list(t, "width", number(moreThan(0, 64))),
		padding: list(t, "padding", oneOf("max", "local")),
		dataset: list(t, "dataset", catalog.datasetName),
		method:  list(t, "method", oneOf(catalog.methodNames()...)),
		variant: list(t, "variant", variant),
		final:   list(t, "final", oneOf(scratch, finetune)),
		budget:  list(t, "budget", budget),
		seed:    list(t, "seed", seed),
	}
}

// size returns the number of cells.
func (a axes) size() float64 {
	n := 1.0
	for _, length := range []int{len(a.network), len(a.width), len(a.padding), len(a.dataset), len(a.method),
		len(a.variant), len(a.final), len(a.budget), len(a.seed)} {
		n *= float64(length)
	}
	return n
}

// cells crosses the lists, the first one outermost.
func (a axes) cells() []Cell {
	cells := []Cell{{}}
	cells = cross(cells, a.network, func(c *Cell, v Network) { c.Network, c.Description = v.Name, v.Description })
	cells = cross(cells, a.width, func(c *Cell, v float64) { c.Width = v })
	cells = cross(cells, a.padding, func(c *Cell, v string) { c.Padding = v })
	cells = cross(cells, a.dataset, func(c *Cell, v string) { c.Dataset = v })
	cells = cross(cells, a.method, func(c *Cell, v string) { c.Method = v })
	cells = cross(cells, a.variant, func(c *Cell, v string) { c.Variant = v })
	cells = cross(cells, a.final, func(c *Cell, v string) {
		if c.Finetune = nil; v == finetune {
			c.Finetune = &Finetune{} // filled in with the settings
		}
	})
	cells = cross(cells, a.budget, func(c *Cell, v Budget) { c.Budget = v })
	return cross(cells, a.seed, func(c *Cell, v uint64) { c.Seed = v })
}

func cross[T any](cells []Cell, values []T, set func(*Cell, T)) []Cell {
	var out []Cell
	for _, c := range cells {
		for _, v := range values {
			set(&c, v)
			out = append(out, c)
		}
	}
	return out
}

// match tells whether every list of a that is there holds the cell's value.
func (a axes) match(c Cell) bool {
	return holds(a.network, Network{c.Network, c.Description}) && holds(a.width, c.Width) && holds(a.padding, c.Padding) &&
		holds(a.dataset, c.Dataset) && holds(a.method, c.Method) && holds(a.variant, c.Variant) &&
		holds(a.final, c.final()) && holds(a.budget, c.Budget) && holds(a.seed, c.Seed)
}

func holds[T comparable](list []T, v T) bool {
	return list == nil || slices.Contains(list, v)
}

// within reports the values of a selection, read from t, that the matrix does not have: they match no cell.
func (a axes) within(matrix axes, t *table) {
	within(t, "network", a.network, matrix.network)
	within(t, "width", a.width, matrix.width)
	within(t, "padding", a.padding, matrix.padding)
	within(t, "dataset", a.dataset, matrix.dataset)
	within(t, "method", a.method, matrix.method)
	within(t, "variant", a.variant, matrix.variant)
	within(t, "final", a.final, matrix.final)
	within(t, "budget", a.budget, matrix.budget)
	within(t, "seed", a.seed, matrix.seed)
}

func within[T comparable](t *table, key string, selected, matrix []T) {
	for _, v := range selected {
		if len(matrix) > 0 && !slices.Contains(matrix, v) {
			has := strings.Join(strings.Fields(fmt.Sprint(matrix)), ", ")
			t.add(t.at(key), fmt.Errorf("%v matches no cell; this matrix has %s", v, strings.Trim(has, "[]")))
		}
	}
}
