package train

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"netadjust/internal/data"
	"netadjust/internal/device/cpu"
	"netadjust/networks"
)

// BenchmarkStep is a training step of ResNet-20 on 128 images of 3x32x32 with two threads. A multiply-add counts as two
// operations, and the backward pass as two forward ones.
func BenchmarkStep(b *testing.B) {
	const batch = 128
	r := rand.New(rand.NewPCG(1, 2))
	images := &data.Images{
		Channels: 3, Height: 32, Width: 32, Pixels: make([]byte, batch*3*32*32), Labels: make([]int32, batch),
	}
	for i := range images.Pixels {
		images.Pixels[i] = byte(r.IntN(256))
	}
	norm, err := NormalizationOf(images)
	if err != nil {
		b.Fatal(err)
	}
	for _, width := range []float64{1, 0.5} {
		b.Run(fmt.Sprintf("width=%v", width), func(b *testing.B) {
			n, err := networks.New(networks.Spec{Name: "resnet20", Width: width, Classes: 10})
			if err != nil {
				b.Fatal(err)
			}
			dev, err := cpu.New(2)
			if err != nil {
				b.Fatal(err)
			}
			defer dev.Close()
			c := n.Start()
			t, err := newTrainer(dev, newModel(n, c, norm, Stream{1, "final"}), images,
				Recipe{Batch: batch, Momentum: 0.9, WeightDecay: 1e-4})
			if err != nil {
				b.Fatal(err)
			}
			defer t.close()
			s := t.steps[batch]
			s.rate[0] = 0.01
			s.batch.take(images, r.Perm(batch), func(_ int, move []uint32) { clear(move) })
			var loss [1]float32
			for b.Loop() {
				if err := s.run(loss[:]); err != nil {
					b.Fatal(err)
				}
			}
			perSecond := float64(b.N) * batch / b.Elapsed().Seconds()
			b.ReportMetric(perSecond, "images/s")
			b.ReportMetric(perSecond*float64(n.FLOPs(c))*2*3/1e9, "GFLOP/s")
		})
	}
}
