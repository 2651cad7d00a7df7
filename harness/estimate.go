package harness

import (
	"context"
	"fmt"
	"time"

	"netadjust/experiments"
	"netadjust/internal/data"
	"netadjust/internal/device"
	"netadjust/internal/train"
)

// Estimate returns the time that the plan of an experiment takes with the given number of jobs, from a measurement: a
// few training steps of every network in it, in one job of one thread. Jobs are taken to run side by side at full speed.
func Estimate(ctx context.Context, e *experiments.Experiment, p *Plan, jobs int,
	open func(threads int) (device.Device, error)) (time.Duration, error) {
	cells, err := prepareAll(e)
	if err != nil {
		return 0, err
	}
	seconds := map[string]float64{} // per FLOP, by network
	var total, alone float64
	for i, c := range cells {
		cost := float64(p.Cells[i].Search.FLOPs + p.Cells[i].Final.FLOPs)
		if cost == 0 {
			continue
		}
		key := fmt.Sprint(c.Network, c.Width, c.Padding, c.Dataset, c.Train.Batch, c.Train.DropRate > 0)
		if _, ok := seconds[key]; !ok {
			if seconds[key], err = secondsPerFLOP(ctx, c, open); err != nil {
				return 0, err
			}
		}
		total += cost * seconds[key]
		alone += cost
	}
	if alone > 0 {
		total *= p.GFLOPs * 1e9 / alone // what is shared is computed once
	}
	return time.Duration(total / float64(min(jobs, len(cells))) * float64(time.Second)), nil
}

// secondsPerFLOP times a training step of a cell's network at its budget.
func secondsPerFLOP(ctx context.Context, c *cell, open func(threads int) (device.Device, error)) (float64, error) {
	dev, err := open(1)
	if err != nil {
		return 0, err
	}
	defer dev.Close()
	n, batch := c.problem.Network, c.Train.Batch
	in := n.Input
	images := &data.Images{
		Channels: in[0], Height: in[1], Width: in[2],
		Pixels: make([]byte, batch*in[0]*in[1]*in[2]), Labels: make([]int32, batch),
	}
	for i := range images.Pixels {
		images.Pixels[i] = byte(i * 37)
	}
	norm, err := train.NormalizationOf(images)
	if err != nil {
		return 0, err
	}
	recipe := c.recipe
	recipe.Epochs = 5 // of one step each; the fastest counts, since the first meets cold memory
	clock := &timed{Device: dev}
	var before, fastest time.Duration
	_, _, err = train.Train(ctx, clock, n, c.start, images, norm, recipe, train.Stream{Purpose: "estimate"},
		func(e int, _ train.Epoch) {
			if step := clock.busy - before; e == 0 || step < fastest {
				fastest = step
			}
			before = clock.busy
		})
	if err != nil {
		return 0, err
	}
	return fastest.Seconds() / float64(trainingPasses*n.FLOPs(c.start)*int64(batch)), nil
}
