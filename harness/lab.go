package harness

import (
	"context"
	"fmt"

	"netadjust/internal/rng"
	"netadjust/internal/search"
	"netadjust/internal/train"
	"netadjust/results"
)

// lab trains and validates for the search of one cell, on the images that the search may see, and keeps account.
// Trainings that another cell has done are charged all the same.
type lab struct {
	*worker
	cell *cell
	data *images
	cost *results.Cost
}

var _ search.Lab = (*lab)(nil)

// Train trains a network on the training images.
func (l *lab) Train(ctx context.Context, t search.Training) (search.Trained, error) {
	recipe := l.cell.recipe
	recipe.Epochs = t.Epochs
	c := contentOf(l.cell, t, recipe, l.data.checksum, l.dev.Info())
	charged := 0 // epochs
	flops := t.Network.FLOPs(t.Channels)
	m, err := l.store.get(ctx, c, l.data.norm, t.Network, func() (*train.Model, error) {
		m, _, err := train.Train(ctx, l.dev, t.Network, t.Channels, l.data.train, l.data.norm, recipe, c.Stream,
			func(e int, report train.Epoch) {
				charged++
				l.epoch(l.cell, t.Purpose, e, recipe.Epochs, report)
				l.advance(trainingPasses * flops * int64(l.data.train.Len()))
			})
		return m, err
	})
	if err != nil {
		return nil, err
	}
	trained(l.cost, flops, l.data.train.Len()*recipe.Epochs)
	l.advance(trainingPasses * flops * int64(l.data.train.Len()) * int64(recipe.Epochs-charged))
	return &trainedNetwork{lab: l, model: m, key: rng.NewKey(l.cell.Seed, t.Purpose+"/fur"), flops: flops}, nil
}

// Report passes on what the search found.
func (l *lab) Report(format string, args ...any) { l.note(l.cell, fmt.Sprintf(format, args...)) }

// trainedNetwork is a network that the lab has trained.
type trainedNetwork struct {
	lab   *lab
	model *train.Model
	key   rng.Key // of channel dropout
	flops int64
}

// Validate evaluates on the validation images.
func (t *trainedNetwork) Validate(ctx context.Context) (search.Evaluation, error) {
	e, err := train.NewEvaluator(t.lab.dev, t.model, t.lab.data.validation, false)
	if err != nil {
		return search.Evaluation{}, err
	}
	defer e.Close()
	result, err := e.Evaluate(ctx)
	if err != nil {
		return search.Evaluation{}, err
	}
	return t.charge(result, t.flops), nil
}

// ValidateDropout does so with channel dropout in one layer after the other. What is computed is charged: the whole
// network once, and what lies behind each layer for each repeat.
func (t *trainedNetwork) ValidateDropout(ctx context.Context, rates []float64, repeats int) (*search.Dropout, error) {
	images := t.lab.data.validation
	e, err := train.NewEvaluator(t.lab.dev, t.model, images, true)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	result, err := e.EvaluateLayerDropout(ctx, rates, t.key, repeats)
	if err != nil {
		return nil, err
	}
	d := &search.Dropout{Clean: t.charge(result.Clean, t.flops), Dropped: make([][]search.Evaluation, len(rates))}
	for i, behind := range t.model.Network.FLOPsBehind(t.model.Channels) {
		for _, e := range result.Dropped[i] {
			d.Dropped[i] = append(d.Dropped[i], t.charge(e, behind))
		}
	}
	return d, nil
}

// charge accounts for an evaluation that took the given FLOPs for each image.
func (t *trainedNetwork) charge(e train.Evaluation, flops int64) search.Evaluation {
	evaluated(t.lab.cost, flops, e.Images)
	t.lab.advance(flops * int64(e.Images))
	return search.Evaluation{Loss: e.Loss, Top1: e.Top1}
}

// Filters returns the weights of an adjustable layer.
func (t *trainedNetwork) Filters(i int) []float32 {
	return t.model.Tensor(t.model.Network.Adjustable()[i] + ".weights")
}
