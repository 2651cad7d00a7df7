package ops

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"netadjust/internal/ops/opstest"
)

// project is the scalar product of a tensor with a constant one: a cost that makes every element of a gradient count.
type project struct{ Dims int }

func (k project) Inputs() []Operand                             { return []Operand{float(k.Dims), constant(k.Dims)} }
func (k project) Output() Operand                               { return float(0) }
func (k project) Shape(in []tensor.Shape) (tensor.Shape, error) { return tensor.ScalarShape(), nil }

func (k project) Gradient(in gorgonia.Nodes, _, _ *gorgonia.Node) (gorgonia.Nodes, error) {
	return gorgonia.Nodes{in[1], nil}, nil
}

func (k project) Reference(in []Array, out Array) {
	for i, x := range in[0].Data {
		out.Data[0] += x * in[1].Data[i]
	}
}

// gradientCase is an operation on inputs of the given shapes.
type gradientCase struct {
	kind   Kind
	shapes [][]int
}

var gradientCases = []gradientCase{
	{Conv2D{Stride: 1, Pad: 1}, [][]int{{2, 3, 5, 4}, {2, 3, 3, 3}}},
	{Conv2D{Stride: 2, Pad: 1}, [][]int{{2, 2, 7, 6}, {3, 2, 3, 3}}},
	{Conv2D{Stride: 2, Pad: 3}, [][]int{{1, 3, 9, 9}, {2, 3, 7, 7}}},
	{Conv2D{Stride: 2, Pad: 0}, [][]int{{2, 3, 5, 5}, {4, 3, 1, 1}}},
	{Conv2D{Stride: 1, Pad: 2}, [][]int{{1, 1, 1, 1}, {1, 1, 5, 5}}},
	{DepthwiseConv2D{Stride: 1, Pad: 1}, [][]int{{2, 3, 5, 4}, {3, 1, 3, 3}}},
	{DepthwiseConv2D{Stride: 2, Pad: 1}, [][]int{{2, 3, 7, 6}, {3, 1, 3, 3}}},
	{DepthwiseConv2D{Stride: 2, Pad: 2}, [][]int{{1, 2, 6, 7}, {2, 1, 5, 5}}},
	{DepthwiseConv2D{Stride: 1, Pad: 2}, [][]int{{1, 1, 1, 1}, {1, 1, 5, 5}}},
	{ReLU{}, [][]int{{2, 3, 4, 5}}},
	{ReLU6{}, [][]int{{2, 3, 4, 5}}},
	{RowReLU{}, [][]int{{4, 5}}},
	{Sigmoid{}, [][]int{{4, 5}}},
	{Concat{Maps: 1}, [][]int{{2, 3, 4, 5}}},
	{Concat{Maps: 3}, [][]int{{2, 3, 4, 5}, {2, 1, 4, 5}, {2, 2, 4, 5}}},
	{Add{}, [][]int{{2, 3, 4, 5}, {2, 3, 4, 5}}},
	{AvgPool{Window{Size: 2, Stride: 2}}, [][]int{{2, 3, 4, 6}}},
	{AvgPool{Window{Size: 2, Stride: 2}}, [][]int{{2, 3, 5, 7}}},
	{AvgPool{Window{Size: 2, Stride: 2}}, [][]int{{2, 3, 1, 1}}},
	{MaxPool{Window{Size: 3, Stride: 2, Pad: 1}}, [][]int{{2, 3, 7, 8}}},
	{MaxPool{Window{Size: 2, Stride: 2}}, [][]int{{1, 2, 5, 4}}},
	{GlobalAvgPool{}, [][]int{{2, 3, 4, 5}}},
	{ChannelWindow{Offset: 0, Count: 5}, [][]int{{2, 3, 2, 2}}},
	{ChannelWindow{Offset: 0, Count: 2}, [][]int{{2, 3, 2, 2}}},
	{ChannelWindow{Offset: -2, Count: 5}, [][]int{{2, 3, 2, 2}}},
	{ChannelWindow{Offset: 1, Count: 4}, [][]int{{2, 3, 2, 2}}},
	{ScaleChannels{}, [][]int{{2, 3, 4, 5}, {2, 3}}},
	{Linear{}, [][]int{{4, 5}, {3, 5}, {3}}},
	{CrossEntropy{}, [][]int{{4, 5}, {4}}},
	{CrossEntropy{Smoothing: 0.1}, [][]int{{4, 5}, {4}}},
	{SoftCrossEntropy{}, [][]int{{4, 5}, {4, 5}}},
	{BatchNorm{Epsilon: 1e-3}, [][]int{{3, 2, 3, 2}, {2, 2}, {2}, {2}}},
	{BatchNorm{Epsilon: 1e-3, Frozen: true}, [][]int{{3, 2, 3, 2}, {2, 2}, {2}, {2}}},
}

