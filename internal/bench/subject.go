package bench

import (
	"math/rand/v2"
	"time"

	"netadjust/internal/device"
	"netadjust/internal/vm"
	"netadjust/networks"
)

// subject is a network that is measured, with what changes between its runs.
type subject struct {
	machine *vm.Machine
	mode    Mode
	rates   []float32 // of channel dropout, by layer
	key     []uint32
	output  []float32
	first   time.Duration // from the widths to the end of the first step, but for the images
}

// Compile builds the network with widths c for batches of images, with initial weights and without inputs. Mode FUR
// is that of Eval with the dropout layers.
func Compile(dev device.Device, n *networks.Network, c []int, mode Mode, batch int) (*vm.Machine, error) {
	o := networks.GraphOptions{Batch: batch, Drop: mode == FUR}
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
	return vm.Compile(g.ExprGraph, dev, state, output)
}

// newSubject compiles the network, binds random images, and runs it once: memory is not cold any more.
func newSubject(dev device.Device, n *networks.Network, c []int, mode Mode, batch int) (*subject, error) {
	start := time.Now()
	m, err := Compile(dev, n, c, mode, batch)
	if err != nil {
		return nil, err
	}
	p := m.Program()
	s := &subject{
		machine: m, mode: mode, rates: make([]float32, len(c)), key: make([]uint32, 3),
		output: make([]float32, p.Values[p.Outputs[0]].Size()),
	}
	s.first = time.Since(start)
	err = s.prepare(n, batch)
	if start = time.Now(); err == nil {
		err = s.run()
	}
	s.first += time.Since(start)
	if err != nil {
		m.Close()
		return nil, err
	}
	return s, nil
}

func (s *subject) prepare(n *networks.Network, batch int) error {
	r := rand.New(rand.NewPCG(3, 4))
	channels := n.Input[0]
	pixels := make([]uint8, batch*channels*n.Input[1]*n.Input[2])
	for i := range pixels {
		pixels[i] = uint8(r.IntN(256))
	}
	labels, samples := make([]uint32, batch), make([]uint32, batch)
	for i := range labels {
		labels[i], samples[i] = uint32(r.IntN(n.Classes)), uint32(i)
	}
	scale := make([]float32, 2*channels)
	for i := range channels {
		scale[i], scale[channels+i] = 1./64, -2
	}
	for name, v := range map[string]any{
		networks.Pixels: pixels, networks.Labels: labels, networks.Moves: make([]uint32, 3*batch), networks.Scale: scale,
		networks.LearningRate: []float32{0.01}, networks.Samples: samples, networks.DropRates: s.rates,
		networks.DropKey: s.key,
	} {
		if err := s.machine.Let(name, v); err != nil {
			return err
		}
	}
	if s.mode == FUR {
		return s.machine.RunDropped(1)
	}
	return nil
}

// run executes the graph once and waits for what it gives.
func (s *subject) run() error {
	if err := s.machine.RunAll(); err != nil {
		return err
	}
	return s.wait()
}

// wait waits for the last run.
func (s *subject) wait() error { return s.machine.Executable().Output(0, 0, s.output) }

// step is what is measured.
func (s *subject) step() error {
	if s.mode != FUR {
		return s.run()
	}
	for i := range s.rates {
		s.rates[i] = dropRate
	}
	return s.machine.RunDropped(Repeats)
}

// naive does the evaluations of mode FUR one after the other.
func (s *subject) naive() error {
	clear(s.rates)
	if err := s.run(); err != nil {
		return err
	}
	for layer := range s.rates {
		clear(s.rates)
		s.rates[layer] = dropRate
		for repeat := range Repeats {
			s.key[2] = uint32(repeat)
			if err := s.run(); err != nil {
				return err
			}
		}
	}
	return nil
}
