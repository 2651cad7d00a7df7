package harness

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"netadjust/adjustment"
	"netadjust/experiments"
	"netadjust/internal/data"
	"netadjust/internal/device"
	"netadjust/internal/rng"
	"netadjust/internal/search"
	"netadjust/internal/train"
)

// Estimate returns the time that the plan of an experiment takes with the given number of jobs, from a measurement: a
// few training steps of every network in it at every budget, at its batch size, and an evaluation, in all jobs at the same
// time.
func Estimate(ctx context.Context, e *experiments.Experiment, p *Plan, jobs int,
	open func(threads int) (device.Device, error)) (time.Duration, error) {
	cells, err := prepareAll(e)
	if err != nil {
		return 0, err
	}
	jobs = min(jobs, len(cells))
	speeds := map[string]speed{}
	var total, alone float64
	for _, c := range cells {
		if c.planned() == 0 {
			continue
		}
		key := fmt.Sprint(c.Network, c.Description, c.Width, c.Padding, c.problem.Budget, c.Dataset, c.Train.Batch,
			c.Train.DropRate > 0, c.Search != nil, redrawn(c))
		if _, ok := speeds[key]; !ok {
			if speeds[key], err = measure(ctx, c, jobs, open); err != nil {
				return 0, err
			}
		}
		s := speeds[key]
		total += s.training*float64(c.costs.trainings) + s.evaluation*float64(c.planned()-c.costs.trainings)
		alone += float64(c.planned())
	}
	if alone > 0 {
		total *= p.GFLOPs * 1e9 / alone // what is shared is computed once
	}
	return time.Duration(total / float64(jobs) * float64(time.Second)), nil
}

// threadsOf is the number of threads of each of so many jobs.
func threadsOf(jobs int) int { return max(runtime.GOMAXPROCS(0)/jobs, 1) }

// speed is how long a job takes for a FLOP, in seconds.
type speed struct{ training, evaluation float64 }

// measure times a cell's network at its budget in all jobs at once, which share memory and clock rate, and takes the mean.
func measure(ctx context.Context, c *cell, jobs int, open func(threads int) (device.Device, error)) (speed, error) {
	speeds, errs := make([]speed, jobs), make(chan error, jobs)
	for i := range jobs {
		go func() {
			var err error
			speeds[i], err = measureOne(ctx, c, threadsOf(jobs), open)
			errs <- err
		}()
	}
	var mean speed
	var err error
	for range jobs {
		err = errors.Join(err, <-errs)
	}
	for _, s := range speeds {
		mean.training += s.training / float64(jobs)
		mean.evaluation += s.evaluation / float64(jobs)
	}
	return mean, err
}

func measureOne(ctx context.Context, c *cell, threads int, open func(threads int) (device.Device, error)) (speed, error) {
	dev, err := open(threads)
	if err != nil {
		return speed{}, err
	}
	defer dev.Close()
	flops := float64(c.problem.Network.FLOPs(c.start))
	recipe := c.recipe
	recipe.Batch = batchToMeasure(c, flops)
	images := noise(c, recipe.Batch)
	norm, err := train.NormalizationOf(images)
	if err != nil {
		return speed{}, err
	}
	work := trainingPasses * flops * float64(images.Len())
	recipe.Epochs, recipe.WarmupEpochs = 1+timesToMeasure(work), 0 // of one step each; the first meets cold memory
	var ends []time.Time
	model, _, err := train.Train(ctx, dev, c.problem.Network, c.start, images, norm, recipe, train.Stream{Purpose: "estimate"},
		func(int, train.Epoch) { ends = append(ends, time.Now()) })
	if err != nil {
		return speed{}, err
	}
	s := speed{training: meanBetween(ends) / work}
	s.evaluation, err = measureEvaluation(ctx, dev, c, model)
	return s, err
}

// measureEvaluation times an evaluation, for a cell that searches one with channel dropout, which most of its are.
func measureEvaluation(ctx context.Context, dev device.Device, c *cell, m *train.Model) (float64, error) {
	whole := m.Network.FLOPs(m.Channels)
	most := batchToMeasure(c, float64(whole))
	images := noise(c, min(max(train.EvaluationBatch*most/c.Train.Batch, 1), max(c.Data.Validation, c.Data.Test)))
	e, err := train.NewEvaluator(dev, m, images, c.Search != nil)
	if err != nil {
		return 0, err
	}
	defer e.Close()
	rates, behind := make([]float64, len(m.Channels)), m.Network.FLOPsBehind(m.Channels)
	flops := whole
	run := func() error { _, err := e.Evaluate(ctx); return err }
	if c.Search != nil {
		for i := range rates {
			rates[i] = c.Search.DropRate
			if redrawn(c) {
				behind[i] = whole
			}
			flops += behind[i]
		}
		run = func() error { _, err := e.EvaluateLayerDropout(ctx, rates, rng.Key{}, 1); return err }
	}
	if redrawn(c) {
		run = func() error {
			_, err := train.EvaluateRedrawn(ctx, dev, m, images, c.search, train.Stream{}, rates, rng.Key{}, 1, nil)
			return err
		}
	}
	work := float64(flops) * float64(images.Len())
	var ends []time.Time
	for range 1 + timesToMeasure(work) {
		if err := run(); err != nil {
			return 0, err
		}
		ends = append(ends, time.Now())
	}
	return meanBetween(ends) / work, nil
}

// redrawn tells whether the search of a cell evaluates the whole network for each layer, on images drawn anew.
func redrawn(c *cell) bool {
	return c.Search != nil && adjustment.Method{Settings: adjustmentOf(c.Cell)}.On() == search.Redrawn
}

// noise returns so many images in the format of a cell's dataset.
func noise(c *cell, n int) *data.Images {
	in := c.problem.Network.Input
	images := &data.Images{
		Channels: in[0], Height: in[1], Width: in[2], Pixels: make([]byte, n*in[0]*in[1]*in[2]), Labels: make([]int32, n),
	}
	for i := range images.Pixels {
		images.Pixels[i] = byte(i * 37)
	}
	return images
}

// meanBetween is the mean number of seconds between the given times.
func meanBetween(times []time.Time) float64 {
	return times[len(times)-1].Sub(times[0]).Seconds() / float64(len(times)-1)
}
