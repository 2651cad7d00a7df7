package train

import (
	"math"

	"netadjust/internal/device"
	"netadjust/internal/rng"
	"netadjust/internal/vm"
	"netadjust/networks"
)

// narrower returns the widths of the further networks of a step of a slimmable training: the narrowest and random ones.
func narrower(s networks.Slimmable, c []int, stream Stream, epoch, step int) [][]int {
	r := rng.New(stream.Seed, stream.purpose("slimmable"), uint64(epoch), uint64(step))
	list := make([][]int, 1+s.Random)
	for k := range list {
		steps := make([]int, len(c))
		for i := range steps {
			if steps[i] = s.Least; k > 0 {
				steps[i] += r.IntN(s.Steps - s.Least + 1)
			}
		}
		list[k] = s.Widths(c, steps)
	}
	return list
}

// ForwardFLOPs returns the multiply-adds of the forward passes of a whole training of r on so many images. In a slimmable
// one they go through the narrower networks as well.
func (r Recipe) ForwardFLOPs(n *networks.Network, c []int, stream Stream, images int) int64 {
	sum := int64(r.Epochs) * int64(images) * n.FLOPs(c)
	if r.Slimmable == nil {
		return sum
	}
	for e := range r.Epochs {
		for step := 0; step*r.Batch < images; step++ {
			size := int64(min(r.Batch, images-step*r.Batch))
			for _, narrow := range narrower(*r.Slimmable, c, stream, e, step) {
				sum += size * n.FLOPs(narrow)
			}
		}
	}
	return sum
}

// slim is what the steps of a slimmable training share.
type slim struct {
	networks.Slimmable
	dev     device.Device
	model   *Model
	tensors []networks.Tensor
	values  map[string][]float32 // of the network, on the host
	sums    map[string][]float32 // of gradients
	targets []float32            // never moves, because machines read it
	least   map[*step]*narrow    // the narrowest network
}

func newSlim(dev device.Device, m *Model, s networks.Slimmable, batch int) *slim {
	t := &slim{
		Slimmable: s, dev: dev, model: m, values: map[string][]float32{}, sums: map[string][]float32{},
		targets: make([]float32, 0, batch*m.Network.Classes), least: map[*step]*narrow{},
	}
	for _, x := range m.Network.Tensors(m.Channels) {
		size := len(m.tensors[x.Name])
		t.values[x.Name] = make([]float32, size)
		if x.Role != networks.Running {
			t.tensors = append(t.tensors, x)
			t.sums[x.Name] = make([]float32, size)
		}
	}
	return t
}

// step trains the narrower networks after a step of the whole one, whose logits are given.
func (t *slim) step(state *vm.State, s *step, scale []float32, cropPad int, stream Stream, epoch, number int) error {
	for name, v := range t.values {
		if err := state.Load(name, v); err != nil {
			return err
		}
	}
	for _, v := range t.sums {
		clear(v)
	}
	t.targets = softmax(t.targets[:0], s.logits, t.model.Network.Classes)
	for k, c := range narrower(t.Slimmable, t.model.Channels, stream, epoch, number) {
		n := t.least[s]
		if k > 0 || n == nil {
			var err error
			if n, err = t.compile(c, s, scale, cropPad); err != nil {
				return err
			}
		}
		if k == 0 {
			t.least[s] = n
		}
		err := t.add(n)
		if k > 0 {
			n.machine.Close()
		}
		if err != nil {
			return err
		}
	}
	return t.descend(state, s.rate[0])
}

// narrow is a narrower network, compiled for the batches of a step.
type narrow struct {
	index   map[string][]int // of its elements in the whole network
	keep    [][]int
	state   *vm.State
	machine *vm.Machine
}

func (t *slim) compile(c []int, s *step, scale []float32, cropPad int) (*narrow, error) {
	n := &narrow{keep: make([][]int, len(c)), state: vm.NewState(t.dev)}
	for i, w := range c {
		for j := range w {
			n.keep[i] = append(n.keep[i], j)
		}
	}
	var err error
	if n.index, err = t.model.Network.Inherit(t.model.Channels, n.keep); err != nil {
		return nil, err
	}
	for _, x := range t.model.Network.Tensors(c) {
		for _, name := range []string{x.Name, x.Velocity()} {
			if err := n.state.Add(name, x.Shape...); err != nil {
				return nil, err
			}
		}
	}
	// At rate 0 and without momentum and decay a step leaves the gradients as velocities.
	g, err := t.model.Network.Graph(c, networks.GraphOptions{
		Batch: s.batch.size, ImagePad: cropPad, Train: &networks.TrainOptions{Soft: true},
	})
	if err != nil {
		return nil, err
	}
	if n.machine, err = vm.Compile(g.ExprGraph, t.dev, n.state); err != nil {
		return nil, err
	}
	return n, s.batch.let(n.machine, scale, map[string]any{
		networks.LearningRate: []float32{0}, networks.Targets: t.targets,
	})
}

// add adds the gradients of a narrower network to the sums.
func (t *slim) add(n *narrow) error {
	whole := Model{Network: t.model.Network, Channels: t.model.Channels, tensors: t.values}
	for name, v := range whole.part(n.index, n.keep).tensors {
		if err := n.state.Write(name, v); err != nil {
			return err
		}
	}
	if err := n.machine.RunAll(); err != nil {
		return err
	}
	for _, x := range t.tensors {
		gradient, err := n.state.Read(x.Velocity())
		if err != nil {
			return err
		}
		sum := t.sums[x.Name]
		for i, at := range n.index[x.Name] {
			sum[at] += gradient[i]
		}
	}
	return nil
}

func (t *slim) close() {
	for _, n := range t.least {
		n.machine.Close()
	}
}

// descend adds the sums to the velocities, and moves the parameters by them.
func (t *slim) descend(state *vm.State, rate float32) error {
	for _, x := range t.tensors {
		w, sum := t.values[x.Name], t.sums[x.Name]
		for i, g := range sum {
			w[i] -= float32(rate * g)
		}
		if err := state.Write(x.Name, w); err != nil {
			return err
		}
		if err := state.Load(x.Velocity(), w); err != nil {
			return err
		}
		for i, g := range sum {
			w[i] += g
		}
		if err := state.Write(x.Velocity(), w); err != nil {
			return err
		}
	}
	return nil
}

// softmax appends the probabilities of rows of logits.
func softmax(to, logits []float32, classes int) []float32 {
	for from := 0; from < len(logits); from += classes {
		row := logits[from : from+classes]
		for j := range row {
			to = append(to, float32(math.Exp(-crossEntropy(row, uint32(j)))))
		}
	}
	return to
}
