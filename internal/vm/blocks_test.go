package vm_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"netadjust/internal/device"
	"netadjust/internal/device/cpu"
	"netadjust/internal/ops"
	"netadjust/internal/ops/opstest"
	"netadjust/internal/vm"
)

// dropped is the rate of channel dropout, the same number in float32 and float64.
const dropped = 0.25

// blocks is a small network of the blocks that residual networks do not have: an inverted residual with a depthwise
// convolution, ReLU6 and squeeze-excitation, a concatenation of three maps, a pooled one among them, and channel
// dropout in two layers.
type blocks struct {
	t        *testing.T
	g        *gorgonia.ExprGraph
	r        *rand.Rand
	training bool

	rates, samples, key *gorgonia.Node // of channel dropout
	params, outputs     gorgonia.Nodes
	values              ops.Values // of the leaves, in float64
}

func (b *blocks) leaf(name string, f func() float64, shape ...int) *gorgonia.Node {
	n := gorgonia.NewTensor(b.g, tensor.Float32, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name))
	v := tensor.New(tensor.WithShape(shape...), tensor.Of(tensor.Float64))
	for i := range v.Data().([]float64) {
		v.Data().([]float64)[i] = float64(float32(f()))
	}
	b.values[n] = v
	return n
}

// words is a leaf of integers below 4.
func (b *blocks) words(name string, shape ...int) *gorgonia.Node {
	n := gorgonia.NewTensor(b.g, tensor.Uint32, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name))
	b.values[n] = opstest.Random(b.r, tensor.Uint32, 4, shape...)
	return n
}

func (b *blocks) param(name string, scale, mean float64, shape ...int) *gorgonia.Node {
	n := b.leaf(name, func() float64 { return mean + scale*b.r.NormFloat64() }, shape...)
	b.params = append(b.params, n)
	return n
}

func (b *blocks) apply(k ops.Kind, in ...*gorgonia.Node) *gorgonia.Node {
	b.t.Helper()
	n, err := ops.Apply(k, in...)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// conv is a 1x1 convolution.
func (b *blocks) conv(name string, x *gorgonia.Node, channels int) *gorgonia.Node {
	return b.apply(ops.Conv2D{Stride: 1}, x, b.param(name, 0.5, 0, channels, x.Shape()[1], 1, 1))
}

func (b *blocks) depthwise(name string, x *gorgonia.Node, kernel, stride int) *gorgonia.Node {
	return b.apply(ops.DepthwiseConv2D{Stride: stride, Pad: kernel / 2}, x,
		b.param(name, 0.5, 0, x.Shape()[1], 1, kernel, kernel))
}

// norm is a batch norm with the statistics of the batch in training, else with given ones.
func (b *blocks) norm(name string, x *gorgonia.Node) *gorgonia.Node {
	c := x.Shape()[1]
	var stats *gorgonia.Node
	if b.training {
		stats = b.apply(ops.BatchStats{}, x)
	} else {
		stats = b.leaf(name+".stats", func() float64 { return 0.1 + b.r.Float64() }, 2, c)
	}
	return b.apply(ops.BatchNorm{Epsilon: 1e-3, Frozen: !b.training}, x, stats, b.param(name+".gamma", 0.5, 3, c),
		b.param(name+".beta", 1, 1, c))
}

func (b *blocks) linear(name string, x *gorgonia.Node, outputs int) *gorgonia.Node {
	return b.apply(ops.Linear{}, x, b.param(name+".weights", 0.4, 0, outputs, x.Shape()[1]),
		b.param(name+".bias", 0.4, 0, outputs))
}

// drop is channel dropout in a layer.
func (b *blocks) drop(x *gorgonia.Node, layer int) *gorgonia.Node {
	mask := b.apply(ops.DropMask{Layer: layer, Channels: x.Shape()[1]}, b.rates, b.samples, b.key)
	return b.apply(ops.ScaleChannels{}, x, mask)
}

// squeeze scales the channels of x by factors between 0 and 1 that are computed from x.
func (b *blocks) squeeze(name string, x *gorgonia.Node, channels int) *gorgonia.Node {
	hidden := b.apply(ops.RowReLU{}, b.linear(name+".reduce", b.apply(ops.GlobalAvgPool{}, x), channels))
	return b.apply(ops.ScaleChannels{}, x, b.apply(ops.Sigmoid{}, b.linear(name+".expand", hidden, x.Shape()[1])))
}

// newBlocks builds the network. The outputs are logits and, in training, the loss and the gradients of all parameters.
func newBlocks(t *testing.T, training bool, batch, height, width int) *blocks {
	t.Helper()
	b := &blocks{
		t: t, g: gorgonia.NewGraph(), r: rand.New(rand.NewPCG(31, 32)), training: training, values: ops.Values{},
	}
	b.rates = b.leaf("rates", func() float64 { return dropped }, 2)
	b.samples, b.key = b.words("samples", batch), b.words("key", 3)
	x := b.leaf("images", b.r.NormFloat64, batch, 5, height, width)
	y := b.apply(ops.ReLU6{}, b.norm("expand.norm", b.conv("expand", x, 19)))
	y = b.apply(ops.ReLU6{}, b.norm("depth.norm", b.depthwise("depth", b.drop(y, 0), 3, 1)))
	y = b.norm("project.norm", b.conv("project", b.squeeze("squeeze", y, 3), 5))
	x = b.apply(ops.Add{}, x, y)
	deep := b.drop(b.apply(ops.ReLU{}, b.norm("deep.norm", b.depthwise("deep", x, 5, 2))), 1)
	flat := b.depthwise("flat", x, 3, 2) // without batch norm
	pooled := b.apply(ops.MaxPool{Window: ops.Window{Size: 3, Stride: 2, Pad: 1}}, x)
	x = b.apply(ops.Concat{Maps: 3}, deep, b.conv("wide", flat, 13), pooled)
	x = b.apply(ops.ReLU{}, b.norm("joined.norm", x))
	b.classify(b.linear("classifier", b.apply(ops.GlobalAvgPool{}, x), 4))
	return b
}

// classify makes logits the output and, in training, adds the loss and the gradients of all parameters.
func (b *blocks) classify(logits *gorgonia.Node) {
	b.t.Helper()
	b.outputs = gorgonia.Nodes{logits}
	if b.training {
		loss := b.apply(ops.CrossEntropy{}, logits, b.words("labels", logits.Shape()[0]))
		grads, err := gorgonia.Grad(loss, b.params...)
		if err != nil {
			b.t.Fatal(err)
		}
		b.outputs = append(append(b.outputs, loss), grads...)
	}
}

// reference evaluates the graph in float64.
func (b *blocks) reference() ops.Values {
	b.t.Helper()
	known := ops.Values{}
	for n, v := range b.values {
		known[n] = v
	}
	if err := ops.Evaluate(b.g, known); err != nil {
		b.t.Fatal(err)
	}
	return known
}

// compile makes a machine on the cpu device and binds its inputs.
func (b *blocks) compile(threads int) *vm.Machine {
	b.t.Helper()
	dev, err := cpu.New(threads)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { dev.Close() })
	return b.on(dev)
}

