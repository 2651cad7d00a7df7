// Package paired compares two methods by the differences of their results on the same seeds: an exact test over all
// budgets, an interval for each of them, and what the design can show at all.
package paired

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Sample holds the differences between two methods, one slice for each budget and in it one number for each seed.
type Sample [][]float64

// Pairs returns the number of differences.
func (s Sample) Pairs() int {
	n := 0
	for _, d := range s {
		n += len(d)
	}
	return n
}

// Mean returns the mean over all pairs, NaN if there are none.
func (s Sample) Mean() float64 { return stat.Mean(slices.Concat(s...), nil) }

// StdDev returns the standard deviation of the differences within a budget, pooled over the budgets; it is NaN if no
// budget has two seeds.
func (s Sample) StdDev() float64 {
	var squares, freedom float64
	for _, d := range s {
		if len(d) > 1 {
			squares += float64(len(d)-1) * stat.Variance(d, nil)
			freedom += float64(len(d) - 1)
		}
	}
	return math.Sqrt(squares / freedom)
}

// Effect returns the mean difference in units of its standard deviation (Cohen's d of paired samples).
func (s Sample) Effect() float64 { return s.Mean() / s.StdDev() }

// mostExact is the number of pairs up to which SignFlip counts all assignments of signs.
const mostExact = 40

// draws is how many assignments it draws beyond that.
const draws = 1 << 20

// SignFlip returns the two-sided p-value of the sign-flip test of the mean: under the hypothesis that the two methods
// are alike, each difference could as well have had the other sign, so p is the share of all 2^n assignments of signs
// whose mean is at least as far from 0. Every pair is flipped by itself, within its budget. Beyond 40 pairs the share
// is that of 2^20 random assignments from a fixed seed, counting the one observed (Phipson and Smyth, 2010).
func (s Sample) SignFlip() float64 {
	d := slices.Concat(s...)
	magnitude := 0.0
	for _, v := range d {
		magnitude += math.Abs(v)
	}
	// Sums that differ by rounding only are equal.
	observed := math.Abs(floats.Sum(d)) - 1e-9*magnitude
	switch {
	case observed <= 0:
		return 1
	case len(d) > mostExact:
		return drawnShare(d, observed)
	}
	return min(1, 2*exactShare(d, observed))
}

// exactShare returns the share of the assignments of signs to d whose sum is at least the given one. Every such sum is
// one of the first half of d plus one of the second half, so that the sums of the halves are enough.
func exactShare(d []float64, least float64) float64 {
	low, high := signedSums(d[:len(d)/2]), signedSums(d[len(d)/2:])
	count, j := 0, len(high)
	for _, x := range low {
		for j > 0 && x+high[j-1] >= least {
			j--
		}
		count += len(high) - j
	}
	return float64(count) / math.Exp2(float64(len(d)))
}

// signedSums returns the sums of d for all assignments of signs, in ascending order.
func signedSums(d []float64) []float64 {
	sums := []float64{0}
	for _, v := range d {
		next := make([]float64, 0, 2*len(sums))
		for _, x := range sums {
			next = append(next, x+v, x-v)
		}
		sums = next
	}
	slices.Sort(sums)
	return sums
}

// drawnShare returns the two-sided share among random assignments, the observed one included.
func drawnShare(d []float64, least float64) float64 {
	random := rand.New(rand.NewPCG(1, 2))
	count := 1
	for range draws {
		var sum float64
		var bits uint64
		for i, v := range d {
			if i%64 == 0 {
				bits = random.Uint64()
			}
			if bits&1 == 1 {
				v = -v
			}
			sum, bits = sum+v, bits>>1
		}
		if math.Abs(sum) >= least {
			count++
		}
	}
	return float64(count) / (draws + 1)
}

// SmallestP returns the smallest p-value that SignFlip can give for so many pairs.
func SmallestP(pairs int) float64 {
	if pairs > mostExact {
		return 1. / (draws + 1)
	}
	return min(1, math.Exp2(1-float64(pairs)))
}

// Holm returns p adjusted for as many comparisons as there are, in the order of p (Holm, 1979): rejecting what is below
// a level then keeps the chance of any false rejection below it.
func Holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(p[i], p[j]) })
	adjusted := make([]float64, len(p))
	largest := 0.0
	for rank, i := range order {
		largest = max(largest, min(1, float64(len(p)-rank)*p[i]))
		adjusted[i] = largest
	}
	return adjusted
}

// Interval returns the confidence interval by Student's t of the mean of d for a level such as 0.95. It is NaN for
// fewer than two numbers.
func Interval(d []float64, level float64) (low, high float64) {
	mean, std := stat.MeanStdDev(d, nil)
	return Around(mean, std, len(d), level)
}

// Around returns the interval of Interval for n numbers of which only the mean and the standard deviation are known.
func Around(mean, std float64, n int, level float64) (low, high float64) {
	if n < 2 {
		return math.NaN(), math.NaN()
	}
	half := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(n - 1)}.Quantile((1+level)/2) * std / math.Sqrt(float64(n))
	return mean - half, mean + half
}

// PairsNeeded returns how many pairs, spread over the budgets as those of s are, SignFlip needs for a p of at most level
// with a probability of 80 %, if more seeds differ as the ones at hand do. It takes sums of flipped signs for normal. What
// sets the budgets apart counts as spread there, but not in the mean, as more seeds have the same budgets. It is never
// less than what can give so small a p at all, and 0 if there is no difference or its spread is not known.
func (s Sample) PairsNeeded(level float64) int {
	mean, within, between := math.Abs(s.Mean()), s.StdDev(), 0.0
	for _, d := range s {
		if len(d) > 0 {
			off := stat.Mean(d, nil) - s.Mean()
			between += off * off * float64(len(d)) / float64(s.Pairs())
		}
	}
	spread := math.Sqrt(within*within + between)
	z, power := distuv.UnitNormal.Quantile(1-level/2), distuv.UnitNormal.Quantile(0.8)
	n := math.Ceil(math.Pow((z*spread+power*within)/mean, 2))
	if !(n < math.MaxInt32) {
		return 0
	}
	// Four means in five must exceed z standard errors under flipped signs, whose spread contains the mean itself.
	for !(mean*math.Sqrt(n)-power*within >= z*spread/math.Sqrt(1-z*z/n)) {
		n++
	}
	pairs := int(n)
	for pairs <= mostExact && SmallestP(pairs) > level {
		pairs++
	}
	return pairs
}
