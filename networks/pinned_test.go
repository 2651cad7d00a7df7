package networks

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"math/rand/v2"
	"testing"

	"netadjust/internal/ops"
)

// TestResNetsStay pins all of the ResNets that recorded results are made with: layers, state, counts, derivatives,
// initial weights and graphs, to the last name and bit.
func TestResNetsStay(t *testing.T) {
	for _, tt := range []struct {
		spec Spec
		want string
	}{
		{Spec{Name: "resnet20"}, "faf50334340afd57"},
		{Spec{Name: "resnet20", Width: 0.5, Input: [3]int{1, 28, 28}, Classes: 10}, "4671d2195abe5a97"},
		{Spec{Name: "resnet56", Width: 0.3, Padding: PaddingLocal}, "a02549d105cb46e8"},
		{Spec{Name: "resnet8", Input: [3]int{3, 1, 1}}, "9a7fd688c334126b"},
		{Spec{Name: "resnet18", Width: 0.8}, "3fd41e33b47ab5b4"},
		{Spec{Name: "resnet34", Width: 0.25, Padding: PaddingLocal, Input: [3]int{3, 64, 48}, Classes: 7},
			"d3516e1ab155e654"},
	} {
		n := mustNew(t, tt.spec)
		h := sha256.New()
		for _, c := range [][]int{n.Start(), odd(n)} {
			pin(t, h, n, c)
		}
		if got := fmt.Sprintf("%.8x", h.Sum(nil)); got != tt.want {
			t.Errorf("%+v has changed: %s, want %s", tt.spec, got, tt.want)
		}
	}
}

func pin(t *testing.T, h hash.Hash, n *Network, c []int) {
	t.Helper()
	for _, l := range n.Layers(c) {
		fmt.Fprintln(h, l.Name, l.Kind, l.Inputs, l.Output, l.Kernel, l.Stride, l.Pad, l.FLOPs, l.Params, l.Adjustable)
	}
	for _, x := range n.Tensors(c) {
		fmt.Fprintln(h, x)
		if x.Role == Weights && len(x.Shape) == 4 && x.Shape[2] == 3 || x.Role == Bias {
			fmt.Fprintln(h, n.Initial(x, seeded())[0])
		}
	}
	fmt.Fprintln(h, n.Spec.Name, n.Width, n.Padding, n.Input, n.Classes, n.Adjustable(), n.Start(), n.FLOPsBehind(c),
		n.FLOPs(c), n.FLOPsWithoutStem(c), n.Params(c))
	for _, tie := range []Tie{TieSplit, TieFirst, TieLast} {
		fmt.Fprintln(h, n.FLOPsPerChannel(c, tie))
	}
	for _, train := range []*TrainOptions{nil, {Momentum: 0.9}} {
		g := mustGraph(t, n, c, GraphOptions{Batch: 2, Drop: true, Train: train})
		for _, node := range g.AllNodes() {
			if o, ok := node.Op().(ops.Op); ok {
				fmt.Fprintln(h, node.ID(), ops.Name(o.Kind), node.Shape())
			} else {
				fmt.Fprintln(h, node.ID(), node.Name(), node.Shape())
			}
		}
	}
}

func seeded() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }
