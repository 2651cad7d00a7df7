package networks

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCoupled checks by hand which channels of ResNet-8 meet: with a stem of 2 channels those of the first block's
// output are 2 with the stem and 1 of the stream, which the two other blocks add to.
func TestCoupled(t *testing.T) {
	n := mustNew(t, Spec{Name: "resnet8", Width: 0.125, Classes: 10})
	got := n.Coupled([]int{1, 3, 1, 4, 1, 3})
	want := [][]Channel{
		{{0, 0}}, {{1, 2}, {3, 2}, {5, 2}}, {{2, 0}}, {{3, 3}}, {{4, 0}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// A shortcut that is a convolution starts a new stream.
	n = mustNew(t, Spec{Name: "resnet18", Width: 1. / 64})
	got = n.Coupled([]int{1, 2, 1, 2, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1})
	want = [][]Channel{
		{{0, 0}}, {{1, 1}, {3, 1}}, {{2, 0}}, {{4, 0}}, {{5, 0}, {7, 0}}, {{6, 0}}, {{7, 1}}, {{8, 0}},
		{{9, 0}, {11, 0}}, {{10, 0}}, {{12, 0}}, {{13, 0}, {15, 0}}, {{14, 0}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ResNet-18 (-want +got):\n%s", diff)
	}
}

// TestInheritErrors checks what cannot be cut away.
func TestInheritErrors(t *testing.T) {
	n := mustNew(t, Spec{Name: "resnet8", Width: 0.125, Classes: 10})
	c := []int{2, 3, 4, 5, 6, 7}
	all := func(i int, keep []int) [][]int {
		k := make([][]int, len(c))
		for i, w := range c {
			k[i] = firsts(w)
		}
		k[i] = keep
		return k
	}
	if _, err := n.Inherit(c, all(0, []int{1})); err != nil {
		t.Error(err)
	}
	if _, err := n.Inherit(c, all(5, firsts(3))); err != nil {
		t.Errorf("a stream that loses its end: %v", err)
	}
	for _, tt := range []struct {
		name string
		keep [][]int
		want string
	}{
		{"not coupled", all(3, []int{0, 1, 3, 4}), "stage2.block1.add adds channels"},
		{"stem", all(1, []int{1, 2}), "stage1.block1.add adds channels"},
		{"none", all(2, nil), "stage2.block1.conv1 keeps channels [] of 4: give at least one"},
		{"order", all(2, []int{1, 0}), "keeps channels [1 0] of 4"},
		{"twice", all(2, []int{1, 1}), "keeps channels [1 1] of 4"},
		{"outside", all(2, []int{1, 4}), "keeps channels [1 4] of 4"},
		{"layers", all(2, []int{1})[:5], "6 adjustable layers, but channels are given for 5"},
	} {
		_, err := n.Inherit(c, tt.keep)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

// TestSources checks which batch norms channels meet first: the one behind their convolution, or, where maps are
// concatenated, that of every layer that reads them; and convolutions that share a width.
func TestSources(t *testing.T) {
	n := mustNew(t, Spec{Name: "resnet8", Width: 0.125, Classes: 10})
	want := Source{4, []string{"stage2.block1.conv1"}, []Norm{{"stage2.block1.bn1", 0}}}
	if diff := cmp.Diff(want, n.Sources([]int{2, 3, 4, 5, 6, 7})[2]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	n = mustNew(t, Spec{Name: "densenet40"})
	c := n.Start()
	first := n.Sources(c)[0]
	if len(first.Convs) != 1 || len(first.Norms) != 12 { // of the 11 other layers of the block and of the transition
		t.Errorf("first layer of DenseNet-40: %+v", first)
	}
	second := n.Sources(c)[1]
	if second.Norms[0].Offset != first.Norms[0].Offset+c[0] || first.Norms[0].Offset != 24 {
		t.Errorf("channels of the first two layers lie at %+v and %+v", first.Norms, second.Norms)
	}
	n = mustNew(t, Spec{Name: "mobilenet_v2"})
	tied := 0
	for _, s := range n.Sources(n.Start()) {
		if len(s.Convs) > 1 {
			tied++
		}
		if len(s.Norms) < len(s.Convs) {
			t.Errorf("%+v", s)
		}
	}
	if tied != 5 { // stages of more than one block
		t.Errorf("%d widths of MobileNetV2 belong to several convolutions, want 5", tied)
	}
}
