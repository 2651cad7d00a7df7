package vm_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"

	"netadjust/internal/device/cpu"
	"netadjust/internal/device/cpu/kernel"
	"netadjust/internal/ops"
	"netadjust/internal/vm"
	"netadjust/networks"
)

// pytorchSteps is testdata/pytorch_steps.json, see pytorch_steps.py.
type pytorchSteps struct {
	Variants []string      `json:"variants"`
	Cases    []pytorchCase `json:"cases"`
}

type pytorchCase struct {
	Name          string                `json:"name"`
	Width         float64               `json:"width"`
	Channels      []int                 `json:"channels"`
	Batch         int                   `json:"batch"`
	Input         [3]int                `json:"input"`
	Classes       int                   `json:"classes"`
	Seed          uint32                `json:"seed"`
	Losses        []float64             `json:"losses"`         // of each step in float64
	LossesFloat32 [][]float64           `json:"losses_float32"` // by variant, step
	Gradients     []map[string]gradient `json:"gradients"`      // of the first and the last step, by parameter
}

type gradient struct {
	Value  string    `json:"value"`          // base64 of float32, rounded from float64
	Errors []float64 `json:"errors_float32"` // by variant
}

func (v gradient) floats(t *testing.T) []float64 {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(v.Value)
	if err != nil {
		t.Fatal(err)
	}
	f := make([]float64, len(b)/4)
	for i := range f {
		f[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
	}
	return f
}

// hashed gives n integers, as the function of this name in pytorch_steps.py.
func hashed(stream uint32, n int) []uint32 {
	mix := func(x uint32) uint32 {
		x = (x ^ x>>16) * 0x7feb352d
		x = (x ^ x>>15) * 0x846ca68b
		return x ^ x>>16
	}
	h := make([]uint32, n)
	for i := range h {
		h[i] = mix(uint32(i) + mix(stream))
	}
	return h
}

// initial gives the elements of a parameter, as in pytorch_steps.py.
func initial(stream uint32, p networks.Tensor) []float32 {
	size, fanIn := 1, 1
	for i, d := range p.Shape {
		size *= d
		if i > 0 {
			fanIn *= d
		}
	}
	v := make([]float32, size)
	for i, h := range hashed(stream, size) {
		x := float64(h>>8)/(1<<23) - 1
		switch p.Role {
		case networks.Gamma:
			x = 1 + x/4
		case networks.Beta, networks.Bias:
			x /= 8
		default:
			x *= math.Sqrt(3 / float64(fanIn))
		}
		v[i] = float32(x)
	}
	return v
}

// train runs the steps of a case and returns losses, and the gradients of the first and the last step.
func (c *pytorchCase) train(t *testing.T) (losses []float64, gradients []map[string][]float32) {
	t.Helper()
	net, err := networks.New(networks.Spec{Name: c.Name, Width: c.Width, Input: c.Input, Classes: c.Classes})
	if err != nil {
		t.Fatal(err)
	}
	g, err := net.Graph(c.Channels, networks.GraphOptions{
		Batch: c.Batch, Train: &networks.TrainOptions{Momentum: 0.9, WeightDecay: 1e-4},
	})
	if err != nil {
		t.Fatal(err)
	}
	dev, err := cpu.New(2)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	state := vm.NewState(dev)
	var stream uint32
	for _, p := range net.Tensors(c.Channels) {
		if err := state.Add(p.Name, p.Shape...); err != nil {
			t.Fatal(err)
		}
		if p.Role == networks.Running {
			continue
		}
		if err := state.Write(p.Name, initial(1000*c.Seed+stream, p)); err != nil {
			t.Fatal(err)
		}
		if err := state.Add(p.Velocity(), p.Shape...); err != nil {
			t.Fatal(err)
		}
		stream++
	}
	outputs := gorgonia.Nodes{g.Loss}
	var names []string
	for _, n := range g.AllNodes() {
		if o, ok := n.Op().(ops.Op); ok {
			if _, ok := o.Kind.(ops.Momentum); ok { // of velocity, parameter, gradient
				var operands gorgonia.Nodes
				for it := g.From(n.ID()); it.Next(); {
					operands = append(operands, it.Node().(*gorgonia.Node))
				}
				names, outputs = append(names, operands[1].Name()), append(outputs, operands[2])
			}
		}
	}
	m, err := vm.Compile(g.ExprGraph, dev, state, outputs...)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	scale := slices.Repeat([]float32{1. / 64}, c.Input[0])
	scale = append(scale, slices.Repeat([]float32{-2}, c.Input[0])...)
	let := func(name string, data any) {
		if err := m.Let(name, data); err != nil {
			t.Fatal(err)
		}
	}
	let(networks.Scale, scale)
	let(networks.Moves, make([]uint32, 3*c.Batch))
	let(networks.LearningRate, []float32{0.1})
	for step := range uint32(len(c.Losses)) {
		pixels := make([]uint8, c.Batch*c.Input[0]*c.Input[1]*c.Input[2])
		for i, h := range hashed(1000*c.Seed+500+step, len(pixels)) {
			pixels[i] = uint8(h)
		}
		labels := hashed(1000*c.Seed+600+step, c.Batch)
		for i := range labels {
			labels[i] %= uint32(c.Classes)
		}
		let(networks.Pixels, pixels)
		let(networks.Labels, labels)
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		loss := make([]float32, 1)
		if err := m.Read(g.Loss, loss); err != nil {
			t.Fatal(err)
		}
		losses = append(losses, float64(loss[0]))
		if step != 0 && step != uint32(len(c.Losses)-1) {
			continue
		}
		at := map[string][]float32{}
		for i, name := range names {
			at[name] = make([]float32, outputs[1+i].Shape().TotalSize())
			if err := m.Read(outputs[1+i], at[name]); err != nil {
				t.Fatal(err)
			}
		}
		gradients = append(gradients, at)
	}
	return losses, gradients
}

// TestPyTorchSteps trains for five steps with every set of kernels. Losses and gradients have to be as close to float64
// as those of PyTorch in float32: the error of the median parameter is at most that of PyTorch with oneDNN, in the
// layout that rounds worse, and the largest error, which is a matter of luck, at most one and a half times as large.
func TestPyTorchSteps(t *testing.T) {
	file, err := os.ReadFile("testdata/pytorch_steps.json")
	if err != nil {
		t.Fatal(err)
	}
	var fixture pytorchSteps
	if err := json.Unmarshal(file, &fixture); err != nil {
		t.Fatal(err)
	}
	for _, c := range fixture.Cases {
		for _, set := range kernel.Available() {
			t.Run(c.Name+", "+set.Name, func(t *testing.T) {
				t.Setenv(cpu.KernelsVariable, set.Name)
				losses, gradients := c.train(t)
				check := func(what string, ours []float64, theirs func(variant int) []float64) {
					var median, largest float64
					for i, v := range fixture.Variants {
						if strings.Contains(v, "oneDNN") {
							m, l := spread(theirs(i))
							median, largest = max(median, m), max(largest, l)
						}
					}
					m, l := spread(ours)
					t.Logf("%s: median error %.2g, PyTorch's %.2g; largest %.2g, PyTorch's %.2g", what, m, median, l, largest)
					if !(m <= median && l <= 1.5*largest) {
						t.Errorf("%s: median error %.2g, want at most %.2g; largest %.2g, want at most 1.5 times %.2g",
							what, m, median, l, largest)
					}
				}
				check("losses", errorsOf(losses, c.Losses), func(i int) []float64 { return errorsOf(c.LossesFloat32[i], c.Losses) })
				for i, step := range c.Gradients {
					names := slices.Sorted(maps.Keys(step))
					var ours []float64
					for _, name := range names {
						ours = append(ours, relativeError(t, name, gradients[i][name], step[name].floats(t)))
					}
					check([]string{"gradients of step 1", "gradients of step 5"}[i], ours, func(variant int) []float64 {
						var e []float64
						for _, name := range names {
							e = append(e, step[name].Errors[variant])
						}
						return e
					})
				}
			})
		}
	}
}

func errorsOf(got, want []float64) []float64 {
	e := make([]float64, len(want))
	for i, w := range want {
		e[i] = math.Abs(got[i] - w)
	}
	return e
}

func spread(errors []float64) (median, largest float64) {
	s := slices.Sorted(slices.Values(errors))
	return s[len(s)/2], s[len(s)-1]
}

// relativeError is the L2 norm of the difference, relative to that of want.
func relativeError(t *testing.T, name string, got []float32, want []float64) float64 {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s has %d elements, want %d", name, len(got), len(want))
	}
	var difference, norm float64
	for i, w := range want {
		d := float64(got[i]) - w
		difference += d * d
		norm += w * w
	}
	return math.Sqrt(difference / norm)
}
