package vm_test

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"netadjust/internal/device"
	"netadjust/internal/device/cpu"
	"netadjust/internal/ops"
	"netadjust/internal/vm"
	"netadjust/networks"
)

// subject is a network to run, with what its graph needs.
type subject struct {
	name    string
	spec    networks.Spec
	widths  []int // of the adjustable layers, Start if nil
	options networks.GraphOptions
	// smooth keeps the inputs of ReLUs away from where they bend: in a deep network with few channels, one that float32
	// and float64 round to different sides changes all gradients.
	smooth bool
}

var (
	small = [3]int{3, 12, 12}
	step  = &networks.TrainOptions{LabelSmoothing: 0.1, Momentum: 0.9, WeightDecay: 1e-2}
)

// subjects covers both rules for the width of the residual stream, with widths that pad and cut shortcuts, channel
// dropout, batches that are smaller and larger than a device's slots, and a stem with maximum pooling.
var subjects = []subject{
	{
		"max", networks.Spec{Name: "resnet8", Width: 0.25, Input: small, Classes: 10},
		nil, networks.GraphOptions{Batch: 9, Train: step}, false,
	},
	{
		"max, odd widths, drop", networks.Spec{Name: "resnet8", Width: 0.25, Input: [3]int{3, 13, 11}, Classes: 7},
		[]int{3, 7, 11, 5, 1, 9}, networks.GraphOptions{Batch: 5, ImagePad: 2, Drop: true, Train: step}, false,
	},
	{
		"max, several vectors of channels, drop", networks.Spec{Name: "resnet8", Input: [3]int{3, 9, 9}, Classes: 4},
		[]int{18, 5, 7, 37, 20, 19}, networks.GraphOptions{Batch: 9, Drop: true, Train: step}, false,
	},
	{
		"local", networks.Spec{Name: "resnet8", Width: 0.25, Padding: networks.PaddingLocal, Input: small, Classes: 10},
		nil, networks.GraphOptions{Batch: 9, ImagePad: 1, Train: step}, false,
	},
	{
		"local, odd widths, drop",
		networks.Spec{Name: "resnet8", Width: 0.25, Padding: networks.PaddingLocal, Input: [3]int{1, 9, 14}, Classes: 3},
		[]int{5, 3, 2, 11, 7, 6}, networks.GraphOptions{Batch: 17, Drop: true, Train: step}, false,
	},
	{
		"local, several vectors of channels, drop",
		networks.Spec{Name: "resnet8", Padding: networks.PaddingLocal, Input: [3]int{3, 9, 9}, Classes: 4},
		[]int{18, 5, 37, 33, 20, 17}, networks.GraphOptions{Batch: 9, Drop: true, Train: step}, false,
	},
	{
		"resnet18", networks.Spec{Name: "resnet18", Width: 0.0625, Input: [3]int{3, 33, 31}, Classes: 5},
		[]int{3, 4, 5, 6, 7, 8, 5, 6, 7, 8, 9, 4, 5, 6, 7, 8}, networks.GraphOptions{Batch: 4, Train: step}, false,
	},
}

// families has the networks that are not ResNets, at tiny and odd widths, most with channel dropout.
var families = []subject{
	{
		"plain8", networks.Spec{Name: "plain8", Width: 0.25, Input: small, Classes: 10},
		[]int{3, 7, 5, 4, 9, 6}, networks.GraphOptions{Batch: 5, Drop: true, Train: step}, false,
	},
	{
		"densenet10", networks.Spec{Name: "densenet10", Width: 0.25, Input: [3]int{3, 9, 7}, Classes: 5},
		[]int{3, 4, 11, 2, 5, 6, 1, 3}, networks.GraphOptions{Batch: 9, Drop: true, Train: step}, false,
	},
	{
		"pyramidnet20", networks.Spec{Name: "pyramidnet20", Width: 0.25, Input: small, Classes: 4},
		nil, networks.GraphOptions{Batch: 4, Drop: true, Train: step}, false,
	},
	{
		"vgg16_bn", networks.Spec{Name: "vgg16_bn", Width: 0.05, Input: [3]int{1, 17, 18}, Classes: 10},
		nil, networks.GraphOptions{Batch: 9, Train: step}, false,
	},
	{
		"mobilenet_v2", networks.Spec{Name: "mobilenet_v2", Width: 0.12, Input: [3]int{3, 10, 11}, Classes: 10},
		nil, networks.GraphOptions{Batch: 12, Drop: true, Train: step}, true,
	},
	{
		"mnasnet_a1", networks.Spec{Name: "mnasnet_a1", Width: 0.17, Input: [3]int{3, 17, 19}, Classes: 10},
		nil, networks.GraphOptions{Batch: 9, Drop: true, Train: step}, true,
	},
	{
		"described", networks.Spec{Name: "described", Description: described, Input: [3]int{2, 29, 23}, Classes: 6},
		[]int{7, 5, 9, 6}, networks.GraphOptions{Batch: 5, Drop: true, Train: step}, false,
	},
}

