// Package devicetest checks a device against the reference implementations of the operations. Every device runs the same
// table.
package devicetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"netadjust/internal/device"
	"netadjust/internal/ops"
	"netadjust/internal/ops/opstest"
	"netadjust/internal/vm"
)

// operation is a kind on inputs of the given shapes.
type operation struct {
	kind   ops.Kind
	shapes [][]int
}

// operations lists every kind with shapes that are usual, odd, tiny, and larger than one block of work.
func operations() []operation {
	var table []operation
	add := func(k ops.Kind, shapes ...[]int) { table = append(table, operation{k, shapes}) }
	for _, g := range []struct {
		k    ops.Conv2D
		x, w []int
	}{
		{ops.Conv2D{Stride: 1, Pad: 1}, []int{9, 3, 8, 8}, []int{5, 3, 3, 3}},
		{ops.Conv2D{Stride: 1, Pad: 1}, []int{2, 17, 7, 9}, []int{33, 17, 3, 3}},
		{ops.Conv2D{Stride: 2, Pad: 1}, []int{3, 4, 9, 8}, []int{6, 4, 3, 3}},
		{ops.Conv2D{Stride: 2, Pad: 3}, []int{2, 3, 21, 20}, []int{4, 3, 7, 7}},
		{ops.Conv2D{Stride: 2, Pad: 0}, []int{2, 5, 7, 7}, []int{3, 5, 1, 1}},
		{ops.Conv2D{Stride: 1, Pad: 0}, []int{2, 5, 6, 6}, []int{70, 5, 1, 1}},
		{ops.Conv2D{Stride: 1, Pad: 2}, []int{1, 1, 1, 1}, []int{1, 1, 5, 5}},
		{ops.Conv2D{Stride: 1, Pad: 1}, []int{1, 2, 30, 31}, []int{2, 2, 3, 3}},
		{ops.Conv2D{Stride: 1, Pad: 1}, []int{1, 1, 2, 250}, []int{2, 1, 3, 3}},
	} {
		y, err := ops.InferShape(g.k, []tensor.Shape{g.x, g.w})
		if err != nil {
			panic(err)
		}
		add(g.k, g.x, g.w)
		add(ops.Conv2DGradInput{Conv: g.k, Height: g.x[2], Width: g.x[3]}, g.w, y)
		add(ops.Conv2DGradWeights{Conv: g.k, Height: g.w[2], Width: g.w[3]}, g.x, y)
	}
	for _, x := range [][]int{{9, 3, 5, 4}, {1, 1, 1, 1}, {2, 17, 3, 3}, {16, 2, 8, 8}} {
		stats, c := []int{2, x[1]}, []int{x[1]}
		add(ops.BatchStats{}, x)
		for _, frozen := range []bool{false, true} {
			k := ops.BatchNorm{Epsilon: 1e-5, Frozen: frozen}
			add(k, x, stats, c, c)
			add(ops.BatchNormGradInput{BatchNorm: k}, x, stats, c, c, c, x)
		}
		add(ops.BatchNormGradScale{Epsilon: 1e-5}, x, stats, x)
		add(ops.BatchNormGradShift{}, x)
		add(ops.RunningStats{Momentum: 0.1, Count: 12}, stats, stats)
		add(ops.ReLU{}, x)
		add(ops.ReLUGrad{}, x, x)
		add(ops.Add{}, x, x)
		add(ops.GlobalAvgPool{}, x)
		add(ops.GlobalAvgPoolGrad{Height: 3, Width: 2}, x[:2])
		add(ops.ScaleChannels{}, x, x[:2])
		for _, w := range []ops.Window{{Size: 2, Stride: 2}, {Size: 3, Stride: 2, Pad: 1}, {Size: 1, Stride: 1}} {
			y, err := ops.InferShape(ops.AvgPool{Window: w}, []tensor.Shape{x})
			if err != nil {
				panic(err)
			}
			add(ops.AvgPool{Window: w}, x)
			add(ops.AvgPoolGrad{Window: w, Height: x[2], Width: x[3]}, y)
			add(ops.MaxPool{Window: w}, x)
			add(ops.MaxPoolGrad{Window: w}, x, y)
		}
		for _, w := range []ops.ChannelWindow{{Count: x[1] + 2}, {Count: 1}, {Offset: -2, Count: x[1] + 3}} {
			add(w, x)
		}
		add(ops.DropMask{Layer: 1, Channels: x[1]}, []int{3}, x[:1], []int{3})
		for _, pad := range []int{0, 1, 2} {
			add(ops.Images{Pad: pad}, x, []int{x[0], 3}, stats)
		}
		add(ops.Linear{}, x[:2], []int{10, x[1]}, []int{10})
		add(ops.MatMul{}, []int{x[0], 10}, []int{10, x[1]})
		add(ops.MatMul{TransposeA: true}, []int{x[0], 10}, x[:2])
		add(ops.SumRows{}, x[:2])
		for _, smoothing := range []float64{0, 0.1} {
			add(ops.CrossEntropy{Smoothing: smoothing}, x[:2], x[:1])
			add(ops.CrossEntropyGrad{Smoothing: smoothing}, x[:2], x[:1])
		}
		add(ops.Momentum{Dims: 4, Momentum: 0.9, Decay: 1e-2}, x, x, x)
		add(ops.Descend{Dims: 2}, stats, stats, []int{1})
	}
	return table
}

