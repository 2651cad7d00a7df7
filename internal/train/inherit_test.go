package train

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"netadjust/networks"
)

// randomized is an untrained network whose parameters and running statistics are random.
func randomized(t *testing.T, spec networks.Spec, c []int) *Model {
	t.Helper()
	n, err := networks.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	if c == nil {
		c = n.Start()
	}
	m := newModel(n, c, norm, Stream{1, "final"})
	r := rand.New(rand.NewPCG(3, 4))
	for _, tensor := range n.Tensors(c) {
		v := m.tensors[tensor.Name]
		for i := range v {
			switch tensor.Role {
			case networks.Gamma:
				v[i] = float32(0.5 + r.Float64())
			case networks.Beta:
				v[i] = float32(0.3 * r.NormFloat64())
			case networks.Running: // means, then variances
				v[i] = float32(0.1 * r.NormFloat64())
				if i >= len(v)/2 {
					v[i] = float32(0.2 + 0.2*r.Float64())
				}
			}
		}
	}
	return m
}

// removing returns what is left of widths c when some groups of coupled channels go.
func removing(n *networks.Network, c []int, goes func(group int) bool) (keep [][]int, removed map[networks.Channel]bool) {
	removed = map[networks.Channel]bool{}
	for g, group := range n.Coupled(c) {
		if goes(g) {
			for _, ch := range group {
				removed[ch] = true
			}
		}
	}
	keep = make([][]int, len(c))
	for i, w := range c {
		for j := range w {
			if !removed[networks.Channel{Layer: i, Index: j}] {
				keep[i] = append(keep[i], j)
			}
		}
	}
	return keep, removed
}

// mask zeroes what removed channels are made of in a copy of m: filters, and scale and shift wherever such a channel is
// normalized. The indices of the removed ones are those that inheriting leaves out of a tensor's first dimension.
func mask(t *testing.T, m *Model, keep [][]int) *Model {
	t.Helper()
	index, err := m.Network.Inherit(m.Channels, keep)
	if err != nil {
		t.Fatal(err)
	}
	masked := m.Clone()
	for _, tensor := range m.Network.Tensors(m.Channels) {
		if tensor.Role == networks.Running {
			continue
		}
		v := m.tensors[tensor.Name]
		row := len(v) / tensor.Shape[0]
		kept := map[int]bool{}
		for _, i := range index[tensor.Name] {
			kept[i/row] = true
		}
		zeroed := make([]float32, len(v))
		for i := range v {
			if kept[i/row] {
				zeroed[i] = v[i]
			}
		}
		masked.tensors[tensor.Name] = zeroed
	}
	return masked
}

func logits(t *testing.T, m *Model) []float32 {
	t.Helper()
	r := rand.New(rand.NewPCG(5, 6))
	images := digits(t, 0, 4)
	in := m.Network.Input
	images.Channels, images.Height, images.Width = in[0], in[1], in[2]
	images.Pixels = make([]byte, 4*in[0]*in[1]*in[2])
	for i := range images.Pixels {
		images.Pixels[i] = byte(r.IntN(256))
	}
	e, err := NewEvaluator(processor(t, 1), m, images, false)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.Evaluate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e.passes[0].logits
}

// gatedStream is a residual network with squeeze-excitation of its stream, which has zeros at its end.
const gatedStream = `
title   = "gated"
input   = [3, 32, 32]
classes = 10
fixed   = { stem = 6 }
layers  = [
  "stem",
  { block = "basic", repeat = 2, fixed = { width = "stem" } },
  { block = "basic", fixed = { width = "2*stem" }, stride = 2 },
  "globalavgpool",
  "classifier",
]
[block.stem]
layers = [{ conv = "stem", kernel = 3 }, "batchnorm"]
[block.basic]
adjustable = { inner = "width", outer = "width" }
layers = [
  { conv = "inner", kernel = 3, stride = "stride" }, "batchnorm", "relu", "drop",
  { conv = "outer", kernel = 3 }, "batchnorm", "drop",
  { shortcut = "pad" },
  "relu",
  "squeeze_excite",
]
[block.squeeze_excite]
layers = ["globalavgpool", { linear = 4 }, "relu", { linear = "in" }, "sigmoid", "gate"]
`

