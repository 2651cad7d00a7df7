package adjustment

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"netadjust/internal/search"
	"netadjust/networks"
)

// The rules of this file are those of the authors' code (GitHub danczs/NetworkAdjustment, July 2021), including what
// looks like mistakes. The names in quotation marks are its functions.

// ReferenceTie returns who is charged for a residual stream when several layers are equally wide and widest: for
// CIFAR ResNets the first, which in the first stage is the stem; for ImageNet ResNets the last ("get_c_input_sym").
func ReferenceTie(n *networks.Network) networks.Tie {
	switch n.Name {
	case "resnet18", "resnet34":
		return networks.TieLast
	}
	return networks.TieFirst
}

// ReferenceDropRates returns the rates of wantedRates as they are, and a scale of 1 for every layer ("computing_fur").
// From a rate of 1 on the dropout of the reference code divides by 0 or keeps the wrong channels, which nothing here
// imitates: it is an error.
func ReferenceDropRates(channels []int, flopsPerChannel []float64, base float64) (rates, scale []float64, err error) {
	rates, err = wantedRates(channels, flopsPerChannel, base)
	if err != nil {
		return nil, nil, err
	}
	for i, p := range rates {
		if p >= 1 {
			return nil, nil, fmt.Errorf("layer %d of width %d would need a drop rate of %.3g, at which the reference's dropout "+
				"breaks; give a lower base drop rate than %v", i+1, channels[i], p, base)
		}
	}
	return rates, slices.Repeat([]float64{1}, len(rates)), nil
}

// ReferenceRank returns the indices of the layers by ascending ratio, ties by lower index, a ratio that is not a number
// above all others, so that its layer grows ("update_chanel_with_fur"; NumPy sorts NaN to the end). The reference's
// sort does not promise an order of ties.
func ReferenceRank(fur []float64, _ []string) ([]int, error) {
	return rankBy(fur, func(a, b float64) int {
		if nan := math.IsNaN(a); nan != math.IsNaN(b) {
			if nan {
				return 1
			}
			return -1
		}
		return cmp.Compare(a, b)
	}), nil
}

// ReferenceMostLayers returns how many layers may grow in an update: all, so a layer may have to grow and to shrink.
func ReferenceMostLayers(layers int) int { return layers }

// ReferenceChoose returns the u highest of the ranking, highest first, and the u lowest, lowest first, whatever their
// ratios ("update_chanel_with_fur"). If u is 0, all layers are to grow and none to shrink, because the reference takes
// the last u elements as the slice [-u:], which for 0 is the whole list.
func ReferenceChoose(_ []float64, ranking []int, u int) (grow, shrink []int) {
	top := u
	if u == 0 {
		top = len(ranking)
	}
	grow = slices.Clone(ranking[len(ranking)-top:])
	slices.Reverse(grow)
	return grow, slices.Clone(ranking[:u])
}

// referenceFloor is the least width to which the reference lets a layer shrink.
const referenceFloor = 4

// ReferenceMove returns the widths after the chosen layers have moved ("update_channel"). First all growing layers
// move, then all shrinking ones, from the widths that they have by then:
//
//	growing:    round(c + a_j*c0)
//	shrinking:  max(round(c - a_j*c0), 4)
//
// with the a_j of share for rank j = 0, 1, ... A shrinking layer that is narrower than 4 thus grows to 4.
func ReferenceMove(channels, start, _, grow, shrink []int, rate, decay float64) []int {
	widths := slices.Clone(channels)
	for j, i := range grow {
		widths[i] = moved(widths[i], share(rate, decay, j), start[i])
	}
	for j, i := range shrink {
		widths[i] = max(moved(widths[i], -share(rate, decay, j), start[i]), referenceFloor)
	}
	return widths
}

// ReferenceFit scales all widths by one factor s that is found by bisection ("scale_to_ori_flops"):
//
//	e(c) = (F(c) - budget) / F(c)
//	begin = 1, end = max(1 - e(c), 0)
//	while |e| > 0.01, at most 20 times:
//	    s = (begin + end) / 2,  e = e(round(s*c))
//	    where s > 1:  e > 0 lowers end to s,   else begin rises to s
//	    else:         e > 0 lowers begin to s, else end rises to s
//
// Widths that are within the tolerance stay as they are. The last factor tried is taken even if it fails, so that FLOPs
// can end far from the budget, and widths have no minimum: a layer can end with 0 channels.
//
// It is an error if the factor could give a layer more channels than networks can have.
func ReferenceFit(net search.Counter, channels []int, budget int64, _ []int) ([]int, error) {
	excess := func(c []int) float64 {
		f := net.FLOPs(c)
		return float64(f-budget) / float64(f)
	}
	widths, e := slices.Clone(channels), excess(channels)
	begin, end := 1., max(1-e, 0)
	if widest := slices.Max(channels); float64(widest)*end > maxChannels {
		return nil, fmt.Errorf("budget of %d FLOPs is %.3g times what the widths need: to meet it, a layer of %d channels "+
			"might get more than %d", budget, end, widest, maxChannels)
	}
	for n := 0; math.Abs(e) > 0.01 && n < 20; n++ {
		s := (begin + end) / 2
		for i, c := range channels {
			widths[i] = int(math.RoundToEven(float64(c) * s))
		}
		e = excess(widths)
		if (s > 1) == (e > 0) {
			end = s
		} else {
			begin = s
		}
	}
	return widths, nil
}

// maxChannels is the largest width of a layer.
const maxChannels = 1 << 14
