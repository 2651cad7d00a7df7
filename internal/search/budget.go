package search

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
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
// width is below its share or the FLOPs are more than 1 % below the budget. Rounding is to nearest, halves to even.
//
// The reference code bisects with a tolerance of 1 % and keeps the last factor tried even if it fails; in narrow
// networks that leaves the budget in more than half of the searches. Here it is an error, with the FLOPs that can be
// had, if the budget cannot be met.
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

	widths := scaled(lo)
	flops := net.FLOPs(widths)
	full := make([]bool, len(widths)) // where one more channel does not fit, now or later
	for {
		next, gap := -1, math.Inf(-1)
		for i, c := range channels {
			if g := float64(float64(c)*hi) - float64(widths[i]); !full[i] && g > gap {
				next, gap = i, g
			}
		}
		if next < 0 || gap <= 0 && WithinBudget(flops, budget) {
			break
		}
		widths[next]++
		if f := net.FLOPs(widths); f <= budget {
			flops = f
		} else {
			widths[next]--
			full[next] = true
		}
	}
	if !WithinBudget(flops, budget) {
		return nil, notReached(flops, budget)
	}
	return widths, nil
}

// PruneToBudget removes the channels of least importance until the FLOPs of net come WithinBudget, and returns the
// widths that remain. The scores, at least 0, are those of all channels of each layer and compared across layers
// (see NormalizeByMean); their number is the width that pruning starts from, which may be more than that of net.
// Channels go in the order of their scores, ties by lower layer, then lower channel, but no layer falls below its
// minimum. Once the FLOPs fit, the removed channels are walked back from the last, and each that fits returns. So the
// channels that remain in a layer always are those of the highest scores. It is an error, with the FLOPs that can be
// had, if the budget cannot be met.
func PruneToBudget(net Counter, scores [][]float64, budget int64, minimum []int) ([]int, error) {
	start := make([]int, len(scores))
	for i, s := range scores {
		start[i] = len(s)
	}
	if err := checkWidths(start, minimum, budget); err != nil {
		return nil, err
	}
	order, err := removalOrder(scores, minimum)
	if err != nil {
		return nil, err
	}
	after := func(n int) []int { // widths after the first n removals
		widths := slices.Clone(start)
		for _, layer := range order[:n] {
			widths[layer]--
		}
		return widths
	}
	// FLOPs fall with every removal, so the first number of removals that fits can be found by bisection.
	n := sort.Search(len(order), func(n int) bool { return net.FLOPs(after(n)) <= budget })
	widths := after(n)
	flops := net.FLOPs(widths)
	if flops > budget {
		return nil, fmt.Errorf("budget of %d FLOPs is too small: the minimum widths already need %d", budget, flops)
	}
	full := make([]bool, len(widths)) // where a channel did not fit, so that none will
	for _, layer := range slices.Backward(order[:n]) {
		if full[layer] {
			continue
		}
		widths[layer]++
		if f := net.FLOPs(widths); f <= budget {
			flops = f
		} else {
			widths[layer]--
			full[layer] = true
		}
	}
	if !WithinBudget(flops, budget) {
		return nil, notReached(flops, budget)
	}
	return widths, nil
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

// removalOrder returns the layers of the channels that may be removed, least score first.
func removalOrder(scores [][]float64, minimum []int) ([]int, error) {
	type channel struct {
		layer int
		score float64
	}
	var channels []channel
	for i, layer := range scores {
		for j, s := range layer {
			if !(s >= 0) || math.IsInf(s, 1) {
				return nil, fmt.Errorf("score %v of channel %d in layer %d: give a finite number of at least 0", s, j+1, i+1)
			}
		}
		// The channels that are left when the layer is at its minimum can never go.
		sorted := slices.Sorted(slices.Values(layer))
		for _, s := range sorted[:max(0, len(layer)-minimum[i])] {
			channels = append(channels, channel{i, s})
		}
	}
	slices.SortStableFunc(channels, func(a, b channel) int { return cmp.Compare(a.score, b.score) })
	order := make([]int, len(channels))
	for i, c := range channels {
		order[i] = c.layer
	}
	return order, nil
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
	return fmt.Errorf("budget of %d FLOPs cannot be met: the widths found have %d (%.2f %%), not at least 99 %%",
		budget, flops, 100*float64(flops)/float64(budget))
}
