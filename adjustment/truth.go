package adjustment

import (
	"context"
	"fmt"
	"math"
	"slices"

	"netadjust/internal/search"
)

// Truth measures what network adjustment rests on: whether the FLOPs utilization ratio of a layer, estimated by dropout
// in one trained network, tells what more or fewer channels of that layer are worth when the network is trained with
// them. It trains the widths that meet the budget, measures the ratios, and trains every network that has one layer
// half or one and a half times as wide. All of these trainings share their random numbers. No width is searched: the
// result is the widths that it starts from.
type Truth struct{ Settings }

// Factors by which Truth scales the width of a layer.
const (
	narrower = 0.5
	wider    = 1.5
)

// Search trains and measures.
func (m Truth) Search(ctx context.Context, lab search.Lab, p search.Problem) (*search.Outcome, error) {
	start, _, err := p.Start(p.Budget)
	if err != nil {
		return nil, err
	}
	t, err := lab.Train(ctx, m.training(p, start))
	if err != nil {
		return nil, err
	}
	step := Step{Network: p.Network, Start: start, Budget: p.Budget, Reference: m.Reference}
	measured, err := Method(m).measure(ctx, t, p, step, start, 0)
	if err != nil {
		return nil, err
	}
	truth := &search.Truth{Measured: *measured}
	for i, name := range p.Network.Adjustable() {
		for _, side := range []struct {
			factor float64
			found  *[]search.Neighbour
		}{{narrower, &truth.Narrower}, {wider, &truth.Wider}} {
			n, err := m.neighbour(ctx, lab, p, neighbour(start, i, side.factor), i)
			if err != nil {
				return nil, fmt.Errorf("%g times the width of %s: %w", side.factor, name, err)
			}
			*side.found = append(*side.found, *n)
		}
		lab.Report("%s: utilization ratio %.5f, validation loss %.4f with %d channels, %.4f with %d, %.4f with %d", name,
			truth.FUR[i], truth.Narrower[i].Validation.Loss, truth.Narrower[i].Channels, truth.Validation.Loss, start[i],
			truth.Wider[i].Validation.Loss, truth.Wider[i].Channels)
	}
	return &search.Outcome{Start: start, Channels: start, Truth: truth}, nil
}

// neighbour trains the widths c and validates them.
func (m Truth) neighbour(ctx context.Context, lab search.Lab, p search.Problem, c []int, layer int) (
	*search.Neighbour, error) {
	t, err := lab.Train(ctx, m.training(p, c))
	if err != nil {
		return nil, err
	}
	e, err := t.Validate(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkLoss(e); err != nil {
		return nil, err
	}
	return &search.Neighbour{Channels: c[layer], FLOPs: p.Network.FLOPs(c), Validation: e}, nil
}

// Plan lists all trainings; their widths are known.
func (m Truth) Plan(p search.Problem) ([]search.Work, error) {
	start, _, err := p.Start(p.Budget)
	if err != nil {
		return nil, err
	}
	runs, flops := Method(m).measurement(p, start)
	work := []search.Work{{
		Training: m.training(p, start), FLOPs: p.Network.FLOPs(start), Validations: runs, ValidationFLOPs: flops,
	}}
	for i := range start {
		for _, factor := range []float64{narrower, wider} {
			c := neighbour(start, i, factor)
			flops := p.Network.FLOPs(c)
			work = append(work, search.Work{
				Training: m.training(p, c), FLOPs: flops, Validations: 1, ValidationFLOPs: flops,
			})
		}
	}
	return work, nil
}

func (m Truth) training(p search.Problem, c []int) search.Training {
	return search.Training{Network: p.Network, Channels: c, Epochs: m.Epochs, Purpose: "truth"}
}

// neighbour returns widths c with that of one layer scaled, and changed by one channel at least.
func neighbour(c []int, layer int, factor float64) []int {
	c = slices.Clone(c)
	scaled := int(math.RoundToEven(factor * float64(c[layer])))
	if factor < 1 {
		c[layer] = max(min(scaled, c[layer]-1), 1)
	} else {
		c[layer] = max(scaled, c[layer]+1)
	}
	return c
}
