package adjustment

import (
	"context"
	"fmt"

	"netadjust/internal/rng"
	"netadjust/internal/search"
)

// Controls take a part of the method out, to see what it is worth. The zero value takes out nothing.
type Controls struct {
	Score          Score         // what layers are ranked by
	Images         search.Images // what it is measured on
	EqualDropRates bool          // layers lose the same share of their channels and not the same FLOPs
}

// Score is what layers are ranked by.
type Score int

const (
	Loss     Score = iota // rise of the loss under dropout, as in the paper
	Accuracy              // fall of the top-1 accuracy under dropout
	Random                // nothing: uniform random numbers
)

// rise returns by how much dropout makes a network worse.
func (s Score) rise(clean, dropped search.Evaluation) float64 {
	if s == Accuracy {
		return clean.Top1 - dropped.Top1
	}
	return dropped.Loss - clean.Loss
}

// of returns the score's part of an evaluation.
func (s Score) of(e search.Evaluation) float64 {
	if s == Accuracy {
		return e.Top1
	}
	return e.Loss
}

// draw gives every layer a random number for a ratio, keyed by the problem's seed and the update. Nothing is dropped,
// and the network is trained all the same, so that a search differs from that of the method in its ranking alone.
func (m Method) draw(ctx context.Context, t search.Trained, p search.Problem, update int, u *search.Measured) error {
	numbers := rng.New(p.Seed, fmt.Sprintf("random ratios/update %d", update+1))
	layers := len(u.Channels)
	u.FUR, u.FURStdErr, u.DropRates = make([]float64, layers), make([]float64, layers), make([]float64, layers)
	for i := range u.FUR {
		u.FUR[i] = numbers.Float64()
	}
	var err error
	u.Validation, err = t.Validate(ctx)
	return err
}

// EqualDropRates returns the base rate for every layer, whatever its FLOPs, and a scale of 1: without the rule that
// all layers lose the same FLOPs, what is measured is the use of a share of a layer and not that of a FLOP.
func EqualDropRates(channels []int, flopsPerChannel []float64, base float64) (rates, scale []float64, err error) {
	if _, err := wantedRates(channels, flopsPerChannel, base); err != nil {
		return nil, nil, err
	}
	rates, scale = make([]float64, len(channels)), make([]float64, len(channels))
	for i := range rates {
		rates[i], scale[i] = base, 1
	}
	return rates, scale, nil
}

// OneShot returns settings with which a search makes one update that goes as far as all updates of s together: its
// layers are those of the first update, and each moves by the sum of its steps.
func (s Settings) OneShot() Settings {
	s.Rate *= float64(s.Iterations)
	s.RateDecay *= float64(s.Iterations)
	s.Iterations = min(s.Iterations, 1)
	return s
}
