package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
)

// Values holds what is known of a graph's nodes.
type Values map[*gorgonia.Node]gorgonia.Value

// Evaluate computes every node of the graph from the inputs in known with the reference implementations, operation by
// operation, and adds it there. Nodes whose inputs are not known are left out.
func Evaluate(g *gorgonia.ExprGraph, known Values) error {
	sorted, err := gorgonia.Sort(g)
	if err != nil {
		return err
	}
	for i := len(sorted) - 1; i >= 0; i-- {
		n := sorted[i]
		if _, ok := known[n]; ok || n.Op() == nil {
			continue
		}
		var in []gorgonia.Value
		ready := true
		for it := g.From(n.ID()); it.Next(); {
			v, ok := known[it.Node().(*gorgonia.Node)]
			ready = ready && ok
			in = append(in, v)
		}
		if !ready {
			continue
		}
		v, err := n.Op().Do(in...)
		if err != nil {
			return fmt.Errorf("%v: %w", n.Op(), err)
		}
		known[n] = v
	}
	return nil
}
