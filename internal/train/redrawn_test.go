package train

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/rng"
	"netadjust/networks"
)

// TestEvaluateRedrawn checks the evaluation by the rules of the paper's code. Where the recipe moves no image it gives
// what one pass over all layers gives, errors included. Otherwise every evaluation sees other images, the same for the
// same stream, and the errors are larger, since differences are no longer of the same images.
func TestEvaluateRedrawn(t *testing.T) {
	images, key := digits(t, 0, 131), rng.NewKey(7, "test")
	n, err := networks.New(networks.Spec{
		Name: "resnet8", Width: 0.25, Input: [3]int{1, images.Height, images.Width}, Classes: 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	const repeats = 2
	dev, rates := processor(t, 2), []float64{0.02, 0.02, 0.02, 0, 0.02, 0.02} // nothing is dropped in the fourth layer
	m := newModel(n, n.Start(), norm, Stream{1, "final"})
	of := func(r Recipe, purpose string) *LayerDropout {
		d, err := EvaluateRedrawn(t.Context(), dev, m, images, r, Stream{1, purpose}, rates, key, repeats, nil)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	e, err := NewEvaluator(dev, m, images, true)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	want, err := e.EvaluateLayerDropout(t.Context(), rates, key, repeats)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, of(Recipe{}, "look")); diff != "" {
		t.Errorf("images that stay (-one pass +one by one):\n%s", diff)
	}

	moves := Recipe{CropPad: 4, Mirror: true}
	got := of(moves, "look")
	if diff := cmp.Diff(got, of(moves, "look")); diff != "" {
		t.Errorf("(-once +again):\n%s", diff)
	}
	losses := map[float64]bool{got.Clean.Loss: true}
	for layer, dropped := range got.Dropped {
		for _, d := range dropped {
			losses[d.Loss] = true
		}
		if got.StdErr[layer].Loss < 2*want.StdErr[layer].Loss {
			t.Errorf("layer %d: standard error %v, %v on the same images", layer, got.StdErr[layer].Loss, want.StdErr[layer].Loss)
		}
	}
	if other := of(moves, "other"); other.Clean == got.Clean || len(losses) != 1+len(rates)*repeats {
		t.Errorf("%d different losses; without dropout %+v, by another stream %+v", len(losses), got.Clean, other.Clean)
	}
	if d := math.Abs(got.Clean.Loss - want.Clean.Loss); d == 0 || d > 1 {
		t.Errorf("moved images have the loss %v, the others %v", got.Clean.Loss, want.Clean.Loss)
	}
}
