package baselines

import (
	"context"
	"math"

	"netadjust/internal/search"
)

// L1 prunes the filters with the smallest L1 norm (Li et al., "Pruning filters for efficient ConvNets", ICLR 2017).
// Filters of all layers are ranked together, by their norm relative to the mean norm of their layer; the paper sets a
// ratio per stage by hand instead, and with one ratio for all layers its widths are those of Uniform.
type L1 struct{ Start Start }

// Search prunes the trained start network to the budget.
func (m L1) Search(ctx context.Context, lab search.Lab, p search.Problem) (*search.Outcome, error) {
	t, start, err := m.Start.train(ctx, lab, p)
	if err != nil {
		return nil, err
	}
	scores := make([][]float64, len(start.Channels))
	for i, width := range start.Channels {
		scores[i] = l1Norms(t.Filters(i), width)
	}
	c, err := search.PruneToBudget(p.Network, search.NormalizeByMean(scores), p.Budget, search.Minimum(p.Network.Start()))
	if err != nil {
		return nil, err
	}
	return &search.Outcome{Channels: c, Start: start.Channels, Network: start}, nil
}

// Plan is the training of the start network.
func (m L1) Plan(p search.Problem) ([]search.Work, error) { return m.Start.plan(p) }

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
