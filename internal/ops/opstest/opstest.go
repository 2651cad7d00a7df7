// Package opstest draws random inputs of operations, for tests.
package opstest

import (
	"math/rand/v2"

	"gorgonia.org/tensor"
)

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
