package vm_test

import (
	"fmt"
	"testing"

	"netadjust/internal/device"
	"netadjust/internal/device/gpu"
	"netadjust/internal/device/gpu/gputest"
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

// TestNetworksOnGPU compares a step of training with the reference, and steps in a new machine bit by bit.
func TestNetworksOnGPU(t *testing.T) {
	dev := pocl(t)
	for _, s := range []subject{subjects[1], subjects[4]} { // every geometry of a convolution takes seconds to compile
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
