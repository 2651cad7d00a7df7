package search

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Counter counts the FLOPs of a network with given widths. The count must not fall when a width grows.
type Counter interface {
	FLOPs(c []int) int64
}

// WithinBudget reports whether flops is what every method must end with: at most the budget, and at most 1 % below it.
func WithinBudget(flops, budget int64) bool {
	return flops <= budget && flops >= budget-budget/100
}

// Minimum returns the least width that a search may give each layer: 4 as in the reference code, or 2 for layers that
// start with less than 16 channels, which a floor of 4 would leave hardly any room.
func Minimum(start []int) []int {
	minimum := make([]int, len(start))
	for i, c := range start {
		minimum[i] = 4
		if c < 16 {
			minimum[i] = 2
		}
	}
	return minimum
}

// maxScale is the largest factor, up or down, by which FitToBudget scales widths.
const maxScale = 4

// FitToBudget scales all widths by one factor between 1/4 and 4 such that the FLOPs of net come WithinBudget, no width
// falls below its minimum, and the proportions are kept as well as whole channels allow. The largest factor s for which
// the widths max(minimum_i, round(s * channels_i)) stay in the budget is found by bisection. Then single channels are
// added, always where the width is furthest below its proportional share and the channel still fits, as long as a
// width is below its share or the FLOPs are more than 1 % below the budget; if they still are, a channel moves. Rounding is to nearest, halves to even.
//
// The reference code bisects with a tolerance of 1 % and keeps the last factor tried even if it fails; in narrow
// networks that leaves the budget in more than half of the searches. Here it is an error, with the FLOPs that were
// found, if none of these steps meets the budget.
func FitToBudget(net Counter, channels []int, budget int64, minimum []int) ([]int, error) {
	if err := checkWidths(channels, minimum, budget); err != nil {
		return nil, err
	}
	scaled := func(s float64) []int {
		widths := make([]int, len(channels))
		for i, c := range channels {
			widths[i] = max(minimum[i], int(math.RoundToEven(float64(c)*s)))
		}
		return widths
	}
	lo, hi := 1./maxScale, float64(maxScale)
	if least := net.FLOPs(scaled(lo)); least > budget {
		return nil, fmt.Errorf("budget of %d FLOPs is too small: a quarter of the widths, or the minimum where that is "+
			"more, already needs %d", budget, least)
	}
	if most := net.FLOPs(scaled(hi)); most <= budget {
		if !WithinBudget(most, budget) {
			return nil, fmt.Errorf("budget of %d FLOPs is too large: four times the widths need only %d", budget, most)
		}
		return scaled(hi), nil
	}
	for range 60 {
		if s := (lo + hi) / 2; net.FLOPs(scaled(s)) <= budget {
			lo = s
		} else {
			hi = s
		}
	}

	f := filling{net, channels, hi, budget}
	widths, flops := f.fill(scaled(lo), -1)
	if !WithinBudget(flops, budget) {
		widths, flops = f.repair(widths, flops, minimum)
	}
	if !WithinBudget(flops, budget) {
		return nil, notReached(flops, budget)
	}
	return widths, nil
}

// filling is the part of FitToBudget that places single channels.
type filling struct {
	net      Counter
	channels []int
	scale    float64 // proportional shares are this times channels
	budget   int64
}

// gap is by how much a width of layer i is below its share.
func (f filling) gap(widths []int, i int) float64 {
	return float64(float64(f.channels[i])*f.scale) - float64(widths[i])
}

// fill adds single channels to all layers but one, and returns the FLOPs reached.
func (f filling) fill(widths []int, except int) ([]int, int64) {
	flops := f.net.FLOPs(widths)
	full := make([]bool, len(widths)) // where one more channel does not fit, now or later
	if except >= 0 {
		full[except] = true
	}
	for {
		next, gap := -1, math.Inf(-1)
		for i := range widths {
			if g := f.gap(widths, i); !full[i] && g > gap {
				next, gap = i, g
			}
		}
		if next < 0 || gap <= 0 && WithinBudget(flops, f.budget) {
			return widths, flops
		}
		widths[next]++
		if n := f.net.FLOPs(widths); n <= f.budget {
			flops = n
		} else {
			widths[next]--
			full[next] = true
		}
	}
}