// TestInheritedComputesWhatMaskedDoes removes channels, alone and coupled, from every kind of structure: residual
// additions with shortcuts that are identities, zero-padded, cut and projected, concatenations, depthwise convolutions and
// squeeze-excitation.
func TestInheritedComputesWhatMaskedDoes(t *testing.T) {
	for _, tt := range []struct {
		spec networks.Spec
		c    []int
	}{
		{networks.Spec{Name: "resnet14", Width: 0.25, Classes: 10}, []int{9, 11, 8, 11, 16, 13, 12, 15, 24, 30, 20, 30}},
		{networks.Spec{Name: "resnet8", Width: 0.25, Classes: 10, Padding: networks.PaddingLocal}, []int{5, 9, 8, 6, 13, 20}},
		{networks.Spec{Name: "resnet18", Width: 0.125, Input: [3]int{3, 32, 32}, Classes: 10}, nil},
		{networks.Spec{Name: "densenet40", Width: 0.5, Input: [3]int{3, 16, 16}, Classes: 10}, nil},
		{networks.Spec{Name: "pyramidnet20", Input: [3]int{3, 16, 16}, Classes: 10}, nil},
		{networks.Spec{Name: "mobilenet_v2", Width: 0.5, Input: [3]int{3, 32, 32}, Classes: 10}, nil},
		{networks.Spec{Name: "mnasnet_a1", Width: 0.5, Input: [3]int{3, 32, 32}, Classes: 10}, nil},
		{networks.Spec{Name: "vgg16_bn", Width: 0.125, Classes: 10}, nil},
		{networks.Spec{Name: "plain20", Width: 0.25, Classes: 10}, nil},
		{networks.Spec{Name: "gated", Classes: 10, Description: gatedStream}, []int{12, 16, 12, 18, 20, 24}},
	} {
		m := randomized(t, tt.spec, tt.c)
		m.Norm = Normalization{Mean: []float64{0.5, 0.5, 0.5}, Std: []float64{0.25, 0.25, 0.25}}
		r := rand.New(rand.NewPCG(7, 8))
		keep, removed := removing(m.Network, m.Channels, func(int) bool { return r.IntN(3) == 0 })
		if len(removed) < 10 {
			t.Fatalf("%s: only %d channels go", tt.spec.Name, len(removed))
		}
		narrow, err := m.Inherit(keep)
		if err != nil {
			t.Fatalf("%s: %v", tt.spec.Name, err)
		}
		before, want, got := logits(t, m), logits(t, mask(t, m, keep)), logits(t, narrow)
		size, changed := 0., false
		for i := range want {
			size = max(size, math.Abs(float64(want[i])))
			changed = changed || math.Abs(float64(before[i]-want[i])) > 1e-3
		}
		if !changed {
			t.Errorf("%s: removing channels changes nothing", tt.spec.Name)
		}
		for i := range want {
			if math.Abs(float64(got[i]-want[i])) > 1e-5*size {
				t.Fatalf("%s: logit %d is %v where channels are removed, %v where they are masked", tt.spec.Name, i, got[i], want[i])
			}
		}
		for name := range narrow.tensors {
			if len(narrow.tensors[name]) == 0 || len(narrow.tensors) != len(m.tensors) {
				t.Errorf("%s: tensor %s is empty, or one is missing", tt.spec.Name, name)
			}
		}
	}
}

// TestGradients checks the gradients by batch norm against central differences of the loss.
func TestGradients(t *testing.T) {
	n := network(t, "resnet8", 0.25)
	m := randomized(t, n.Spec, nil)
	images := digits(t, 0, 32)
	r := Recipe{Batch: 16}
	dev, stream := processor(t, 1), Stream{1, "final"}
	names := []string{"stage1.block1.bn1.gamma", "stage2.block1.bn2.beta"}
	got := map[string][]float64{}
	batches := 0
	err := m.Gradients(t.Context(), dev, Batches{images, r, stream, 2, nil}, nil, func(gradient func(string) []float32) {
		for _, name := range names {
			got[name] = append(got[name], float64(gradient(name)[1]))
		}
		batches++
	})
	if err != nil || batches != 2 {
		t.Fatal(err, batches)
	}
	for _, name := range names {
		loss := func(by float32) []float64 {
			moved := m.Clone()
			moved.tensors[name] = append([]float32(nil), m.tensors[name]...)
			moved.tensors[name][1] += by
			var losses []float64
			for batch := range 2 {
				// One step at rate 0 on one batch reports its loss in training mode.
				order := stream.order(0, 32)[16*batch:][:16]
				one := *images
				one.Pixels, one.Labels = nil, nil
				for _, i := range order {
					one.Pixels = append(one.Pixels, images.Pixels[i*side*side:(i+1)*side*side]...)
					one.Labels = append(one.Labels, images.Labels[i])
				}
				e, err := Continue(t.Context(), dev, moved.Clone(), &one, Recipe{Epochs: 1, Batch: 16}, stream, nil, quiet)
				if err != nil {
					t.Fatal(err)
				}
				losses = append(losses, e[0].Loss)
			}
			return losses
		}
		const h = 2e-3
		up, down := loss(h), loss(-h)
		for b, g := range got[name] {
			if want := (up[b] - down[b]) / (2 * h); math.Abs(g-want) > 1e-3*math.Max(1, math.Abs(want)) || g == 0 {
				t.Errorf("%s, batch %d: gradient %v, differences say %v", name, b, g, want)
			}
		}
	}
}

// TestReestimate checks that running statistics become those of the batches, and that nothing else changes.
func TestReestimate(t *testing.T) {
	m := newModel(network(t, "resnet8", 0.25), []int{4, 4, 8, 8, 16, 16}, norm, Stream{1, "final"})
	other := m.Clone()
	stream := Stream{1, "x"}
	dev, images := processor(t, 1), digits(t, 0, 48)
	if err := other.Reestimate(t.Context(), dev, Batches{images, Recipe{Batch: 16}, stream, 120, nil}); err != nil {
		t.Fatal(err)
	}
	for name, v := range m.tensors {
		changed := fmt.Sprint(v) != fmt.Sprint(other.tensors[name])
		if running := name[len(name)-7:] == "running"; changed != running {
			t.Errorf("%s changed: %t", name, changed)
		}
	}
	// The mean of the first batch norm's input is linear in the image, so it can be had from the images' own.
	got := other.tensors["stem.bn.running"][0]
	again := m.Clone()
	if err := again.Reestimate(t.Context(), dev, Batches{images, Recipe{Batch: 48}, stream, 120, nil}); err != nil {
		t.Fatal(err)
	}
	if want := again.tensors["stem.bn.running"][0]; math.Abs(float64(got-want)) > 0.02*math.Abs(float64(want)) || want == 0 {
		t.Errorf("mean %v from batches of 16, %v from all at once", got, want)
	}
	if err := other.Reestimate(t.Context(), dev, Batches{images, Recipe{Batch: 64}, stream, 1, nil}); err == nil {
		t.Error("a batch of more than all images gives no error")
	}
}
