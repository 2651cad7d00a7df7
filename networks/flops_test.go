package networks

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func mustNew(t *testing.T, s Spec) *Network {
	t.Helper()
	n, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// closedForm counts the multiply-adds and parameters of a residual network with two-layer blocks straight from their
// definition, block by block, with no use of the package's description: blocks[s] blocks in stage s, stem channels,
// kernel and pixels per side of the stem's output, side of the first stage.
func closedForm(blocks []int, stem, kernel, stemSide, side int, projected, local bool, images, classes int, c []int) (
	flops, params int) {
	flops = kernel * kernel * images * stem * stemSide * stemSide
	params = kernel*kernel*images*stem + 2*stem
	m := stem
	j := 0
	for s, count := range blocks {
		for b := range count {
			down := s > 0 && b == 0
			if down {
				side = (side + 1) / 2
			}
			inner, outer := c[2*j], c[2*j+1]
			j++
			flops += 9 * side * side * (m*inner + inner*outer)
			params += 9*m*inner + 2*inner + 9*inner*outer + 2*outer
			switch {
			case down && projected:
				flops += side * side * m * outer
				params += m*outer + 2*outer
				m = outer
			case local:
				m = outer
			default:
				m = max(m, outer)
			}
		}
	}
	return flops + m*classes, params + m*classes + classes
}

// The paper's CIFAR table rounds the counts without stem: 40.1M, 68.4M, 125M, 252M, and 160M and 642M for ResNet-20 2x
// and 4x; DenseNet-40 has 282M and PyramidNet-20 40.4M. ResNet-18 and 34 and MobileNetV2 have the parameters of
// torchvision's models, ResNet-18 the paper's 1.81G FLOPs, MnasNet-A1 its 312M FLOPs and 3.89M parameters.
func TestPublishedCounts(t *testing.T) {
	for _, tt := range []struct {
		spec                 Spec
		layers               int
		flops, without, pars int64
	}{
		{Spec{Name: "resnet20"}, 18, 40556800, 40114432, 275572},
		{Spec{Name: "resnet20", Classes: 10}, 18, 40551040, 40108672, 269722},
		{Spec{Name: "resnet32"}, 30, 68868352, 68425984, 470004},
		{Spec{Name: "resnet56"}, 54, 125491456, 125049088, 858868},
		{Spec{Name: "resnet110"}, 108, 252893440, 252451072, 1733812},
		{Spec{Name: "resnet20", Width: 2}, 18, 161329664, 160444928, 1085572},
		{Spec{Name: "resnet20", Width: 4}, 18, 643523584, 641754112, 4309156},
		{Spec{Name: "resnet20", Width: 0.5}, 18, 10251392, 10030208, 71020},
		{Spec{Name: "resnet18"}, 16, 1814073344, 1696059392, 11689512},
		{Spec{Name: "resnet34"}, 32, 3663761408, 3545747456, 21797672},
		{Spec{Name: "plain20"}, 18, 40556800, 40114432, 275572},
		{Spec{Name: "densenet40"}, 38, 282958368, 282294816, 1100428},
		{Spec{Name: "pyramidnet20"}, 18, 40879088, 40436720, 158532},
		{Spec{Name: "vgg16_bn", Classes: 10}, 13, 313201664, 313201664 - 27*64*1024, 14724042},
		{Spec{Name: "vgg16_bn"}, 13, 313247744, 313247744 - 27*64*1024, 14770212},
		{Spec{Name: "mobilenet_v2"}, 16 + 7, 300774272, 300774272 - 10838016, 3504872},
		{Spec{Name: "mobilenet_v2", Input: [3]int{3, 32, 32}, Classes: 100}, 16 + 7, 88091648, 88091648 - 27*32*1024,
			2351972},
		{Spec{Name: "mnasnet_a1"}, 15 + 7, 311579072, 311579072 - 10838016, 3887038},
	} {
		n := mustNew(t, tt.spec)
		c := n.Start()
		if len(c) != tt.layers || n.FLOPs(c) != tt.flops || n.FLOPsWithoutStem(c) != tt.without || n.Params(c) != tt.pars {
			t.Errorf("%+v: %d layers, %d FLOPs, %d without stem, %d parameters; want %+v",
				tt.spec, len(c), n.FLOPs(c), n.FLOPsWithoutStem(c), n.Params(c), tt)
		}
	}
}

// ptflops 0.7.5 gives 1826066408 and 320579112 for these two in PyTorch, but counts pooling, and ReLU though not ReLU6,
// twice: as a module and as the function that this calls.
func TestAllFLOPs(t *testing.T) {
	for _, tt := range []struct {
		spec    Spec
		ptflops int64
		twice   []Kind
	}{
		{Spec{Name: "resnet18"}, 1826066408, []Kind{ReLU, MaxPool, GlobalAvgPool}},
		{Spec{Name: "mobilenet_v2"}, 320579112, []Kind{GlobalAvgPool}},
	} {
		n := mustNew(t, tt.spec)
		want := tt.ptflops
		layers := n.Layers(n.Start())
		for _, l := range layers {
			if slices.Contains(tt.twice, l.Kind) {
				want -= volume(layers[l.Inputs[0]].Output)
			}
		}
		if got := n.AllFLOPs(n.Start()); got != want {
			t.Errorf("%+v: %d, want %d", tt.spec, got, want)
		}
	}
	// By hand: two maps of 3x4 pixels, of 2 channels at first and of 5, and 5 numbers for 7 classes.
	s, err := read(t, `input = [2, 6, 8]
classes = 7
adjustable = { a = 5 }
layers = [
  { avgpool = 2 },                                      # 2*6*8
  { conv = "a" }, "batchnorm", "drop", "gated",         # 2*5*12 + 2*60
  "globalavgpool", "classifier",                        # 60 + 5*7 + 7
]
[block.gated]
layers = ["globalavgpool", { linear = "in" }, "sigmoid", "gate"] # 60 + 5*5 + 5 + 5 + 60`)
	if err != nil {
		t.Fatal(err)
	}
	n := mustNew(t, s)
	if got := n.AllFLOPs([]int{5}); got != 96+120+120+60+35+7+60+25+5+5+60 {
		t.Errorf("small network: %d", got)
	}
}

// Width vectors with FLOPs computed by the reference code, and the widths that its authors published.
func TestSearchedWidths(t *testing.T) {
	for _, tt := range []struct {
		spec Spec
		c    []int
		want int64
	}{
		{Spec{Name: "resnet20"},
			[]int{16, 14, 16, 14, 16, 14, 36, 36, 29, 28, 32, 28, 74, 70, 73, 64, 72, 64}, 42738136},
		{Spec{Name: "resnet20"},
			[]int{15, 14, 15, 14, 15, 14, 35, 35, 28, 27, 31, 27, 72, 68, 71, 62, 70, 62}, 40261136},
		{Spec{Name: "resnet20"},
			[]int{13, 12, 15, 12, 15, 12, 39, 38, 28, 23, 31, 23, 82, 76, 80, 62, 78, 62}, 42633904},
		{Spec{Name: "resnet20"},
			[]int{13, 12, 15, 12, 15, 12, 38, 37, 27, 22, 30, 22, 80, 74, 78, 60, 76, 60}, 40935656},
	} {
		if got := mustNew(t, tt.spec).FLOPs(tt.c); got != tt.want {
			t.Errorf("%+v %v: %d FLOPs, want %d", tt.spec, tt.c, got, tt.want)
		}
	}

	// resnet20_cifar_searched is 7 to 8 % over the 40.2M that the paper states for it. resnet18_08x_imagenet_searched is
	// within the reference's tolerance of 1 % (of the larger) of the start network, and has the 11.8M parameters of the
	// paper.
	for _, padding := range []string{PaddingMax, PaddingLocal} {
		local := padding == PaddingLocal
		n := mustNew(t, Spec{Name: "resnet20", Padding: padding})
		c := []int{6, 17, 6, 17, 9, 16, 26, 23, 28, 24, 29, 29, 78, 66, 93, 97, 112, 128}
		flops, params := closedForm([]int{3, 3, 3}, 16, 3, 32, 32, false, local, 3, 100, c)
		if n.FLOPs(c) != int64(flops) || n.Params(c) != int64(params) || flops < 43.0e6 || flops > 43.6e6 {
			t.Errorf("searched ResNet-20, %s: %d FLOPs and %d parameters, want %d and %d", padding, n.FLOPs(c), n.Params(c),
				flops, params)
		}

		n = mustNew(t, Spec{Name: "resnet18", Width: 0.8, Padding: padding})
		want := []int{51, 51, 51, 51, 102, 102, 102, 102, 204, 204, 204, 204, 408, 408, 408, 408}
		if diff := cmp.Diff(want, n.Start()); diff != "" {
			t.Errorf("start of ResNet-18 0.8x (-want +got):\n%s", diff)
		}
		c = []int{26, 53, 16, 62, 103, 96, 84, 89, 366, 162, 184, 174, 673, 283, 637, 833}
		flops, params = closedForm([]int{2, 2, 2, 2}, 51, 7, 112, 56, true, local, 3, 1000, c)
		if start := float64(n.FLOPs(n.Start())); n.FLOPs(c) != int64(flops) || n.Params(c) != int64(params) ||
			math.Abs(float64(flops)-start) > 0.0101*start || params < 11.75e6 || params >= 11.85e6 {
			t.Errorf("searched ResNet-18 0.8x, %s: %d FLOPs and %d parameters, want %d and %d; start network %v", padding,
				n.FLOPs(c), n.Params(c), flops, params, start)
		}
	}
}

func TestRandomWidths(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		padding := []string{PaddingMax, PaddingLocal}[rng.IntN(2)]
		local := padding == PaddingLocal
		channels, side, classes := 1+rng.IntN(4), 1+rng.IntN(70), 2+rng.IntN(200)
		spec := Spec{Padding: padding, Width: 0.25 + rng.Float64(), Input: [3]int{channels, side, side}, Classes: classes}
		var blocks []int
		if rng.IntN(2) == 0 {
			depth := 1 + rng.IntN(6)
			spec.Name = fmt.Sprintf("resnet%d", 6*depth+2)
			blocks = []int{depth, depth, depth}
		} else {
			spec.Name, blocks = "resnet34", []int{3, 4, 6, 3}
		}
		n := mustNew(t, spec)
		c := n.Start()
		stem := c[0]
		for i := range c {
			c[i] = 1 + rng.IntN(2*c[i])
		}
		var flops, params int
		if spec.Name == "resnet34" {
			half := (side + 1) / 2
			flops, params = closedForm(blocks, stem, 7, half, (half+1)/2, true, local, channels, classes, c)
		} else {
			flops, params = closedForm(blocks, stem, 3, side, side, false, local, channels, classes, c)
		}
		if n.FLOPs(c) != int64(flops) || n.Params(c) != int64(params) {
			t.Fatalf("%+v %v: %d FLOPs and %d parameters, want %d and %d",
				spec, c, n.FLOPs(c), n.Params(c), flops, params)
		}
	}
}