// Run checks every operation of a device: the result is that of the reference within float32 rounding, and the same bits
// for any number of threads.
func Run(t *testing.T, open func(threads int) (device.Device, error)) {
	for _, o := range operations() {
		t.Run(fmt.Sprint(ops.Name(o.kind), o.shapes), func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 4))
			in := make([]gorgonia.Value, len(o.shapes))
			for i, x := range o.kind.Inputs() {
				in[i] = input(r, o.kind, i, x, o.shapes[i])
			}
			var first []float32
			for _, threads := range []int{1, 2, 3} {
				got := onDevice(t, open, threads, o, in)
				if first == nil {
					first = got
					want, err := (ops.Op{Kind: o.kind}).Do(clone(in)...)
					if err != nil {
						t.Fatal(err)
					}
					compare(t, got, want)
				}
				for i, v := range got {
					if math.Float32bits(v) != math.Float32bits(first[i]) {
						t.Fatalf("element %d is %v with %d threads, %v with one", i, v, threads, first[i])
					}
				}
			}
		})
	}
}

// input draws an operand: a variance and a drop rate must lie in their range, a mirror is 0 or 1, labels are classes.
func input(r *rand.Rand, k ops.Kind, i int, x ops.Operand, shape []int) gorgonia.Value {
	of, below := tensor.Float32, 3
	switch x.Element {
	case ops.Byte:
		of, below = tensor.Uint8, 256
	case ops.Word:
		of = tensor.Uint32
		if _, ok := k.(ops.Images); ok {
			below = 2
		}
		switch k.(type) {
		case ops.CrossEntropy, ops.CrossEntropyGrad:
			below = 1
		}
	}
	v := opstest.Random(r, of, below, shape...)
	d, _ := v.Data().([]float32)
	_, drop := k.(ops.DropMask)
	switch {
	case drop && i == 0:
		for j := range d {
			d[j] = 0.4
		}
	case x.Dims == 2 && shape[0] == 2 && i == 1:
		for j := range d {
			d[j] = float32(math.Abs(float64(d[j])))
		}
	}
	return v
}

func clone(in []gorgonia.Value) []gorgonia.Value {
	c := make([]gorgonia.Value, len(in))
	for i, v := range in {
		c[i] = v.(*tensor.Dense).Clone().(*tensor.Dense)
	}
	return c
}

// onDevice runs one operation. The first input of an updating one is state.
func onDevice(t *testing.T, open func(int) (device.Device, error), threads int, o operation, in []gorgonia.Value) []float32 {
	t.Helper()
	dev, err := open(threads)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	state := vm.NewState(dev)
	g := gorgonia.NewGraph()
	var nodes gorgonia.Nodes
	for i, v := range in {
		name := fmt.Sprint("in", i)
		nodes = append(nodes, gorgonia.NewTensor(g, v.Dtype(), v.Shape().Dims(), gorgonia.WithShape(v.Shape()...),
			gorgonia.WithName(name)))
		if i == 0 && ops.Updates(o.kind) {
			if err := state.Add(name, v.Shape()...); err != nil {
				t.Fatal(err)
			}
			if err := state.Write(name, v.Data().([]float32)); err != nil {
				t.Fatal(err)
			}
		}
	}
	out, err := ops.Apply(o.kind, nodes...)
	if err != nil {
		t.Fatal(err)
	}
	m, err := vm.Compile(g, dev, state, out)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for i, v := range clone(in) {
		if err := m.Let(fmt.Sprint("in", i), v.Data()); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	got := make([]float32, max(out.Shape().TotalSize(), 1))
	if err := m.Read(out, got); err != nil {
		t.Fatal(err)
	}
	if ops.Updates(o.kind) {
		kept, err := state.Read("in0")
		if err != nil {
			t.Fatal(err)
		}
		for i := range kept {
			if kept[i] != got[i] {
				t.Fatalf("state element %d is %v after the run, the operation gave %v", i, kept[i], got[i])
			}
		}
	}
	return got
}

func compare(t *testing.T, got []float32, want gorgonia.Value) {
	t.Helper()
	var w []float32
	switch d := want.Data().(type) {
	case []float32:
		w = d
	case float32:
		w = []float32{d}
	}
	if len(w) != len(got) {
		t.Fatalf("%d elements, want %d", len(got), len(w))
	}
	scale := 0.0
	for _, v := range w {
		scale = max(scale, math.Abs(float64(v)))
	}
	for i := range w {
		if d := math.Abs(float64(got[i]) - float64(w[i])); !(d <= 1e-5*scale+1e-6) {
			t.Fatalf("element %d is %v, the reference gives %v (largest %v)", i, got[i], w[i], scale)
		}
	}
}
