package search

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/networks"
)

func network(t *testing.T, spec networks.Spec) *networks.Network {
	t.Helper()
	n, err := networks.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// chain counts a plain chain of layers: c_0 * k_0 + sum of c_(i-1) * c_i * k_i.
type chain []int64

func (k chain) FLOPs(c []int) int64 {
	sum, in := int64(0), 1
	for i, w := range c {
		sum += k[i] * int64(in) * int64(w)
		in = w
	}
	return sum
}

func checkError(t *testing.T, name string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: error %v, want one with %q", name, err, want)
	}
}

func TestWithinBudget(t *testing.T) {
	for _, tt := range []struct {
		flops, budget int64
		want          bool
	}{
		{1000, 1000, true}, {1001, 1000, false}, {990, 1000, true}, {989, 1000, false},
		{989, 999, false}, {990, 999, true}, {98, 99, false}, {99, 99, true},
	} {
		if got := WithinBudget(tt.flops, tt.budget); got != tt.want {
			t.Errorf("%d of %d: %t", tt.flops, tt.budget, got)
		}
	}
}

func TestMinimum(t *testing.T) {
	if diff := cmp.Diff([]int{2, 2, 4, 4}, Minimum([]int{1, 15, 16, 64})); diff != "" {
		t.Error(diff)
	}
}

// fitByDefinition is FitToBudget in the words of its definition, with no regard to speed.
func fitByDefinition(net Counter, channels []int, budget int64, minimum []int) ([]int, bool) {
	scaled := func(s float64) (w []int) {
		for i, c := range channels {
			w = append(w, max(minimum[i], int(math.RoundToEven(s*float64(c)))))
		}
		return w
	}
	lo, hi := 0.25, 4.
	for range 60 {
		if s := (lo + hi) / 2; net.FLOPs(scaled(s)) <= budget {
			lo = s
		} else {
			hi = s
		}
	}
	d := scaled(lo)
	grow := func(belowShare bool) bool {
		next := -1
		gap := func(i int) float64 { return float64(float64(channels[i])*hi) - float64(d[i]) }
		for i := range d {
			e := slices.Clone(d)
			e[i]++
			if net.FLOPs(e) <= budget && (!belowShare || gap(i) > 0) && (next < 0 || gap(i) > gap(next)) {
				next = i
			}
		}
		if next < 0 {
			return false
		}
		d[next]++
		return true
	}
	for grow(true) {
	}
	for 100*net.FLOPs(d) < 99*budget && grow(false) {
	}
	return d, 100*net.FLOPs(d) >= 99*budget
}

func TestFitToBudget(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	fitted := 0
	for _, spec := range []networks.Spec{
		{Name: "resnet20"}, {Name: "resnet20", Width: 0.5}, {Name: "resnet20", Width: 0.25}, {Name: "resnet8", Width: 0.25},
		{Name: "resnet32", Padding: "local"}, {Name: "resnet18", Width: 0.8},
	} {
		net := network(t, spec)
		start := net.Start()
		minimum := Minimum(start)
		for range 20 {
			c := net.Start()
			for i := range c {
				c[i] = max(minimum[i], int(float64(c[i])*math.Exp2(2*rng.Float64()-1)))
			}
			before := slices.Clone(c)
			budget := int64(float64(net.FLOPs(start)) * (0.4 + 2*rng.Float64()))
			got, err := FitToBudget(net, c, budget, minimum)
			if !slices.Equal(c, before) {
				t.Fatalf("%+v: the given widths have changed", spec)
			}
			want, ok := fitByDefinition(net, c, budget, minimum)
			if err != nil {
				checkError(t, spec.Name, err, "the widths found have")
				if ok {
					t.Errorf("%+v %v, budget %d: %v, but %v fits", spec, c, budget, err, want)
				}
				continue
			}
			fitted++
			if ok && !slices.Equal(got, want) { // else a channel has moved
				t.Errorf("%+v %v, budget %d:\n%v, want\n%v", spec, c, budget, got, want)
			}
			if f := net.FLOPs(got); 100*f < 99*budget || f > budget {
				t.Errorf("%+v %v, budget %d: %v has %d FLOPs", spec, c, budget, got, f)
			}
			for i, w := range got {
				if w < minimum[i] {
					t.Errorf("%+v %v, budget %d: %v, minimum %v", spec, c, budget, got, minimum)
				}
			}
		}
	}
	if fitted < 115 {
		t.Errorf("only %d of 120 budgets could be met", fitted)
	}
}