// perLayer returns c_i * dF/dc_i.
func perLayer(n *Network, c []int, tie Tie) []float64 {
	g := n.FLOPsPerChannel(c, tie)
	for i := range g {
		g[i] *= float64(c[i])
	}
	return g
}

// The vectors for the first tie rule and for the local rule were computed with the reference code.
func TestFLOPsPerChannelOfResNet20(t *testing.T) {
	first := []float64{
		4718592, 2359296, 4718592, 2359296, 4718592, 2359296, 3538944, 8257536, 4718592, 2359296, 4718592, 2359296,
		3538944, 7084288, 4718592, 2359296, 4718592, 2359296}
	local := []float64{
		4718592, 4718592, 4718592, 4718592, 4718592, 3538944, 3538944, 4718592, 4718592, 4718592, 4718592, 3538944,
		3538944, 4718592, 4718592, 4718592, 4718592, 2365696}
	n := mustNew(t, Spec{Name: "resnet20"})
	if diff := cmp.Diff(first, perLayer(n, n.Start(), TieFirst)); diff != "" {
		t.Errorf("max, first (-want +got):\n%s", diff)
	}
	l := mustNew(t, Spec{Name: "resnet20", Padding: PaddingLocal})
	for _, tie := range []Tie{TieSplit, TieFirst, TieLast} {
		if diff := cmp.Diff(local, perLayer(l, l.Start(), tie)); diff != "" {
			t.Errorf("local, tie %d (-want +got):\n%s", tie, diff)
		}
	}

	split := perLayer(n, n.Start(), TieSplit)
	want := []float64{4620288, 3440640, 2654208}
	got := []float64{split[1], split[3], split[5]}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(1e-12, 0)); diff != "" {
		t.Errorf("max, split: layers 1, 3, 5 (-want +got):\n%s", diff)
	}
	// At equal widths the last one owns the stream wherever it is read, as if there were no other.
	if diff := cmp.Diff(local, perLayer(n, n.Start(), TieLast)); diff != "" {
		t.Errorf("max, last (-want +got):\n%s", diff)
	}
}

