// Package devicetest checks a device against the reference implementations of the operations. Every device runs the same
// table.
package devicetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"netadjust/internal/device"
	"netadjust/internal/ops"
	"netadjust/internal/ops/opstest"
	"netadjust/internal/vm"
)

// Operation is a kind on inputs of the given shapes.
type Operation struct {
	Kind   ops.Kind
	Shapes [][]int
}

// String is the kind with its attributes and the shapes.
func (o Operation) String() string { return fmt.Sprint(ops.Name(o.Kind), o.Shapes) }

// Larger tells whether an operand has more elements than that.
func (o Operation) Larger(than int) bool {
	return slices.ContainsFunc(o.Shapes, func(s []int) bool { return tensor.Shape(s).TotalSize() > than })
}

// Operations lists every kind with shapes that are usual, odd, tiny, and larger than one block of work.
func Operations() []Operation {
	var table []Operation
	add := func(k ops.Kind, shapes ...[]int) { table = append(table, Operation{k, shapes}) }
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
		{ops.Conv2D{Stride: 2, Pad: 1}, []int{3, 13, 1, 1}, []int{19, 13, 3, 3}},
		{ops.Conv2D{Stride: 2, Pad: 3}, []int{1, 1, 7, 7}, []int{1, 1, 7, 7}},
		{ops.Conv2D{Stride: 1, Pad: 2}, []int{2, 19, 6, 5}, []int{13, 19, 5, 5}},
		{ops.Conv2D{Stride: 2, Pad: 2}, []int{1, 13, 9, 10}, []int{3, 13, 5, 5}},
		{ops.Conv2D{Stride: 2, Pad: 0}, []int{1, 19, 8, 5}, []int{13, 19, 1, 1}},
		{ops.Conv2D{Stride: 2, Pad: 3}, []int{1, 3, 224, 224}, []int{2, 3, 7, 7}}, // the stem of an ImageNet network
		{ops.Conv2D{Stride: 2, Pad: 1}, []int{1, 2, 112, 113}, []int{2, 2, 3, 3}},
		{ops.Conv2D{Stride: 1, Pad: 0}, []int{1, 3, 112, 112}, []int{2, 3, 1, 1}},
	} {
		y := shapeOf(g.k, g.x, g.w)
		add(g.k, g.x, g.w)
		add(ops.Conv2DGradInput{Conv: g.k, Height: g.x[2], Width: g.x[3]}, g.w, y)
		add(ops.Conv2DGradWeights{Conv: g.k, Height: g.w[2], Width: g.w[3]}, g.x, y)
	}
	for _, g := range []struct {
		k         ops.DepthwiseConv2D
		x         []int
		high, wid int
	}{
		{ops.DepthwiseConv2D{Stride: 1, Pad: 1}, []int{9, 3, 8, 8}, 3, 3},
		{ops.DepthwiseConv2D{Stride: 2, Pad: 1}, []int{9, 3, 8, 8}, 3, 3},
		{ops.DepthwiseConv2D{Stride: 1, Pad: 1}, []int{1, 1, 1, 1}, 3, 3},
		{ops.DepthwiseConv2D{Stride: 2, Pad: 2}, []int{1, 1, 1, 1}, 5, 5},
		{ops.DepthwiseConv2D{Stride: 1, Pad: 0}, []int{2, 17, 1, 3}, 1, 1},
		{ops.DepthwiseConv2D{Stride: 2, Pad: 1}, []int{3, 13, 9, 7}, 3, 3},
		{ops.DepthwiseConv2D{Stride: 2, Pad: 1}, []int{2, 19, 1, 6}, 3, 3},
		{ops.DepthwiseConv2D{Stride: 1, Pad: 2}, []int{2, 19, 6, 1}, 5, 5},
		{ops.DepthwiseConv2D{Stride: 2, Pad: 2}, []int{2, 33, 7, 8}, 5, 5},
		{ops.DepthwiseConv2D{Stride: 1, Pad: 3}, []int{1, 50, 4, 17}, 7, 7},
		{ops.DepthwiseConv2D{Stride: 3, Pad: 1}, []int{2, 5, 8, 10}, 3, 3},
		{ops.DepthwiseConv2D{Stride: 1, Pad: 1}, []int{5, 64, 4, 4}, 3, 3},
		{ops.DepthwiseConv2D{Stride: 1, Pad: 1}, []int{3, 20, 14, 15}, 3, 2},
		{ops.DepthwiseConv2D{Stride: 1, Pad: 1}, []int{1, 3, 112, 112}, 3, 3},
		{ops.DepthwiseConv2D{Stride: 2, Pad: 2}, []int{1, 2, 113, 112}, 5, 5},
		{ops.DepthwiseConv2D{Stride: 1, Pad: 1}, []int{1, 1, 2, 250}, 3, 3},
	} {
		w := []int{g.x[1], 1, g.high, g.wid}
		y := shapeOf(g.k, g.x, w)
		add(g.k, g.x, w)
		add(ops.DepthwiseConv2DGradInput{Conv: g.k, Height: g.x[2], Width: g.x[3]}, w, y)
		add(ops.DepthwiseConv2DGradWeights{Conv: g.k, Height: g.high, Width: g.wid}, g.x, y)
	}
	for _, channels := range [][]int{{1}, {3, 2}, {16, 16}, {13, 19}, {24, 12, 12}, {1, 40, 1, 7}, {32, 5}} {
		for _, size := range [][]int{{1, 1, 1}, {9, 3, 5}} { // batch, height and width
			var shapes [][]int
			for _, c := range channels {
				shapes = append(shapes, []int{size[0], c, size[1], size[2]})
			}
			add(ops.Concat{Maps: len(channels)}, shapes...)
		}
	}
	for _, x := range [][]int{{1, 3, 112, 112}, {2, 13, 7, 9}, {1, 19, 1, 1}, {1, 35, 2, 30}} {
		for _, w := range []ops.Window{
			{Size: 3, Stride: 2, Pad: 1}, {Size: 3, Stride: 1, Pad: 1}, {Size: 3, Stride: 2}, {Size: 2, Stride: 2},
			{Size: 5, Stride: 3, Pad: 2}, {Size: 8, Stride: 8},
		} {
			y := shapeOf(ops.AvgPool{Window: w}, x)
			add(ops.AvgPool{Window: w}, x)
			add(ops.AvgPoolGrad{Window: w, Height: x[2], Width: x[3]}, y)
			add(ops.MaxPool{Window: w}, x)
			add(ops.MaxPoolGrad{Window: w}, x, y)
		}
		add(ops.GlobalAvgPool{}, x)
		add(ops.ScaleChannelsGrad{}, x, x)
		add(ops.ReLU6{}, x)
		add(ops.ReLU6Grad{}, x, x)
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
		add(ops.ReLU6{}, x)
		add(ops.ReLU6Grad{}, x, x)
		add(ops.RowReLU{}, x[:2])
		add(ops.RowReLUGrad{}, x[:2], x[:2])
		add(ops.Sigmoid{}, x[:2])
		add(ops.SigmoidGrad{}, x[:2], x[:2])
		add(ops.Add{}, x, x)
		add(ops.GlobalAvgPool{}, x)
		add(ops.GlobalAvgPoolGrad{Height: 3, Width: 2}, x[:2])
		add(ops.ScaleChannels{}, x, x[:2])
		add(ops.ScaleChannelsGrad{}, x, x)
		for _, w := range []ops.Window{{Size: 2, Stride: 2}, {Size: 3, Stride: 2, Pad: 1}, {Size: 1, Stride: 1}} {
			y := shapeOf(ops.AvgPool{Window: w}, x)
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
		add(ops.SoftCrossEntropy{}, x[:2], x[:2])
		add(ops.SoftCrossEntropyGrad{}, x[:2], x[:2])
		add(ops.Momentum{Dims: 4, Momentum: 0.9, Decay: 1e-2}, x, x, x)
		add(ops.Descend{Dims: 2}, stats, stats, []int{1})
	}
	add(ops.DropMask{Layer: 2, Channels: 50}, []int{3}, []int{50}, []int{3})
	return table
}