// TestGradients compares symbolic derivatives with central differences in float64.
func TestGradients(t *testing.T) {
	for _, c := range gradientCases {
		t.Run(fmt.Sprint(Name(c.kind), c.shapes), func(t *testing.T) {
			g, nodes, values, cost := graphOf(t, c)
			var wrt gorgonia.Nodes
			for i, x := range c.kind.Inputs() {
				if x.Differentiable {
					wrt = append(wrt, nodes[i])
				}
			}
			grads, err := gorgonia.Grad(cost, wrt...)
			if err != nil {
				t.Fatal(err)
			}
			run := func() Values {
				known := Values{}
				for i, n := range nodes {
					if !followsImages(c.kind, i) {
						known[n] = values[i]
					}
				}
				known[nodes[len(nodes)-1]] = values[len(nodes)-1]
				if err := Evaluate(g, known); err != nil {
					t.Fatal(err)
				}
				return known
			}
			base := run()
			const h = 1e-5
			for j, n := range wrt {
				x, dx := base[n].Data().([]float64), base[grads[j]].Data().([]float64)
				for i := range x {
					old := x[i]
					x[i] = old + h
					up := run()[cost].Data().(float64)
					x[i] = old - h
					down := run()[cost].Data().(float64)
					x[i] = old
					if want := (up - down) / (2 * h); math.Abs(dx[i]-want) > 1e-6*(1+math.Abs(want)) {
						t.Fatalf("input %v, element %d: gradient %.9g, central difference %.9g", n.Name(), i, dx[i], want)
					}
				}
			}
		})
	}
}

// followsImages tells whether an input is computed from the images: the statistics of a batch norm in training.
func followsImages(k Kind, input int) bool {
	b, ok := k.(BatchNorm)
	return ok && !b.Frozen && input == 1
}

// graphOf builds the operation with random inputs and projects it on a random tensor, the last of nodes and values.
func graphOf(t *testing.T, c gradientCase) (*gorgonia.ExprGraph, gorgonia.Nodes, []gorgonia.Value, *gorgonia.Node) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	g := gorgonia.NewGraph()
	var nodes gorgonia.Nodes
	var values []gorgonia.Value
	leaf := func(name string, of tensor.Dtype, shape []int) {
		nodes = append(nodes, gorgonia.NewTensor(g, of, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name)))
		v := opstest.Random(r, of, 3, shape...)
		values = append(values, v)
	}
	for i, x := range c.kind.Inputs() {
		switch {
		case x.Element == Word:
			leaf(fmt.Sprint("in", i), tensor.Uint32, c.shapes[i])
		case followsImages(c.kind, i):
			stats, err := Apply(BatchStats{}, nodes[0])
			if err != nil {
				t.Fatal(err)
			}
			nodes, values = append(nodes, stats), append(values, nil)
		default:
			leaf(fmt.Sprint("in", i), tensor.Float64, c.shapes[i])
			if _, ok := c.kind.(BatchNorm); ok && i == 1 { // a variance is not negative
				for j, d := 0, values[i].Data().([]float64); j < len(d); j++ {
					d[j] = math.Abs(d[j])
				}
			}
		}
	}
	y, err := Apply(c.kind, nodes...)
	if err != nil {
		t.Fatal(err)
	}
	if y.IsScalar() {
		leaf("unused", tensor.Float64, []int{1})
		return g, nodes, values, y
	}
	leaf("projection", tensor.Float64, y.Shape())
	cost, err := Apply(project{y.Dims()}, y, nodes[len(nodes)-1])
	if err != nil {
		t.Fatal(err)
	}
	return g, nodes, values, cost
}