// F is linear in each width between ties, so central differences of one channel give the derivative exactly there.
func TestDerivativeAgainstDifferences(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, spec := range []Spec{
		{Name: "resnet20"}, {Name: "resnet20", Padding: PaddingLocal}, {Name: "resnet18"},
		{Name: "resnet34", Padding: PaddingLocal, Width: 0.5}, {Name: "resnet56", Width: 0.5, Input: [3]int{1, 28, 28}},
		{Name: "plain20"}, {Name: "densenet40"}, {Name: "pyramidnet20"}, {Name: "vgg16_bn"}, {Name: "mobilenet_v2"},
		{Name: "mnasnet_a1"},
	} {
		n := mustNew(t, spec)
		for range 5 {
			// No two widths are equal, and none is that of the stem.
			c := rng.Perm(len(n.Start()))
			for i := range c {
				c[i] = 2*c[i] + 1 + n.Start()[0]%2
			}
			want := make([]float64, len(c))
			for i := range c {
				up, down := slices.Clone(c), slices.Clone(c)
				up[i]++
				down[i]--
				want[i] = float64(n.FLOPs(up)-n.FLOPs(down)) / 2
			}
			for _, tie := range []Tie{TieSplit, TieFirst, TieLast} {
				if diff := cmp.Diff(want, n.FLOPsPerChannel(c, tie)); diff != "" {
					t.Fatalf("%+v %v tie %d (-differences +derivative):\n%s", spec, c, tie, diff)
				}
			}
		}
	}
}

