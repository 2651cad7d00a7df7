package baselines

import (
	"context"

	"netadjust/internal/search"
)

// L1 prunes the filters with the smallest L1 norm (Li et al., "Pruning filters for efficient ConvNets", ICLR 2017).
// Filters of all layers are ranked together, by their norm relative to the mean norm of their layer; the paper sets a
// ratio per stage by hand instead, and with one ratio for all layers its widths are those of Uniform.
type L1 struct {
	Start   Start
	Scope   Scope
	PerFLOP bool // norms count relative to the FLOPs that the filter takes
}

// Search prunes the trained start network to the budget.
func (m L1) Search(ctx context.Context, lab search.Lab, p search.Problem) (*search.Outcome, error) {
	t, err := m.Start.train(ctx, lab, p, nil)
	if err != nil {
		return nil, err
	}
	return m.Start.prune(ctx, t, m.Scope.scores(t.sources, t.start.Channels, t.Tensor, l1Norms), m.PerFLOP)
}

// Plan is the training of the start network.
func (m L1) Plan(p search.Problem) ([]search.Work, error) {
	w, err := m.Start.plan(p, nil)
	return []search.Work{w}, err
}
