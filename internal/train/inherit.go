package train

import (
	"context"
	"encoding/json"
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

// Batches are full batches of training images, augmented and ordered as in training.
type Batches struct {
	Images *data.Images
	Recipe Recipe
	Stream Stream
	Count  int
	Keep   *Partial // of what is made of them; nil: none
}

// Reestimate updates the running statistics of m, forward only, with those of batches of training images. A network
// that has lost channels has other ones (Li et al., "EagleEye: fast sub-net evaluation for efficient neural network
// pruning", ECCV 2020).
func (m *Model) Reestimate(ctx context.Context, dev device.Device, b Batches) error {
	state, err := m.state(dev)
	if err != nil {
		return err
	}
	if err := m.probe(ctx, dev, state, networks.GraphOptions{Estimate: true}, b, &statistics{state, m},
		func() error { return nil }); err != nil {
		return err
	}
	return m.read(state)
}

// statistics are the running statistics of a model, as they are in a state; they are written as JSON.
type statistics struct {
	state *vm.State
	model *Model
}

func (s *statistics) MarshalJSON() ([]byte, error) {
	values := map[string][]float32{}
	for _, x := range s.model.Network.Tensors(s.model.Channels) {
		if x.Role != networks.Running {
			continue
		}
		var err error
		if values[x.Name], err = s.state.Read(x.Name); err != nil {
			return nil, err
		}
	}
	return json.Marshal(values)
}

func (s *statistics) UnmarshalJSON(text []byte) error {
	var values map[string][]float32
	if err := json.Unmarshal(text, &values); err != nil {
		return err
	}
	for name, v := range values {
		if err := s.state.Write(name, v); err != nil {
			return err
		}
	}
	return nil
}

// Gradients computes the gradient of the loss of one batch of training images after the other, in training mode, and
// shows each to visit; m stays. A gradient is by the parameter of the given name. What visit adds up has to be in sums,
// a pointer to what can be written as JSON.
func (m *Model) Gradients(ctx context.Context, dev device.Device, b Batches, sums any,
	visit func(gradient func(name string) []float32)) error {
	state, err := m.state(dev)
	if err != nil {
		return err
	}
	// A step of gradient descent without memory and decay leaves the gradient as velocity, and at rate 0 the parameters.
	o := networks.GraphOptions{Train: &networks.TrainOptions{LabelSmoothing: b.Recipe.LabelSmoothing}}
	return m.probe(ctx, dev, state, o, b, sums, func() error {
		var failed error
		visit(func(name string) []float32 {
			g, err := state.Read(networks.Tensor{Name: name}.Velocity())
			if err != nil {
				failed = err
			}
			return g
		})
		return failed
	})
}

// state returns the tensors and velocities of m on a device.
func (m *Model) state(dev device.Device) (*vm.State, error) {
	state := vm.NewState(dev)
	if err := m.write(state); err != nil {
		return nil, err
	}
	for _, t := range m.Network.Tensors(m.Channels) {
		if err := state.Add(t.Velocity(), t.Shape...); err != nil {
			return nil, err
		}
	}
	return state, nil
}

// probe runs a graph of m on batches, and calls visit after each. What they add up to is in sums.
func (m *Model) probe(ctx context.Context, dev device.Device, state *vm.State, o networks.GraphOptions, on Batches,
	sums any, visit func() error) error {
	images, r, stream := on.Images, on.Recipe, on.Stream
	if images.Len() < r.Batch {
		return fmt.Errorf("%s: %d images are less than a batch of %d", m.Network.Name, images.Len(), r.Batch)
	}
	o.Batch, o.ImagePad = r.Batch, r.CropPad
	g, err := m.Network.Graph(m.Channels, o)
	if err != nil {
		return err
	}
	machine, err := vm.Compile(g.ExprGraph, dev, state)
	if err != nil {
		return err
	}
	defer machine.Close()
	b := newBatch(images, r.Batch)
	if err := b.let(machine, m.Norm.scale(), map[string]any{networks.LearningRate: []float32{0}}); err != nil {
		return err
	}
	done := struct {
		Batches int
		Sums    any
	}{Sums: sums}
	if err := on.Keep.Restore(&done); err != nil {
		return err
	}
	perEpoch := images.Len() / r.Batch
	var order []int
	var fetched []byte
	for ; done.Batches < on.Count; done.Batches++ {
		on.Keep.Keep(ctx, &done)
		if err := ctx.Err(); err != nil {
			return err
		}
		epoch, at := done.Batches/perEpoch, done.Batches%perEpoch*r.Batch
		if at == 0 || order == nil {
			order = stream.order(epoch, images.Len())
		}
		chosen := order[at : at+r.Batch]
		key := rng.NewKey(stream.Seed, stream.purpose("augment"), uint64(epoch))
		if fetched, err = images.Fetch(chosen, fetched); err != nil {
			return err
		}
		b.take(chosen, func(image int, move []uint32) data.Box { return r.see(key, images, image, move) })
		if err := machine.RunAll(); err != nil {
			return err
		}
		if err := visit(); err != nil {
			return err
		}
	}
	on.Keep.Keep(ctx, &done) // statistics are not kept elsewhere
	return nil
}