// Where only adjustable layers tie, every rule shares out the same total.
func TestTiesShareOneTotal(t *testing.T) {
	c := []int{20, 20, 20, 20, 20, 24, 40, 24, 40, 24, 40, 24, 80, 64, 80, 64, 80, 64}
	n := mustNew(t, Spec{Name: "resnet20"})
	sum := func(tie Tie) (s float64) {
		for _, v := range n.FLOPsPerChannel(c, tie) {
			s += v
		}
		return s
	}
	first := sum(TieFirst)
	for _, tie := range []Tie{TieSplit, TieLast} {
		if got := sum(tie); math.Abs(got-first) > 1e-9*first {
			t.Errorf("tie %d: sum %v, want %v", tie, got, first)
		}
	}
}

// TestFLOPsBehind checks the cost of running what lies behind each layer once, for all 18 layers of ResNet-20: with it
// 5 runs behind every layer and the clean one cost 42.9 times the network instead of 91, as counted by hand.
func TestFLOPsBehind(t *testing.T) {
	n, err := New(Spec{Name: "resnet20"})
	if err != nil {
		t.Fatal(err)
	}
	c := n.Start()
	total := n.FLOPs(c)
	behind := n.FLOPsBehind(c)
	var sum int64
	for i, b := range behind {
		if i > 0 && b > behind[i-1] {
			t.Errorf("layer %d has %d FLOPs behind it, more than the layer before it, %d", i, b, behind[i-1])
		}
		sum += b
	}
	if ratio := (float64(total) + 5*float64(sum)) / float64(total); ratio < 42.8 || ratio > 43 {
		t.Errorf("layer by layer costs %.2f runs, want 42.9", ratio)
	}
	if last := behind[len(behind)-1]; last != int64(64*n.Classes) {
		t.Errorf("%d FLOPs behind the last layer, want those of the classifier, %d", last, 64*n.Classes)
	}
}