// shapeOf is the shape of an operation's output.
func shapeOf(k ops.Kind, in ...[]int) []int {
	shapes := make([]tensor.Shape, len(in))
	for i, s := range in {
		shapes[i] = s
	}
	y, err := ops.InferShape(k, shapes)
	if err != nil {
		panic(err)
	}
	return y
}

// Run checks every operation of a device: the result is that of the reference within float32 rounding, and the same bits
// for any number of threads. Where the input holds what is no number or not finite, so does the result.
func Run(t *testing.T, open func(threads int) (device.Device, error)) {
	for _, o := range Operations() {
		t.Run(o.String(), func(t *testing.T) {
			check(t, open, []int{1, 2, 3}, o, rand.New(rand.NewPCG(3, 4)))
		})
	}
}

// check runs an operation on random inputs with several numbers of threads.
func check(t *testing.T, open func(threads int) (device.Device, error), threads []int, o Operation, r *rand.Rand) {
	t.Helper()
	in := o.inputs(r)
	var first []float32
	for _, n := range threads {
		got := onDevice(t, open, n, o, in)
		if first == nil {
			first = got
			if _, err := compare(got, reference(t, o, in)); err != nil {
				t.Fatal(err)
			}
		}
		if err := sameBits(got, first); err != nil {
			t.Fatalf("%d threads and %d: %v", n, threads[0], err)
		}
	}
}

