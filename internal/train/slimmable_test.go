package train

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/networks"
)

// TestSlimmable trains a network as a slimmable one and as it is, and evaluates their narrowest networks: only those of
// the former have learned. Other threads train the same.
func TestSlimmable(t *testing.T) {
	n := network(t, "resnet8", 0.5)
	r := Recipe{
		Epochs: 3, Batch: 16, LearningRate: 0.1, MinLearningRate: 0.01, Momentum: 0.9, CropPad: 1,
		Slimmable: &networks.Slimmable{Steps: 2, Least: 1, Random: 1},
	}
	images, stream := digits(t, 0, 240), Stream{1, "final"}
	accuracy := func(threads int, slimmable *networks.Slimmable) (*Model, float64) {
		trained := r
		trained.Slimmable = slimmable
		m, _, err := Train(t.Context(), processor(t, threads), n, n.Start(), images, norm, trained, stream, quiet)
		if err != nil {
			t.Fatal(err)
		}
		m.BatchStatistics = true
		keep := make([][]int, len(m.Channels))
		for i, w := range r.Slimmable.Widths(m.Channels, slices.Repeat([]int{1}, len(m.Channels))) {
			for j := range w {
				keep[i] = append(keep[i], j)
			}
		}
		narrow, err := m.Inherit(keep)
		if err != nil {
			t.Fatal(err)
		}
		e, err := NewEvaluator(processor(t, 2), narrow, digits(t, 400, 656), false)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		return m, evaluate(t, e).Top1
	}
	m, slimmable := accuracy(1, r.Slimmable)
	again, _ := accuracy(2, r.Slimmable)
	if diff := cmp.Diff(m.tensors, again.tensors); diff != "" {
		t.Errorf("other threads train another network:\n%.500s", diff)
	}
	if _, ordinary := accuracy(1, nil); slimmable < 0.4 || slimmable < ordinary+0.15 {
		t.Errorf("the narrowest network is right in %v of a slimmable one, in %v of an ordinary one", slimmable, ordinary)
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