func TestFitToBudgetKeepsWhatFits(t *testing.T) {
	for _, spec := range []networks.Spec{
		{Name: "resnet20"}, {Name: "resnet110", Width: 0.5}, {Name: "resnet34"}, {Name: "resnet8", Width: 0.25},
	} {
		net := network(t, spec)
		c := net.Start()
		got, err := FitToBudget(net, c, net.FLOPs(c), Minimum(c))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, got); diff != "" {
			t.Errorf("%+v at its own FLOPs (-want +got):\n%s", spec, diff)
		}
	}
}

func TestFitToBudgetErrors(t *testing.T) {
	net := chain{100, 1, 1}
	c := []int{16, 16, 16} // 2112 FLOPs; 432 at a quarter, 14592 at four times the widths
	floor := []int{1, 1, 1}
	for _, tt := range []struct {
		name          string
		channels, min []int
		budget        int64
		want          string
	}{
		{"small", c, floor, 431, "budget of 431 FLOPs is too small: a quarter of the widths"},
		{"floor", c, []int{10, 1, 1}, 1000, "already needs 1056"},
		{"large", c, floor, 20000, "budget of 20000 FLOPs is too large: four times the widths need only 14592"},
		{"length", c, floor[:2], 1000, "3 widths and 2 minimum widths"},
		{"none", nil, nil, 1000, "0 widths and 0 minimum widths"},
		{"width", []int{16, 0, 16}, floor, 1000, "layer 2 has width 0 and minimum width 1"},
		{"minimum", c, []int{1, 1, 0}, 1000, "layer 3 has width 16 and minimum width 0"},
		{"negative", c, floor, -5, "budget of -5 FLOPs: give at least 1"},
	} {
		_, err := FitToBudget(net, tt.channels, tt.budget, tt.min)
		checkError(t, tt.name, err, tt.want)
	}
	_, err := FitToBudget(chain{100}, []int{4}, 590, []int{1})
	checkError(t, "coarse", err, "budget of 590 FLOPs: the widths found have 500 (84.75 %)")

	got, err := FitToBudget(net, c, 14600, floor)
	if err != nil || !slices.Equal(got, []int{64, 64, 64}) {
		t.Errorf("four times the widths: %v, %v", got, err)
	}
}

// pruneByDefinition is PruneToBudget in the words of its definition. It also returns which channels remain.
func pruneByDefinition(net Counter, scores [][]float64, budget int64, minimum []int) ([]int, [][]bool) {
	widths := make([]int, len(scores))
	kept := make([][]bool, len(scores))
	for i, s := range scores {
		widths[i] = len(s)
		kept[i] = slices.Repeat([]bool{true}, len(s))
	}
	type channel struct{ layer, index int }
	var removed []channel
	for net.FLOPs(widths) > budget {
		least := channel{-1, 0}
		for i, layer := range scores {
			for j, s := range layer {
				if kept[i][j] && widths[i] > minimum[i] && (least.layer < 0 || s < scores[least.layer][least.index]) {
					least = channel{i, j}
				}
			}
		}
		if least.layer < 0 {
			return nil, nil
		}
		kept[least.layer][least.index] = false
		widths[least.layer]--
		removed = append(removed, least)
	}
	for _, r := range slices.Backward(removed) {
		widths[r.layer]++
		if net.FLOPs(widths) <= budget {
			kept[r.layer][r.index] = true
		} else {
			widths[r.layer]--
		}
	}
	return widths, kept
}

func randomScores(rng *rand.Rand, widths []int) [][]float64 {
	scores := make([][]float64, len(widths))
	for i, w := range widths {
		scale := math.Exp(rng.NormFloat64())
		for range w {
			scores[i] = append(scores[i], scale*float64(1+rng.IntN(20))) // with many ties
		}
	}
	return scores
}

