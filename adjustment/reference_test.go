package adjustment

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/search"
	"netadjust/networks"
)

func TestReferenceTie(t *testing.T) {
	for name, want := range map[string]networks.Tie{
		"resnet20": networks.TieFirst, "resnet56": networks.TieFirst,
		"resnet18": networks.TieLast, "resnet34": networks.TieLast,
	} {
		if got := ReferenceTie(network(t, networks.Spec{Name: name})); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestReferenceDropRates(t *testing.T) {
	rates, scale, err := ReferenceDropRates([]int{10, 10, 2}, []float64{30, 30, 20}, 0.15)
	if err != nil {
		t.Fatal(err)
	}
	// The last layer has 40 of 640 FLOPs: a rate of 0.15 * 213.3 / 40 = 0.8, which the default mode would cut.
	if math.Abs(rates[2]-0.8) > 1e-12 || math.Abs(rates[0]-0.15*640/3/300) > 1e-12 {
		t.Errorf("rates %v", rates)
	}
	if diff := cmp.Diff([]float64{1, 1, 1}, scale); diff != "" {
		t.Errorf("scale (-want +got):\n%s", diff)
	}
	_, _, err = ReferenceDropRates([]int{10, 10, 2}, []float64{30, 30, 20}, 0.2)
	checkError(t, "rate above 1", err, "layer 3 of width 2 would need a drop rate of 1.07, at which the reference's")
	_, _, err = ReferenceDropRates([]int{1}, []float64{1}, 0.6)
	checkError(t, "base", err, "base drop rate 0.6")
}

func TestReferenceRank(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	got, err := ReferenceRank([]float64{nan, 0.2, inf, -inf, nan, 0.2, math.Copysign(0, -1), 0}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{3, 6, 7, 1, 5, 2, 0, 4}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReferenceChoose(t *testing.T) {
	ranking := []int{4, 0, 3, 1, 2}
	for _, tt := range []struct {
		u            int
		grow, shrink []int
	}{
		{0, []int{2, 1, 3, 0, 4}, []int{}}, // Python's ranking[-0:] is the whole list
		{1, []int{2}, []int{4}},
		{3, []int{2, 1, 3}, []int{4, 0, 3}}, // layer 3 is in both
		{5, []int{2, 1, 3, 0, 4}, []int{4, 0, 3, 1, 2}},
	} {
		grow, shrink := ReferenceChoose(make([]float64, 5), ranking, tt.u)
		if diff := cmp.Diff([][]int{tt.grow, tt.shrink}, [][]int{grow, shrink}); diff != "" {
			t.Errorf("u = %d (-want +got):\n%s", tt.u, diff)
		}
	}
	if diff := cmp.Diff([]int{4, 0, 3, 1, 2}, ranking); diff != "" {
		t.Errorf("the given ranking has changed (-want +got):\n%s", diff)
	}
}

func TestReferenceMove(t *testing.T) {
	for _, tt := range []struct {
		name            string
		channels, start []int
		grow, shrink    []int
		rate, decay     float64
		want            []int
	}{
		{"share of the start width", []int{30, 30}, []int{20, 10}, []int{0}, []int{1}, 0.1, 0, []int{32, 29}},
		{"less than half a channel", []int{4, 5}, []int{4, 4}, []int{0}, []int{1}, 0.1, 0, []int{4, 5}},
		{"floor", []int{40, 5}, []int{20, 20}, []int{0}, []int{1}, 0.3, 0, []int{46, 4}},
		{"floor lifts", []int{40, 2}, []int{20, 20}, []int{0}, []int{1}, 0.3, 0, []int{46, 4}},
		{"no floor for growing", []int{1, 30}, []int{4, 20}, []int{0}, []int{1}, 0.1, 0, []int{1, 28}},
		{"halves to even", []int{10, 10, 11}, []int{25, 25, 25}, []int{0, 2}, []int{1}, 0.1, 0, []int{12, 8, 14}},
		{"grows before it shrinks", []int{20, 20, 20}, []int{20, 20, 20}, []int{0, 1}, []int{2, 1}, 0.2, 0.1,
			[]int{24, 20, 16}},
		{"decayed to nothing", []int{20, 20, 3, 20}, []int{20, 20, 20, 20}, []int{0, 1}, []int{3, 2}, 0.1, 0.2,
			[]int{22, 20, 4, 18}},
		{"all grow", []int{20, 20, 20}, []int{20, 20, 20}, []int{2, 0, 1}, nil, 0.2, 0.1, []int{22, 20, 24}},
	} {
		before := slices.Clone(tt.channels)
		got := ReferenceMove(tt.channels, tt.start, nil, tt.grow, tt.shrink, tt.rate, tt.decay)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if !slices.Equal(before, tt.channels) {
			t.Errorf("%s: the given widths have changed", tt.name)
		}
	}
}

// square counts c^2 FLOPs for every layer.
type square struct{}

func (square) FLOPs(c []int) (sum int64) {
	for _, w := range c {
		sum += int64(w * w)
	}
	return sum
}

func TestReferenceFit(t *testing.T) {
	for _, tt := range []struct {
		name     string
		channels []int
		budget   int64
		want     []int
	}{
		{"within the tolerance", []int{1000}, 990_001, []int{1000}},
		{"0.01 of its FLOPs", []int{10}, 99, []int{10}},
		{"one trial", []int{1000}, 1_060_900, []int{1030}}, // 1 + 0.0609/2 = 1.03045; 1.03045 * 1000 rounds to 1030
		// Between 1 and 0.64 it tries 0.82, 0.73, 0.775 and 0.7975, which makes 797.5.
		{"shrinking", []int{1000}, 640_000, []int{798}},
		// No whole width has 50 FLOPs within 1 %: the bisection ends where 7 and 8 meet.
		{"out of reach", []int{10}, 50, []int{7}},
		{"to nothing", []int{1, 100}, 400, []int{0, 20}},
	} {
		before := slices.Clone(tt.channels)
		got, err := ReferenceFit(square{}, tt.channels, tt.budget, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if !slices.Equal(before, tt.channels) {
			t.Errorf("%s: the given widths have changed", tt.name)
		}
	}
	_, err := ReferenceFit(square{}, []int{1, 100}, 10_001*200, nil)
	checkError(t, "far away", err, "budget of 2000200 FLOPs is 200 times what the widths need: to meet it, a layer of "+
		"100 channels might get more than 16384")
}

// What a channel costs, computed with the reference code.
func TestReferenceFLOPsPerChannel(t *testing.T) {
	repeat := func(n int, v float64) []float64 { return slices.Repeat([]float64{v}, n) }
	for _, tt := range []struct {
		padding string
		want    []float64 // c_i * dF/dc_i
		mean    float64
	}{
		{networks.PaddingMax, slices.Concat(
			[]float64{4718592, 2359296, 4718592, 2359296, 4718592, 2359296, 3538944, 8257536, 4718592, 2359296, 4718592},
			[]float64{2359296, 3538944, 7084288, 4718592, 2359296, 4718592, 2359296}), 3998051.5556},
		{networks.PaddingLocal, slices.Concat(
			repeat(5, 4718592), repeat(2, 3538944), repeat(4, 4718592), repeat(2, 3538944), repeat(4, 4718592),
			[]float64{2365696}), 4325731.5556},
	} {
		net := network(t, networks.Spec{Name: "resnet20", Padding: tt.padding})
		g := Step{Network: net, Reference: ReferenceRules()}.FLOPsPerChannel(net.Start())
		mean := 0.
		for i, c := range net.Start() {
			g[i] *= float64(c)
			mean += g[i] / 18
		}
		if diff := cmp.Diff(tt.want, g); diff != "" || math.Abs(mean-tt.mean) > 0.0001 {
			t.Errorf("%s: mean %v, want %v (-want +got):\n%s", tt.padding, mean, tt.mean, diff)
		}
	}
	// The default mode shares what the stem and the first stage have in common.
	net := network(t, networks.Spec{Name: "resnet20"})
	g := Step{Network: net}.FLOPsPerChannel(net.Start())
	if diff := cmp.Diff([]float64{4620288, 3440640, 2654208}, []float64{16 * g[1], 16 * g[3], 16 * g[5]}); diff != "" {
		t.Errorf("split (-want +got):\n%s", diff)
	}
}

// Two updates of ResNet-20 computed with the reference code, one after the other. None of the corrections makes a
// difference before the widths are rescaled.
func TestReferenceUpdates(t *testing.T) {
	net := network(t, networks.Spec{Name: "resnet20"})
	c := net.Start()
	step := Step{Network: net, Start: c, Budget: net.FLOPs(c), Rate: 0.15, RateDecay: 0.01}
	for k, tt := range []struct {
		fur         []float64
		top, bottom []int
		moved, next []int
		flops       int64
	}{
		{
			[]float64{.30, .02, .28, .01, .26, .03, .50, .45, .10, .05, .12, .06, .90, .40, .60, .20, .55, .35},
			[]int{12, 14, 16, 6, 7, 13},
			[]int{3, 1, 5, 9, 11, 8},
			[]int{16, 14, 16, 14, 16, 14, 36, 36, 29, 28, 32, 28, 74, 70, 73, 64, 72, 64},
			[]int{15, 14, 15, 14, 15, 14, 35, 35, 28, 27, 31, 27, 72, 68, 71, 62, 70, 62},
			40261136,
		},
		{
			[]float64{.11, .01, .14, .02, .13, .03, .40, .38, .16, .05, .12, .06, .70, .50, .65, .22, .60, .33},
			[]int{12, 14, 16, 13, 6, 7},
			[]int{1, 3, 5, 9, 11, 0},
			[]int{13, 12, 15, 12, 15, 12, 39, 38, 28, 23, 31, 23, 82, 76, 80, 62, 78, 62},
			[]int{13, 12, 15, 12, 15, 12, 38, 37, 27, 22, 30, 22, 80, 74, 78, 60, 76, 60},
			40935656,
		},
	} {
		step.Layers = LayersToMove(6, 0.5, k)
		step.Reference = ReferenceRules()
		got, err := step.Apply(c, tt.fur)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&Change{tt.top, tt.bottom, tt.moved, tt.next}, got); diff != "" {
			t.Errorf("update %d (-want +got):\n%s", k, diff)
		}
		if f := net.FLOPs(got.Next); f != tt.flops {
			t.Errorf("update %d: %d FLOPs, want %d", k, f, tt.flops)
		}
		step.Reference = nil
		corrected, err := step.Apply(c, tt.fur)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.moved, corrected.Moved); diff != "" {
			t.Errorf("update %d in the default mode (-want +got):\n%s", k, diff)
		}
		if f := net.FLOPs(corrected.Next); !search.WithinBudget(f, step.Budget) {
			t.Errorf("update %d in the default mode: %d FLOPs for a budget of %d", k, f, step.Budget)
		}
		c = got.Next
	}
}

// Searches of ten updates run by the authors' code itself (model/channel_config.py and the two configurations of
// ResNets, SymPy 1.14): 6 layers, half a layer fewer with each update, rate 0.15, 0.01 less with each rank, and ratios
// that follow a formula.
func TestAuthorsSearches(t *testing.T) {
	for _, tt := range []struct {
		name    string
		width   float64
		padding string
		flops   []int64 // after each update
		last    []int   // widths
	}{
		{
			"resnet20", 1, networks.PaddingMax,
			[]int64{40926492, 40500952, 40480568, 40764060, 40393816, 40355800, 40912440, 40687224, 40341876,
				40470900},
			[]int{18, 14, 14, 16, 16, 18, 30, 31, 30, 16, 35, 23, 78, 69, 74, 68, 71, 43},
		},
		{
			"resnet20", 1, networks.PaddingLocal,
			[]int64{40584448, 40765864, 40632484, 40209348, 40639620, 40745604, 40582020, 40529180, 40264796,
				40415708},
			[]int{18, 14, 14, 16, 16, 18, 31, 32, 31, 16, 36, 23, 82, 72, 78, 71, 73, 47},
		},
		{
			"resnet20", 0.5, networks.PaddingMax,
			[]int64{10321664, 10314476, 10346332, 10246784, 10348460, 10334060, 10278588, 10245180, 10169800,
				10181320},
			[]int{9, 7, 7, 8, 8, 9, 15, 16, 16, 8, 17, 12, 38, 34, 36, 34, 34, 21},
		},
		{
			"resnet20", 0.25, networks.PaddingMax,
			[]int64{2608476, 2631616, 2662520, 2670008, 2655808, 2665024, 2662820, 2681152, 2692472, 2670584},
			[]int{6, 5, 5, 5, 4, 5, 7, 8, 7, 4, 8, 6, 13, 14, 15, 13, 13, 9},
		},
		{
			"resnet20", 0.25, networks.PaddingLocal,
			[]int64{2608476, 2650800, 2671336, 2650224, 2623152, 2613936, 2615088, 2656360, 2677572, 2672964},
			[]int{6, 5, 5, 5, 4, 5, 8, 8, 8, 4, 9, 6, 15, 13, 15, 13, 14, 9},
		},
		{
			"resnet32", 1, networks.PaddingMax,
			[]int64{69495640, 69410992, 68541608, 68647592, 68671784, 68839976, 69072580, 69173956, 68964868,
				68464424},
			[]int{16, 16, 16, 16, 14, 16, 16, 16, 16, 16, 27, 21, 43, 31, 35, 36, 31, 26, 38, 35, 61, 72, 44, 45,
				46, 61, 73, 53, 71, 74},
		},
		{
			"resnet32", 1, networks.PaddingLocal,
			[]int64{68610904, 68378800, 68467604, 68738324, 68855252, 68761940, 69032660, 68772308, 68524052,
				68360468},
			[]int{16, 16, 16, 16, 14, 16, 16, 16, 16, 16, 28, 22, 44, 32, 36, 37, 32, 27, 39, 36, 62, 75, 46, 47,
				48, 64, 74, 54, 74, 77},
		},
		{
			"resnet56", 1, networks.PaddingMax,
			[]int64{124823520, 125946144, 126164348, 126049148, 126255356, 124849140, 125506356, 125794356,
				125611764, 126185084},
			[]int{16, 16, 18, 16, 14, 16, 16, 16, 14, 16, 16, 12, 20, 16, 18, 18, 16, 12, 41, 31, 30, 35, 22, 26,
				31, 27, 36, 31, 35, 31, 23, 35, 31, 34, 39, 31, 70, 61, 72, 37, 52, 71, 72, 65, 70, 54, 62, 69, 53, 62,
				61, 46, 63, 62},
		},
		{
			"resnet56", 1, networks.PaddingLocal,
			[]int64{125085952, 125137792, 125391232, 125234560, 125175808, 125129152, 125288128, 125366464,
				125072128, 124962112},
			[]int{16, 16, 18, 16, 14, 16, 16, 16, 14, 16, 16, 12, 20, 16, 18, 18, 16, 12, 42, 32, 31, 36, 23, 27,
				32, 28, 37, 32, 36, 32, 24, 36, 32, 35, 40, 32, 72, 63, 74, 39, 54, 73, 74, 67, 72, 56, 64, 71, 55, 64,
				63, 48, 65, 64},
		},
		{
			"resnet18", 1, networks.PaddingMax,
			[]int64{1824765732, 1820077915, 1801239400, 1802351847, 1827857598, 1812664025, 1808714058, 1796592025,
				1817364034, 1830356354},
			[]int{69, 58, 57, 72, 136, 143, 124, 130, 253, 105, 285, 186, 669, 650, 569, 504},
		},
		{
			"resnet18", 0.8, networks.PaddingMax,
			[]int64{1179015192, 1174590334, 1163372470, 1164698361, 1178700681, 1170405395, 1166948538, 1169166470,
				1177737107, 1174490663},
			[]int{55, 46, 47, 57, 108, 113, 98, 102, 201, 82, 229, 146, 530, 515, 451, 398},
		},
		{
			"resnet18", 1, networks.PaddingLocal,
			[]int64{1796965092, 1800403324, 1809372217, 1800258070, 1827559645, 1809767254, 1801921248, 1800555646,
				1817429891, 1830370595},
			[]int{68, 57, 56, 74, 137, 144, 125, 131, 257, 107, 288, 187, 674, 655, 575, 507},
		},
		{
			"resnet34", 1, networks.PaddingMax,
			[]int64{3685267648, 3670068523, 3697318207, 3695699707, 3668046212, 3648899315, 3670784852, 3672982796,
				3649321382, 3638149382},
			[]int{65, 63, 66, 63, 53, 66, 125, 128, 121, 125, 107, 87, 189, 140, 284, 288, 276, 180, 301, 287, 246,
				288, 180, 182, 223, 248, 588, 430, 571, 550, 281, 560},
		},
		{
			"resnet34", 0.8, networks.PaddingLocal,
			[]int64{2337077976, 2337031524, 2327359953, 2342802621, 2339413732, 2335453356, 2350266613, 2345443837,
				2335732135, 2341408687},
			[]int{52, 51, 53, 52, 44, 53, 103, 105, 100, 103, 89, 73, 155, 115, 232, 236, 227, 147, 247, 234, 201,
				236, 147, 150, 183, 203, 479, 353, 468, 452, 235, 460},
		},
	} {
		net := network(t, networks.Spec{Name: tt.name, Width: tt.width, Padding: tt.padding})
		c := net.Start()
		s := Step{Network: net, Start: c, Budget: net.FLOPs(c), Rate: 0.15, RateDecay: 0.01, Reference: ReferenceRules()}
		var flops []int64
		for k := range 10 {
			fur := make([]float64, len(c))
			for i := range fur {
				fur[i] = float64(((i+1)*(2*k+3)*37 + 101*k) % 211)
			}
			s.Layers = LayersToMove(6, 0.5, k)
			c = mustApply(t, s, c, fur).Next
			flops = append(flops, net.FLOPs(c))
		}
		if diff := cmp.Diff(tt.flops, flops); diff != "" {
			t.Errorf("%+v, FLOPs (-want +got):\n%s", net.Spec, diff)
		}
		if diff := cmp.Diff(tt.last, c); diff != "" {
			t.Errorf("%+v, last widths (-want +got):\n%s", net.Spec, diff)
		}
	}
}

// plain is the reference's update written down a second time, from its description and by other means: FLOPs and their
// derivative block by block, places in the ranking by counting, errors as exact fractions, and one layer at a time.
type plain struct {
	blocks             []int
	imageNet, local    bool
	stem, stemFLOPs    int
	firstSide, classes int
	start              []int
	budget             int
}

func plainOf(t *testing.T, n *networks.Network) plain {
	t.Helper()
	start := n.Start()
	p := plain{local: n.Padding == networks.PaddingLocal, stem: start[0], classes: n.Classes, start: start}
	switch n.Name {
	case "resnet18":
		p.blocks = []int{2, 2, 2, 2}
	case "resnet34":
		p.blocks = []int{3, 4, 6, 3}
	default:
		third := len(start) / 6
		p.blocks = []int{third, third, third}
	}
	p.imageNet = len(p.blocks) == 4
	p.firstSide, p.stemFLOPs = 32, 27*p.stem*32*32
	if p.imageNet {
		p.firstSide, p.stemFLOPs = 56, 147*p.stem*112*112
	}
	p.budget, _ = p.count(start)
	return p
}

// count returns FLOPs and their derivative; the stream belongs to the layer owner, or to the stem if that is -1.
func (p plain) count(c []int) (flops int, derivative []int) {
	derivative = make([]int, len(c))
	charge := func(owner, amount int) {
		if owner >= 0 {
			derivative[owner] += amount
		}
	}
	flops = p.stemFLOPs
	stream, owner, side, i := p.stem, -1, p.firstSide, 0
	for stage, count := range p.blocks {
		for block := range count {
			down := stage > 0 && block == 0
			if down {
				side /= 2
			}
			area, inner, outer := side*side, c[i], c[i+1]
			flops += 9 * area * inner * (stream + outer)
			charge(i, 9*area*(stream+outer))
			charge(i+1, 9*area*inner)
			charge(owner, 9*area*inner)
			if down && p.imageNet {
				flops += area * stream * outer
				charge(i+1, area*stream)
				charge(owner, area*outer)
			}
			if p.local || down && p.imageNet || outer > stream || p.imageNet && outer == stream {
				stream, owner = outer, i+1
			}
			i += 2
		}
	}
	charge(owner, p.classes)
	return flops + stream*p.classes, derivative
}

func halfToEven(x float64) int {
	below := math.Floor(x)
	n := int(below)
	if x-below > 0.5 || x-below == 0.5 && n%2 != 0 {
		n++
	}
	return n
}

func (p plain) move(c []int, fur []float64, u int, rate, decay float64) []int {
	moved := slices.Clone(c)
	for i := range c {
		lower, higher := 0, 0 // layers with a lower and a higher place
		for j := range c {
			if fur[j] < fur[i] || fur[j] == fur[i] && j < i {
				lower++
			} else if j != i {
				higher++
			}
		}
		step := func(rank int) float64 {
			a := rate - decay*float64(rank)
			if a < 0 {
				return 0
			}
			return a * float64(p.start[i])
		}
		if higher < u || u == 0 {
			moved[i] = halfToEven(float64(moved[i]) + step(higher))
		}
		if lower < u {
			if moved[i] = halfToEven(float64(moved[i]) - step(lower)); moved[i] < 4 {
				moved[i] = 4
			}
		}
	}
	return moved
}

func (p plain) scaled(c []int, s float64) (widths []int) {
	for _, w := range c {
		widths = append(widths, halfToEven(s*float64(w)))
	}
	return widths
}

func (p plain) excess(c []int) *big.Rat {
	f, _ := p.count(c)
	return big.NewRat(int64(f-p.budget), int64(f))
}

func (p plain) fit(c []int) []int {
	e, _ := p.excess(c).Float64()
	return p.bisect(c, 20, 1, 1-e, c)
}

// bisect returns last if that is good enough or no trial is left, else goes on in the half where the budget lies.
func (p plain) bisect(c []int, trials int, from, to float64, last []int) []int {
	tolerance := new(big.Rat).SetFloat64(0.01)
	if trials == 0 || new(big.Rat).Abs(p.excess(last)).Cmp(tolerance) <= 0 {
		return last
	}
	s := (from + to) / 2
	next := p.scaled(c, s)
	tooMuch := p.excess(next).Sign() > 0
	if s > 1 && tooMuch || s <= 1 && !tooMuch {
		return p.bisect(c, trials-1, from, s, next)
	}
	return p.bisect(c, trials-1, s, to, next)
}

func TestReferenceChains(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	outside := 0
	for _, name := range []string{"resnet20", "resnet32", "resnet56", "resnet18", "resnet34"} {
		for _, padding := range []string{networks.PaddingMax, networks.PaddingLocal} {
			for _, width := range []float64{1, 0.8, 0.5, 0.25} {
				net := network(t, networks.Spec{Name: name, Padding: padding, Width: width})
				c, p := net.Start(), plainOf(t, net)
				step := Step{Network: net, Start: c, Budget: net.FLOPs(c), Reference: ReferenceRules()}
				for k := range 10 {
					step.Layers, step.Rate, step.RateDecay = LayersToMove(6, 0.5, k), 0.15, 0.01
					if k%3 == 2 { // none, some, or so many that layers are chosen twice
						step.Layers, step.Rate = rng.IntN(len(c)+1)*rng.IntN(2), 0.3*rng.Float64()
					}
					fur := randomRatios(rng, len(c))
					fur[rng.IntN(len(c))] = fur[0]
					_, derivative := p.count(c)
					for i, d := range step.FLOPsPerChannel(c) {
						if d != float64(derivative[i]) {
							t.Fatalf("%+v %v: dF/dc of layer %d is %v, want %d", net.Spec, c, i, d, derivative[i])
						}
					}
					got, err := step.Apply(c, fur)
					if err != nil {
						t.Fatal(err)
					}
					moved := p.move(c, fur, step.Layers, step.Rate, step.RateDecay)
					next := p.fit(moved)
					if diff := cmp.Diff([][]int{moved, next}, [][]int{got.Moved, got.Next}); diff != "" {
						t.Fatalf("%+v, update %d from %v, %d layers (-want +got):\n%s", net.Spec, k, c, step.Layers, diff)
					}
					if !search.WithinBudget(net.FLOPs(next), step.Budget) {
						outside++
					}
					c = next
				}
			}
		}
	}
	if outside == 0 {
		t.Error("every update has met the budget, so the chains are too easy")
	}
}
