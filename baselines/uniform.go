// Package baselines holds the methods that network adjustment is compared with, one file each.
package baselines

import (
	"context"

	"netadjust/internal/search"
)

// Uniform multiplies all widths by one factor. It is what every other method has to beat.
type Uniform struct{}

// Search returns the network's own widths fitted to the budget.
func (Uniform) Search(_ context.Context, _ search.Lab, p search.Problem) (*search.Outcome, error) {
	c, _, err := p.Start(p.Budget)
	if err != nil {
		return nil, err
	}
	return &search.Outcome{Channels: c, Start: c}, nil
}

// Plan is empty: nothing is trained to search.
func (Uniform) Plan(search.Problem) ([]search.Work, error) { return nil, nil }
