// Package adjustment searches channel widths by network adjustment: layers whose FLOPs are used well grow, layers whose
// FLOPs are used badly shrink (Chen et al., "Network Adjustment: Channel Search Guided by FLOPs Utilization Ratio",
// CVPR 2020).
//
// There are two modes. The default one mends what goes wrong in the authors' code; reference mode does what that code
// does, to the last integer. They differ in the rules in the table of step.go and in nothing else.
package adjustment

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"netadjust/networks"
)

// Tie returns how FLOPs of a residual stream are charged when several layers are equally wide and widest: they share
// them, whatever the network. The reference code charges one of them, see ReferenceTie.
func Tie(*networks.Network) networks.Tie { return networks.TieSplit }

// maxDropRate is the highest rate at which the channels of a layer are dropped to measure its utilization.
const maxDropRate = 0.5

// DropRates returns the rate at which to drop the channels of each layer: the p_i of wantedRates, cut at 1/2, because
// the loss does not grow in proportion when most channels go. The loss that a layer shows at its rate has to be
// multiplied by its scale, the wanted rate over the one returned: 1, or more where the rate was cut. The reference code
// has no limit, see ReferenceDropRates.
func DropRates(channels []int, flopsPerChannel []float64, base float64) (rates, scale []float64, err error) {
	wanted, err := wantedRates(channels, flopsPerChannel, base)
	if err != nil {
		return nil, nil, err
	}
	rates, scale = make([]float64, len(wanted)), make([]float64, len(wanted))
	for i, p := range wanted {
		rates[i] = min(p, maxDropRate)
		scale[i] = p / rates[i]
	}
	return rates, scale, nil
}

// wantedRates returns the rates p_i at which all layers lose the same FLOPs, as the reference code does:
//
//	g_i = c_i * dF/dc_i,  G = mean of g_i,  p_i = base * G / g_i
func wantedRates(channels []int, flopsPerChannel []float64, base float64) ([]float64, error) {
	if len(channels) != len(flopsPerChannel) {
		return nil, fmt.Errorf("%d widths and %d derivatives of FLOPs: give one of each for every adjustable layer",
			len(channels), len(flopsPerChannel))
	}
	if !(base > 0 && base <= maxDropRate) {
		return nil, fmt.Errorf("base drop rate %v: give more than 0 and at most %v", base, maxDropRate)
	}
	g := make([]float64, len(channels))
	mean := 0.
	for i, c := range channels {
		g[i] = float64(c) * flopsPerChannel[i]
		if !(g[i] > 0) || math.IsInf(g[i], 1) {
			return nil, fmt.Errorf("layer %d has width %d and %v FLOPs per channel: both must be positive",
				i+1, c, flopsPerChannel[i])
		}
		mean += float64(g[i] / float64(len(g)))
	}
	rates := make([]float64, len(g))
	for i := range g {
		rates[i] = base * mean / g[i]
	}
	return rates, nil
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
// reference code would let that layer grow, see ReferenceRank.
func Rank(fur []float64, names []string) ([]int, error) {
	if err := checkFinite(fur, names); err != nil {
		return nil, err
	}
	return rankBy(fur, cmp.Compare[float64]), nil
}

func checkFinite(fur []float64, names []string) error {
	for i, f := range fur {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("FLOPs utilization ratio of %s is %v: training has diverged; try a lower learning rate",
				names[i], f)
		}
	}
	return nil
}

// rankBy sorts the indices of fur by their ratios, equal ones by index.
func rankBy(fur []float64, compare func(a, b float64) int) []int {
	ranking := make([]int, len(fur))
	for i := range ranking {
		ranking[i] = i
	}
	slices.SortStableFunc(ranking, func(a, b int) int { return compare(fur[a], fur[b]) })
	return ranking
}

// MostLayers returns how many of the given number of layers may grow in an update: half of them, so that none is to
// grow and shrink at once. The reference code has no such limit, see ReferenceMostLayers.
func MostLayers(layers int) int { return layers / 2 }

// Choose returns the layers that move, at most u that grow and as many that shrink: the highest of the ranking grows
// while the lowest shrinks, then the second highest and the second lowest, and so on. Such a pair moves only if its
// growing layer has the higher ratio, so equal ratios change nothing. The reference code moves all u pairs, see
// ReferenceChoose.
func Choose(fur []float64, ranking []int, u int) (grow, shrink []int) {
	for j := range u {
		high, low := ranking[len(ranking)-1-j], ranking[j]
		if fur[high] <= fur[low] {
			break // so are all further pairs
		}
		grow, shrink = append(grow, high), append(shrink, low)
	}
	return grow, shrink
}

// Move returns the widths after the chosen layers have moved; they do not meet the budget yet. The layers of rank
// j = 0, 1, ... change by a share of their start widths c0, but by one channel at least, and no layer shrinks below its
// minimum:
//
//	growing:    max(round(c + a_j*c0), c + 1)
//	shrinking:  max(min(round(c - a_j*c0), c - 1), minimum)
//
// with the a_j of share. Where a_j is 0 nothing moves. All growing layers move first, as in the reference code, some of
// whose other rules let a layer grow and shrink. There the step may round to nothing, which freezes narrow layers, see
// ReferenceMove.
func Move(channels, start, minimum, grow, shrink []int, rate, decay float64) []int {
	widths := slices.Clone(channels)
	for j, i := range grow {
		if a := share(rate, decay, j); a > 0 {
			widths[i] = max(moved(widths[i], a, start[i]), widths[i]+1)
		}
	}
	for j, i := range shrink {
		if a := share(rate, decay, j); a > 0 {
			widths[i] = max(min(moved(widths[i], -a, start[i]), widths[i]-1), minimum[i])
		}
	}
	return widths
}

// share returns the step of the layers of rank j = 0, 1, ... relative to their start widths, as in the reference code:
//
//	a_j = max(rate - decay*j, 0)
func share(rate, decay float64, j int) float64 {
	return max(rate-float64(decay*float64(j)), 0)
}

// moved returns round(c + a*c0), halves to even. The reference code computes it in this order in float64.
func moved(c int, a float64, c0 int) int {
	return int(math.RoundToEven(float64(c) + float64(a*float64(c0))))
}