func TestPruneToBudget(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	fitted := 0
	for _, spec := range []networks.Spec{
		{Name: "resnet20", Width: 0.5}, {Name: "resnet14", Width: 0.25}, {Name: "resnet20", Padding: "local"},
	} {
		net := network(t, spec)
		minimum := Minimum(net.Start())
		for range 8 {
			start := net.Start()
			for i := range start {
				start[i] = max(2, int(float64(start[i])*(0.5+1.5*rng.Float64())))
			}
			scores := NormalizeByMean(randomScores(rng, start))
			budget := int64(float64(net.FLOPs(start)) * (0.3 + 0.6*rng.Float64()))
			got, err := PruneToBudget(net, scores, budget, minimum)
			want, kept := pruneByDefinition(net, scores, budget, minimum)
			if err != nil {
				checkError(t, spec.Name, err, "budget of")
				if want != nil && 100*net.FLOPs(want) >= 99*budget {
					t.Errorf("%+v %v, budget %d: %v, but %v fits", spec, start, budget, err, want)
				}
				continue
			}
			fitted++
			if 100*net.FLOPs(want) >= 99*budget && !slices.Equal(got, want) { // else a repair
				t.Errorf("%+v %v, budget %d:\n%v, want\n%v", spec, start, budget, got, want)
			}
			if f := net.FLOPs(got); 100*f < 99*budget || f > budget {
				t.Errorf("%+v %v, budget %d: %v has %d FLOPs", spec, start, budget, got, f)
			}
			for i, layer := range scores {
				if got[i] < min(minimum[i], len(layer)) {
					t.Errorf("%+v, budget %d: %v, minimum %v", spec, budget, got, minimum)
				}
				for a, s := range layer {
					for b, o := range layer {
						if kept[i][a] && !kept[i][b] && s < o {
							t.Fatalf("layer %d keeps a channel of score %v and not one of %v", i, s, o)
						}
					}
				}
			}
		}
	}
	if fitted < 22 {
		t.Errorf("only %d of 24 budgets could be met", fitted)
	}
}

func TestPruneToBudgetWalksBack(t *testing.T) {
	// The cheap channel of layer 0 goes first; layer 1 then pays for more than the budget asked, and it fits again.
	net := chain{1, 0}
	costs := func(c []int) int64 { return net.FLOPs(c) + 1000*int64(c[1]) }
	got, err := PruneToBudget(counterFunc(costs), [][]float64{{1, 9, 9}, {2, 9, 9}}, 2003, []int{1, 1})
	if err != nil || !slices.Equal(got, []int{3, 2}) {
		t.Errorf("got %v, %v, want [3 2]", got, err)
	}
}

type counterFunc func([]int) int64

func (f counterFunc) FLOPs(c []int) int64 { return f(c) }

// TestPruneRepairs prunes where no channel fits any more and too much of the budget is left: one channel of layer 1 goes
// as well, and the two of layer 0 that its room is for return.
func TestPruneRepairs(t *testing.T) {
	costs := counterFunc(func(c []int) int64 { return int64(40*c[0] + 70*c[1]) })
	scores := [][]float64{{1, 2, 9}, {3, 5, 9}}
	got, err := PruneToBudget(costs, scores, 260, []int{1, 1})
	if err != nil || !slices.Equal(got, []int{3, 2}) {
		t.Errorf("got %v, %v, want [3 2]", got, err)
	}
	got, err = PruneToBudget(costs, scores, 190, []int{1, 1}) // 180 without repair
	if err != nil || !slices.Equal(got, []int{3, 1}) {
		t.Errorf("got %v, %v, want [3 1]", got, err)
	}
}

