package networks_test

import (
	"math/rand/v2"
	"testing"

	"netadjust/internal/device/cpu"
	"netadjust/internal/vm"
	"netadjust/networks"
)

// BenchmarkStep is a training step of ResNet-20 on 128 CIFAR-sized images with two threads.
func BenchmarkStep(b *testing.B) {
	for _, width := range []float64{1, 0.5, 0.25} {
		n, err := networks.New(networks.Spec{Name: "resnet20", Width: width, Input: [3]int{3, 32, 32}, Classes: 10})
		if err != nil {
			b.Fatal(err)
		}
		const batch = 128
		c := n.Start()
		g, err := n.Graph(c, networks.GraphOptions{Batch: batch, Train: &networks.TrainOptions{Momentum: 0.9, WeightDecay: 1e-4}})
		if err != nil {
			b.Fatal(err)
		}
		dev, err := cpu.New(2)
		if err != nil {
			b.Fatal(err)
		}
		state := vm.NewState(dev)
		r := rand.New(rand.NewPCG(1, 2))
		for _, t := range n.Tensors(c) {
			if err := state.Add(t.Name, t.Shape...); err != nil {
				b.Fatal(err)
			}
			d, _ := state.Read(t.Name)
			for i := range d {
				d[i] = float32(r.NormFloat64()) * 0.1
				if t.Role == networks.Gamma {
					d[i] = 1
				}
			}
			state.Write(t.Name, d)
			if t.Role != networks.Running {
				state.Add(t.Velocity(), t.Shape...)
			}
		}
		m, err := vm.Compile(g.ExprGraph, dev, state, g.Loss)
		if err != nil {
			b.Fatal(err)
		}
		px := make([]uint8, batch*3*32*32)
		for i := range px {
			px[i] = uint8(r.IntN(256))
		}
		moves := make([]uint32, batch*3)
		labels := make([]uint32, batch)
		m.Let(networks.Pixels, px)
		m.Let(networks.Moves, moves)
		m.Let(networks.Labels, labels)
		m.Let(networks.Scale, []float32{1. / 255, 1. / 255, 1. / 255, 0, 0, 0})
		m.Let(networks.LearningRate, []float32{0.01})
		name := map[float64]string{1: "1.0", 0.5: "0.5", 0.25: "0.25"}[width]
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := m.RunAll(); err != nil {
					b.Fatal(err)
				}
			}
			gflop := 6 * float64(n.FLOPs(c)) * batch / 1e9
			b.ReportMetric(gflop*float64(b.N)/b.Elapsed().Seconds(), "GFLOP/s")
			b.ReportMetric(float64(batch)*float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
		var loss [1]float32
		m.Read(g.Loss, loss[:])
		b.Log("loss", loss[0])
	}
}
