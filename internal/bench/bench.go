// Package bench measures how fast a device trains and evaluates networks.
package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"netadjust/internal/device"
	"netadjust/internal/vm"
	"netadjust/networks"
)

// Mode is what is measured.
type Mode string

// The modes: a whole training step with its update, and inference with running statistics.
const (
	Train Mode = "train"
	Eval  Mode = "eval"
)

// Result is the speed of one network in one mode. An image takes the network's multiply-adds once in inference and three
// times in training, forward and both gradients; GFLOPS counts each as two operations, of the widths as they are, not as
// they are padded in memory.
type Result struct {
	Network         string  `json:"network"`
	Widths          []int   `json:"widths"` // of the adjustable layers
	Mode            Mode    `json:"mode"`
	Batch           int     `json:"batch"`
	Threads         int     `json:"threads"`
	ImagesPerSecond float64 `json:"images_per_second"`
	GFLOPS          float64 `json:"gflops"`
	PeakShare       float64 `json:"peak_share"` // of the multiply-add throughput of as many cores; 0 if that is not known
}

// Run measures a network with widths c on batches of random images for about the given time and reports the median step.
func Run(ctx context.Context, dev device.Device, n *networks.Network, c []int, mode Mode, batch int,
	duration time.Duration) (Result, error) {
	m, err := machine(dev, n, c, mode, batch)
	if err != nil {
		return Result{}, fmt.Errorf("bench %s: %w", n.Name, err)
	}
	defer m.Close()
	if err := m.RunAll(); err != nil { // meets cold memory
		return Result{}, fmt.Errorf("bench %s: %w", n.Name, err)
	}
	var steps []time.Duration
	for start := time.Now(); len(steps) == 0 || time.Since(start) < duration; {
		if err := ctx.Err(); err != nil {
			return Result{}, err
		}
		begin := time.Now()
		if err := m.RunAll(); err != nil {
			return Result{}, fmt.Errorf("bench %s: %w", n.Name, err)
		}
		steps = append(steps, time.Since(begin))
	}
	slices.Sort(steps)
	r := Result{Network: n.Name, Widths: c, Mode: mode, Batch: batch, Threads: dev.Info().Threads}
	r.ImagesPerSecond = float64(batch) / steps[len(steps)/2].Seconds()
	operations := 2 * float64(n.FLOPs(c))
	if mode == Train {
		operations *= 3
	}
	r.GFLOPS = r.ImagesPerSecond * operations / 1e9
	if p, ok := dev.(interface{ Peak() float64 }); ok {
		r.PeakShare = r.GFLOPS / p.Peak()
	}
	return r, nil
}

// machine compiles the network with initial weights and binds random inputs.
func machine(dev device.Device, n *networks.Network, c []int, mode Mode, batch int) (*vm.Machine, error) {
	o := networks.GraphOptions{Batch: batch}
	if mode == Train {
		o.Train = &networks.TrainOptions{Momentum: 0.9, WeightDecay: 1e-4}
	}
	g, err := n.Graph(c, o)
	if err != nil {
		return nil, err
	}
	r := rand.New(rand.NewPCG(1, 2))
	state := vm.NewState(dev)
	for _, t := range n.Tensors(c) {
		if err := state.Add(t.Name, t.Shape...); err != nil {
			return nil, err
		}
		if err := state.Write(t.Name, n.Initial(t, r)); err != nil {
			return nil, err
		}
		if mode == Train && t.Role != networks.Running {
			if err := state.Add(t.Velocity(), t.Shape...); err != nil {
				return nil, err
			}
		}
	}
	output := g.Logits
	if mode == Train {
		output = g.Loss
	}
	m, err := vm.Compile(g.ExprGraph, dev, state, output)
	if err != nil {
		return nil, err
	}
	channels := n.Input[0]
	pixels := make([]uint8, batch*channels*n.Input[1]*n.Input[2])
	for i := range pixels {
		pixels[i] = uint8(r.IntN(256))
	}
	labels := make([]uint32, batch)
	for i := range labels {
		labels[i] = uint32(r.IntN(n.Classes))
	}
	scale := make([]float32, 2*channels)
	for i := range channels {
		scale[i], scale[channels+i] = 1./64, -2
	}
	for name, v := range map[string]any{
		networks.Pixels: pixels, networks.Labels: labels, networks.Moves: make([]uint32, 3*batch), networks.Scale: scale,
		networks.LearningRate: []float32{0.01},
	} {
		if err := m.Let(name, v); err != nil {
			return nil, err
		}
	}
	return m, nil
}
