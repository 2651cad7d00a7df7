package experiments

import (
	"fmt"
	"math"
	"strconv"
)

// Budget is the FLOPs (multiply-adds of one image) that the widths a method chooses may cost. Exactly one field is set.
type Budget struct {
	Fraction float64 `json:"fraction,omitzero"` // of F(network at the cell's width), in (0, 4]
	FLOPs    int64   `json:"flops,omitzero"`    // absolute, 1000 and more
}

const (
	maxFraction    = 4
	minBudgetFLOPs = 1000
)

// String returns the budget as it stands in a cell's id: b0.5 or b20000000.
func (b Budget) String() string {
	if b.FLOPs != 0 {
		return "b" + strconv.FormatInt(b.FLOPs, 10)
	}
	return "b" + strconv.FormatFloat(b.Fraction, 'g', -1, 64)
}

// Resolve returns the budget in FLOPs, where base is F(network at the cell's width). A fraction of it is rounded to the
// nearest integer, halves to even.
func (b Budget) Resolve(base int64) int64 {
	if b.FLOPs != 0 {
		return b.FLOPs
	}
	return int64(math.RoundToEven(b.Fraction * float64(base)))
}

func budget(v any) (Budget, error) {
	if v == shapeWanted {
		return Budget{}, shape{"anyOf": []shape{
			moreThan(0, maxFraction).shape.of("number"), {"type": "integer", "minimum": minBudgetFLOPs},
		}}
	}
	switch v := v.(type) {
	case int64:
		if v >= minBudgetFLOPs {
			return Budget{FLOPs: v}, nil
		}
		if v > 0 && v <= maxFraction {
			return Budget{Fraction: float64(v)}, nil
		}
	case float64:
		if v > 0 && v <= maxFraction {
			return Budget{Fraction: v}, nil
		}
	}
	return Budget{}, fmt.Errorf("must be a fraction of the network's FLOPs, more than 0 and at most %d, or FLOPs as an "+
		"integer of at least %d, not %s", maxFraction, minBudgetFLOPs, describe(v))
}
