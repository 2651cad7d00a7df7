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
	c := contentOf(l.cell, t, l.data.checksum, l.dev.Info())
	charged := 0 // epochs
	flops := t.Network.FLOPs(t.Channels)
	m, err := l.store.get(ctx, c, l.data.norm, t.Network, func() (*train.Model, error) {
		m, _, err := train.Train(ctx, l.dev, t.Network, t.Channels, l.data.train, l.data.norm, c.Recipe, c.Stream,
			func(e int, report train.Epoch) {
				charged++
				l.epoch(l.cell, t.Purpose, e, t.Epochs, report)
				l.advance(trainingPasses * flops * int64(l.data.train.Len()))
			})
		return m, err
	})
	if err != nil {
		return nil, err
	}
	m.BatchStatistics = t.Slimmable != nil
	images := l.data.train.Len()
	cost := c.cost(t, images)
	l.cost.ForwardImages += cost.ForwardImages
	l.cost.BackwardImages += cost.BackwardImages
	l.cost.FLOPs += cost.FLOPs
	l.advance(cost.FLOPs - trainingPasses*flops*int64(images)*int64(charged))
	return &trainedNetwork{
		lab: l, model: m, key: rng.NewKey(l.cell.Seed, t.Purpose+"/fur"), flops: flops,
		stream: train.Stream{Seed: l.cell.Seed, Purpose: t.Purpose + "/look"},
	}, nil
}

// Charge accounts for gradients that the method has computed.
func (l *lab) Charge(flops int64, images int) { l.charge(trainingPasses*flops, images, true) }

// charge accounts for images, at so many FLOPs each, and for their gradients if these were computed.
func (l *lab) charge(flops int64, images int, backward bool) {
	l.cost.ForwardImages += int64(images)
	if backward {
		l.cost.BackwardImages += int64(images)
	}
	l.cost.FLOPs += flops * int64(images)
	l.advance(flops * int64(images))
}

// Cost returns what the search has cost so far.
func (l *lab) Cost() search.Cost { return search.Cost(*l.cost) }

// Report passes on what the search found, with how much of its planned computation that took.
func (l *lab) Report(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if l.cell.toFind > 0 {
		text += fmt.Sprintf(", %.0f %% of the search", 100*float64(l.cost.FLOPs)/float64(l.cell.toFind))
	}
	l.note(l.cell, text)
}

// trainedNetwork is a network that the lab has trained.
type trainedNetwork struct {
	lab   *lab
	model *train.Model
	key   rng.Key // of channel dropout
	flops int64
	// Of the batches that it is looked at with.
	stream train.Stream
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

// EvaluateDropout evaluates with channel dropout in one layer after the other. What is computed is charged: the whole
// network once, and what lies behind each layer for each repeat.
func (t *trainedNetwork) EvaluateDropout(ctx context.Context, on search.Images, rates []float64, repeats int) (
	*search.Dropout, error) {
	images := t.lab.data.validation
	if on == search.Seen {
		var err error
		if images, err = t.lab.data.train.Slice(0, min(images.Len(), t.lab.data.train.Len())); err != nil {
			return nil, err
		}
	}
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
		d.StdErr = append(d.StdErr, evaluationOf(result.StdErr[i]))
	}
	return d, nil
}

// charge accounts for an evaluation that took the given FLOPs for each image.
func (t *trainedNetwork) charge(e train.Evaluation, flops int64) search.Evaluation {
	evaluated(t.lab.cost, flops, e.Images)
	t.lab.advance(flops * int64(e.Images))
	return evaluationOf(e)
}

func evaluationOf(e train.Evaluation) search.Evaluation {
	return search.Evaluation{Loss: e.Loss, Top1: e.Top1}
}

// Tensor returns a parameter.
func (t *trainedNetwork) Tensor(name string) []float32 { return t.model.Tensor(name) }

// Gradients computes gradients on batches of the images that the network was trained on, in an order of their own.
func (t *trainedNetwork) Gradients(ctx context.Context, batches int,
	visit func(gradient func(name string) []float32)) error {
	l := t.lab
	defer l.charge(t.flops*trainingPasses, batches*l.cell.search.Batch, true)
	return t.model.Gradients(ctx, l.dev, l.data.train, l.cell.search, t.stream, batches, visit)
}

// Inherit cuts channels away.
func (t *trainedNetwork) Inherit(ctx context.Context, keep [][]int, batches int) (search.Trained, error) {
	m, err := t.model.Inherit(keep)
	if err != nil {
		return nil, err
	}
	l, narrow := t.lab, *t
	narrow.model, narrow.flops = m, m.Network.FLOPs(m.Channels)
	if batches > 0 {
		err = m.Reestimate(ctx, l.dev, l.data.train, l.cell.search, t.stream, batches)
		l.charge(narrow.flops, batches*l.cell.search.Batch, false)
	}
	return &narrow, err
}