func TestShapeErrors(t *testing.T) {
	for _, c := range []struct {
		kind   Kind
		shapes []tensor.Shape
		want   string
	}{
		{Conv2D{1, 1}, []tensor.Shape{{1, 3, 8, 8}}, "1 inputs, want 2"},
		{Conv2D{1, 1}, []tensor.Shape{{1, 3, 8}, {4, 3, 3, 3}}, "input 0 has shape (1, 3, 8), want 4 dimensions"},
		{Conv2D{1, 1}, []tensor.Shape{{0, 3, 8, 8}, {4, 3, 3, 3}}, "every dimension must be at least 1"},
		{Conv2D{1, 1}, []tensor.Shape{{1, 3, 8, 8}, {4, 5, 3, 3}}, "have 3 channels, weights (4, 5, 3, 3) expect 5"},
		{Conv2D{1, 0}, []tensor.Shape{{1, 3, 2, 8}, {4, 3, 3, 3}}, "window 3x3 is larger than images"},
		{Conv2D{0, 1}, []tensor.Shape{{1, 3, 8, 8}, {4, 3, 3, 3}}, "stride must be positive"},
		{Conv2DGradInput{Conv: Conv2D{2, 1}, Height: 8, Width: 8}, []tensor.Shape{{4, 3, 3, 3}, {1, 4, 8, 8}},
			"output gradient is (1, 4, 8, 8), want (1, 4, 4, 4)"},
		{DepthwiseConv2D{1, 1}, []tensor.Shape{{1, 3, 8, 8}, {4, 1, 3, 3}},
			"have 3 channels, want weights [3 1 height width], got (4, 1, 3, 3)"},
		{DepthwiseConv2D{1, 1}, []tensor.Shape{{1, 3, 8, 8}, {3, 3, 3, 3}}, "got (3, 3, 3, 3)"},
		{DepthwiseConv2D{1, 0}, []tensor.Shape{{1, 3, 2, 8}, {3, 1, 3, 3}}, "window 3x3 is larger than images"},
		{DepthwiseConv2DGradInput{Conv: DepthwiseConv2D{2, 1}, Height: 8, Width: 8},
			[]tensor.Shape{{3, 1, 3, 3}, {1, 3, 8, 8}}, "output gradient is (1, 3, 8, 8), want (1, 3, 4, 4)"},
		{Concat{Maps: 2}, []tensor.Shape{{1, 3, 8, 8}, {1, 4, 8, 7}},
			"images (1, 3, 8, 8) and (1, 4, 8, 7) do not agree in batch, height and width"},
		{Concat{}, nil, "0 images: there must be one at least"},
		{SigmoidGrad{}, []tensor.Shape{{2, 3}, {2, 4}}, "second shape is (2, 4), want (2, 3)"},
		{ScaleChannelsGrad{}, []tensor.Shape{{1, 3, 8, 8}, {1, 3, 8, 7}}, "second shape is (1, 3, 8, 7)"},
		{BatchNorm{}, []tensor.Shape{{1, 3, 8, 8}, {2, 4}, {3}, {3}}, "shape of the statistics is (2, 4), want (2, 3)"},
		{BatchNorm{}, []tensor.Shape{{1, 3, 8, 8}, {2, 3}, {3}, {4}}, "number of scales and shifts is [3 4], want [3 3]"},
		{RunningStats{}, []tensor.Shape{{2, 3}, {2, 4}}, "shape of the batch statistics is (2, 4), want (2, 3)"},
		{Add{}, []tensor.Shape{{1, 3, 8, 8}, {1, 3, 8, 7}}, "second shape is (1, 3, 8, 7), want (1, 3, 8, 8)"},
		{AvgPool{Window{Size: 2, Stride: 3}}, []tensor.Shape{{1, 3, 8, 8}}, "want 1 <= stride <= size"},
		{AvgPoolGrad{Window: Window{2, 2, 0}, Height: 8, Width: 8}, []tensor.Shape{{1, 3, 5, 4}}, "want (1, 3, 4, 4)"},
		{ChannelWindow{3, 2}, []tensor.Shape{{1, 3, 8, 8}}, "none of them is among the 3 channels"},
		{DropMask{Layer: 2, Channels: 3}, []tensor.Shape{{2}, {5}, {3}}, "there are rates for 2 layers"},
		{DropMask{Layer: 0, Channels: 3}, []tensor.Shape{{2}, {5}, {2}}, "length of the key is 2, want 3"},
		{ScaleChannels{}, []tensor.Shape{{1, 3, 8, 8}, {1, 4}}, "shape of the factors is (1, 4), want (1, 3)"},
		{Linear{}, []tensor.Shape{{2, 5}, {3, 4}, {3}}, "have 5 columns, weights (3, 4) expect 4"},
		{Linear{}, []tensor.Shape{{2, 4}, {3, 4}, {2}}, "length of the bias is 2, want 3"},
		{MatMul{}, []tensor.Shape{{2, 4}, {3, 4}}, "inner extents are 4 and 3"},
		{CrossEntropy{}, []tensor.Shape{{2, 4}, {3}}, "number of labels is 3, want 2"},
		{Images{}, []tensor.Shape{{2, 1, 4, 4}, {2, 2}, {2, 1}}, "shape of the moves is (2, 2), want (2, 3)"},
		{Images{}, []tensor.Shape{{2, 1, 4, 4}, {2, 3}, {2, 3}}, "shape of the scale is (2, 3), want (2, 1)"},
		{Momentum{Dims: 1}, []tensor.Shape{{2}, {2}, {3}}, "second shape is (3), want (2)"},
		{Descend{Dims: 1}, []tensor.Shape{{2}, {2}, {2}}, "number of learning rates is 2, want 1"},
	} {
		_, err := InferShape(c.kind, c.shapes)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s on %v: error %v, want one with %q", Name(c.kind), c.shapes, err, c.want)
			continue
		}
		if want := strings.SplitN(Name(c.kind), "{", 2)[0]; !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %q does not start with the operation %s", err, want)
		}
	}
}

