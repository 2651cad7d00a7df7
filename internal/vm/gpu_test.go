package vm_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"netadjust/internal/device"
	"netadjust/internal/device/gpu"
	"netadjust/internal/device/gpu/gputest"
	"netadjust/internal/ops"
	"netadjust/internal/vm"
)

// pocl returns a GPU that is the processor.
func pocl(t *testing.T) device.Device {
	t.Helper()
	dev, err := gpu.New("gpu:pocl", gputest.POCL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	})
	return dev
}

// TestNetworksOnGPU compares a step of training with the reference, for every family, and steps in a new machine bit by
// bit.
func TestNetworksOnGPU(t *testing.T) {
	dev := pocl(t)
	list := []subject{subjects[1], subjects[4]}
	for _, s := range families {
		if s.name != "described" {
			s.spec.Input = small // every size of a map takes seconds to compile for
			list = append(list, s)
		}
	}
	for _, s := range list {
		t.Run(s.name, func(t *testing.T) {
			p := prepare(t, s)
			p.checkStep(t, p.compileOn(t, dev))
			bits(t, "second machine", p.compileOn(t, dev).run(t, 2), p.compileOn(t, dev).run(t, 2))
		})
	}
}

func TestBlocksOnGPU(t *testing.T) {
	dev := pocl(t)
	for _, training := range []bool{true, false} {
		t.Run(fmt.Sprint("training ", training), func(t *testing.T) {
			b := newBlocks(t, training, 9, 9, 12)
			want, got := b.reference(), b.outputsOf(b.on(dev))
			for i, n := range b.outputs {
				compare(t, b.name(i), got[b.name(i)], floats(want[n]))
			}
		})
	}
	t.Run("dropped", func(t *testing.T) {
		b := newBlocks(t, false, 9, 9, 12)
		b.dropped(b.on(dev), func() map[string][]float32 { return b.outputsOf(b.on(dev)) })
	})
}

// TestLargeMeanOnGPU takes statistics of which the mean is a hundred times the deviation.
func TestLargeMeanOnGPU(t *testing.T) {
	dev := pocl(t)
	const ch = 3
	r := rand.New(rand.NewPCG(5, 6))
	x := tensor.New(tensor.WithShape(4, ch, 5, 6), tensor.Of(tensor.Float32))
	d := x.Data().([]float32)
	for i := range d {
		d[i] = float32(100 + r.NormFloat64())
	}
	want, err := (ops.Op{Kind: ops.BatchStats{}}).Do(x)
	if err != nil {
		t.Fatal(err)
	}
	g := gorgonia.NewGraph()
	in := gorgonia.NewTensor(g, tensor.Float32, 4, gorgonia.WithShape(x.Shape()...), gorgonia.WithName("x"))
	stats, err := ops.Apply(ops.BatchStats{}, in)
	if err != nil {
		t.Fatal(err)
	}
	m, err := vm.Compile(g, dev, vm.NewState(dev), stats)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	got := make([]float32, 2*ch)
	if err := errors.Join(m.Let("x", d), m.RunAll(), m.Read(stats, got)); err != nil {
		t.Fatal(err)
	}
	for i, w := range want.Data().([]float32) {
		if !(math.Abs(float64(got[i]/w)-1) <= 1e-5) {
			t.Errorf("statistic %d is %v, the reference gives %v", i, got[i], w)
		}
	}
}
