// Package bench measures how fast a device trains and evaluates networks.
package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"netadjust/internal/device"
	"netadjust/networks"
)

// Mode is what is measured.
type Mode string

// The modes: a whole training step with its update; inference with running statistics; and inference as FLOPs
// utilization ratios need it, without dropout and then with dropout in one layer after the other, Repeats times each.
const (
	Train Mode = "train"
	Eval  Mode = "eval"
	FUR   Mode = "fur"
)

// Repeats is how often each layer is dropped in mode FUR.
const Repeats = 5

// dropRate is the share of channels that a dropped layer loses. It does not matter for the speed.
const dropRate = 0.1

// Result is the speed of one network in one mode. An image takes the network's multiply-adds once in inference and
// three times in training, forward and both gradients; GFLOPS counts each as two operations, of the widths as they are,
// not as they are padded in memory. In mode FUR an image counts as often as it is evaluated, but what lies before a
// dropped layer is not computed again and not counted in GFLOPS.
type Result struct {
	Network         string      `json:"network"`
	Widths          []int       `json:"widths"` // of the adjustable layers
	Mode            Mode        `json:"mode"`
	Batch           int         `json:"batch"`
	Threads         int         `json:"threads"`
	ImagesPerSecond float64     `json:"images_per_second"`
	GFLOPS          float64     `json:"gflops"`
	PeakShare       float64     `json:"peak_share"`       // of the multiply-add throughput of as many cores; 0: not known
	Phases          []Phase     `json:"phases,omitempty"` // what the time goes to, if the device tells
	Comparison      *Comparison `json:"fur,omitempty"`    // in mode FUR
	Queue           *Queue      `json:"queue,omitempty"`  // in mode Train, of a device whose runs do not wait
}

// Phase is the part of the time that one kind of work takes.
type Phase struct {
	Work   string  `json:"work"`
	Share  float64 `json:"share"`            // of the time of all threads
	GFLOPS float64 `json:"gflops,omitempty"` // of all threads while they do it; 0 where no multiply-adds are counted
}

// Queue is what the host does for a device that has a queue, in seconds.
type Queue struct {
	Step      float64 `json:"step_seconds"`       // to hand over a step, without the wait for its end
	NewWidths float64 `json:"new_widths_seconds"` // from other widths, whose kernels have been compiled, to the end of a step
}

// Comparison sets all evaluations of mode FUR in one pass over the images against one pass for each of them.
type Comparison struct {
	Repeats              int     `json:"repeats"` // of dropout in each layer
	NaiveImagesPerSecond float64 `json:"naive_images_per_second"`
	TimeShare            float64 `json:"time_share"` // of the time of one pass for each evaluation
	Bound                float64 `json:"bound"`      // of its multiply-adds: what lies behind the dropped layers
}

// Run measures a network with widths c on batches of random images for about the given time and reports the median
// step. What the time goes to is measured in further steps, so that the clocks slow nothing down.
func Run(ctx context.Context, dev device.Device, n *networks.Network, c []int, mode Mode, batch int,
	duration time.Duration) (Result, error) {
	s, err := newSubject(dev, n, c, mode, batch)
	if err != nil {
		return Result{}, fmt.Errorf("bench %s: %w", n.Name, err)
	}
	defer s.machine.Close()
	r := Result{Network: n.Name, Widths: c, Mode: mode, Batch: batch, Threads: dev.Info().Threads}
	steps := []func() error{s.step}
	if mode == FUR {
		steps = append(steps, s.naive)
	}
	times, err := medians(ctx, duration, steps)
	if err != nil {
		return Result{}, fmt.Errorf("bench %s: %w", n.Name, err)
	}
	perImage, passes := n.FLOPs(c), 1
	switch mode {
	case Train:
		perImage *= 3
	case FUR:
		passes += len(c) * Repeats
		whole := perImage * int64(passes)
		for _, behind := range n.FLOPsBehind(c) {
			perImage += Repeats * behind
		}
		r.Comparison = &Comparison{
			Repeats: Repeats, NaiveImagesPerSecond: float64(batch*passes) / times[1].Seconds(),
			TimeShare: times[0].Seconds() / times[1].Seconds(), Bound: float64(perImage) / float64(whole),
		}
	}
	r.ImagesPerSecond = float64(batch*passes) / times[0].Seconds()
	r.GFLOPS = 2 * float64(perImage) * float64(batch) / times[0].Seconds() / 1e9
	if p, ok := dev.(interface{ Peak() float64 }); ok {
		r.PeakShare = r.GFLOPS / p.Peak()
	}
	if timer, ok := s.machine.Executable().(device.Timer); ok {
		if r.Phases, err = phases(ctx, timer, duration/4, s.step, r.Threads); err != nil {
			return Result{}, fmt.Errorf("bench %s: %w", n.Name, err)
		}
	}
	if mode == Train && s.machine.Kept() > 1 {
		if r.Queue, err = queue(ctx, dev, n, c, s, batch, duration/4); err != nil {
			return Result{}, fmt.Errorf("bench %s: %w", n.Name, err)
		}
	}
	return r, nil
}

