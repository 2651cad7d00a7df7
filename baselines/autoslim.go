package baselines

import (
	"context"
	"fmt"
	"slices"

	"netadjust/internal/search"
	"netadjust/networks"
)

// AutoSlim trains one slimmable network, whose narrower ones share its weights, and then slims it greedily (Yu and Huang,
// "AutoSlim: towards one-shot architecture search for channel numbers", 2019): from the full widths it takes the step
// that hurts the accuracy on the held-out images least, of one layer at a time, until the budget is met. What the last
// steps took too much returns channel by channel, the last first.
type AutoSlim struct {
	Start  Start
	Steps  int // widths of a layer, all equally far from each other
	Random int // random networks in each step of the training
}

// Search trains and slims.
func (m AutoSlim) Search(ctx context.Context, lab search.Lab, p search.Problem) (*search.Outcome, error) {
	training, err := m.training(p)
	if err != nil {
		return nil, err
	}
	t, err := lab.Train(ctx, training)
	if err != nil {
		return nil, fmt.Errorf("slimmable network: %w", err)
	}
	e, err := t.Validate(ctx)
	if err != nil {
		return nil, fmt.Errorf("slimmable network: %w", err)
	}
	start := training.Channels
	out := &search.Outcome{Start: start, Network: &search.StartNetwork{Channels: start, Validation: e}}
	minimum := search.Minimum(p.Network.Start())
	steps := slices.Repeat([]int{m.Steps}, len(start))
	c, removed := start, []int(nil)
	for p.Network.FLOPs(c) > p.Budget {
		layer, e, err := m.slimmest(ctx, t, training, steps, minimum)
		if err != nil {
			return nil, err
		}
		if layer < 0 {
			return nil, fmt.Errorf("budget of %d FLOPs is too small: the narrowest networks already need %d",
				p.Budget, p.Network.FLOPs(c))
		}
		before := c[layer]
		steps[layer]--
		c = training.Slimmable.Widths(start, steps)
		removed = append(removed, slices.Repeat([]int{layer}, before-c[layer])...)
		lab.Report("%s narrower: validation loss %.4f, top-1 %.2f %%, widths %v", p.Network.Adjustable()[layer], e.Loss,
			100*e.Top1, c)
	}
	out.Channels, err = search.PruneToBudget(p.Network, removalScores(start, removed), p.Budget, minimum)
	return out, err
}

// removalScores scores the channels of layers by when they were removed, from the last channel of a layer on; those that
// are left have the highest score. removed are the layers that lost a channel, in that order.
func removalScores(start, removed []int) [][]float64 {
	scores := rows(start)
	for i := range scores {
		for j := range scores[i] {
			scores[i][j] = float64(len(removed) + 1)
		}
	}
	left := slices.Clone(start)
	for k, layer := range removed {
		left[layer]--
		scores[layer][left[layer]] = float64(k + 1)
	}
	return scores
}

// slimmest returns the layer that can take a step down with the least loss of accuracy, -1 if none can, and what is
// reached without it.
func (m AutoSlim) slimmest(ctx context.Context, t search.Trained, training search.Training, steps, minimum []int) (
	best int, reached search.Evaluation, err error) {
	best = -1
	for i := range steps {
		try := slices.Clone(steps)
		try[i]--
		c := training.Slimmable.Widths(training.Channels, try)
		if try[i] < training.Slimmable.Least || c[i] < minimum[i] {
			continue
		}
		narrow, err := t.Inherit(ctx, firstChannels(c), 0)
		if err != nil {
			return -1, reached, err
		}
		e, err := narrow.Validate(ctx)
		if err != nil {
			return -1, reached, err
		}
		if best < 0 || better(e, reached) {
			best, reached = i, e
		}
	}
	return best, reached, nil
}

func firstChannels(c []int) [][]int {
	keep := make([][]int, len(c))
	for i, w := range c {
		for j := range w {
			keep[i] = append(keep[i], j)
		}
	}
	return keep
}

func (m AutoSlim) training(p search.Problem) (search.Training, error) {
	t, err := m.Start.training(p)
	// The authors' least width is a sixth of the full one.
	t.Slimmable = &networks.Slimmable{Steps: m.Steps, Least: (m.Steps + 5) / 6, Random: m.Random}
	return t, err
}

// Plan is the training, whose further networks the lab knows, and a guess at the slimming: each layer is tried at every
// step, the way leads by half of the steps of each, and the networks tried are on average half as far from the budget as
// the start.
func (m AutoSlim) Plan(p search.Problem) ([]search.Work, error) {
	t, err := m.training(p)
	if err != nil {
		return nil, err
	}
	flops, layers := p.Network.FLOPs(t.Channels), len(t.Channels)
	tries := 1 + layers*m.way(p, t)
	return []search.Work{{
		Training: t, FLOPs: flops, Validations: tries, ValidationFLOPs: int64(tries) * (flops + p.Budget) / 2,
	}}, nil
}

// way returns how many steps lead to the budget if all layers take them in turn.
func (m AutoSlim) way(p search.Problem, t search.Training) int {
	steps := slices.Repeat([]int{m.Steps}, len(t.Channels))
	n := 0
	for p.Network.FLOPs(t.Slimmable.Widths(t.Channels, steps)) > p.Budget && n < len(steps)*(m.Steps-1) {
		steps[n%len(steps)]--
		n++
	}
	return n
}