func TestName(t *testing.T) {
	k := Conv2DGradInput{Conv: Conv2D{Stride: 2, Pad: 1}, Height: 8, Width: 9}
	if got, want := Name(k), "Conv2DGradInput{Conv:{Stride:2 Pad:1} Height:8 Width:9}"; got != want {
		t.Errorf("name %s, want %s", got, want)
	}
	if got, want := Name(Descend{Dims: 4}), "Descend{Dims:4}"; got != want {
		t.Errorf("name %s, want %s", got, want)
	}
}

// TestDo checks results against numbers worked out by hand.
func TestDo(t *testing.T) {
	f := func(shape []int, data ...float64) gorgonia.Value {
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
	}
	w := func(shape []int, data ...uint32) gorgonia.Value {
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
	}
	px := tensor.New(tensor.WithShape(1, 1, 2, 2), tensor.WithBacking([]uint8{10, 20, 30, 40}))
	half := f([]int{2, 1}, 0.5, -1)
	for name, c := range map[string]struct {
		kind Kind
		in   []gorgonia.Value
		want []float64
	}{
		"conv": {Conv2D{1, 1}, []gorgonia.Value{
			f([]int{1, 1, 2, 2}, 1, 2, 3, 4), f([]int{1, 1, 3, 3}, 0, 0, 0, 0, 1, 10, 0, 100, 1000)},
			[]float64{1 + 20 + 300 + 4000, 2 + 400, 3 + 40, 4}},
		"depthwise": {DepthwiseConv2D{2, 1}, []gorgonia.Value{
			f([]int{1, 2, 2, 2}, 1, 2, 3, 4, 5, 6, 7, 8), f([]int{2, 1, 3, 3}, 0, 0, 0, 0, 1, 10, 0, 100, 1000,
				0, 0, 0, 0, 2, 0, 0, 0, 0)},
			[]float64{1 + 20 + 300 + 4000, 10}},
		"relu6": {ReLU6{}, []gorgonia.Value{f([]int{1, 1, 1, 4}, -1, 2, 6, 7)}, []float64{0, 2, 6, 6}},
		"relu6 gradient": {ReLU6Grad{}, []gorgonia.Value{f([]int{1, 1, 1, 3}, 0, 2, 6), f([]int{1, 1, 1, 3}, 3, 4, 5)},
			[]float64{0, 4, 0}},
		"sigmoid": {Sigmoid{}, []gorgonia.Value{f([]int{1, 3}, 0, math.Log(3), -math.Log(3))}, []float64{0.5, 0.75, 0.25}},
		"concat": {Concat{Maps: 2}, []gorgonia.Value{f([]int{2, 1, 1, 2}, 1, 2, 3, 4), f([]int{2, 2, 1, 2}, 5, 6, 7, 8, 9, 10,
			11, 12)}, []float64{1, 2, 5, 6, 7, 8, 3, 4, 9, 10, 11, 12}},
		"batch stats": {BatchStats{}, []gorgonia.Value{f([]int{2, 2, 1, 1}, 1, 5, 3, 9)}, []float64{2, 7, 1, 4}},
		"running stats": {RunningStats{Momentum: 0.1, Count: 2}, []gorgonia.Value{f([]int{2, 1}, 1, 1),
			f([]int{2, 1}, 2, 4)}, []float64{1.1, 1.7}},
		"smoothed cross entropy": {CrossEntropy{Smoothing: 0.2}, []gorgonia.Value{f([]int{1, 2}, 0, math.Log(3)),
			w([]int{1}, 1)}, []float64{-0.9*math.Log(0.75) - 0.1*math.Log(0.25)}},
		"images as they are": {Images{Pad: 1}, []gorgonia.Value{px, w([]int{1, 3}, 1, 1, 0), half},
			[]float64{4, 9, 14, 19}},
		"images mirrored": {Images{Pad: 1}, []gorgonia.Value{px, w([]int{1, 3}, 1, 1, 1), half},
			[]float64{9, 4, 19, 14}},
		"images moved": {Images{Pad: 1}, []gorgonia.Value{px, w([]int{1, 3}, 0, 2, 0), half},
			[]float64{-1, -1, 9, -1}},
		"momentum": {Momentum{Dims: 1, Momentum: 0.9, Decay: 0.1}, []gorgonia.Value{f([]int{1}, 1), f([]int{1}, 2),
			f([]int{1}, 3)}, []float64{0.9 + 3 + 0.2}},
		"descend": {Descend{Dims: 1}, []gorgonia.Value{f([]int{1}, 1), f([]int{1}, 2), f([]int{1}, 0.25)}, []float64{0.5}},
		"channel window": {ChannelWindow{Offset: -1, Count: 3}, []gorgonia.Value{f([]int{1, 1, 1, 2}, 1, 2)},
			[]float64{0, 0, 1, 2, 0, 0}},
	} {
		v, err := Op{c.kind}.Do(c.in...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := toArray(v)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range c.want {
			if math.Abs(got.Data[i]-want) > 1e-12 {
				t.Errorf("%s: %v, want %v", name, got.Data, c.want)
				break
			}
		}
	}
}

func TestDropMask(t *testing.T) {
	const n, channels, rate = 400, 50, 0.25
	k := DropMask{Layer: 1, Channels: channels}
	draw := func(key [3]uint32, sample uint32) []float32 {
		out := make([]float32, channels)
		k.Factors(rate, sample, key, out)
		return out
	}
	kept := 0
	for s := range uint32(n) {
		for _, f := range draw([3]uint32{1, 2, 3}, s) {
			switch f {
			case 0:
			case float32(1 / (1 - rate)):
				kept++
			default:
				t.Fatalf("factor %v is neither 0 nor 1/(1-rate)", f)
			}
		}
	}
	// 20000 draws: the standard deviation of the share kept is 0.003.
	if share := float64(kept) / (n * channels); math.Abs(share-(1-rate)) > 0.015 {
		t.Errorf("%.4f of the channels kept, want %.4f", share, 1-rate)
	}
	base := fmt.Sprint(draw([3]uint32{1, 2, 3}, 7))
	if base != fmt.Sprint(draw([3]uint32{1, 2, 3}, 7)) {
		t.Error("the same key and sample give different factors")
	}
	for what, other := range map[string][]float32{
		"sample": draw([3]uint32{1, 2, 3}, 8),
		"key":    draw([3]uint32{1, 9, 3}, 7),
		"repeat": draw([3]uint32{1, 2, 4}, 7),
	} {
		if fmt.Sprint(other) == base {
			t.Errorf("another %s gives the same factors", what)
		}
	}
	out := make([]float32, channels)
	k.Factors(0, 7, [3]uint32{1, 2, 3}, out)
	for _, f := range out {
		if f != 1 {
			t.Fatalf("rate 0 gives factor %v, want 1", f)
		}
	}
}