// queue measures what the host does for a step and for other widths.
func queue(ctx context.Context, dev device.Device, n *networks.Network, c []int, s *subject, batch int,
	duration time.Duration) (*Queue, error) {
	// The wait in between leaves the queue empty for the next step.
	times, err := medians(ctx, duration, []func() error{s.machine.RunAll, s.wait})
	if err != nil {
		return nil, err
	}
	other := slices.Clone(c)
	for i := range other {
		other[i] = max(1, other[i]-1)
	}
	o, err := newSubject(dev, n, other, Train, batch)
	if err != nil {
		return nil, err
	}
	return &Queue{Step: times[0].Seconds(), NewWidths: o.first.Seconds()}, o.machine.Close()
}

// Latencies runs inference with widths c on a batch of random images for about the given time, once at least, and
// returns how long each run took, the shortest first.
func Latencies(ctx context.Context, dev device.Device, n *networks.Network, c []int, batch int,
	duration time.Duration) ([]time.Duration, error) {
	s, err := newSubject(dev, n, c, Eval, batch)
	if err != nil {
		return nil, fmt.Errorf("latency of %s: %w", n.Name, err)
	}
	defer s.machine.Close()
	times, err := sample(ctx, duration, []func() error{s.step})
	if err != nil {
		return nil, fmt.Errorf("latency of %s: %w", n.Name, err)
	}
	return times[0], nil
}

// medians returns the median times of the steps of a sample.
func medians(ctx context.Context, duration time.Duration, steps []func() error) ([]time.Duration, error) {
	times, err := sample(ctx, duration, steps)
	if err != nil {
		return nil, err
	}
	middle := make([]time.Duration, len(steps))
	for i, t := range times {
		middle[i] = t[len(t)/2]
	}
	return middle, nil
}

// sample runs the steps in turn for about the given time, each once at least, and returns the times of each, sorted. It
// runs them all the same number of times.
func sample(ctx context.Context, duration time.Duration, steps []func() error) ([][]time.Duration, error) {
	times := make([][]time.Duration, len(steps))
	for start := time.Now(); len(times[0]) == 0 || time.Since(start) < duration; {
		for i, step := range steps {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			begin := time.Now()
			if err := step(); err != nil {
				return nil, err
			}
			times[i] = append(times[i], time.Since(begin))
		}
	}
	for _, t := range times {
		slices.Sort(t)
	}
	return times, nil
}

// phases runs steps with clocks for about the given time, one at least.
func phases(ctx context.Context, timer device.Timer, duration time.Duration, step func() error, threads int) (
	[]Phase, error) {
	timer.StartClocks()
	_, err := medians(ctx, duration, []func() error{step})
	spent := timer.StopClocks()
	if err != nil {
		return nil, err
	}
	var total time.Duration
	for _, s := range spent {
		total += s.Time
	}
	if total == 0 {
		return nil, errors.New("no time has passed on the device's clocks")
	}
	var list []Phase
	for _, s := range spent {
		list = append(list, Phase{
			Work: s.Work, Share: s.Time.Seconds() / total.Seconds(),
			GFLOPS: 2 * float64(s.FLOPs) / 1e9 / s.Time.Seconds() * float64(threads),
		})
	}
	return list, nil
}
