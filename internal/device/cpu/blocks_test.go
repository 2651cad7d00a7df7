package cpu

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"netadjust/internal/device"
	"netadjust/internal/ops"
	"netadjust/internal/vm"
)

// sketch builds the graph of a few operations.
type sketch struct {
	t     *testing.T
	g     *gorgonia.ExprGraph
	count int
}

func (s *sketch) leaf(shape ...int) *gorgonia.Node {
	s.count++
	return gorgonia.NewTensor(s.g, tensor.Float32, len(shape), gorgonia.WithShape(shape...),
		gorgonia.WithName(fmt.Sprint("leaf", s.count)))
}

func (s *sketch) apply(k ops.Kind, in ...*gorgonia.Node) *gorgonia.Node {
	s.t.Helper()
	n, err := ops.Apply(k, in...)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// norm is a batch norm, with statistics of x in training.
func (s *sketch) norm(x *gorgonia.Node, training bool) *gorgonia.Node {
	c := x.Shape()[1]
	stats := s.leaf(2, c)
	if training {
		stats = s.apply(ops.BatchStats{}, x)
	}
	return s.apply(ops.BatchNorm{Epsilon: 1e-5, Frozen: !training}, x, stats, s.leaf(c), s.leaf(c))
}

// inverted is an inverted residual block with squeeze-excitation on x [9, 20, 6, 6], joined to x.
func (s *sketch) inverted(x *gorgonia.Node, training bool) *gorgonia.Node {
	y := s.apply(ops.ReLU6{}, s.norm(s.apply(ops.Conv2D{Stride: 1}, x, s.leaf(40, 20, 1, 1)), training))
	y = s.apply(ops.ReLU6{}, s.norm(s.apply(ops.DepthwiseConv2D{Stride: 1, Pad: 1}, y, s.leaf(40, 1, 3, 3)), training))
	hidden := s.apply(ops.RowReLU{}, s.apply(ops.Linear{}, s.apply(ops.GlobalAvgPool{}, y), s.leaf(10, 40), s.leaf(10)))
	gate := s.apply(ops.Sigmoid{}, s.apply(ops.Linear{}, hidden, s.leaf(40, 10), s.leaf(40)))
	return s.apply(ops.Concat{Maps: 2}, x, s.apply(ops.ScaleChannels{}, y, gate))
}

// program lowers a graph.
func (s *sketch) program(outputs ...*gorgonia.Node) (*device.Program, *Device) {
	s.t.Helper()
	d, err := New(2)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { d.Close() })
	r := &recorder{Device: d}
	if _, err := vm.Compile(s.g, r, vm.NewState(r), outputs...); err != nil {
		s.t.Fatal(err)
	}
	return r.program, d
}

func kinds(p *device.Program) []string {
	var list []string
	instructions, _ := fuse(p)
	for _, i := range instructions {
		list = append(list, fmt.Sprintf("%T", i.op))
	}
	return list
}

// TestFuseBlocks checks what is merged in an inverted residual block: in inference batch norms and ReLU6 with the
// convolutions before them; in training everything between convolutions. Squeeze-excitation, whose factors come from
// the rectified map, is not.
func TestFuseBlocks(t *testing.T) {
	s := &sketch{t: t, g: gorgonia.NewGraph()}
	p, _ := s.program(s.inverted(s.leaf(9, 20, 6, 6), false))
	if diff := cmp.Diff([]string{
		"cpu.convolve", "cpu.depthwise", "ops.GlobalAvgPool", "ops.Linear", "ops.RowReLU", "ops.Linear",
		"ops.Sigmoid", "cpu.normalize", "ops.Concat",
	}, kinds(p)); diff != "" {
		t.Errorf("inference (-want +got):\n%s", diff)
	}

	s = &sketch{t: t, g: gorgonia.NewGraph()}
	x := s.leaf(9, 20, 6, 6)
	logits := s.apply(ops.GlobalAvgPool{}, s.inverted(x, true))
	loss := s.apply(ops.CrossEntropy{}, logits, gorgonia.NewTensor(s.g, tensor.Uint32, 1, gorgonia.WithShape(9),
		gorgonia.WithName("labels")))
	grads, err := gorgonia.Grad(loss, x)
	if err != nil {
		t.Fatal(err)
	}
	p, _ = s.program(grads...)
	count := map[string]int{}
	for _, kind := range kinds(p) {
		count[kind]++
	}
	for kind, want := range map[string]int{
		"cpu.backStats": 2, "cpu.normalize": 5, // two batch norms, two scalings, and the sum of the gradients by x
		"ops.ReLU6": 0, "ops.ReLU6Grad": 0, "ops.BatchNorm": 0, "ops.ScaleChannels": 0, "ops.ScaleChannelsGrad": 1,
		"ops.DepthwiseConv2DGradInput": 1, "ops.ChannelWindow": 2,
	} {
		if count[kind] != want {
			t.Errorf("training: %d of %s, want %d (%v)", count[kind], kind, want, count)
		}
	}
}

// TestNegativeFactors checks that factors that may be negative stay behind a ReLU.
func TestNegativeFactors(t *testing.T) {
	s := &sketch{t: t, g: gorgonia.NewGraph()}
	x, factors := s.leaf(1, 2, 1, 2), s.leaf(1, 2)
	y := s.apply(ops.ScaleChannels{}, s.apply(ops.ReLU{}, x), factors)
	p, d := s.program(y)
	e, err := d.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	inputs := zeros(p)
	for i, v := range p.Inputs {
		data := []float32{3, -3, 1, 2}
		if p.Values[v].Size() == 2 {
			data = []float32{-1, 0.5}
		}
		inputs[i] = data
	}
	if err := e.Run(inputs); err != nil {
		t.Fatal(err)
	}
	got := make([]float32, 4)
	if err := e.Output(0, 0, got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float32{-3, 0, 0.5, 1}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestBlocksAllocateNothing is TestNoAllocations for operations that those networks lack.
func TestBlocksAllocateNothing(t *testing.T) {
	s := &sketch{t: t, g: gorgonia.NewGraph()}
	x := s.leaf(9, 20, 6, 6)
	y := s.inverted(x, true)
	window := ops.Window{Size: 3, Stride: 2, Pad: 1}
	rows := s.apply(ops.GlobalAvgPool{}, s.apply(ops.MaxPool{Window: window}, s.apply(ops.AvgPool{Window: window}, y)))
	loss := s.apply(ops.CrossEntropy{}, rows, gorgonia.NewTensor(s.g, tensor.Uint32, 1, gorgonia.WithShape(9),
		gorgonia.WithName("labels")))
	grads, err := gorgonia.Grad(loss, x)
	if err != nil {
		t.Fatal(err)
	}
	p, d := s.program(grads...)
	e, err := d.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	inputs := zeros(p)
	if n := testing.AllocsPerRun(5, func() {
		if err := e.Run(inputs); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
}
