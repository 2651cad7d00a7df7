package train

import (
	"context"

	"netadjust/internal/data"
	"netadjust/internal/device"
	"netadjust/internal/rng"
)

// EvaluateRedrawn evaluates with dropout in one layer after the other as the paper's code does: each evaluation takes
// the whole network, and the images moved and mirrored as the recipe trains on them, by a draw of its own from the
// stream. Masks are those of [Evaluator.EvaluateLayerDropout], and so are the numbers of a recipe that moves nothing.
// Resized crops are for training alone.
func EvaluateRedrawn(ctx context.Context, dev device.Device, m *Model, images *data.Images, r Recipe, stream Stream,
	rates []float64, key rng.Key, repeats int) (*LayerDropout, error) {
	e, err := newEvaluator(dev, m, images, true, r.CropPad)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	draws, n := 0, images.Len()
	run := func(scores []score) (Evaluation, error) {
		draw := rng.NewKey(stream.Seed, stream.purpose("augment"), uint64(draws))
		draws++
		see := func(image int, move []uint32) data.Box {
			r.move(draw, images.First+image, move)
			return images.Center(image)
		}
		var t tally
		err := e.scores(ctx, see, func(batch []score) {
			t.add(batch)
			scores = scores[copy(scores, batch):]
		})
		return t.evaluation(n), err
	}
	without, with, change := make([]score, n), make([]score, n), make([]score, n)
	result := &LayerDropout{Dropped: make([][]Evaluation, len(rates))}
	if result.Clean, err = run(without); err != nil {
		return nil, err
	}
	for layer, rate := range rates {
		only := make([]float64, len(rates))
		only[layer] = rate
		if err := e.setDropout(only, key); err != nil {
			return nil, err
		}
		clear(change)
		for repeat := range repeats {
			e.key[2] = uint32(repeat)
			dropped, err := run(with)
			if err != nil {
				return nil, err
			}
			result.Dropped[layer] = append(result.Dropped[layer], dropped)
			for i := range change {
				change[i].add(with[i], without[i], repeats)
			}
		}
		var all rise
		all.add(change)
		result.StdErr = append(result.StdErr, all.stdErr(n))
	}
	return result, nil
}
