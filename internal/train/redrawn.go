package train

import (
	"context"

	"netadjust/internal/data"
	"netadjust/internal/device"
	"netadjust/internal/rng"
)

// redrawn is how far an EvaluateRedrawn is.
type redrawn struct {
	Run             int     // evaluations that are complete
	Images          int     // that the next one has done
	Sum             tally   // of these
	Without, Change []score // of all images: without dropout, and the mean change by dropout in the layer at hand
	Found           LayerDropout
}

// EvaluateRedrawn evaluates with dropout in one layer after the other as the paper's code does: each evaluation takes
// the whole network, and the images moved and mirrored as the recipe trains on them, by a draw of its own from the
// stream. Masks are those of [Evaluator.EvaluateLayerDropout], and so are the numbers of a recipe that moves nothing.
// Resized crops are for training alone.
func EvaluateRedrawn(ctx context.Context, dev device.Device, m *Model, images *data.Images, r Recipe, stream Stream,
	rates []float64, key rng.Key, repeats int, keep *Partial) (*LayerDropout, error) {
	e, err := newEvaluator(dev, m, images, true, EvaluationBatch, r.CropPad)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	e.Keep = keep
	n := images.Len()
	s := redrawn{Without: make([]score, n), Change: make([]score, n)}
	s.Found.Dropped = make([][]Evaluation, len(rates))
	if err := keep.Restore(&s); err != nil {
		return nil, err
	}
	for ; s.Run <= len(rates)*repeats; s.Run++ {
		layer, repeat := -1, 0
		if s.Run > 0 {
			layer, repeat = (s.Run-1)/repeats, (s.Run-1)%repeats
		}
		only := make([]float64, len(rates))
		if layer >= 0 {
			only[layer] = rates[layer]
		}
		if err := e.setDropout(only, key); err != nil {
			return nil, err
		}
		e.key[2] = uint32(repeat)
		draw := rng.NewKey(stream.Seed, stream.purpose("augment"), uint64(s.Run))
		see := func(image int, move []uint32) data.Box {
			r.move(draw, images.First+image, move)
			return images.Center(image)
		}
		if err := e.scores(ctx, s.Images, see, &s, func(batch []score) { s.add(batch, layer, repeats) }); err != nil {
			return nil, err
		}
		s.end(layer, repeat == repeats-1)
	}
	return &s.Found, nil
}

// add adds the scores of the next images, with dropout in a layer, or without where that is -1.
func (s *redrawn) add(scores []score, layer, repeats int) {
	s.Sum.add(scores, s.Images)
	for i, with := range scores {
		if at := s.Images + i; layer < 0 {
			s.Without[at] = with
		} else {
			s.Change[at].add(with, s.Without[at], repeats)
		}
	}
	s.Images += len(scores)
}

// end ends an evaluation with dropout in a layer, the last one for it or not.
func (s *redrawn) end(layer int, last bool) {
	of, n := s.Sum.evaluation(s.Images), s.Images
	s.Images, s.Sum = 0, tally{}
	if layer < 0 {
		s.Found.Clean = of
		return
	}
	s.Found.Dropped[layer] = append(s.Found.Dropped[layer], of)
	if last {
		var all rise
		all.add(s.Change)
		s.Found.StdErr = append(s.Found.StdErr, all.stdErr(n))
		clear(s.Change)
	}
}
