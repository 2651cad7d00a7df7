package baselines

import (
	"context"
	"fmt"
	"math"

	"netadjust/internal/search"
	"netadjust/networks"
)

// Start is how pruners make the network that they start from. A method that only shrinks layers cannot start at the
// budget, so it starts from the same network, uniformly wider.
type Start struct {
	FLOPs  float64 // relative to the budget, more than 1
	Epochs int     // of its training
	// Inherit asks for the weights that are left as well, to be trained on. Channels that are added to each other then go
	// together. Otherwise only widths count, and each layer loses channels on its own.
	Inherit bool
}

// pruned is the network that a pruner starts from, with all that it is scored by.
type pruned struct {
	search.Trained
	problem search.Problem
	start   search.StartNetwork
	sources []networks.Source
}

// train trains the start network and validates it. All pruners with the same settings share it, but for those that
// take part in its training with a hook.
func (s Start) train(ctx context.Context, lab search.Lab, p search.Problem, hook networks.Hook) (*pruned, error) {
	training, err := s.training(p)
	if err != nil {
		return nil, err
	}
	training.Hook = hook
	t, err := lab.Train(ctx, training)
	if err != nil {
		return nil, fmt.Errorf("start network: %w", err)
	}
	e, err := t.Validate(ctx)
	if err != nil {
		return nil, fmt.Errorf("start network: %w", err)
	}
	lab.Report("start network: validation loss %.4f, top-1 %.2f %%, widths %v", e.Loss, 100*e.Top1, training.Channels)
	return &pruned{
		Trained: t, problem: p, start: search.StartNetwork{Channels: training.Channels, Validation: e},
		sources: p.Network.Sources(training.Channels),
	}, nil
}

// plan is the work of train.
func (s Start) plan(p search.Problem, hook networks.Hook) (search.Work, error) {
	t, err := s.training(p)
	if err != nil {
		return search.Work{}, err
	}
	t.Hook = hook
	flops := p.Network.FLOPs(t.Channels)
	return search.Work{Training: t, FLOPs: flops, Validations: 1, ValidationFLOPs: flops}, nil
}

func (s Start) training(p search.Problem) (search.Training, error) {
	c, _, err := p.Start(int64(math.RoundToEven(s.FLOPs * float64(p.Budget))))
	if err != nil {
		return search.Training{}, fmt.Errorf("start network of %g times the budget: %w", s.FLOPs, err)
	}
	return search.Training{Network: p.Network, Channels: c, Epochs: s.Epochs, Purpose: "start"}, nil
}

// prune removes the channels of least score, relative to their FLOPs if perFLOP is set.
func (s Start) prune(ctx context.Context, t *pruned, scores [][]float64, perFLOP bool) (*search.Outcome, error) {
	pruning := search.Pruning{
		Network: t.problem.Network, Budget: t.problem.Budget, Minimum: search.Minimum(t.problem.Network.Start()),
	}
	if perFLOP {
		pruning.Cost = func(c []int) []float64 { return t.problem.Network.FLOPsPerChannel(c, networks.TieSplit) }
	}
	keep, err := pruning.Prune(t.start.Channels, s.units(t.problem.Network, scores))
	if err != nil {
		return nil, err
	}
	out := &search.Outcome{Start: t.start.Channels, Network: &t.start}
	for _, k := range keep {
		out.Channels = append(out.Channels, len(k))
	}
	if s.Inherit {
		out.Inherited, err = t.Inherit(ctx, keep, 0)
	}
	return out, err
}

// units returns what is removed at once.
func (s Start) units(n *networks.Network, scores [][]float64) []search.Unit {
	if !s.Inherit {
		return search.Singles(scores)
	}
	widths := make([]int, len(scores))
	for i, layer := range scores {
		widths[i] = len(layer)
	}
	return search.Together(n.Coupled(widths), scores)
}
