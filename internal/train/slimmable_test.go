package train

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/data"
	"netadjust/networks"
)

// TestSlimmable takes one step with and without the narrowest network. Beside each other, the parameters that this one
// has differ by rate times its gradient, so its loss, with the whole network's probabilities as targets, differs by the
// square of that distance over the rate; and the others are the same. Threads change no bit.
func TestSlimmable(t *testing.T) {
	n := network(t, "resnet8", 0.5)
	slimmable := &networks.Slimmable{Steps: 2, Least: 1}
	images, stream := digits(t, 0, 16), Stream{1, "final"}
	r := Recipe{Epochs: 1, Batch: 16, LearningRate: 1e-2, MinLearningRate: 1e-2, Momentum: 0.9, WeightDecay: 1e-3}
	step := func(threads int, s *networks.Slimmable) *Model {
		r.Slimmable = s
		m, _, err := Train(t.Context(), processor(t, threads), n, n.Start(), images, norm, r, stream, quiet)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	with, without := step(1, slimmable), step(1, nil)
	if diff := cmp.Diff(with.tensors, step(2, slimmable).tensors); diff != "" {
		t.Errorf("other threads train another network:\n%.500s", diff)
	}
	keep := make([][]int, len(with.Channels))
	for i, w := range slimmable.Widths(with.Channels, slices.Repeat([]int{1}, len(with.Channels))) {
		for j := range w {
			keep[i] = append(keep[i], j)
		}
	}
	index, err := n.Inherit(with.Channels, keep)
	if err != nil {
		t.Fatal(err)
	}
	square, moved := 0., 0
	for name, v := range with.tensors {
		inside := map[int]bool{}
		for _, i := range index[name] {
			inside[i] = true
		}
		for i := range v {
			d := float64(v[i]) - float64(without.tensors[name][i])
			square += d * d
			if d != 0 {
				moved++
			}
			if d != 0 && !inside[i] {
				t.Fatalf("%s: element %d moves, which the narrowest network does not have", name, i)
			}
		}
	}
	outputs := func(m *Model) []float32 {
		m = m.Clone()
		m.BatchStatistics = true
		e, err := NewEvaluator(processor(t, 1), m, images, false)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		evaluate(t, e)
		return e.passes[0].logits
	}
	targets := softmax(nil, outputs(newModel(n, n.Start(), norm, stream)), n.Classes)
	loss := func(m *Model) (sum float64) {
		narrow, err := m.Inherit(keep)
		if err != nil {
			t.Fatal(err)
		}
		z := outputs(narrow)
		for i, p := range targets {
			row := z[i/n.Classes*n.Classes:][:n.Classes]
			sum += float64(p) * crossEntropy(row, uint32(i%n.Classes)) / 16
		}
		return sum
	}
	fall, want := loss(without)-loss(with), square/r.LearningRate
	if moved < 1000 || math.Abs(fall-want) > 0.1*want {
		t.Errorf("%d parameters move and the loss falls by %v, want %v", moved, fall, want)
	}
}

// TestSlimmableSteps compares three steps with those of PyTorch, see testdata/slimmable.py. Both make the same hashes.
func TestSlimmableSteps(t *testing.T) {
	text, err := os.ReadFile("testdata/slimmable.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Narrow     [][][]int
		Parameters map[string][]byte
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	hashed := func(seed uint32, n int) []uint32 {
		words := make([]uint32, n)
		for i := range words {
			words[i] = (uint32(i)*2654435761 + seed*40503) * 2246822519
		}
		return words
	}
	images := &data.Images{Channels: 1, Height: 8, Width: 8}
	for _, w := range hashed(100, 16*8*8) {
		images.Pixels = append(images.Pixels, byte(w>>24))
	}
	for i := range 16 {
		images.Labels = append(images.Labels, int32(i%10))
	}
	n, err := networks.New(networks.Spec{Name: "resnet8", Width: 0.25, Input: [3]int{1, 8, 8}, Classes: 10})
	if err != nil {
		t.Fatal(err)
	}
	stream := Stream{1, "start"}
	m := newModel(n, n.Start(), Normalization{Mean: []float64{0.5}, Std: []float64{0.25}}, stream)
	var seed uint32
	for _, x := range n.Tensors(n.Start()) {
		if x.Role == networks.Running {
			continue
		}
		v, fan := m.tensors[x.Name], 1
		for _, d := range x.Shape[1:] {
			fan *= d
		}
		for i, word := range hashed(seed, len(v)) {
			h := float64(word>>12)/(1<<20) - 0.5
			switch x.Role {
			case networks.Gamma:
				h = 1 + h/2
			case networks.Beta, networks.Bias:
				h /= 4
			default:
				h *= 2 * math.Sqrt(3/float64(fan))
			}
			v[i] = float32(h)
		}
		seed++
	}
	before := m.Clone()
	r := Recipe{
		Epochs: 3, Batch: 16, LearningRate: 0.05, MinLearningRate: 0.05, Momentum: 0.9, WeightDecay: 1e-3,
		Slimmable: &networks.Slimmable{Steps: 2, Least: 1, Random: 1},
	}
	for e, w := range want.Narrow {
		if diff := cmp.Diff(w, narrower(*r.Slimmable, m.Channels, stream, e, 0)); diff != "" {
			t.Fatalf("narrower networks of step %d (-PyTorch +here):\n%s", e, diff)
		}
	}
	if _, err := Continue(t.Context(), processor(t, 1), m, images, r, stream, nil, quiet); err != nil {
		t.Fatal(err)
	}
	for name, b := range want.Parameters {
		got, start := m.tensors[name], before.tensors[name]
		if len(b) != 4*len(got) {
			t.Fatalf("%s has %d elements, PyTorch's %d bytes", name, len(got), len(b))
		}
		var apart, moved float64
		for i := range got {
			w := float64(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
			apart += (float64(got[i]) - w) * (float64(got[i]) - w)
			moved += (float64(start[i]) - w) * (float64(start[i]) - w)
		}
		if !(apart <= 1e-8*moved) {
			t.Errorf("%s: %.2g apart from PyTorch's, of %.2g moved", name, math.Sqrt(apart), math.Sqrt(moved))
		}
	}
}

// TestSlimmableFLOPs adds up the forward passes of a training by hand.
func TestSlimmableFLOPs(t *testing.T) {
	n := network(t, "resnet8", 0.5)
	c := n.Start()
	s := networks.Slimmable{Steps: 4, Least: 2, Random: 1}
	half := s.Widths(c, slices.Repeat([]int{2}, len(c)))
	if diff := cmp.Diff([]int{4, 4, 8, 8, 16, 16}, half); diff != "" {
		t.Errorf("half of the widths (-want +got):\n%s", diff)
	}
	stream := Stream{1, "start"}
	want := 10 * (n.FLOPs(c) + n.FLOPs(half))
	for step, images := range []int64{4, 4, 2} {
		drawn := narrower(s, c, stream, 0, step)
		if len(drawn) != 2 || !slices.Equal(drawn[0], half) {
			t.Fatalf("step %d trains %v", step, drawn)
		}
		want += images * n.FLOPs(drawn[1])
	}
	if got := (Recipe{Epochs: 1, Batch: 4, Slimmable: &s}).ForwardFLOPs(n, c, stream, 10); got != want {
		t.Errorf("%d FLOPs, want %d", got, want)
	}
	if got := (Recipe{Epochs: 3, Batch: 4}).ForwardFLOPs(n, c, stream, 10); got != 30*n.FLOPs(c) {
		t.Errorf("%d FLOPs of an ordinary training, want %d", got, 30*n.FLOPs(c))
	}
}
