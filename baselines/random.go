package baselines

import (
	"context"
	"fmt"
	"math"

	"netadjust/internal/rng"
	"netadjust/internal/search"
)

// Random draws widths on the budget: every width times a factor from 1/2 to 2, uniform in its logarithm, all fitted to
// the budget. What such widths reach, and how far they spread, is what moving channels does without knowing where to.
type Random struct{}

// Search draws widths by the seed of the cell.
func (Random) Search(_ context.Context, _ search.Lab, p search.Problem) (*search.Outcome, error) {
	start, c, err := draw(p, 0)
	if err != nil {
		return nil, err
	}
	return &search.Outcome{Channels: c, Start: start}, nil
}

// Plan is empty: nothing is trained to search.
func (Random) Plan(search.Problem) ([]search.Work, error) { return nil, nil }

// draws is how often widths are drawn before it is an error that none fit.
const draws = 100

// draw draws the widths of a candidate, and returns the network's own widths fitted to the budget with them. Widths of
// more than four times these are drawn again.
func draw(p search.Problem, candidate int) (start, c []int, err error) {
	start, minimum, err := p.Start(p.Budget)
	if err != nil {
		return nil, nil, err
	}
	r := rng.New(p.Seed, "random widths", uint64(candidate))
	for range draws {
		drawn := make([]int, len(start))
		wide := false
		for i, w := range start {
			drawn[i] = max(minimum[i], int(math.RoundToEven(float64(w)*math.Exp2(2*r.Float64()-1))))
		}
		if c, err = search.FitToBudget(p.Network, drawn, p.Budget, minimum); err != nil {
			continue
		}
		for i, w := range c {
			wide = wide || w > 4*start[i]
		}
		if !wide {
			return start, c, nil
		}
	}
	return nil, nil, fmt.Errorf("%d random width vectors: none fits the budget of %d FLOPs (%v)", draws, p.Budget, err)
}

// RandomBest trains as many candidates of Random as a search of another method costs, and takes the one that does best
// on the held-out images: what a search has to beat to be worth its cost.
type RandomBest struct {
	Epochs int           // of each candidate
	Equal  search.Method // whose cost it may have, as planned
	// Images that are trained on and held out, to add up costs.
	Train, Validation int
}

// Search trains the candidates by the recipe of searches.
func (m RandomBest) Search(ctx context.Context, lab search.Lab, p search.Problem) (*search.Outcome, error) {
	n, err := m.candidates(p)
	if err != nil {
		return nil, err
	}
	var best *search.Outcome
	var reached search.Evaluation
	for k := range n {
		start, c, err := draw(p, k)
		if err != nil {
			return nil, err
		}
		t, err := lab.Train(ctx, m.training(p, k, c))
		if err != nil {
			return nil, fmt.Errorf("candidate %d: %w", k+1, err)
		}
		e, err := t.Validate(ctx)
		if err != nil {
			return nil, fmt.Errorf("candidate %d: %w", k+1, err)
		}
		lab.Report("candidate %d of %d: validation loss %.4f, top-1 %.2f %%, widths %v", k+1, n, e.Loss, 100*e.Top1, c)
		if best == nil || better(e, reached) {
			best, reached = &search.Outcome{Channels: c, Start: start}, e
		}
	}
	return best, nil
}

// better tells whether a has the higher accuracy, or the lower loss at the same.
func better(a, b search.Evaluation) bool {
	return a.Top1 > b.Top1 || a.Top1 == b.Top1 && a.Loss < b.Loss
}

// Plan is the trainings of the candidates.
func (m RandomBest) Plan(p search.Problem) ([]search.Work, error) {
	n, err := m.candidates(p)
	if err != nil {
		return nil, err
	}
	var work []search.Work
	for k := range n {
		_, c, err := draw(p, k)
		if err != nil {
			return nil, err
		}
		flops := p.Network.FLOPs(c)
		work = append(work, search.Work{
			Training: m.training(p, k, c), FLOPs: flops, Validations: 1, ValidationFLOPs: flops,
		})
	}
	return work, nil
}

func (m RandomBest) training(p search.Problem, k int, c []int) search.Training {
	return search.Training{Network: p.Network, Channels: c, Epochs: m.Epochs, Purpose: fmt.Sprintf("candidate %d", k+1)}
}

// candidates returns how many networks of the budget's FLOPs can be trained and validated at the cost of the other
// search, at least one.
func (m RandomBest) candidates(p search.Problem) (int, error) {
	work, err := m.Equal.Plan(p)
	if err != nil {
		return 0, err
	}
	cost := func(w search.Work) float64 {
		// A backward pass costs two forward passes.
		return 3*float64(w.FLOPs)*float64(w.Training.Epochs)*float64(m.Train) + float64(w.ValidationFLOPs)*float64(m.Validation)
	}
	total := 0.
	for _, w := range work {
		total += cost(w)
	}
	one := search.Work{FLOPs: p.Budget, Training: search.Training{Epochs: m.Epochs}, ValidationFLOPs: p.Budget}
	return max(1, int(total/cost(one))), nil
}
