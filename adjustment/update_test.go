package adjustment

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"netadjust/internal/search"
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

func checkError(t *testing.T, name string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: error %v, want one with %q", name, err, want)
	}
}

func names(layers int) (s []string) {
	for i := range layers {
		s = append(s, fmt.Sprintf("layer%d", i))
	}
	return s
}

// update ranks the layers and moves u pairs.
func update(t *testing.T, c, start, minimum []int, fur []float64, u int, rate, decay float64) []int {
	t.Helper()
	ranking, err := Rank(fur, names(len(fur)))
	if err != nil {
		t.Fatal(err)
	}
	pairs, err := Pairs(fur, ranking, u)
	if err != nil {
		t.Fatal(err)
	}
	return Step(c, start, minimum, pairs, rate, decay)
}

// Rates computed with the reference code, whose ties go to the first.
func TestDropRates(t *testing.T) {
	net := network(t, networks.Spec{Name: "resnet20"})
	c := net.Start()
	rates, scale, err := DropRates(c, net.FLOPsPerChannel(c, networks.TieFirst), 0.1)
	if err != nil {
		t.Fatal(err)
	}
	want := []float64{0.0847, 0.1695, 0.0847, 0.1695, 0.0847, 0.1695, 0.1130, 0.0484, 0.0847, 0.1695, 0.0847, 0.1695,
		0.1130, 0.0564, 0.0847, 0.1695, 0.0847, 0.1695}
	if diff := cmp.Diff(want, rates, cmpopts.EquateApprox(0, 0.00005)); diff != "" {
		t.Errorf("rates (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(slices.Repeat([]float64{1}, 18), scale); diff != "" {
		t.Errorf("scale (-want +got):\n%s", diff)
	}
}

func TestDropRatesChargeAllLayersAlike(t *testing.T) {
	channels := []int{10, 4, 100, 1}
	flops := []float64{30, 200, 5, 2}
	rates, scale, err := DropRates(channels, flops, 0.2)
	if err != nil {
		t.Fatal(err)
	}
	total := 10*30. + 4*200 + 100*5 + 1*2
	for i, p := range rates {
		if charged := p * scale[i] * float64(channels[i]) * flops[i]; math.Abs(charged-0.2*total/4) > 1e-9 {
			t.Errorf("layer %d is charged %v, want %v", i, charged, 0.2*total/4)
		}
	}
	// The last layer has 2 of 1602 FLOPs: 0.2 * 400.5 / 2 = 40.05 would be needed.
	if rates[3] != 0.5 || math.Abs(scale[3]-80.1) > 1e-9 || scale[0] != 1 || rates[0] >= 0.5 {
		t.Errorf("rates %v, scale %v", rates, scale)
	}
}

func TestDropRatesErrors(t *testing.T) {
	for _, tt := range []struct {
		name     string
		channels []int
		flops    []float64
		base     float64
		want     string
	}{
		{"length", []int{1, 2}, []float64{1}, 0.1, "2 widths and 1 derivatives"},
		{"base", []int{1}, []float64{1}, 0, "base drop rate 0: give more than 0 and at most 0.5"},
		{"high base", []int{1}, []float64{1}, 0.6, "base drop rate 0.6"},
		{"nan base", []int{1}, []float64{1}, math.NaN(), "base drop rate NaN"},
		{"no flops", []int{1, 1}, []float64{1, 0}, 0.1, "layer 2 has width 1 and 0 FLOPs per channel"},
		{"no width", []int{0, 1}, []float64{1, 1}, 0.1, "layer 1 has width 0 and 1 FLOPs per channel"},
	} {
		_, _, err := DropRates(tt.channels, tt.flops, tt.base)
		checkError(t, tt.name, err, tt.want)
	}
}

func TestLayersToMove(t *testing.T) {
	for _, tt := range []struct {
		number, decay float64
		want          []int
	}{
		{6, 0.5, []int{6, 6, 5, 4, 4, 4, 3, 2, 2, 2}}, // the reference's CIFAR search
		{3, 0, []int{3, 3, 3}},
		{2, 1, []int{2, 1, 0, 0}},
	} {
		for k, want := range tt.want {
			if got := LayersToMove(tt.number, tt.decay, k); got != want {
				t.Errorf("%v - %d * %v: %d, want %d", tt.number, k, tt.decay, got, want)
			}
		}
	}
}

func TestRank(t *testing.T) {
	got, err := Rank([]float64{0.2, -0.1, 0.2, 0, -0.1}, names(5))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{1, 4, 3, 0, 2}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		_, err := Rank([]float64{0, f}, names(2))
		checkError(t, "rank", err, fmt.Sprintf("FLOPs utilization ratio of layer1 is %v", f))
	}
}

