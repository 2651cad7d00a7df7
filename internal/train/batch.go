package train

import (
	"context"
	"slices"

	"netadjust/internal/data"
	"netadjust/internal/device"
	"netadjust/internal/vm"
	"netadjust/networks"
)

// batch is the inputs of a graph. It is the loader of its images: the workers of a step crop and resample them.
type batch struct {
	images  *data.Images
	size    int
	chosen  []int      // images of the next run
	boxes   []data.Box // what is seen of each
	labels  []uint32
	moves   []uint32
	samples []uint32 // index of each image in its dataset
}

var _ device.Loader = (*batch)(nil)

func newBatch(images *data.Images, size int) *batch {
	return &batch{
		images: images, size: size, boxes: make([]data.Box, size), labels: make([]uint32, size),
		moves: make([]uint32, 3*size), samples: make([]uint32, size),
	}
}

// let binds the inputs, and further ones, to a machine.
func (b *batch) let(m *vm.Machine, scale []float32, more map[string]any) error {
	inputs := map[string]any{
		networks.Pixels: b, networks.Labels: b.labels, networks.Moves: b.moves, networks.Samples: b.samples,
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

// take chooses the images of the next run; see gives what is seen of each, with its crop and mirror.
func (b *batch) take(chosen []int, see func(image int, move []uint32) data.Box) {
	b.chosen = chosen
	for i, image := range chosen {
		b.boxes[i] = see(image, b.moves[3*i:3*i+3])
		b.labels[i] = uint32(b.images.Labels[image])
		b.samples[i] = uint32(b.images.First + image)
	}
}

// Load returns the pixels of an image of the batch.
func (b *batch) Load(i int, buffer []uint8) []uint8 {
	return b.images.Load(b.chosen[i], b.boxes[i], buffer)
}

// batchesAhead is how many batches are fetched before their turn.
const batchesAhead = 2

// ahead fetches the images of one batch after the other, in the order in which they will be taken, while others are
// worked on. It sends nil for each that is there, or what is wrong with it, until stop is called.
func ahead(images *data.Images, order []int, size int) (ready <-chan error, stop func()) {
	fetched, done := make(chan error, batchesAhead), make(chan struct{})
	go func() {
		var buffer []byte
		var err error
		for chosen := range slices.Chunk(order, size) {
			buffer, err = images.Fetch(chosen, buffer)
			select {
			case fetched <- err:
			case <-done:
				return
			}
		}
	}()
	return fetched, func() { close(done) }
}

// await waits for the next batch.
func await(ctx context.Context, ready <-chan error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case err := <-ready:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