// TestPrunePerFLOP prunes by hand: layer 0 costs ten times as much a channel as layer 1, until it is narrow.
func TestPrunePerFLOP(t *testing.T) {
	costs := counterFunc(func(c []int) int64 { return int64(100*c[0] + 10*c[1]) })
	p := Pruning{Network: costs, Budget: 240, Minimum: []int{1, 1}, Cost: func(w []int) []float64 {
		if w[0] > 3 {
			return []float64{100, 10}
		}
		return []float64{10, 10}
	}}
	// 5 and 8 per 100 FLOPs, 20 per 10: layer 0 loses two channels, then per 10 FLOPs layer 1 the one of 20.
	kept, err := p.Prune([]int{5, 2}, Singles([][]float64{{50, 8, 5, 60, 70}, {20, 30}}))
	if err == nil {
		t.Fatalf("kept %v of widths that do not fit", kept)
	}
	p.Budget = 310
	kept, err = p.Prune([]int{5, 2}, Singles([][]float64{{50, 8, 5, 60, 70}, {20, 30}}))
	if diff := cmp.Diff([][]int{{0, 3, 4}, {1}}, kept); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// TestPruneTogether prunes two layers whose channels meet, and a third of its own; what is in no unit stays.
func TestPruneTogether(t *testing.T) {
	costs := counterFunc(func(c []int) int64 { return int64(100*c[0] + 100*c[1] + 100*c[2]) })
	units := Together([][]networks.Channel{{{Layer: 0, Index: 1}, {Layer: 1, Index: 1}}, {{Layer: 0, Index: 2}, {Layer: 1, Index: 2}},
		{{Layer: 2, Index: 0}}, {{Layer: 2, Index: 1}}}, [][]float64{{0, 3, 2}, {0, 1, 1.5}, {1, 9}})
	if got := units[0].Score; got != 4 {
		t.Errorf("score %v of channels of 3 and 1", got)
	}
	kept, err := Pruning{Network: costs, Budget: 500, Minimum: []int{1, 1, 1}}.Prune([]int{3, 3, 2}, units)
	if diff := cmp.Diff([][]int{{0, 1}, {0, 1}, {1}}, kept); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestPruneToBudgetManyChannels(t *testing.T) {
	net := network(t, networks.Spec{Name: "resnet110"})
	wide := network(t, networks.Spec{Name: "resnet110", Width: math.Sqrt2})
	scores := randomScores(rand.New(rand.NewPCG(9, 10)), wide.Start())
	budget := net.FLOPs(net.Start())
	got, err := PruneToBudget(net, scores, budget, Minimum(net.Start()))
	if err != nil || !WithinBudget(net.FLOPs(got), budget) {
		t.Errorf("%v: %v", got, err)
	}
}

func TestPruneToBudgetErrors(t *testing.T) {
	net := chain{100, 1}
	even := [][]float64{{1, 1, 1}, {1, 1, 1}}
	for _, tt := range []struct {
		name   string
		scores [][]float64
		budget int64
		want   string
	}{
		{"small", even, 100, "budget of 100 FLOPs is too small: the minimum widths already need 204"},
		{"coarse", even, 300, "budget of 300 FLOPs: the widths found have 206 (68.67 %)"},
		{"large", even, 500, "budget of 500 FLOPs: the widths found have 309 (61.80 %)"},
		{"nan", [][]float64{{1, 1, 1}, {1, math.NaN(), 1}}, 300, "score NaN of channel 2 in layer 2"},
		{"infinite", [][]float64{{math.Inf(1), 1, 1}, {1, 1, 1}}, 300, "score +Inf of channel 1 in layer 1"},
		{"negative", [][]float64{{1, 1, -1}, {1, 1, 1}}, 300, "score -1 of channel 3 in layer 1"},
		{"empty", [][]float64{{1, 1, 1}, {}}, 300, "layer 2 has width 0"},
		{"length", even[:1], 300, "1 widths and 2 minimum widths"},
	} {
		_, err := PruneToBudget(net, tt.scores, tt.budget, []int{2, 2})
		checkError(t, tt.name, err, tt.want)
	}
}

func TestNormalizeByMean(t *testing.T) {
	scores := [][]float64{{1, 2, 3}, {0, 0}, {10}}
	want := [][]float64{{0.5, 1, 1.5}, {0, 0}, {1}}
	if diff := cmp.Diff(want, NormalizeByMean(scores)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if scores[0][0] != 1 {
		t.Error("the given scores have changed")
	}
}

// TestRoundToMultiples checks multiples by hand.
func TestRoundToMultiples(t *testing.T) {
	costs := counterFunc(func(c []int) int64 { return int64(c[0] + c[1] + c[2]) })
	for _, tt := range []struct {
		c      []int
		budget int64
		want   []int
	}{
		{[]int{7, 9, 2}, 18, []int{4, 8, 4}},   // 8 8 4 is too much: the first gained most of those that can lose
		{[]int{8, 8, 8}, 24, []int{8, 8, 8}},   // nothing to do
		{[]int{5, 13, 5}, 27, []int{8, 12, 4}}, // 4 12 4 leaves room for one, all lost as much
		{[]int{1, 1, 1}, 12, []int{4, 4, 4}},   // the least
		{[]int{6, 6, 6}, 19, []int{4, 4, 8}},   // halves to even: 8 8 8 is too much
	} {
		got, err := RoundToMultiples(costs, tt.c, tt.budget, 4)
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%v: %v (-want +got):\n%s", tt.c, err, diff)
		}
	}
	_, err := RoundToMultiples(costs, []int{1, 1, 1}, 11, 4)
	checkError(t, "small", err, "budget of 11 FLOPs is too small for widths that are multiples of 4: the least need 12")
}
