package train

import (
	"testing"

	"netadjust/internal/device/cpu"
	"netadjust/internal/vm"
	"netadjust/networks"
)

// The estimate is about what the processor's device needs, which cuts a step into chunks and has margins around its
// images.
func TestMemory(t *testing.T) {
	for _, tt := range []struct {
		name  string
		width float64
		batch int
	}{
		{"resnet20", 1, 128}, {"resnet20", 0.5, 32}, {"densenet22", 1, 64}, {"mobilenet_v2", 0.25, 4},
	} {
		n := network(t, tt.name, tt.width)
		r := Recipe{Batch: tt.batch, CropPad: 4, Momentum: 0.9}
		estimate, err := Memory(n, n.Start(), r)
		if err != nil {
			t.Fatal(err)
		}
		training, err := memoryOf(n, n.Start(), networks.GraphOptions{
			Batch: r.Batch, ImagePad: 4, Train: &networks.TrainOptions{Momentum: 0.9},
		})
		if err != nil {
			t.Fatal(err)
		}
		dev := processor(t, 1)
		trainer, err := newTrainer(dev, newModel(n, n.Start(), norm, Stream{}), digits(t, 0, tt.batch), r)
		if err != nil {
			t.Fatal(err)
		}
		plan := planOf(t, trainer.steps[tt.batch].machine)
		if needed := plan.StateBytes + plan.ArenaBytes; 10*training < 9*needed || estimate < training || training > 3*needed {
			t.Errorf("%s at width %v, batch %d: estimate %d MiB, of training %d MiB, needed %d MiB", tt.name, tt.width, tt.batch,
				estimate>>20, training>>20, needed>>20)
		}
		trainer.close()
	}
}

func planOf(t *testing.T, m *vm.Machine) *cpu.Plan {
	t.Helper()
	p, err := cpu.PlanOf(m.Executable())
	if err != nil {
		t.Fatal(err)
	}
	return p
}
