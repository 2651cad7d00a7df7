package baselines

import (
	"context"
	"fmt"
	"math"

	"netadjust/internal/search"
	"netadjust/networks"
)

// SynFlow prunes without data (Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic
// flow", NeurIPS 2020): the start network stays as it is initialised, and the score of a filter is the sum of the
// saliencies of its weights, see networks.Flow. In round n of Rounds the FLOPs come down to
//
//	F(start) (budget / F(start))^(n / Rounds)
//
// and scores are computed again without the filters that have gone. The paper counts weights instead of FLOPs.
type SynFlow struct {
	Start  Start // its Epochs do not count
	Rounds int
}

// Search prunes round by round.
func (m SynFlow) Search(ctx context.Context, lab search.Lab, p search.Problem) (*search.Outcome, error) {
	training, err := m.training(p)
	if err != nil {
		return nil, err
	}
	t, err := lab.Train(ctx, training)
	if err != nil {
		return nil, err
	}
	n, start := p.Network, training.Channels
	left := map[string][]float32{} // weights, those of removed filters zeroed
	for _, tensor := range n.Tensors(start) {
		left[tensor.Name] = append([]float32(nil), t.Tensor(tensor.Name)...)
	}
	full := float64(n.FLOPs(start))
	pruning := search.Pruning{Network: n, Minimum: search.Minimum(n.Start())}
	sources, units := n.Sources(start), search.Singles(rows(start))
	keep := [][]int(nil)
	for round := 1; round <= m.Rounds; round++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		lab.Charge(n.FLOPs(start), 1)
		pruning.Budget = int64(full * math.Pow(float64(p.Budget)/full, float64(round)/float64(m.Rounds)))
		pruning.Loose = round < m.Rounds
		if !pruning.Loose {
			pruning.Budget = p.Budget
		}
		err := lab.Recall(ctx, fmt.Sprintf("round %d", round), &keep, func() error {
			_, saliency, err := n.Flow(start, func(name string) []float32 { return left[name] })
			if err != nil {
				return err
			}
			score(units, sources, saliency)
			keep, err = pruning.Prune(start, units)
			return err
		})
		if err != nil {
			return nil, err
		}
		zero(left, sources, keep)
	}
	out := &search.Outcome{Start: start}
	for _, k := range keep {
		out.Channels = append(out.Channels, len(k))
	}
	return out, nil
}

// rows returns empty scores for layers of the given widths.
func rows(widths []int) [][]float64 {
	scores := make([][]float64, len(widths))
	for i, w := range widths {
		scores[i] = make([]float64, w)
	}
	return scores
}

// score sums up the saliencies of each filter. What has gone has none, so it goes first again.
func score(units []search.Unit, sources []networks.Source, saliency map[string][]float64) {
	for u := range units {
		c := units[u].Channels[0]
		units[u].Score = 0
		for _, conv := range sources[c.Layer].Convs {
			s := saliency[weights(conv)]
			size := len(s) / sources[c.Layer].Width
			for _, v := range s[c.Index*size : (c.Index+1)*size] {
				units[u].Score += v
			}
		}
	}
}

// zero clears the filters that are not kept.
func zero(tensors map[string][]float32, sources []networks.Source, keep [][]int) {
	for i, source := range sources {
		kept := make([]bool, source.Width)
		for _, j := range keep[i] {
			kept[j] = true
		}
		for _, conv := range source.Convs {
			w := tensors[weights(conv)]
			size := len(w) / source.Width
			for j, k := range kept {
				if !k {
					clear(w[j*size : (j+1)*size])
				}
			}
		}
	}
}

func (m SynFlow) training(p search.Problem) (search.Training, error) {
	t, err := m.Start.training(p)
	t.Epochs = 0
	return t, err
}

// Plan trains nothing. Each round computes a gradient for one image.
func (m SynFlow) Plan(p search.Problem) ([]search.Work, error) {
	t, err := m.training(p)
	return []search.Work{{Training: t, FLOPs: p.Network.FLOPs(t.Channels), Images: m.Rounds}}, err
}
