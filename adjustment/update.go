// Package adjustment searches channel widths by network adjustment: layers whose FLOPs are used well grow, layers whose
// FLOPs are used badly shrink (Chen et al., "Network Adjustment: Channel Search Guided by FLOPs Utilization Ratio",
// CVPR 2020).
package adjustment

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// maxDropRate is the highest rate at which the channels of a layer are dropped to measure its utilization.
const maxDropRate = 0.5

// DropRates returns the rate p_i at which to drop the channels of each layer so that all layers lose the same FLOPs:
//
//	g_i = c_i * dF/dc_i,  G = mean of g_i,  p_i = base * G / g_i
//
// Rates are cut at 1/2, because the loss does not grow in proportion when most channels go; the reference code has no
// limit, and a rate of 1 or more breaks its dropout. The loss that a layer shows at its rate has to be multiplied by
// its scale, the wanted rate over the one returned: 1, or more where the rate was cut.
func DropRates(channels []int, flopsPerChannel []float64, base float64) (rates, scale []float64, err error) {
	if len(channels) != len(flopsPerChannel) {
		return nil, nil, fmt.Errorf("%d widths and %d derivatives of FLOPs: give one of each for every adjustable layer",
			len(channels), len(flopsPerChannel))
	}
	if !(base > 0 && base <= maxDropRate) {
		return nil, nil, fmt.Errorf("base drop rate %v: give more than 0 and at most %v", base, maxDropRate)
	}
	g := make([]float64, len(channels))
	mean := 0.
	for i, c := range channels {
		g[i] = float64(c) * flopsPerChannel[i]
		if !(g[i] > 0) || math.IsInf(g[i], 1) {
			return nil, nil, fmt.Errorf("layer %d has width %d and %v FLOPs per channel: both must be positive",
				i+1, c, flopsPerChannel[i])
		}
		mean += float64(g[i] / float64(len(g)))
	}
	rates, scale = make([]float64, len(g)), make([]float64, len(g))
	for i := range g {
		wanted := base * mean / g[i]
		rates[i] = min(wanted, maxDropRate)
		scale[i] = wanted / rates[i]
	}
	return rates, scale, nil
}

// LayersToMove returns how many layers grow, and how many shrink, in update k = 0, 1, ...:
//
//	u = max(round(number - k * decay), 0)
//
// with halves rounded to even, as in the reference code.
func LayersToMove(number, decay float64, k int) int {
	return max(int(math.RoundToEven(number-float64(float64(k)*decay))), 0)
}

// Rank returns the indices of the layers by ascending FLOPs utilization ratio, ties by lower index. Only the order of
// the ratios counts, not their size. A ratio that is not a finite number is an error that names the layer; the
// reference code would let that layer grow.
func Rank(fur []float64, names []string) ([]int, error) {
	ranking := make([]int, len(fur))
	for i, f := range fur {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, fmt.Errorf("FLOPs utilization ratio of %s is %v: training has diverged; try a lower learning rate",
				names[i], f)
		}
		ranking[i] = i
	}
	slices.SortStableFunc(ranking, func(a, b int) int { return cmp.Compare(fur[a], fur[b]) })
	return ranking, nil
}

// Pair is a layer that grows and one that shrinks in the same update, as indices in the width vector.
type Pair struct {
	Grow, Shrink int
}

// Pairs returns the layers that move: the highest of the ranking grows while the lowest shrinks, then the second
// highest and the second lowest, up to u pairs. A pair stays only if its growing layer has the higher ratio, so equal
// ratios change nothing. It is an error if u pairs need more layers than there are. The reference code moves all pairs,
// lets a layer be in two of them, and takes every layer for a growing one if u is 0.
func Pairs(fur []float64, ranking []int, u int) ([]Pair, error) {
	last := len(ranking) - 1
	if 2*u > len(ranking) {
		return nil, fmt.Errorf("an update of %d growing and %d shrinking layers needs more than the %d adjustable layers; "+
			"move at most %d", u, u, len(ranking), len(ranking)/2)
	}
	var pairs []Pair
	for j := range u {
		p := Pair{Grow: ranking[last-j], Shrink: ranking[j]}
		if fur[p.Grow] > fur[p.Shrink] {
			pairs = append(pairs, p)
		}
	}
	return pairs, nil
}

// Step returns the widths after the given pairs have moved; they do not meet the budget yet. In pair j = 0, 1, ... the
// layers change by a share of their start widths c0, but by one channel at least, and no layer shrinks below its
// minimum:
//
//	a_j = max(rate - decay*j, 0)
//	growing:    max(round(c + a_j*c0), c + 1)
//	shrinking:  max(min(round(c - a_j*c0), c - 1), minimum)
//
// Where a_j is 0 nothing moves. In the reference code the step may round to nothing, which freezes narrow layers.
func Step(channels, start, minimum []int, pairs []Pair, rate, decay float64) []int {
	widths := slices.Clone(channels)
	for j, p := range pairs {
		a := rate - float64(decay*float64(j))
		if a <= 0 {
			break
		}
		moved := func(i int, share float64) int {
			return int(math.RoundToEven(float64(channels[i]) + float64(share*float64(start[i]))))
		}
		widths[p.Grow] = max(moved(p.Grow, a), channels[p.Grow]+1)
		widths[p.Shrink] = max(min(moved(p.Shrink, -a), channels[p.Shrink]-1), minimum[p.Shrink])
	}
	return widths
}