// described is a network with windows, strides and joints that no known family has.
const described = `
input   = [2, 29, 23]
classes = 6
adjustable = { first = 7, last = 6 }
layers  = [
  { conv = "first", kernel = 11, stride = 3 }, "batchnorm", "relu6", "drop",
  { maxpool = 5, stride = 2 },
  { block = "wide", kernel = 7, adjustable = { out = 5 } },
  { avgpool = 3, stride = 2 },
  { conv = 9, kernel = 5, stride = 5 }, "batchnorm",
  "gated",
  { conv = "last" }, "drop", "relu", { maxpool = 3, stride = 1 },
  "globalavgpool", { linear = 10 }, "relu", "classifier",
]

[block.wide]
adjustable = { in_between = 9 }
layers = [
  { conv = "in_between", kernel = 3 }, "drop", { depthwise = "kernel" }, "batchnorm", "relu",
  { conv = "out" }, "batchnorm", "drop", "concat", "concat",
  { shortcut = "pad" },
]

[block.gated]
layers = ["globalavgpool", { linear = "in" }, "sigmoid", "gate"]
`

// inference is the same without training.
func (s subject) inference() subject {
	s.options.Train = nil
	return s
}

// prepared is a graph with values for all of its leaves, by name.
type prepared struct {
	subject
	*networks.Graph
	net    *networks.Network
	widths []int
	leaves map[string]leaf
}

// leaf is the value of a leaf in the types that devices take, and as the reference takes it: in float64.
type leaf struct {
	node      *gorgonia.Node
	data      any
	reference gorgonia.Value
}

func prepare(t *testing.T, s subject) *prepared {
	t.Helper()
	n, err := networks.New(s.spec)
	if err != nil {
		t.Fatal(err)
	}
	p := &prepared{subject: s, net: n, widths: s.widths, leaves: map[string]leaf{}}
	if p.widths == nil {
		p.widths = n.Start()
	}
	if p.Graph, err = n.Graph(p.widths, s.options); err != nil {
		t.Fatal(err)
	}
	for _, node := range p.AllNodes() {
		if node.Op() == nil {
			p.leaves[node.Name()] = p.draw(node)
		}
	}
	return p
}

// draw gives a leaf random elements that depend on its name alone, as they would be in the middle of a training.
func (p *prepared) draw(node *gorgonia.Node) leaf {
	h := fnv.New64a()
	fmt.Fprint(h, node.Name())
	r := rand.New(rand.NewPCG(h.Sum64(), 1))
	shape := node.Shape()
	size := shape.TotalSize()
	with := func(data, reference any) leaf {
		return leaf{node, data, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(reference))}
	}
	words := func(f func(i int) uint32) leaf {
		v := make([]uint32, size)
		for i := range v {
			v[i] = f(i)
		}
		return with(v, slices.Clone(v))
	}
	floats := func(f func(i int) float64) leaf {
		v, wide := make([]float32, size), make([]float64, size)
		for i := range v {
			v[i] = float32(f(i))
			wide[i] = float64(v[i])
		}
		return with(v, wide)
	}
	switch name := node.Name(); {
	case name == networks.Pixels:
		v := make([]uint8, size)
		for i := range v {
			v[i] = uint8(r.IntN(256))
		}
		return with(v, slices.Clone(v))
	case name == networks.Labels:
		return words(func(int) uint32 { return uint32(r.IntN(p.net.Classes)) })
	case name == networks.Moves:
		return words(func(i int) uint32 {
			if i%3 == 2 {
				return uint32(r.IntN(2))
			}
			return uint32(r.IntN(2*p.options.ImagePad + 1))
		})
	case name == networks.Samples:
		return words(func(i int) uint32 { return uint32(1000 + i) })
	case name == networks.DropKey:
		return words(func(int) uint32 { return r.Uint32() })
	case name == networks.Scale:
		return floats(func(i int) float64 { return []float64{1. / 70, -1.8}[i/shape[1]] })
	case name == networks.DropRates:
		return floats(func(i int) float64 { return 0.1 * float64(i%4) })
	case name == networks.LearningRate:
		return floats(func(int) float64 { return 0.05 })
	case strings.HasSuffix(name, ".running"):
		return floats(func(i int) float64 {
			if i < shape[1] {
				return 0.3 * r.NormFloat64()
			}
			return 0.5 + r.Float64()
		})
	case strings.HasSuffix(name, ".gamma") && p.smooth:
		return floats(func(int) float64 { return 0.3 + 0.05*r.NormFloat64() })
	case strings.HasSuffix(name, ".beta") && p.smooth:
		return floats(func(int) float64 { return 1 + 0.1*r.NormFloat64() })
	case strings.HasSuffix(name, ".gamma"):
		return floats(func(int) float64 { return 1 + 0.2*r.NormFloat64() })
	case strings.HasSuffix(name, ".weights"):
		fanIn := size / shape[0]
		return floats(func(int) float64 { return r.NormFloat64() / math.Sqrt(float64(fanIn)) })
	default: // biases, shifts, velocities
		return floats(func(int) float64 { return 0.1 * r.NormFloat64() })
	}
}

