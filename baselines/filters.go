package baselines

import (
	"cmp"
	"math"
	"slices"

	"netadjust/internal/search"
	"netadjust/networks"
)

// Scope says which filters compete with each other.
type Scope int

// The scopes. With Layer every layer loses the same share of its filters, which gives about the widths of Uniform: there
// only the inherited weights tell one method from another.
const (
	Global Scope = iota // those of all layers, by their scores relative to the mean of their layer
	Layer               // those of one layer
)

// scores scores the filters of every layer by what of returns for those of one convolution, [count, elements]; where
// several convolutions share a width, their scores are added up.
func (s Scope) scores(sources []networks.Source, widths []int, tensor func(name string) []float32,
	of func(filters []float32, count int) []float64) [][]float64 {
	scores := make([][]float64, len(widths))
	for i, source := range sources {
		scores[i] = make([]float64, widths[i])
		for _, conv := range source.Convs {
			for j, v := range of(tensor(weights(conv)), widths[i]) {
				scores[i][j] += v
			}
		}
	}
	if s == Layer {
		for i := range scores {
			scores[i] = quantiles(scores[i])
		}
		return scores
	}
	return search.NormalizeByMean(scores)
}

// quantiles replaces scores by their ranks: the k-th least of n, the lower index first among equals, becomes k/n.
func quantiles(scores []float64) []float64 {
	order := make([]int, len(scores))
	for j := range order {
		order[j] = j
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	ranks := make([]float64, len(scores))
	for k, j := range order {
		ranks[j] = float64(k+1) / float64(len(order))
	}
	return ranks
}

// l1Norms returns the mean absolute weight of each of the filters.
func l1Norms(filters []float32, count int) []float64 {
	norms := make([]float64, count)
	size := len(filters) / count
	for j := range norms {
		for _, w := range filters[j*size : (j+1)*size] {
			norms[j] += math.Abs(float64(w)) / float64(size)
		}
	}
	return norms
}

// l2Norms returns the Euclidean norm of each of the filters.
func l2Norms(filters []float32, count int) []float64 {
	zero := make([]float32, len(filters)/count)
	norms := make([]float64, count)
	for j := range norms {
		norms[j] = distance(filters[j*len(zero):(j+1)*len(zero)], zero)
	}
	return norms
}

// distances returns the sum of the Euclidean distances of each filter to all the others.
func distances(filters []float32, count int) []float64 {
	size := len(filters) / count
	sums := make([]float64, count)
	for j := range count {
		for k := range j {
			d := distance(filters[j*size:(j+1)*size], filters[k*size:(k+1)*size])
			sums[j] += d
			sums[k] += d
		}
	}
	return sums
}

func distance(a, b []float32) float64 {
	sum := 0.
	for i, x := range a {
		d := float64(x) - float64(b[i])
		sum += float64(d * d)
	}
	return math.Sqrt(sum)
}
