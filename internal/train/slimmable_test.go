package train

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

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