// on makes a machine on a device and binds its inputs.
func (b *blocks) on(dev device.Device) *vm.Machine {
	b.t.Helper()
	m, err := vm.Compile(b.g, dev, vm.NewState(dev), b.outputs...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { m.Close() })
	for n, v := range b.values {
		data := v.Data()
		if wide, ok := data.([]float64); ok {
			narrow := make([]float32, len(wide))
			for i, x := range wide {
				narrow[i] = float32(x)
			}
			data = narrow
		}
		if err := m.Let(n.Name(), data); err != nil {
			b.t.Fatal(err)
		}
	}
	return m
}

// run executes the graph and returns its outputs.
func (b *blocks) run(threads int) map[string][]float32 {
	b.t.Helper()
	return b.outputsOf(b.compile(threads))
}

// outputsOf executes the graph and returns its outputs.
func (b *blocks) outputsOf(m *vm.Machine) map[string][]float32 {
	b.t.Helper()
	if err := m.RunAll(); err != nil {
		b.t.Fatal(err)
	}
	got := map[string][]float32{}
	for i, n := range b.outputs {
		d := make([]float32, max(1, n.Shape().TotalSize()))
		if err := m.Read(n, d); err != nil {
			b.t.Fatal(err)
		}
		got[b.name(i)] = d
	}
	return got
}

// name is that of an output.
func (b *blocks) name(output int) string {
	if output < 2 {
		return []string{"logits", "loss"}[output]
	}
	return "gradient of " + b.params[output-2].Name()
}

// TestBlocks compares outputs and gradients with the reference, and the bits of several numbers of threads.
func TestBlocks(t *testing.T) {
	for _, training := range []bool{true, false} {
		for _, size := range [][3]int{{9, 9, 12}, {1, 8, 7}, {3, 5, 1}} {
			t.Run(fmt.Sprint("training ", training, " ", size), func(t *testing.T) {
				b := newBlocks(t, training, size[0], size[1], size[2])
				want, got := b.reference(), b.run(1)
				for i, n := range b.outputs {
					compare(t, b.name(i), got[b.name(i)], floats(want[n]))
				}
				bits(t, "3 threads", got, b.run(3))
			})
		}
	}
}

// TestBlockGradients compares gradients of the reference with central differences of the loss.
func TestBlockGradients(t *testing.T) {
	b := newBlocks(t, true, 2, 5, 4)
	base := b.reference()
	loss := b.outputs[1]
	const h = 1e-5
	for i, p := range b.params {
		x, dx := b.values[p].Data().([]float64), floats(base[b.outputs[2+i]])
		for _, j := range []int{0, len(x) / 2, len(x) - 1} {
			old := x[j]
			x[j] = old + h
			up := b.reference()[loss].Data().(float64)
			x[j] = old - h
			down := b.reference()[loss].Data().(float64)
			x[j] = old
			if want := (up - down) / (2 * h); math.Abs(dx[j]-want) > 1e-6*(1+math.Abs(want)) {
				t.Errorf("%s, element %d: gradient %.9g, central difference %.9g", p.Name(), j, dx[j], want)
			}
		}
	}
}

// TestBlocksDropped compares dropout layer by layer with runs in which all other rates are zero.
func TestBlocksDropped(t *testing.T) {
	b := newBlocks(t, false, 9, 9, 12)
	b.dropped(b.compile(2), func() map[string][]float32 { return b.run(1) })
}

// dropped runs dropout layer by layer, and compares it with runs that run does and with the reference.
func (b *blocks) dropped(m *vm.Machine, run func() map[string][]float32) {
	t := b.t
	t.Helper()
	const repeats = 2
	if err := m.RunDropped(repeats); err != nil {
		t.Fatal(err)
	}
	rates, key := b.values[b.rates].Data().([]float64), b.values[b.key].Data().([]uint32)
	for layer := range rates {
		for repeat := range repeats {
			clear(rates)
			rates[layer], key[2] = dropped, uint32(repeat)
			got := make([]float32, b.outputs[0].Shape().TotalSize())
			if err := m.ReadDropped(b.outputs[0], layer, repeat, got); err != nil {
				t.Fatal(err)
			}
			what := fmt.Sprintf("layer %d, repeat %d", layer, repeat)
			compare(t, what, got, floats(b.reference()[b.outputs[0]]))
			bits(t, what, run(), map[string][]float32{"logits": got})
		}
	}
}
