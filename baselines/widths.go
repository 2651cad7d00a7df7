package baselines

import (
	"context"
	"slices"

	"netadjust/internal/search"
)

// Widths takes given widths, published or a user's own. Those that do not meet the budget are scaled to it.
type Widths struct{ Channels []int }

// Search checks the widths and fits them to the budget.
func (m Widths) Search(_ context.Context, _ search.Lab, p search.Problem) (*search.Outcome, error) {
	if err := p.Network.Check(m.Channels); err != nil {
		return nil, err
	}
	c := slices.Clone(m.Channels)
	if !search.WithinBudget(p.Network.FLOPs(c), p.Budget) {
		var err error
		if c, err = search.FitToBudget(p.Network, c, p.Budget, search.Minimum(p.Network.Start())); err != nil {
			return nil, err
		}
	}
	return &search.Outcome{Channels: c, Start: m.Channels}, nil
}

// Plan is empty: nothing is trained to search.
func (Widths) Plan(search.Problem) ([]search.Work, error) { return nil, nil }
