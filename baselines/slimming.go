package baselines

import (
	"context"

	"netadjust/internal/search"
)

// Slimming is network slimming (Liu et al., "Learning efficient convolutional networks through network slimming", ICCV
// 2017): the start network is trained with an L1 penalty on the scales of batch norm, which begin at 1/2, and the
// channels of the smallest absolute scales go, by one threshold for all layers.
type Slimming struct {
	Start   Start
	Penalty float64 // factor of the sum of absolute scales in the loss
}

// slimmingInit is what scales start at in the authors' code.
const slimmingInit = 0.5

// Search prunes the start network that is trained with the penalty.
func (m Slimming) Search(ctx context.Context, lab search.Lab, p search.Problem) (*search.Outcome, error) {
	hook, err := m.hook(p)
	if err != nil {
		return nil, err
	}
	t, err := m.Start.train(ctx, lab, p, hook)
	if err != nil {
		return nil, err
	}
	return m.Start.prune(ctx, t, scales(t.sources, t.Tensor), false)
}

// Plan is the training of the start network.
func (m Slimming) Plan(p search.Problem) ([]search.Work, error) {
	hook, err := m.hook(p)
	if err != nil {
		return nil, err
	}
	w, err := m.Start.plan(p, hook)
	return []search.Work{w}, err
}

func (m Slimming) hook(p search.Problem) (*penalty, error) {
	t, err := m.Start.training(p)
	if err != nil {
		return nil, err
	}
	factors := make([]float64, len(t.Channels))
	for i := range factors {
		factors[i] = m.Penalty
	}
	return newPenalty(p.Network, t.Channels, penalty{
		Kind: "slimming", Factor: m.Penalty, Init: slimmingInit,
		coefficient: func(map[string][]float32) []float64 { return factors },
	}), nil
}
