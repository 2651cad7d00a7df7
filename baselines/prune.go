package baselines

import (
	"context"
	"fmt"
	"math"

	"netadjust/internal/search"
)

// Start is how pruners make the network that they start from. A method that only shrinks layers cannot start at the
// budget, so it starts from the same network, uniformly wider.
type Start struct {
	FLOPs  float64 // relative to the budget, more than 1
	Epochs int     // of its training
}

// train trains the start network and validates it. All pruners with the same settings share it.
func (s Start) train(ctx context.Context, lab search.Lab, p search.Problem) (search.Trained, *search.StartNetwork, error) {
	training, err := s.training(p)
	if err != nil {
		return nil, nil, err
	}
	t, err := lab.Train(ctx, training)
	if err != nil {
		return nil, nil, fmt.Errorf("start network: %w", err)
	}
	e, err := t.Validate(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("start network: %w", err)
	}
	lab.Report("start network: validation loss %.4f, top-1 %.2f %%, widths %v", e.Loss, 100*e.Top1, training.Channels)
	return t, &search.StartNetwork{Channels: training.Channels, Validation: e}, nil
}

// plan is the work of train.
func (s Start) plan(p search.Problem) ([]search.Work, error) {
	t, err := s.training(p)
	if err != nil {
		return nil, err
	}
	flops := p.Network.FLOPs(t.Channels)
	return []search.Work{{Training: t, FLOPs: flops, Validations: 1, ValidationFLOPs: flops}}, nil
}

func (s Start) training(p search.Problem) (search.Training, error) {
	c, _, err := p.Start(int64(math.RoundToEven(s.FLOPs * float64(p.Budget))))
	if err != nil {
		return search.Training{}, fmt.Errorf("start network of %g times the budget: %w", s.FLOPs, err)
	}
	return search.Training{Network: p.Network, Channels: c, Epochs: s.Epochs, Purpose: "start"}, nil
}
