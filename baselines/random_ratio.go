package baselines

import (
	"context"
	"fmt"

	"netadjust/internal/rng"
	"netadjust/internal/search"
)

// RandomRatio prunes the start network at random: every layer keeps a random share of its filters, those of the largest
// L1 norm, and of many such networks, with their batch norm statistics estimated again but not trained, the one that does
// best on the held-out images wins (Li et al., "EagleEye: fast sub-net evaluation for efficient neural network pruning",
// ECCV 2020). All shares are moved by one number to meet the budget, where the authors draw until they do.
type RandomRatio struct {
	Start      Start
	Candidates int
	Least      float64 // share of its filters that a layer keeps at least, before all shares are moved
	Batches    int     // of training images that estimate batch norm statistics
}

// Search prunes and evaluates the candidates.
func (m RandomRatio) Search(ctx context.Context, lab search.Lab, p search.Problem) (*search.Outcome, error) {
	t, err := m.Start.train(ctx, lab, p, nil)
	if err != nil {
		return nil, err
	}
	norms := Global.scores(t.sources, t.start.Channels, t.Tensor, l1Norms)
	units := search.Together(p.Network.Coupled(t.start.Channels), norms)
	kinds := kindsOf(units)
	ranks := ranksIn(kinds, units)
	pruning := search.Pruning{Network: p.Network, Budget: p.Budget, Minimum: search.Minimum(p.Network.Start())}
	out := &search.Outcome{Start: t.start.Channels, Network: &t.start}
	var reached search.Evaluation
	for k := range m.Candidates {
		r := rng.New(p.Seed, "random ratio", uint64(k))
		for _, kind := range kinds {
			share := m.Least + (1-m.Least)*r.Float64()
			for _, u := range kind {
				// The best rank of 1 stays longest; of a layer with a smaller share more ranks are below a common level.
				units[u].Score = ranks[u] + share
			}
		}
		keep, err := pruning.Prune(t.start.Channels, units)
		if err != nil {
			return nil, err
		}
		candidate, err := t.Inherit(ctx, keep, m.Batches)
		if err != nil {
			return nil, fmt.Errorf("candidate %d: %w", k+1, err)
		}
		e, err := candidate.Validate(ctx)
		if err != nil {
			return nil, fmt.Errorf("candidate %d: %w", k+1, err)
		}
		if out.Channels != nil && !better(e, reached) {
			continue
		}
		reached, out.Channels = e, nil
		for _, kept := range keep {
			out.Channels = append(out.Channels, len(kept))
		}
		if m.Start.Inherit {
			out.Inherited = candidate
		}
		lab.Report("candidate %d of %d is the best so far: validation loss %.4f, top-1 %.2f %%, widths %v",
			k+1, m.Candidates, e.Loss, 100*e.Top1, out.Channels)
	}
	return out, nil
}

// kindsOf groups units, by index, that have channels in the same layers.
func kindsOf(units []search.Unit) [][]int {
	var kinds [][]int
	at := map[string]int{}
	for u, unit := range units {
		var layers []int
		for _, c := range unit.Channels {
			layers = append(layers, c.Layer)
		}
		key := fmt.Sprint(layers)
		if _, ok := at[key]; !ok {
			at[key] = len(kinds)
			kinds = append(kinds, nil)
		}
		kinds[at[key]] = append(kinds[at[key]], u)
	}
	return kinds
}

// ranksIn returns the quantile that the score of each unit is in its kind.
func ranksIn(kinds [][]int, units []search.Unit) []float64 {
	ranks := make([]float64, len(units))
	for _, kind := range kinds {
		var scores []float64
		for _, u := range kind {
			scores = append(scores, units[u].Score)
		}
		for j, rank := range quantiles(scores) {
			ranks[kind[j]] = rank
		}
	}
	return ranks
}

// Plan is the training of the start network and the evaluation of the candidates, which all meet the budget.
func (m RandomRatio) Plan(p search.Problem) ([]search.Work, error) {
	w, err := m.Start.plan(p, nil)
	w.Validations += m.Candidates
	w.ValidationFLOPs += int64(m.Candidates) * p.Budget
	w.Forward = m.Candidates * m.Batches
	w.ForwardFLOPs = int64(w.Forward) * p.Budget
	return []search.Work{w}, err
}