// reference evaluates the graph operation by operation in float64, on copies of the leaves. What updates overwrite is
// held back until all else is known: the velocities, and in training the running statistics.
func (p *prepared) reference(t *testing.T) (values ops.Values, state map[string][]float64) {
	t.Helper()
	values = ops.Values{}
	held := ops.Values{}
	state = map[string][]float64{}
	for name, l := range p.leaves {
		v := l.reference.(*tensor.Dense).Clone().(*tensor.Dense)
		if d, ok := v.Data().([]float64); ok {
			state[name] = d
		}
		if p.options.Train != nil && (strings.HasSuffix(name, ".velocity") || strings.HasSuffix(name, ".running")) {
			held[l.node] = v
		} else {
			values[l.node] = v
		}
	}
	for range 2 {
		if err := ops.Evaluate(p.ExprGraph, values); err != nil {
			t.Fatal(err)
		}
		for n, v := range held {
			values[n] = v
		}
	}
	return values, state
}

// runner is a machine with its state.
type runner struct {
	*prepared
	machine *vm.Machine
	dev     device.Device
	state   *vm.State
}

// compile prepares a graph for the cpu device with the given number of threads, with state of its own.
func (p *prepared) compile(t *testing.T, threads int) *runner {
	t.Helper()
	dev, err := cpu.New(threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	return p.compileOn(t, dev)
}

// compileOn prepares a graph for a device, with state of its own.
func (p *prepared) compileOn(t *testing.T, dev device.Device) *runner {
	t.Helper()
	state := vm.NewState(dev)
	add := func(name string, shape []int) {
		if err := state.Add(name, shape...); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range p.net.Tensors(p.widths) {
		add(s.Name, s.Shape)
		if p.options.Train != nil && s.Role != networks.Running {
			add(s.Velocity(), s.Shape)
		}
	}
	r := p.on(t, dev, state)
	r.writeState(t)
	return r
}

// on compiles a graph for a device, with state that is there, and binds its inputs.
func (p *prepared) on(t *testing.T, dev device.Device, state *vm.State) *runner {
	t.Helper()
	outputs := []*gorgonia.Node{p.Logits}
	if p.options.Train != nil {
		outputs = append(outputs, p.Loss)
	}
	m, err := vm.Compile(p.ExprGraph, dev, state, outputs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	r := &runner{p, m, dev, state}
	r.letAll(t)
	return r
}

// letAll binds all inputs.
func (r *runner) letAll(t *testing.T) {
	t.Helper()
	for name, l := range r.leaves {
		if err := r.machine.Let(name, l.data); err != nil {
			t.Fatal(err)
		}
	}
}

// writeState writes the state as it was in the beginning.
func (r *runner) writeState(t *testing.T) {
	t.Helper()
	for _, name := range r.state.Names() {
		if err := r.state.Write(name, r.leaves[name].data.([]float32)); err != nil {
			t.Fatal(err)
		}
	}
}

// run executes the graph a number of times and returns its outputs and all state.
func (r *runner) run(t *testing.T, times int) map[string][]float32 {
	t.Helper()
	for range times {
		if err := r.machine.RunAll(); err != nil {
			t.Fatal(err)
		}
	}
	result := map[string][]float32{"logits": make([]float32, r.Logits.Shape().TotalSize())}
	if err := r.machine.Read(r.Logits, result["logits"]); err != nil {
		t.Fatal(err)
	}
	if r.Loss != nil {
		result["loss"] = make([]float32, 1)
		if err := r.machine.Read(r.Loss, result["loss"]); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range r.state.Names() {
		v, err := r.state.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		result[name] = v
	}
	return result
}