func TestPairs(t *testing.T) {
	fur := []float64{5, 1, 3, 3, 2, 4}
	ranking, err := Rank(fur, names(6))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		u    int
		want []Pair
	}{
		{0, nil},
		{1, []Pair{{0, 1}}},
		{2, []Pair{{0, 1}, {5, 4}}},
		{3, []Pair{{0, 1}, {5, 4}}}, // the third pair has equal ratios
	} {
		got, err := Pairs(fur, ranking, tt.u)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("u = %d (-want +got):\n%s", tt.u, diff)
		}
	}
	_, err = Pairs(fur, ranking, 4)
	checkError(t, "overlap", err, "more than the 6 adjustable layers; move at most 3")
}

func TestStep(t *testing.T) {
	for _, tt := range []struct {
		name                    string
		channels, start, floors []int
		pairs                   []Pair
		rate, decay             float64
		want                    []int
	}{
		{"share of the start width", []int{30, 30}, []int{20, 10}, []int{4, 4}, []Pair{{0, 1}}, 0.1, 0, []int{32, 29}},
		{"one channel at least", []int{4, 4}, []int{4, 4}, []int{2, 2}, []Pair{{0, 1}}, 0.1, 0, []int{5, 3}},
		{"minimum", []int{40, 5}, []int{20, 20}, []int{4, 4}, []Pair{{0, 1}}, 0.3, 0, []int{46, 4}},
		{"at the minimum", []int{40, 4}, []int{20, 20}, []int{4, 4}, []Pair{{0, 1}}, 0.3, 0, []int{46, 4}},
		{"halves to even", []int{10, 10}, []int{25, 25}, []int{4, 4}, []Pair{{0, 1}}, 0.1, 0, []int{12, 8}},
		{"decay", []int{100, 100, 100, 100}, []int{100, 100, 100, 100}, []int{4, 4, 4, 4}, []Pair{{0, 1}, {2, 3}},
			0.3, 0.1, []int{130, 70, 120, 80}},
		{"decayed to nothing", []int{20, 20, 20, 20}, []int{20, 20, 20, 20}, []int{4, 4, 4, 4}, []Pair{{0, 1}, {2, 3}},
			0.1, 0.1, []int{22, 18, 20, 20}},
	} {
		got := Step(tt.channels, tt.start, tt.floors, tt.pairs, tt.rate, tt.decay)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// Two updates of ResNet-20 computed with the reference code; none of our corrections makes a difference in them. The
// second starts from the reference's own rescaling of the first.
func TestReferenceUpdates(t *testing.T) {
	net := network(t, networks.Spec{Name: "resnet20"})
	start := net.Start()
	for k, tt := range []struct {
		c           []int
		fur         []float64
		top, bottom []int
		want        []int
	}{
		{
			start,
			[]float64{.30, .02, .28, .01, .26, .03, .50, .45, .10, .05, .12, .06, .90, .40, .60, .20, .55, .35},
			[]int{12, 14, 16, 6, 7, 13},
			[]int{3, 1, 5, 9, 11, 8},
			[]int{16, 14, 16, 14, 16, 14, 36, 36, 29, 28, 32, 28, 74, 70, 73, 64, 72, 64},
		},
		{
			[]int{15, 14, 15, 14, 15, 14, 35, 35, 28, 27, 31, 27, 72, 68, 71, 62, 70, 62},
			[]float64{.11, .01, .14, .02, .13, .03, .40, .38, .16, .05, .12, .06, .70, .50, .65, .22, .60, .33},
			[]int{12, 14, 16, 13, 6, 7},
			[]int{1, 3, 5, 9, 11, 0},
			[]int{13, 12, 15, 12, 15, 12, 39, 38, 28, 23, 31, 23, 82, 76, 80, 62, 78, 62},
		},
	} {
		ranking, err := Rank(tt.fur, net.Adjustable())
		if err != nil {
			t.Fatal(err)
		}
		pairs, err := Pairs(tt.fur, ranking, LayersToMove(6, 0.5, k))
		if err != nil {
			t.Fatal(err)
		}
		var wantPairs []Pair
		for j := range tt.top {
			wantPairs = append(wantPairs, Pair{Grow: tt.top[j], Shrink: tt.bottom[j]})
		}
		if diff := cmp.Diff(wantPairs, pairs); diff != "" {
			t.Errorf("update %d, pairs (-want +got):\n%s", k, diff)
		}
		if diff := cmp.Diff(tt.want, Step(tt.c, start, search.Minimum(start), pairs, 0.15, 0.01)); diff != "" {
			t.Errorf("update %d, widths (-want +got):\n%s", k, diff)
		}
	}
}

func randomRatios(rng *rand.Rand, layers int) []float64 {
	fur := make([]float64, layers)
	for i := range fur {
		fur[i] = rng.NormFloat64()
	}
	return fur
}

func TestOnlyTheOrderOfRatiosCounts(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	start := network(t, networks.Spec{Name: "resnet32", Width: 0.5}).Start()
	for range 50 {
		fur := randomRatios(rng, len(start))
		scaled := slices.Clone(fur)
		for i := range scaled {
			scaled[i] = 8*scaled[i] + 3
		}
		a := update(t, start, start, search.Minimum(start), fur, 6, 0.2, 0.01)
		b := update(t, start, start, search.Minimum(start), scaled, 6, 0.2, 0.01)
		if diff := cmp.Diff(a, b); diff != "" {
			t.Fatalf("scaled ratios (-before +after):\n%s", diff)
		}
		moved := 0
		for i := range a {
			if a[i] != start[i] {
				moved++
			}
		}
		if moved != 12 {
			t.Fatalf("%d layers have moved, want 12", moved)
		}
	}
	equal := slices.Repeat([]float64{0.25}, len(start))
	if diff := cmp.Diff(start, update(t, start, start, search.Minimum(start), equal, 6, 0.2, 0.01)); diff != "" {
		t.Errorf("equal ratios (-want +got):\n%s", diff)
	}
}

// Whole searches of ten updates with random ratios: unlike the reference's rescaling, which misses its own tolerance
// in 1 % of the updates for ResNet-20 and in most of them at 0.25x, every update must meet the budget.
func TestEveryUpdateMeetsTheBudget(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for _, spec := range []networks.Spec{
		{Name: "resnet20"}, {Name: "resnet20", Width: 0.5}, {Name: "resnet20", Width: 0.25},
		{Name: "resnet56", Width: 0.5}, {Name: "resnet18", Width: 0.8},
	} {
		net := network(t, spec)
		start := net.Start()
		minimum := search.Minimum(start)
		budget := net.FLOPs(start)
		for range 30 {
			c := start
			for k := range 10 {
				fur := randomRatios(rng, len(c))
				wanted := update(t, c, start, minimum, fur, LayersToMove(6, 0.5, k), 0.15, 0.01)
				fitted, err := search.FitToBudget(net, wanted, budget, minimum)
				if err != nil {
					t.Fatalf("%+v, update %d from %v: %v", spec, k, c, err)
				}
				if f := net.FLOPs(fitted); 100*f < 99*budget || f > budget {
					t.Fatalf("%+v, update %d from %v: %v has %d FLOPs, budget %d", spec, k, c, fitted, f, budget)
				}
				for i := range fitted {
					if fitted[i] < minimum[i] {
						t.Fatalf("%+v, update %d: %v, minimum %v", spec, k, fitted, minimum)
					}
				}
				c = fitted
			}
		}
	}
}
