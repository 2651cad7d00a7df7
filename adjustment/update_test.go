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

func TestChoose(t *testing.T) {
	fur := []float64{5, 1, 3, 3, 2, 4}
	ranking, err := Rank(fur, names(6))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		u            int
		grow, shrink []int
	}{
		{0, nil, nil},
		{1, []int{0}, []int{1}},
		{2, []int{0, 5}, []int{1, 4}},
		{3, []int{0, 5}, []int{1, 4}}, // the third pair has equal ratios
	} {
		grow, shrink := Choose(fur, ranking, tt.u)
		if diff := cmp.Diff([][]int{tt.grow, tt.shrink}, [][]int{grow, shrink}); diff != "" {
			t.Errorf("u = %d (-want +got):\n%s", tt.u, diff)
		}
	}
}

func TestMove(t *testing.T) {
	one, other := []int{0}, []int{1}
	for _, tt := range []struct {
		name                    string
		channels, start, floors []int
		grow, shrink            []int
		rate, decay             float64
		want                    []int
	}{
		{"share of the start width", []int{30, 30}, []int{20, 10}, []int{4, 4}, one, other, 0.1, 0, []int{32, 29}},
		{"one channel at least", []int{4, 4}, []int{4, 4}, []int{2, 2}, one, other, 0.1, 0, []int{5, 3}},
		{"minimum", []int{40, 5}, []int{20, 20}, []int{4, 4}, one, other, 0.3, 0, []int{46, 4}},
		{"at the minimum", []int{40, 4}, []int{20, 20}, []int{4, 4}, one, other, 0.3, 0, []int{46, 4}},
		{"halves to even", []int{10, 10}, []int{25, 25}, []int{4, 4}, one, other, 0.1, 0, []int{12, 8}},
		{"decay", []int{100, 100, 100, 100}, []int{100, 100, 100, 100}, []int{4, 4, 4, 4}, []int{0, 2}, []int{1, 3},
			0.3, 0.1, []int{130, 70, 120, 80}},
		{"decayed to nothing", []int{20, 20, 20, 20}, []int{20, 20, 20, 20}, []int{4, 4, 4, 4}, []int{0, 2}, []int{1, 3},
			0.1, 0.1, []int{22, 18, 20, 20}},
		// As other rules of the reference choose:
		{"all grow", []int{20, 20}, []int{20, 20}, []int{4, 4}, []int{1, 0}, nil, 0.1, 0, []int{22, 22}},
		{"grows, then shrinks", []int{10, 20}, []int{10, 20}, []int{4, 4}, []int{0, 1}, []int{1, 0}, 0.3, 0.2, []int{12, 16}},
	} {
		got := Move(tt.channels, tt.start, tt.floors, tt.grow, tt.shrink, tt.rate, tt.decay)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
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
