package networks

import "slices"

// dim is a channel count as a function of the width vector.
type dim interface {
	// at returns the count for the width vector c.
	at(c []int) int
	// addGradient adds scale times the derivative with respect to each width to gradient.
	addGradient(gradient []float64, c []int, scale float64, tie Tie)
}

// constant is a count that no width changes.
type constant int

func (d constant) at([]int) int { return int(d) }

func (d constant) addGradient([]float64, []int, float64, Tie) {}

// free is the width of the adjustable layer with this index.
type free int

func (d free) at(c []int) int { return c[d] }

func (d free) addGradient(gradient []float64, _ []int, scale float64, _ Tie) { gradient[d] += scale }

// maximum is the largest of its members. Its derivative belongs to the members that reach it, shared as the Tie says.
type maximum []dim

func (d maximum) at(c []int) int {
	m := 0
	for _, member := range d {
		m = max(m, member.at(c))
	}
	return m
}

func (d maximum) addGradient(gradient []float64, c []int, scale float64, tie Tie) {
	m := d.at(c)
	var owners []dim
	for _, member := range d {
		if member.at(c) == m {
			owners = append(owners, member)
		}
	}
	switch tie {
	case TieFirst:
		owners = owners[:1]
	case TieLast:
		owners = owners[len(owners)-1:]
	}
	for _, owner := range owners {
		owner.addGradient(gradient, c, scale/float64(len(owners)), tie)
	}
}

// sum is the channels of a concatenation.
type sum []dim

func (d sum) at(c []int) int {
	n := 0
	for _, member := range d {
		n += member.at(c)
	}
	return n
}

func (d sum) addGradient(gradient []float64, c []int, scale float64, tie Tie) {
	for _, member := range d {
		member.addGradient(gradient, c, scale, tie)
	}
}

// larger returns the larger of a and b. The members of a maximum become members of the result, so that all who share a
// residual stream are equal when its derivative is shared out.
func larger(a, b dim) dim {
	if m, ok := a.(maximum); ok {
		return append(slices.Clip(m), b)
	}
	return maximum{a, b}
}