// repair is for networks so narrow that no channel fits any more and still more than 1 % of the budget is left: it takes
// a channel from the layer that is most above its share and lets the others fill up, then tries the next layer.
func (f filling) repair(widths []int, flops int64, minimum []int) ([]int, int64) {
	layers := make([]int, len(widths))
	for i := range layers {
		layers[i] = i
	}
	slices.SortStableFunc(layers, func(a, b int) int { return cmp.Compare(f.gap(widths, a), f.gap(widths, b)) })
	for _, i := range layers {
		if widths[i] <= minimum[i] {
			continue
		}
		other := slices.Clone(widths)
		other[i]--
		if other, n := f.fill(other, i); WithinBudget(n, f.budget) {
			return other, n
		}
	}
	return widths, flops
}

// RoundToMultiples returns widths that are multiples of k: the nearest ones, less k in the layer that gained most as long
// as they exceed the budget; then single multiples are added where a width is furthest below
// what it was, as long as they fit. Nothing is said of how far below the budget that ends.
func RoundToMultiples(net Counter, channels []int, budget int64, k int) ([]int, error) {
	widths := make([]int, len(channels))
	for i, c := range channels {
		widths[i] = max(k, k*int(math.RoundToEven(float64(c)/float64(k))))
	}
	excess := func(i int) float64 { return float64(widths[i]) - float64(channels[i]) }
	for net.FLOPs(widths) > budget {
		next := -1
		for i := range widths {
			if widths[i] > k && (next < 0 || excess(i) > excess(next)) {
				next = i
			}
		}
		if next < 0 {
			return nil, fmt.Errorf("budget of %d FLOPs is too small for widths that are multiples of %d: the least need %d",
				budget, k, net.FLOPs(widths))
		}
		widths[next] -= k
	}
	full := make([]bool, len(widths))
	for {
		next := -1
		for i := range widths {
			if !full[i] && (next < 0 || excess(i) < excess(next)) {
				next = i
			}
		}
		if next < 0 {
			return widths, nil
		}
		widths[next] += k
		if net.FLOPs(widths) > budget {
			widths[next] -= k
			full[next] = true
		}
	}
}

// NormalizeByMean divides the scores of each layer by their mean, which makes layers of different fan-in comparable. A
// layer whose scores are all 0 is left as it is.
func NormalizeByMean(scores [][]float64) [][]float64 {
	normalized := make([][]float64, len(scores))
	for i, layer := range scores {
		sum := 0.
		for _, s := range layer {
			sum += s
		}
		normalized[i] = slices.Clone(layer)
		if sum == 0 {
			continue
		}
		for j := range layer {
			normalized[i][j] /= sum / float64(len(layer))
		}
	}
	return normalized
}

func checkWidths(channels, minimum []int, budget int64) error {
	if len(channels) == 0 || len(minimum) != len(channels) {
		return fmt.Errorf("%d widths and %d minimum widths: give one of each for every adjustable layer",
			len(channels), len(minimum))
	}
	for i, c := range channels {
		if c < 1 || minimum[i] < 1 {
			return fmt.Errorf("layer %d has width %d and minimum width %d: give at least 1", i+1, c, minimum[i])
		}
	}
	if budget < 1 {
		return fmt.Errorf("budget of %d FLOPs: give at least 1", budget)
	}
	return nil
}

func notReached(flops, budget int64) error {
	return fmt.Errorf("budget of %d FLOPs: the widths found have %d (%.2f %%), not at least 99 %%; try a slightly other one",
		budget, flops, 100*float64(flops)/float64(budget))
}
