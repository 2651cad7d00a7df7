package train

import (
	"context"
	"fmt"
	"maps"

	"netadjust/internal/data"
	"netadjust/internal/device"
	"netadjust/internal/rng"
	"netadjust/internal/vm"
	"netadjust/networks"
)

// Inherit returns the network that keeps some channels of each adjustable layer, see networks.Inherit, with the
// parameters and running statistics that they have in m.
func (m *Model) Inherit(keep [][]int) (*Model, error) {
	index, err := m.Network.Inherit(m.Channels, keep)
	if err != nil {
		return nil, err
	}
	return m.part(index, keep), nil
}

// part returns the network whose elements have the given places in m.
func (m *Model) part(index map[string][]int, keep [][]int) *Model {
	narrow := &Model{Network: m.Network, Norm: m.Norm, BatchStatistics: m.BatchStatistics, tensors: map[string][]float32{}}
	for _, k := range keep {
		narrow.Channels = append(narrow.Channels, len(k))
	}
	for name, from := range index {
		wide := m.tensors[name]
		t := make([]float32, len(from))
		for i, j := range from {
			t[i] = wide[j]
		}
		narrow.tensors[name] = t
	}
	return narrow
}

// Clone returns a copy that can be trained on while m stays.
func (m *Model) Clone() *Model {
	c := *m
	c.tensors = maps.Clone(m.tensors) // training replaces tensors and writes none
	return &c
}

// Reestimate updates the running statistics of m, forward only, with those of so many batches of training images. A
// network that has lost channels has other ones (Li et al., "EagleEye: fast sub-net evaluation for efficient neural
// network pruning", ECCV 2020).
func (m *Model) Reestimate(ctx context.Context, dev device.Device, images *data.Images, r Recipe, stream Stream,
	batches int) error {
	state, err := m.probe(ctx, dev, images, r, stream, networks.GraphOptions{Estimate: true}, batches,
		func(*vm.State) error { return nil })
	if err != nil {
		return err
	}
	return m.read(state)
}

// Gradients computes the gradient of the loss of one batch of training images after the other, in training mode, and
// shows each to visit; m stays. A gradient is by the parameter of the given name.
func (m *Model) Gradients(ctx context.Context, dev device.Device, images *data.Images, r Recipe, stream Stream,
	batches int, visit func(gradient func(name string) []float32)) error {
	// A step of gradient descent without memory and decay leaves the gradient as velocity, and at rate 0 the parameters.
	o := networks.GraphOptions{Train: &networks.TrainOptions{LabelSmoothing: r.LabelSmoothing}}
	_, err := m.probe(ctx, dev, images, r, stream, o, batches, func(s *vm.State) error {
		var failed error
		visit(func(name string) []float32 {
			g, err := s.Read(networks.Tensor{Name: name}.Velocity())
			if err != nil {
				failed = err
			}
			return g
		})
		return failed
	})
	return err
}

// probe runs a graph of m on full batches of training images, augmented and ordered as in training, and returns the
// state that it ends with. visit is called after each batch.
func (m *Model) probe(ctx context.Context, dev device.Device, images *data.Images, r Recipe, stream Stream,
	o networks.GraphOptions, batches int, visit func(*vm.State) error) (*vm.State, error) {
	if images.Len() < r.Batch {
		return nil, fmt.Errorf("%s: %d images are less than a batch of %d", m.Network.Name, images.Len(), r.Batch)
	}
	state := vm.NewState(dev)
	if err := m.write(state); err != nil {
		return nil, err
	}
	for _, t := range m.Network.Tensors(m.Channels) {
		if err := state.Add(t.Velocity(), t.Shape...); err != nil {
			return nil, err
		}
	}
	o.Batch, o.ImagePad = r.Batch, r.CropPad
	g, err := m.Network.Graph(m.Channels, o)
	if err != nil {
		return nil, err
	}
	machine, err := vm.Compile(g.ExprGraph, dev, state)
	if err != nil {
		return nil, err
	}
	defer machine.Close()
	b := newBatch(images, r.Batch)
	if err := b.let(machine, m.Norm.scale(), map[string]any{networks.LearningRate: []float32{0}}); err != nil {
		return nil, err
	}
	perEpoch := images.Len() / r.Batch
	var order []int
	var fetched []byte
	for i := range batches {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		epoch, at := i/perEpoch, i%perEpoch*r.Batch
		if at == 0 {
			order = stream.order(epoch, images.Len())
		}
		key, chosen := rng.NewKey(stream.Seed, stream.purpose("augment"), uint64(epoch)), order[at:at+r.Batch]
		if fetched, err = images.Fetch(chosen, fetched); err != nil {
			return nil, err
		}
		b.take(chosen, func(image int, move []uint32) data.Box { return r.see(key, images, image, move) })
		if err := machine.RunAll(); err != nil {
			return nil, err
		}
		if err := visit(state); err != nil {
			return nil, err
		}
	}
	return state, nil
}
