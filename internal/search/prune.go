package search

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"netadjust/networks"
)

// Pruning says how far channels are to be removed.
type Pruning struct {
	Network Counter // whose FLOPs count
	Budget  int64
	Minimum []int // least width of each layer
	// Cost, if it is there, returns what a channel of each layer costs at the given widths. Scores then count relative to
	// the cost of what they are of, which is computed again after each removal: the view of the knapsack problem (Aflalo
	// et al., "Knapsack pruning with inner distillation", 2020).
	Cost func(widths []int) []float64
	// Loose accepts FLOPs that are further than 1 % below the budget.
	Loose bool
}

// Unit is what pruning removes or keeps as one: a channel of a layer, or channels of several layers that meet in a
// residual stream. A score is at least 0; the least goes first.
type Unit struct {
	Channels []networks.Channel
	Score    float64
}

// Singles makes every channel of every layer a unit. scores has those of all channels of each layer, compared across
// layers (see NormalizeByMean).
func Singles(scores [][]float64) []Unit {
	var units []Unit
	for i, layer := range scores {
		for j, s := range layer {
			units = append(units, Unit{[]networks.Channel{{Layer: i, Index: j}}, s})
		}
	}
	return units
}

// Together makes every group of channels a unit, whose score is the sum of the scores of its channels.
func Together(groups [][]networks.Channel, scores [][]float64) []Unit {
	units := make([]Unit, len(groups))
	for i, g := range groups {
		units[i].Channels = g
		for _, c := range g {
			units[i].Score += scores[c.Layer][c.Index]
		}
	}
	return units
}

// PruneToBudget prunes single channels and returns the widths that remain. The number of scores of a layer is the width
// that pruning starts from, which may be more than that of the network.
func PruneToBudget(net Counter, scores [][]float64, budget int64, minimum []int) ([]int, error) {
	kept, err := Pruning{Network: net, Budget: budget, Minimum: minimum}.Prune(widthsOf(scores), Singles(scores))
	return widthsOf(kept), err
}

// Prune removes the units of least score until the FLOPs come WithinBudget, and returns the channels that each layer
// keeps, ascending. widths are those that pruning starts from; channels that are in no unit always stay. Ties go by the
// order of the units, and no layer falls below its minimum. Once the FLOPs fit, the removed units are walked back from
// the last, and each that fits returns. So if units are single channels and costs do not count, those that a layer keeps
// are always those of the highest scores.
//
// In a network so narrow that this leaves more than 1 % of the budget, the unit of the least score that makes room for
// others goes as well, or two of them. If that does not help, it is an error, with the FLOPs that can be had.
func (p Pruning) Prune(widths []int, units []Unit) ([][]int, error) {
	if err := checkWidths(widths, p.Minimum, p.Budget); err != nil {
		return nil, err
	}
	for _, u := range units {
		if c := u.Channels[0]; !(u.Score >= 0) || math.IsInf(u.Score, 1) {
			return nil, fmt.Errorf("score %v of channel %d in layer %d: give a finite number of at least 0",
				u.Score, c.Index+1, c.Layer+1)
		}
	}
	r := &removal{Pruning: p, units: units, widths: slices.Clone(widths), gone: make([]bool, len(units))}
	r.flops = p.Network.FLOPs(r.widths)
	for r.flops > p.Budget {
		u := r.least()
		if u < 0 {
			return nil, fmt.Errorf("budget of %d FLOPs is too small: the minimum widths already need %d", p.Budget, r.flops)
		}
		r.remove(u)
	}
	r.walkBack(nil)
	if !p.Loose && !WithinBudget(r.flops, p.Budget) {
		r.repair()
	}
	if !p.Loose && !WithinBudget(r.flops, p.Budget) {
		return nil, notReached(r.flops, p.Budget)
	}
	return r.kept(widths), nil
}

// removal is the state of a Prune.
type removal struct {
	Pruning
	units  []Unit
	widths []int
	flops  int64
	gone   []bool
	order  []int // units that are gone, in the order of their removal
	sorted []int // units by score, where costs do not count: the first was not looked at yet
}

