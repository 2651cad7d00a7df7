package train

import (
	"errors"

	"gorgonia.org/gorgonia"

	"netadjust/internal/device"
	"netadjust/internal/vm"
	"netadjust/networks"
)

// Memory estimates how many bytes a device needs to train a network by the recipe and to evaluate it: state, and the
// values of a step that are alive at the same time. Devices that compute in chunks need less.
func Memory(n *networks.Network, c []int, r Recipe) (int64, error) {
	var bytes int64
	for _, o := range []networks.GraphOptions{
		{Batch: r.Batch, ImagePad: r.CropPad, Drop: r.DropRate > 0,
			Train: &networks.TrainOptions{Momentum: r.Momentum, WeightDecay: r.WeightDecay}},
		{Batch: EvaluationBatch, Drop: true},
	} {
		needed, err := memoryOf(n, c, o)
		if err != nil {
			return 0, err
		}
		bytes = max(bytes, needed)
	}
	return bytes, nil
}

func memoryOf(n *networks.Network, c []int, o networks.GraphOptions) (int64, error) {
	state := vm.NewState(unmade{})
	var floats int64
	for _, p := range n.Tensors(c) {
		names := []string{p.Name}
		if p.Role != networks.Running && o.Train != nil {
			names = append(names, p.Velocity())
		}
		for _, name := range names {
			if err := state.Add(name, p.Shape...); err != nil {
				return 0, err
			}
			floats += int64(device.Value{Shape: p.Shape}.Size())
		}
	}
	g, err := n.Graph(c, o)
	if err != nil {
		return 0, err
	}
	outputs := gorgonia.Nodes{g.Logits}
	if o.Train != nil {
		outputs = append(outputs, g.Loss)
	}
	program, err := vm.Lower(g.ExprGraph, state, outputs)
	if err != nil {
		return 0, err
	}
	first, last := program.Lifetimes()
	var blocks []device.Block
	for v, value := range program.Values {
		if value.State == nil && first[v] >= 0 {
			blocks = append(blocks, device.Block{Size: padded(value), First: first[v], Last: last[v]})
		}
	}
	_, total := device.PlanArena(blocks)
	return 4 * (floats + int64(total)), nil
}

// padded is the size of a value whose channels are filled up to 16, as devices do.
func padded(v device.Value) int {
	size := v.Size()
	if len(v.Shape) == 4 && v.Shape[1] > 0 {
		size = size / v.Shape[1] * ((v.Shape[1] + 15) / 16 * 16)
	}
	return size
}

// unmade is a device whose tensors have shapes only.
type unmade struct{ device.Device }

func (unmade) NewTensor(shape []int) (device.Tensor, error) { return &tensor{shape}, nil }

type tensor struct{ shape []int }

func (t *tensor) Shape() []int        { return t.shape }
func (*tensor) Write([]float32) error { return errors.ErrUnsupported }
func (*tensor) Read([]float32) error  { return errors.ErrUnsupported }