// Check runs the operation twice on a device, on random inputs. It returns the largest difference from the reference,
// relative to the largest element and a tenth, and an error if that is more than rounding or if the runs differ.
func (o Operation) Check(dev device.Device) (worst float64, err error) {
	in := o.inputs(rand.New(rand.NewPCG(3, 4)))
	want, err := (ops.Op{Kind: o.Kind}).Do(clone(in)...)
	if err != nil {
		return 0, err
	}
	got, err := o.execute(dev, in, false)
	if err != nil {
		return 0, err
	}
	worst, err = compare(got, want)
	if err != nil {
		return worst, err
	}
	again, err := o.execute(dev, in, true)
	if err != nil {
		return worst, err
	}
	return worst, sameBits(again, got)
}

func (o Operation) inputs(r *rand.Rand) []gorgonia.Value {
	var in []gorgonia.Value
	for i, x := range o.Kind.Inputs() {
		in = append(in, input(r, o.Kind, i, x, o.Shapes[i]))
	}
	return in
}

func sameBits(got, want []float32) error {
	for i, v := range got {
		if math.Float32bits(v) != math.Float32bits(want[i]) {
			return fmt.Errorf("element %d is %v in one run, %v in another", i, v, want[i])
		}
	}
	return nil
}

func reference(t *testing.T, o Operation, in []gorgonia.Value) gorgonia.Value {
	t.Helper()
	want, err := (ops.Op{Kind: o.Kind}).Do(clone(in)...)
	if err != nil {
		t.Fatal(err)
	}
	return want
}

