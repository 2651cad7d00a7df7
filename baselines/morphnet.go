package baselines

import (
	"context"
	"fmt"

	"netadjust/internal/search"
	"netadjust/networks"
)

// MorphNet alternates shrinking and expanding once (Gordon et al., "MorphNet: fast & simple resource-constrained structure
// learning of deep networks", CVPR 2018). The network that meets the budget is trained, at a constant learning rate, with
// the loss plus
//
//	Penalty / F * sum over channels of |gamma| dF/dc
//
// where dF/dc is what a channel of its layer costs in FLOPs among those that are alive, here with the widest layers of a
// residual stream paying for its readers. Channels whose scale ends within 0.01 of 0 are dead; all widths are the numbers
// of living channels, multiplied by one factor to meet the budget again. So layers can grow.
type MorphNet struct {
	Epochs  int
	Penalty float64
}

// alive is the least absolute scale of a living channel in the authors' code.
const alive = 0.01

// Search trains once and scales what is alive.
func (m MorphNet) Search(ctx context.Context, lab search.Lab, p search.Problem) (*search.Outcome, error) {
	training, err := m.training(p)
	if err != nil {
		return nil, err
	}
	t, err := lab.Train(ctx, training)
	if err != nil {
		return nil, fmt.Errorf("structure learning: %w", err)
	}
	e, err := t.Validate(ctx)
	if err != nil {
		return nil, fmt.Errorf("structure learning: %w", err)
	}
	minimum := search.Minimum(p.Network.Start())
	living := living(p.Network.Sources(training.Channels), t.Tensor, minimum)
	lab.Report("structure learning: validation loss %.4f, top-1 %.2f %%, living channels %v", e.Loss, 100*e.Top1, living)
	c, err := search.FitToBudget(p.Network, living, p.Budget, minimum)
	if err != nil {
		return nil, fmt.Errorf("living channels %v: %w", living, err)
	}
	return &search.Outcome{
		Channels: c, Start: training.Channels,
		Network: &search.StartNetwork{Channels: training.Channels, Validation: e},
	}, nil
}

// living counts the channels of each layer that are alive, but no fewer than its minimum.
func living(sources []networks.Source, tensor func(name string) []float32, minimum []int) []int {
	counts := make([]int, len(sources))
	for i, source := range sources {
		for j := range source.Width {
			for _, norm := range source.Norms {
				if abs(tensor(gamma(norm))[norm.Offset+j]) > alive {
					counts[i]++
					break
				}
			}
		}
		counts[i] = max(counts[i], minimum[i])
	}
	return counts
}

// Plan is the one training.
func (m MorphNet) Plan(p search.Problem) ([]search.Work, error) {
	t, err := m.training(p)
	if err != nil {
		return nil, err
	}
	flops := p.Network.FLOPs(t.Channels)
	return []search.Work{{Training: t, FLOPs: flops, Validations: 1, ValidationFLOPs: flops}}, nil
}

func (m MorphNet) training(p search.Problem) (search.Training, error) {
	start, minimum, err := p.Start(p.Budget)
	if err != nil {
		return search.Training{}, err
	}
	factor := m.Penalty / float64(p.Network.FLOPs(start))
	sources := p.Network.Sources(start)
	hook := newPenalty(p.Network, start, penalty{
		Kind: "morphnet", Factor: factor,
		coefficient: func(gammas map[string][]float32) []float64 {
			c := living(sources, func(name string) []float32 { return gammas[name] }, minimum)
			costs := p.Network.FLOPsPerChannel(c, networks.TieSplit)
			for i := range costs {
				costs[i] *= factor
			}
			return costs
		},
	})
	return search.Training{
		Network: p.Network, Channels: start, Epochs: m.Epochs, Purpose: "start", Constant: true, Hook: hook,
	}, nil
}
