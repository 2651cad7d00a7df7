package harness

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"netadjust/internal/data"
	"netadjust/internal/progress"
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
	cuts *looks
}

var _ search.Lab = (*lab)(nil)

// Train trains a network on the training images.
func (l *lab) Train(ctx context.Context, t search.Training) (search.Trained, error) {
	c := contentOf(l.cell, t, l.data.checksum, l.dev.Info())
	var charged int64 // FLOPs that are in the account
	flops := t.Network.FLOPs(t.Channels)
	m, err := l.store.get(ctx, c, l.data.norm, t.Network,
		func(ctx context.Context, keep *train.Checkpoints) (*train.Model, error) {
			watch := l.course(l.cell, t.Purpose, t.Epochs, l.data.train.Len(), flops)
			keep.Watch = watch.step
			m, _, err := train.Resume(ctx, l.dev, t.Network, t.Channels, l.data.train, l.data.norm, c.Recipe, c.Stream, keep,
				watch.epoch)
			charged = watch.charged
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
	l.spare(cost.FLOPs - charged)
	return &trainedNetwork{
		lab: l, content: c, model: m, key: rng.NewKey(l.cell.Seed, t.Purpose+"/fur"), flops: flops,
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

// Recall lets a method compute something once, also over interruptions.
func (l *lab) Recall(ctx context.Context, name string, value any, compute func() error) error {
	return l.cuts.recall(ctx, name, value, func(*train.Partial) error { return compute() })
}

// Cost returns what the search has cost so far.
func (l *lab) Cost() search.Cost { return search.Cost(*l.cost) }

// Report passes on what the search found, with how much of its planned computation that took.
func (l *lab) Report(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if planned := l.cell.costs.search.FLOPs; planned > 0 {
		text += fmt.Sprintf(", %.0f %% of the search", 100*float64(l.cost.FLOPs)/float64(planned))
	}
	l.note(l.cell, text)
}

// Updated logs an update, so that it can be seen before the search is over.
func (l *lab) Updated(index int, u *search.Update) {
	l.cell.log.write(progress.Update, fmt.Sprintf("update %d", index+1),
		slog.Any("update", updateOf(l.cell.problem.Network, index, *u)))
}

// trainedNetwork is a network that the lab has trained.
type trainedNetwork struct {
	lab     *lab
	content content // what it was trained by
	cuts    []cut   // what has made it of that network
	model   *train.Model
	// Batch norm statistics have yet to be estimated on so many batches, which is done when they are needed: after an
	// interruption a search asks for many networks of which everything is known.
	unestimated int
	key         rng.Key // of channel dropout
	flops       int64
	stream      train.Stream // of the batches that it is looked at with
}

// Validate evaluates on the validation images.
func (t *trainedNetwork) Validate(ctx context.Context) (search.Evaluation, error) {
	images := t.lab.data.validation
	var result train.Evaluation
	err := t.recall(ctx, evaluation{Images: rangeOf(images)}, &result, func(keep *train.Partial) error {
		e, err := train.NewEvaluator(t.lab.dev, t.model, images, false)
		if err != nil {
			return err
		}
		defer e.Close()
		e.Keep = keep
		result, err = e.Evaluate(ctx)
		return err
	})
	if err != nil {
		return search.Evaluation{}, err
	}
	return t.charge(result, t.flops), nil
}

// recall is that of the store, or of the looks for a network that was cut out of another one.
func (t *trainedNetwork) recall(ctx context.Context, of evaluation, value any,
	run func(keep *train.Partial) error) error {
	of.Training, of.Cuts = t.content, t.cuts
	if t.cuts == nil {
		return t.lab.store.recall(ctx, of, value, run)
	}
	return t.lab.cuts.recall(ctx, of, value, func(keep *train.Partial) error {
		if err := t.estimate(ctx); err != nil {
			return err
		}
		return run(keep)
	})
}

// estimate estimates batch norm statistics if that is still to be done.
func (t *trainedNetwork) estimate(ctx context.Context) error {
	if t.unestimated == 0 {
		return nil
	}
	l := t.lab
	keep := l.cuts.partial(statisticsFile, keyOf(evaluation{Training: t.content, Cuts: t.cuts}))
	err := t.model.Reestimate(ctx, l.dev, t.batches(t.unestimated, keep))
	if err == nil {
		t.unestimated = 0
	}
	return err
}

// batches are those that the network is looked at with.
func (t *trainedNetwork) batches(n int, keep *train.Partial) train.Batches {
	return train.Batches{Images: t.lab.data.train, Recipe: t.lab.cell.search, Stream: t.stream, Count: n, Keep: keep}
}

func rangeOf(images *data.Images) [2]int { return [2]int{images.First, images.First + images.Len()} }

// EvaluateDropout evaluates with channel dropout in one layer after the other. What is computed is charged: the whole
// network once, and for each repeat what lies behind each layer, or all of it where images are drawn anew.
func (t *trainedNetwork) EvaluateDropout(ctx context.Context, on search.Images, rates []float64, repeats int) (
	*search.Dropout, error) {
	images := t.lab.data.validation
	if on == search.Seen {
		var err error
		if images, err = t.lab.data.train.Slice(0, min(images.Len(), t.lab.data.train.Len())); err != nil {
			return nil, err
		}
	}
	var result *train.LayerDropout
	of := evaluation{Images: rangeOf(images), Rates: rates, Repeats: repeats, Redrawn: on == search.Redrawn}
	err := t.recall(ctx, of, &result, func(keep *train.Partial) (err error) {
		if of.Redrawn {
			result, err = train.EvaluateRedrawn(ctx, t.lab.dev, t.model, images, t.lab.cell.search, t.stream, rates, t.key,
				repeats, keep)
			return err
		}
		e, err := train.NewEvaluator(t.lab.dev, t.model, images, true)
		if err != nil {
			return err
		}
		defer e.Close()
		e.Keep = keep
		result, err = e.EvaluateLayerDropout(ctx, rates, t.key, repeats)
		return err
	})
	if err != nil {
		return nil, err
	}
	d := &search.Dropout{Clean: t.charge(result.Clean, t.flops), Dropped: make([][]search.Evaluation, len(rates))}
	for i, behind := range t.model.Network.FLOPsBehind(t.model.Channels) {
		if of.Redrawn {
			behind = t.flops
		}
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
func (t *trainedNetwork) Gradients(ctx context.Context, purpose string, batches int, sums any,
	visit func(gradient func(name string) []float32)) error {
	defer t.lab.charge(t.flops*trainingPasses, batches*t.lab.cell.search.Batch, true)
	return t.recall(ctx, evaluation{Sums: purpose, Batches: batches}, sums, func(keep *train.Partial) error {
		return t.model.Gradients(ctx, t.lab.dev, t.batches(batches, keep), sums, visit)
	})
}

// Inherit cuts channels away.
func (t *trainedNetwork) Inherit(ctx context.Context, keep [][]int, batches int) (search.Trained, error) {
	if err := t.estimate(ctx); err != nil {
		return nil, err
	}
	m, err := t.model.Inherit(keep)
	if err != nil {
		return nil, err
	}
	narrow := *t
	narrow.cuts = append(slices.Clone(t.cuts), cut{keep, batches})
	narrow.model, narrow.flops, narrow.unestimated = m, m.Network.FLOPs(m.Channels), batches
	if batches > 0 {
		t.lab.charge(narrow.flops, batches*t.lab.cell.search.Batch, false)
	}
	return &narrow, nil
}
