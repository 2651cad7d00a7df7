package networks

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"netadjust/internal/ops"
)

func mustGraph(t *testing.T, n *Network, c []int, o GraphOptions) *Graph {
	t.Helper()
	g, err := n.Graph(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// leaves maps the names of a graph's leaves to element type and shape.
func leaves(g *Graph) map[string]string {
	m := map[string]string{}
	for _, n := range g.AllNodes() {
		if n.Op() == nil {
			m[n.Name()] = describe(n)
		}
	}
	return m
}

func describe(n *gorgonia.Node) string { return fmt.Sprintf("%v %v", n.Dtype(), []int(n.Shape())) }

// kinds lists the operations of type K in a graph.
func kinds[K ops.Kind](g *Graph) (list []K) {
	for _, n := range g.AllNodes() {
		if o, ok := n.Op().(ops.Op); ok {
			if k, ok := o.Kind.(K); ok {
				list = append(list, k)
			}
		}
	}
	return list
}

// odd returns widths that differ in every layer, so that shortcuts are padded and cut.
func odd(n *Network) []int {
	c := n.Start()
	for i := range c {
		c[i] = 3 + 5*i%17
	}
	return c
}

func TestTensorsHoldAllParams(t *testing.T) {
	for _, spec := range []Spec{
		{Name: "resnet20"}, {Name: "resnet18"}, {Name: "resnet34", Width: 0.3},
		{Name: "resnet20", Padding: PaddingLocal}, {Name: "resnet18", Padding: PaddingLocal, Classes: 7},
		{Name: "densenet40"}, {Name: "pyramidnet20"}, {Name: "vgg16_bn"}, {Name: "mobilenet_v2"}, {Name: "mnasnet_a1"},
	} {
		n := mustNew(t, spec)
		for _, c := range [][]int{n.Start(), odd(n)} {
			var params int64
			for _, x := range n.Tensors(c) {
				if x.Role != Running {
					params += int64(tensor.Shape(x.Shape).TotalSize())
				}
			}
			if want := n.Params(c); params != want {
				t.Errorf("%+v, widths %v: tensors hold %d parameters, want %d", spec, c, params, want)
			}
		}
	}
}

func TestTensors(t *testing.T) {
	n := mustNew(t, Spec{Name: "resnet8", Width: 0.25, Classes: 10})
	var got []string
	for _, x := range n.Tensors([]int{3, 7, 8, 9, 10, 11}) {
		got = append(got, fmt.Sprintf("%s %s %s %v %d", x.Name, x.Layer, x.Role, x.Shape, x.FanIn))
	}
	for i, want := range map[int]string{
		0:  "stem.conv.weights stem.conv weights [4 3 3 3] 27",
		1:  "stem.bn.gamma stem.bn gamma [4] 4",
		4:  "stage1.block1.conv1.weights stage1.block1.conv1 weights [3 4 3 3] 36",
		8:  "stage1.block1.conv2.weights stage1.block1.conv2 weights [7 3 3 3] 27",
		10: "stage1.block1.bn2.beta stage1.block1.bn2 beta [7] 7",
		11: "stage1.block1.bn2.running stage1.block1.bn2 running [2 7] 7",
		28: "classifier.weights classifier weights [10 11] 11",
		29: "classifier.bias classifier bias [10] 11",
	} {
		if got[i] != want {
			t.Errorf("tensor %d is %q, want %q", i, got[i], want)
		}
	}
	if len(got) != 30 {
		t.Errorf("%d tensors, want 30", len(got))
	}
}

// TestLeaves checks that a graph's leaves are its inputs and state, with the shapes that they are said to have.
func TestLeaves(t *testing.T) {
	n := mustNew(t, Spec{Name: "resnet8", Padding: PaddingLocal, Input: [3]int{3, 14, 10}, Classes: 10})
	c := odd(n)
	state := map[string]string{}
	for _, x := range n.Tensors(c) {
		state[x.Name] = fmt.Sprintf("float32 %v", x.Shape)
	}
	inputs := map[string]string{Pixels: "uint8 [6 3 14 10]", Moves: "uint32 [6 3]", Scale: "float32 [2 3]"}
	drop := map[string]string{DropRates: "float32 [6]", Samples: "uint32 [6]", DropKey: "uint32 [3]"}
	train := map[string]string{Labels: "uint32 [6]", LearningRate: "float32 [1]"}
	for _, x := range n.Tensors(c) {
		if x.Role != Running {
			train[x.Velocity()] = fmt.Sprintf("float32 %v", x.Shape)
		}
	}
	for _, tt := range []struct {
		name    string
		options GraphOptions
		want    []map[string]string
	}{
		{"inference", GraphOptions{Batch: 6}, []map[string]string{state, inputs}},
		{"drop", GraphOptions{Batch: 6, Drop: true}, []map[string]string{state, inputs, drop}},
		{"training", GraphOptions{Batch: 6, Train: &TrainOptions{}}, []map[string]string{state, inputs, train}},
	} {
		want := map[string]string{}
		for _, m := range tt.want {
			maps.Copy(want, m)
		}
		g := mustGraph(t, n, c, tt.options)
		if diff := cmp.Diff(want, leaves(g)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if got := describe(g.Logits); got != "float32 [6 10]" {
			t.Errorf("%s: logits are %s", tt.name, got)
		}
		if (g.Loss != nil) != (tt.options.Train != nil) {
			t.Errorf("%s: loss is %v", tt.name, g.Loss)
		}
	}
}

// TestDropLayers checks that a graph has the channel dropout of every adjustable layer, or none.
func TestDropLayers(t *testing.T) {
	n := mustNew(t, Spec{Name: "resnet18", Input: [3]int{3, 32, 32}})
	c := odd(n)
	var want []ops.DropMask
	for i, width := range c {
		want = append(want, ops.DropMask{Layer: i, Channels: width})
	}
	for _, train := range []*TrainOptions{nil, {}} {
		with := mustGraph(t, n, c, GraphOptions{Batch: 2, Drop: true, Train: train})
		if got := kinds[ops.DropMask](with); !slices.Equal(got, want) {
			t.Errorf("with drop: %v, want %v", got, want)
		}
		without := mustGraph(t, n, c, GraphOptions{Batch: 2, Train: train})
		if masks, scaled := kinds[ops.DropMask](without), kinds[ops.ScaleChannels](without); len(masks)+len(scaled) > 0 {
			t.Errorf("without drop: %v %v", masks, scaled)
		}
	}
}

// TestTrainingConstants checks that the constants of a training step arrive in its operations.
func TestTrainingConstants(t *testing.T) {
	n := mustNew(t, Spec{Name: "resnet8", Input: [3]int{3, 8, 8}})
	o := GraphOptions{
		Batch: 5, ImagePad: 3, Train: &TrainOptions{LabelSmoothing: 0.125, Momentum: 0.75, WeightDecay: 0.25},
	}
	g := mustGraph(t, n, n.Start(), o)
	for _, k := range kinds[ops.Momentum](g) {
		if k.Momentum != 0.75 || k.Decay != 0.25 {
			t.Errorf("%s", ops.Name(k))
		}
	}
	exempt := *o.Train
	exempt.NoBiasDecay = true
	for _, k := range kinds[ops.Momentum](mustGraph(t, n, n.Start(), GraphOptions{Batch: 5, Train: &exempt})) {
		if want := map[bool]float64{true: 0.25}[k.Dims > 1]; k.Decay != want { // weights have several dimensions
			t.Errorf("without decay of biases: %s, want decay %v", ops.Name(k), want)
		}
	}
	// Stages of 8x8, 4x4 and 2x2 pixels; the first one holds the stem.
	var counts []int
	for _, k := range kinds[ops.RunningStats](g) {
		counts = append(counts, k.Count)
		if k.Momentum != 0.1 {
			t.Errorf("%s", ops.Name(k))
		}
	}
	if diff := cmp.Diff([]int{320, 320, 320, 80, 80, 20, 20}, counts); diff != "" {
		t.Errorf("elements of a channel (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]ops.CrossEntropy{{Smoothing: 0.125}}, kinds[ops.CrossEntropy](g)); diff != "" {
		t.Errorf("loss (-want +got):\n%s", diff)
	}
	if k := kinds[ops.Images](g); len(k) != 1 || k[0].Pad != 3 {
		t.Errorf("images are padded by %+v, want 3", k)
	}
	for _, k := range kinds[ops.BatchNorm](g) {
		if k != (ops.BatchNorm{Epsilon: 1e-5}) {
			t.Errorf("training has %s", ops.Name(k))
		}
	}
	o.Train = nil
	for _, k := range kinds[ops.BatchNorm](mustGraph(t, n, n.Start(), o)) {
		if k != (ops.BatchNorm{Epsilon: 1e-5, Frozen: true}) {
			t.Errorf("inference has %s", ops.Name(k))
		}
	}
}

func TestGraphErrors(t *testing.T) {
	n := mustNew(t, Spec{Name: "resnet8"})
	for _, tt := range []struct {
		c     []int
		batch int
		want  string
	}{
		{[]int{1, 2, 3}, 1, "resnet8 has 6 adjustable layers, but 3 widths are given"},
		{[]int{1, 2, 3, 0, 5, 6}, 1, "resnet8: width 0 of layer stage2.block1.conv2 (number 4): give 1 to 16384 channels"},
		{n.Start(), 0, "resnet8: batch of 0 images"},
		{n.Start(), -1, "resnet8: batch of -1 images"},
	} {
		if _, err := n.Graph(tt.c, GraphOptions{Batch: tt.batch}); err == nil || err.Error() != tt.want {
			t.Errorf("widths %v, batch %d: error %v, want %q", tt.c, tt.batch, err, tt.want)
		}
	}
}

// moments returns mean, standard deviation and largest absolute value.
func moments(v []float32) (mean, std, largest float64) {
	for _, x := range v {
		mean += float64(x) / float64(len(v))
		largest = max(largest, math.Abs(float64(x)))
	}
	for _, x := range v {
		std += (float64(x) - mean) * (float64(x) - mean) / float64(len(v))
	}
	return mean, math.Sqrt(std), largest
}

// TestInitial checks the distribution of initial weights: uniform ones fill ±bound, and have its size over sqrt(3) as
// standard deviation; normal ones reach beyond three standard deviations.
func TestInitial(t *testing.T) {
	cifar, imageNet := mustNew(t, Spec{Name: "resnet20"}), mustNew(t, Spec{Name: "resnet18"})
	mobile := mustNew(t, Spec{Name: "mnasnet_a1"})
	for _, tt := range []struct {
		net            *Network
		tensor         string
		bound, std     float64
		beyond, within float64 // where the largest value must lie, relative to bound or standard deviation
	}{
		{cifar, "stage2.block2.conv1.weights", 1 / math.Sqrt(32*9), 0, 0.999, 1},
		{cifar, "stage3.block1.conv1.weights", 1 / math.Sqrt(32*9), 0, 0.999, 1},
		{cifar, "classifier.weights", 1. / 8, 0, 0.999, 1},
		{cifar, "classifier.bias", 1. / 8, 0, 0.9, 1},
		{imageNet, "stem.conv.weights", 0, math.Sqrt(2. / (64 * 49)), 3, 6},
		{imageNet, "stage3.block1.shortcut.conv.weights", 0, math.Sqrt(2. / 256), 3, 6},
		{imageNet, "classifier.weights", 1 / math.Sqrt(512), 0, 0.999, 1},
		{mobile, "stage7.block1.depthwise.weights", 0, math.Sqrt(2. / (960 * 9)), 3, 6},
		{mobile, "stage6.block2.squeeze_excite.linear1.weights", 1 / math.Sqrt(960), 0, 0.999, 1},
		{mobile, "stage6.block2.squeeze_excite.linear2.bias", 1 / math.Sqrt(40), 0, 0.98, 1},
	} {
		list := tt.net.Tensors(tt.net.Start())
		x := list[slices.IndexFunc(list, func(x Tensor) bool { return x.Name == tt.tensor })]
		draw := func(seed uint64) []float32 { return tt.net.Initial(x, rand.New(rand.NewPCG(seed, 1))) }
		v := draw(1)
		unit, std := tt.std, tt.std
		if tt.bound > 0 {
			unit, std = tt.bound, tt.bound/math.Sqrt(3)
		}
		mean, gotStd, largest := moments(v)
		name, root := tt.net.Name+" "+tt.tensor, math.Sqrt(float64(len(v)))
		if len(v) != tensor.Shape(x.Shape).TotalSize() {
			t.Errorf("%s: %d elements for shape %v", name, len(v), x.Shape)
		}
		// Four standard errors, for a normal distribution.
		if math.Abs(mean) > 4*std/root || math.Abs(gotStd/std-1) > 4/math.Sqrt2/root {
			t.Errorf("%s: mean %v and standard deviation %v, want 0 and %v", name, mean, gotStd, std)
		}
		if largest < tt.beyond*unit || largest > tt.within*unit {
			t.Errorf("%s: largest value %v, want %v to %v", name, largest, tt.beyond*unit, tt.within*unit)
		}
		if !slices.Equal(v, draw(1)) {
			t.Errorf("%s: the same random numbers give other values", name)
		}
		if slices.Equal(v, draw(2)) {
			t.Errorf("%s: other random numbers give the same values", name)
		}
	}
}

// TestHe checks the spread of weights: a variance of 2 over the inputs of an output, normally distributed.
func TestHe(t *testing.T) {
	n := mustNew(t, Spec{Name: "mobilenet_v2"})
	for _, x := range n.Tensors(n.Start()) {
		if x.Role != Weights || len(x.Shape) != 4 {
			continue
		}
		v := He(x, seeded())
		if len(v) != tensor.Shape(x.Shape).TotalSize() {
			t.Fatalf("%s: %d elements for shape %v", x.Name, len(v), x.Shape)
		}
		mean, std, _ := moments(v)
		want, root := math.Sqrt(2/float64(x.FanIn)), math.Sqrt(float64(len(v)))
		if math.Abs(mean) > 4*want/root || math.Abs(std/want-1) > 4/math.Sqrt2/root {
			t.Errorf("%s: mean %v and standard deviation %v, want 0 and %v", x.Name, mean, std, want)
		}
	}
}

// TestLastNorms checks which batch norms end a branch that is added to something.
func TestLastNorms(t *testing.T) {
	for name, want := range map[string][]string{
		"resnet8":   {"stage1.block1.bn2", "stage2.block1.bn2", "stage3.block1.bn2"},
		"plain8":    nil,
		"densenet7": nil,
		"mobilenet_v2": {
			"stage2.block2.bn3", "stage3.block2.bn3", "stage3.block3.bn3", "stage4.block2.bn3", "stage4.block3.bn3",
			"stage4.block4.bn3", "stage5.block2.bn3", "stage5.block3.bn3", "stage6.block2.bn3", "stage6.block3.bn3",
		},
	} {
		if diff := cmp.Diff(want, mustNew(t, Spec{Name: name}).LastNorms()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestInitialBatchNorm(t *testing.T) {
	n := mustNew(t, Spec{Name: "resnet18", Width: 0.0625})
	for _, x := range n.Tensors(n.Start()) {
		c := x.Shape[len(x.Shape)-1]
		want := map[Role][]float32{
			Gamma:   slices.Repeat([]float32{1}, c),
			Beta:    make([]float32, c),
			Running: slices.Concat(make([]float32, c), slices.Repeat([]float32{1}, c)),
		}[x.Role]
		if want == nil {
			continue
		}
		if got := n.Initial(x, nil); !slices.Equal(got, want) {
			t.Errorf("%s is %v, want %v", x.Name, got, want)
		}
	}
}
