package baselines

import (
	"context"

	"netadjust/internal/search"
	"netadjust/networks"
)

// Taylor prunes the channels whose removal would change the loss least, by its first-order expansion (Molchanov et al.,
// "Importance estimation for neural network pruning", CVPR 2019): the square of what the loss changes by when a gate
// behind the batch norm of a channel closes, averaged over minibatches,
//
//	(gamma dL/dgamma + beta dL/dbeta)^2
//
// Channels of all layers are ranked together, without normalization. The paper removes a hundred at a time and trains
// in between; here the start network is scored once, so that the cost is the same as for L1.
type Taylor struct {
	Start   Start
	Batches int  // minibatches that scores are averaged over
	PerFLOP bool // scores count relative to the FLOPs that the channel takes
}

// Search prunes the trained start network to the budget.
func (m Taylor) Search(ctx context.Context, lab search.Lab, p search.Problem) (*search.Outcome, error) {
	t, err := m.Start.train(ctx, lab, p, nil)
	if err != nil {
		return nil, err
	}
	scores := make([][]float64, len(t.sources))
	for i, width := range t.start.Channels {
		scores[i] = make([]float64, width)
	}
	err = t.Gradients(ctx, "taylor", m.Batches, &scores, func(gradient func(string) []float32) {
		for i, source := range t.sources {
			for _, norm := range source.Norms {
				gate := gateGradient(t.Tensor, gradient, norm.Name)[norm.Offset:]
				for j := range scores[i] {
					scores[i][j] += gate[j] * gate[j] / float64(m.Batches)
				}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return m.Start.prune(ctx, t, scores, m.PerFLOP)
}

// gateGradient returns the gradient of the loss by gates behind a batch norm, whose output they multiply.
func gateGradient(value, gradient func(name string) []float32, norm string) []float64 {
	gate := make([]float64, len(value(norm+"."+string(networks.Gamma))))
	for _, role := range []networks.Role{networks.Gamma, networks.Beta} {
		v, g := value(norm+"."+string(role)), gradient(norm+"."+string(role))
		for j := range gate {
			gate[j] += float64(v[j]) * float64(g[j])
		}
	}
	return gate
}

// Plan is the training of the start network and its gradients.
func (m Taylor) Plan(p search.Problem) ([]search.Work, error) {
	w, err := m.Start.plan(p, nil)
	w.Backward = m.Batches
	return []search.Work{w}, err
}
