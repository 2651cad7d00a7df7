// Package opstest evaluates graphs with the reference implementations of their operations, for tests.
package opstest

import (
	"fmt"
	"math/rand/v2"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Values holds what is known of a graph's nodes.
type Values map[*gorgonia.Node]gorgonia.Value

// Evaluate computes every node of the graph from the inputs in known, operation by operation, and adds it there. Nodes
// whose inputs are not known are left out.
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

// Random returns a tensor of the given type and shape with normally distributed elements. Elements of integer types are
// drawn from 0 to below-1.
func Random(r *rand.Rand, of tensor.Dtype, below int, shape ...int) *tensor.Dense {
	t := tensor.New(tensor.WithShape(shape...), tensor.Of(of))
	switch d := t.Data().(type) {
	case []float64:
		for i := range d {
			d[i] = r.NormFloat64()
		}
	case []float32:
		for i := range d {
			d[i] = float32(r.NormFloat64())
		}
	case []uint32:
		for i := range d {
			d[i] = uint32(r.IntN(below))
		}
	case []uint8:
		for i := range d {
			d[i] = uint8(r.IntN(below))
		}
	}
	return t
}
