package train

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"netadjust/internal/data"
	"netadjust/internal/rng"
)

func TestLearningRateAt(t *testing.T) {
	for _, tt := range []struct {
		recipe Recipe
		want   []float64
	}{
		// (1 + cos(pi/4)) / 2 = 0.8535533906
		{Recipe{Epochs: 4, LearningRate: 0.1}, []float64{0.1, 0.08535533906, 0.05, 0.01464466094}},
		{Recipe{Epochs: 4, LearningRate: 0.5, MinLearningRate: 0.1}, []float64{0.5, 0.4414213562, 0.3, 0.1585786438}},
		{Recipe{Epochs: 1, LearningRate: 0.1}, []float64{0.1}},
		// 0.1 t/2 + 0.01, then the cosine of four epochs from its third value on.
		{Recipe{Epochs: 4, LearningRate: 0.1, WarmupEpochs: 2, WarmupLearningRate: 0.01},
			[]float64{0.01, 0.06, 0.05, 0.01464466094}},
	} {
		var got []float64
		for e := range tt.recipe.Epochs {
			got = append(got, tt.recipe.LearningRateAt(e))
		}
		if diff := cmp.Diff(tt.want, got, cmpopts.EquateApprox(0, 1e-10)); diff != "" || got[0] != tt.want[0] {
			t.Errorf("%+v: %v (-want +got):\n%s", tt.recipe, got, diff)
		}
	}
}

// TestWarmup has the numbers of the reference code's ImageNet command.
func TestWarmup(t *testing.T) {
	r := Recipe{Epochs: 90, LearningRate: 0.4, MinLearningRate: 1e-3, WarmupEpochs: 5, WarmupLearningRate: 1e-3}
	cosine := r
	cosine.WarmupEpochs = 0
	after := []float64{cosine.LearningRateAt(5), cosine.LearningRateAt(6)}
	for e, want := range append([]float64{0.001, 0.081, 0.161, 0.241, 0.321}, after...) {
		if got := r.LearningRateAt(e); math.Abs(got-want) > 1e-12 {
			t.Errorf("epoch %d: %v, want %v", e, got, want)
		}
	}
}

// TestDropRateAt has the numbers of the reference code's schedule: r = rate t/E, r_i = r (i+1)/L.
func TestDropRateAt(t *testing.T) {
	type rates [][]float64 // by epoch, then layer
	base := Recipe{Epochs: 4, DropRate: 0.2}
	with := func(epoch, depth bool) Recipe {
		r := base
		r.DropGrowsWithEpoch, r.DropGrowsWithDepth = epoch, depth
		return r
	}
	for _, tt := range []struct {
		recipe Recipe
		want   rates
	}{
		{with(true, true), rates{{0, 0}, {0.025, 0.05}, {0.05, 0.1}, {0.075, 0.15}}},
		{with(true, false), rates{{0, 0}, {0.05, 0.05}, {0.1, 0.1}, {0.15, 0.15}}},
		{with(false, true), rates{{0.1, 0.2}, {0.1, 0.2}, {0.1, 0.2}, {0.1, 0.2}}},
		{with(false, false), rates{{0.2, 0.2}, {0.2, 0.2}, {0.2, 0.2}, {0.2, 0.2}}},
		{Recipe{Epochs: 1, DropGrowsWithEpoch: true, DropGrowsWithDepth: true}, rates{{0, 0}}},
	} {
		var got rates
		for e := range tt.recipe.Epochs {
			got = append(got, []float64{tt.recipe.DropRateAt(e, 0, 2), tt.recipe.DropRateAt(e, 1, 2)})
		}
		if diff := cmp.Diff(tt.want, got, cmpopts.EquateApprox(0, 1e-12)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tt.recipe, diff)
		}
	}
}

// TestMove checks that crops and mirrors are spread evenly over what is allowed, and depend on key and image alone.
func TestMove(t *testing.T) {
	const n = 9000
	key := rng.NewKey(1, "augment", 2)
	draw := func(r Recipe, key rng.Key) [][3]uint32 {
		moves := make([][3]uint32, n)
		for i := range moves {
			r.move(key, i, moves[i][:])
		}
		return moves
	}
	r := Recipe{CropPad: 1, Mirror: true}
	moves := draw(r, key)
	count := map[[3]uint32]float64{}
	for _, m := range moves {
		count[m]++
	}
	if len(count) != 3*3*2 {
		t.Errorf("%d different moves, want 18", len(count))
	}
	for m, k := range count { // 500 expected, with standard deviation 22
		if math.Abs(k-n/18) > 100 || max(m[0], m[1]) > 2 || m[2] > 1 {
			t.Errorf("move %v comes %v times of %d", m, k, n)
		}
	}
	if !slices.Equal(moves, draw(r, key)) {
		t.Error("the same key gives other moves")
	}
	if slices.Equal(moves, draw(r, rng.NewKey(1, "augment", 3))) {
		t.Error("another epoch gives the same moves")
	}
	if !slices.Equal(make([][3]uint32, n), draw(Recipe{}, key)) {
		t.Error("images move without augmentation")
	}
}

func TestStreamOrder(t *testing.T) {
	s := Stream{3, "final"}
	order := s.order(1, 40)
	seen := map[int]bool{}
	for _, i := range order {
		seen[i] = i >= 0 && i < 40
	}
	if len(seen) != 40 || !cmp.Equal(order, s.order(1, 40)) {
		t.Errorf("order %v is no permutation, or does not repeat", order)
	}
	for what, other := range map[string][]int{
		"epoch": s.order(2, 40), "seed": Stream{4, "final"}.order(1, 40), "purpose": Stream{3, "start"}.order(1, 40),
	} {
		if cmp.Equal(order, other) {
			t.Errorf("another %s gives the same order", what)
		}
	}
}

func TestNormalization(t *testing.T) {
	images := &data.Images{
		Channels: 2, Height: 1, Width: 2, Labels: []int32{0, 1},
		Pixels: []byte{0, 255, 51, 51, 255, 0, 102, 102},
	}
	n, err := NormalizationOf(images)
	if err != nil {
		t.Fatal(err)
	}
	// Channel 0 has pixels 0, 1, 1, 0; channel 1 has 0.2, 0.2, 0.4, 0.4.
	want := Normalization{Mean: []float64{0.5, 0.3}, Std: []float64{0.5, 0.1}}
	if diff := cmp.Diff(want, n, cmpopts.EquateApprox(0, 1e-12)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s := n.scale()
	var got []float64
	for _, x := range []struct {
		channel int
		pixel   float32
	}{{0, 0}, {0, 255}, {1, 51}, {1, 102}} {
		got = append(got, float64(s[x.channel]*x.pixel+s[2+x.channel]))
	}
	if diff := cmp.Diff([]float64{-1, 1, -1, 1}, got, cmpopts.EquateApprox(0, 1e-6)); diff != "" {
		t.Errorf("normalized pixels (-want +got):\n%s", diff)
	}

	images.Pixels = []byte{0, 255, 51, 51, 255, 0, 51, 51}
	_, err = NormalizationOf(images)
	checkError(t, "constant images", err, "channel 1 has the same value in every pixel of 2 images")
}
