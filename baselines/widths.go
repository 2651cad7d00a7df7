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
	c, err := m.fitted(p)
	if err != nil {
		return nil, err
	}
	return &search.Outcome{Channels: c, Start: m.Channels}, nil
}

func (m Widths) fitted(p search.Problem) ([]int, error) {
	if err := p.Network.Check(m.Channels); err != nil {
		return nil, err
	}
	if search.WithinBudget(p.Network.FLOPs(m.Channels), p.Budget) {
		return slices.Clone(m.Channels), nil
	}
	return search.FitToBudget(p.Network, m.Channels, p.Budget, search.Minimum(p.Network.Start()))
}

// Plan is empty: nothing is trained to search.
func (m Widths) Plan(p search.Problem) ([]search.Work, error) {
	_, err := m.fitted(p)
	return nil, err
}