// input draws an operand: a variance and a drop rate must lie in their range, a mirror is 0 or 1, labels are classes.
// Maxima are taken of few different numbers, and rectifiers see numbers beyond their bounds.
func input(r *rand.Rand, k ops.Kind, i int, x ops.Operand, shape []int) gorgonia.Value {
	of, below := tensor.Float32, 3
	switch x.Element {
	case ops.Byte:
		of, below = tensor.Uint8, 256
	case ops.Word:
		of = tensor.Uint32
		if _, ok := k.(ops.Images); ok {
			below = 9
		}
		switch k.(type) {
		case ops.CrossEntropy, ops.CrossEntropyGrad:
			below = 1
		case ops.DropMask:
			below = math.MaxUint32
		}
	}
	v := opstest.Random(r, of, below, shape...)
	if words, ok := v.Data().([]uint32); ok && len(shape) == 2 { // moves
		for j := 2; j < len(words); j += 3 {
			words[j] %= 2
		}
	}
	d, _ := v.Data().([]float32)
	_, drop := k.(ops.DropMask)
	if i == 0 {
		adapt(k, d)
	}
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

// adapt changes normally distributed numbers to what the first input of an operation should hold.
func adapt(k ops.Kind, d []float32) {
	for j, x := range d {
		switch k.(type) {
		case ops.MaxPool, ops.MaxPoolGrad:
			d[j] = float32(math.Round(float64(x)))
		case ops.ReLU6:
			d[j] = 5 * x
		case ops.ReLUGrad, ops.RowReLUGrad:
			d[j] = max(x, 0)
		case ops.ReLU6Grad:
			d[j] = min(max(5*x, 0), 6)
		}
	}
}

func clone(in []gorgonia.Value) []gorgonia.Value {
	c := make([]gorgonia.Value, len(in))
	for i, v := range in {
		c[i] = v.(*tensor.Dense).Clone().(*tensor.Dense)
	}
	return c
}

// loader hands every other image over where it lies, and copies the others.
type loader struct {
	pixels []uint8
	size   int // of an image
}

func (l loader) Load(i int, buffer []uint8) []uint8 {
	image := l.pixels[i*l.size : (i+1)*l.size]
	if i%2 == 0 {
		return image
	}
	copy(buffer, image)
	return buffer
}

// onDevice runs one operation. With several threads, pixels come from a loader.
func onDevice(t *testing.T, open func(int) (device.Device, error), threads int, o Operation, in []gorgonia.Value) []float32 {
	t.Helper()
	dev, err := open(threads)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	got, err := o.execute(dev, in, threads > 1)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// execute runs one operation. The first input of an updating one is state. Loaded pixels come from a loader.
func (o Operation) execute(dev device.Device, in []gorgonia.Value, loaded bool) ([]float32, error) {
	state := vm.NewState(dev)
	g := gorgonia.NewGraph()
	var nodes gorgonia.Nodes
	for i, v := range in {
		name := fmt.Sprint("in", i)
		nodes = append(nodes, gorgonia.NewTensor(g, v.Dtype(), v.Shape().Dims(), gorgonia.WithShape(v.Shape()...),
			gorgonia.WithName(name)))
		if i == 0 && ops.Updates(o.Kind) {
			if err := state.Add(name, v.Shape()...); err != nil {
				return nil, err
			}
			if err := state.Write(name, v.Data().([]float32)); err != nil {
				return nil, err
			}
		}
	}
	out, err := ops.Apply(o.Kind, nodes...)
	if err != nil {
		return nil, err
	}
	m, err := vm.Compile(g, dev, state, out)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	for i, v := range clone(in) {
		data := v.Data()
		if pixels, ok := data.([]uint8); ok && loaded {
			data = loader{pixels, len(pixels) / v.Shape()[0]}
		}
		if err := m.Let(fmt.Sprint("in", i), data); err != nil {
			return nil, err
		}
	}
	if err := m.RunAll(); err != nil {
		return nil, err
	}
	got := make([]float32, max(out.Shape().TotalSize(), 1))
	if err := m.Read(out, got); err != nil {
		return nil, err
	}
	if ops.Updates(o.Kind) {
		kept, err := state.Read("in0")
		if err == nil {
			err = sameBits(kept, got)
		}
		if err != nil {
			return nil, fmt.Errorf("state after the run and the operation's result: %w", err)
		}
	}
	return got, nil
}

// tolerance is how far a result may be from the reference, relative to the largest element and a tenth.
const tolerance = 1e-5

// compare returns the largest difference, in units as those of tolerance, and an error if it is more than that.
func compare(got []float32, want gorgonia.Value) (worst float64, err error) {
	w := floats(want)
	if len(w) != len(got) {
		return 0, fmt.Errorf("%d elements, want %d", len(got), len(w))
	}
	scale := 0.0
	for _, v := range w {
		if a := math.Abs(float64(v)); a <= math.MaxFloat32 {
			scale = max(scale, a)
		}
	}
	for i := range w {
		if got[i] == w[i] || got[i] != got[i] && w[i] != w[i] {
			continue
		}
		d := math.Abs(float64(got[i])-float64(w[i])) / (scale + 0.1)
		if !(d <= tolerance) {
			if !(d < math.MaxFloat64) { // NaN is not for JSON
				d = math.MaxFloat64
			}
			return d, fmt.Errorf("element %d is %v, the reference gives %v (largest %v)", i, got[i], w[i], scale)
		}
		worst = max(worst, d)
	}
	return worst, nil
}

func floats(v gorgonia.Value) []float32 {
	if f, ok := v.Data().(float32); ok {
		return []float32{f}
	}
	return v.Data().([]float32)
}