// least returns the unit that goes next, -1 if none can.
func (r *removal) least() int {
	if r.Cost == nil {
		if r.sorted == nil {
			r.sorted = r.byScore()
		}
		for len(r.sorted) > 0 {
			u := r.sorted[0]
			r.sorted = r.sorted[1:]
			if r.removable(u) {
				return u
			}
		}
		return -1
	}
	least, score, cost := -1, math.Inf(1), r.Cost(r.widths)
	for u, unit := range r.units {
		saved := 0.
		for _, c := range unit.Channels {
			saved += cost[c.Layer]
		}
		if s := unit.Score / saved; !r.gone[u] && s < score && r.removable(u) {
			least, score = u, s
		}
	}
	return least
}

// byScore returns the units, the least score first.
func (r *removal) byScore() []int {
	order := make([]int, len(r.units))
	for u := range order {
		order[u] = u
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(r.units[a].Score, r.units[b].Score) })
	return order
}

func (r *removal) removable(u int) bool {
	for _, c := range r.units[u].Channels {
		if r.widths[c.Layer] <= r.Minimum[c.Layer] {
			return false
		}
	}
	return true
}

func (r *removal) remove(u int) {
	r.resize(u, -1)
	r.gone[u], r.order = true, append(r.order, u)
}

// resize changes the width of each layer that a unit has a channel in.
func (r *removal) resize(u, by int) {
	for _, c := range r.units[u].Channels {
		r.widths[c.Layer] += by
	}
	r.flops = r.Network.FLOPs(r.widths)
}

// walkBack returns the removed units that fit, the last one first, but for those in the layers of some channels.
func (r *removal) walkBack(except []networks.Channel) {
	for _, u := range slices.Backward(slices.Clone(r.order)) {
		if slices.ContainsFunc(r.units[u].Channels, func(c networks.Channel) bool {
			return slices.ContainsFunc(except, func(e networks.Channel) bool { return e.Layer == c.Layer })
		}) {
			continue
		}
		if r.resize(u, 1); r.flops > r.Budget {
			r.resize(u, -1)
			continue
		}
		r.gone[u] = false
		r.order = slices.DeleteFunc(r.order, func(v int) bool { return v == u })
	}
}

// repair tries to remove one unit more, the least score first, for units of other layers that fit instead of it, and if
// that does not help, two units more.
func (r *removal) repair() {
	for more := 1; more <= 2 && !WithinBudget(r.flops, r.Budget); more++ {
		if better := r.without(more, r.byScore(), nil); better != nil {
			*r = *better
		}
	}
}

// without returns the first state within the budget that lacks so many units more of an order, or nil.
func (r *removal) without(more int, order []int, layers []networks.Channel) *removal {
	for i, u := range order {
		if r.gone[u] || !r.removable(u) {
			continue
		}
		other := *r
		other.widths, other.gone, other.order = slices.Clone(r.widths), slices.Clone(r.gone), slices.Clone(r.order)
		other.remove(u)
		lost := slices.Concat(layers, r.units[u].Channels)
		if more > 1 {
			if found := other.without(more-1, order[i+1:], lost); found != nil {
				return found
			}
			continue
		}
		if other.walkBack(lost); WithinBudget(other.flops, r.Budget) {
			return &other
		}
	}
	return nil
}

// kept lists the channels of each layer that are left of the given widths.
func (r *removal) kept(widths []int) [][]int {
	gone := map[networks.Channel]bool{}
	for _, u := range r.order {
		for _, c := range r.units[u].Channels {
			gone[c] = true
		}
	}
	kept := make([][]int, len(widths))
	for i, w := range widths {
		for j := range w {
			if !gone[networks.Channel{Layer: i, Index: j}] {
				kept[i] = append(kept[i], j)
			}
		}
	}
	return kept
}

// widthsOf returns the lengths of lists of channels.
func widthsOf[T any](lists [][]T) []int {
	if lists == nil {
		return nil
	}
	widths := make([]int, len(lists))
	for i, l := range lists {
		widths[i] = len(l)
	}
	return widths
}
