package train

import (
	"netadjust/internal/data"
	"netadjust/internal/vm"
	"netadjust/networks"
)

// batch is the input buffers of a graph.
type batch struct {
	size    int
	pixels  []uint8
	labels  []uint32
	moves   []uint32
	samples []uint32 // index of each image in its dataset
}

func newBatch(images *data.Images, size int) batch {
	return batch{
		size: size, pixels: make([]uint8, size*images.Channels*images.Height*images.Width),
		labels: make([]uint32, size), moves: make([]uint32, 3*size), samples: make([]uint32, size),
	}
}

// let binds the buffers, and further inputs, to a machine.
func (b *batch) let(m *vm.Machine, scale []float32, more map[string]any) error {
	inputs := map[string]any{
		networks.Pixels: b.pixels, networks.Labels: b.labels, networks.Moves: b.moves, networks.Samples: b.samples,
		networks.Scale: scale,
	}
	for name, v := range more {
		inputs[name] = v
	}
	for name, v := range inputs {
		if err := m.Let(name, v); err != nil {
			return err
		}
	}
	return nil
}

// take fills the buffers with the chosen images; move gives each its crop and mirror.
func (b *batch) take(images *data.Images, chosen []int, move func(image int, out []uint32)) {
	size := len(b.pixels) / b.size
	for i, image := range chosen {
		copy(b.pixels[i*size:(i+1)*size], images.Pixels[image*size:])
		b.labels[i] = uint32(images.Labels[image])
		b.samples[i] = uint32(images.First + image)
		move(image, b.moves[3*i:3*i+3])
	}
}
