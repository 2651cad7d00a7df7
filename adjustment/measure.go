package adjustment

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat"

	"netadjust/internal/search"
)

// measure returns the FLOPs utilization ratio of every layer of a trained network of widths c:
//
//	FUR_i = mean over repeats of (validation loss with channel dropout in layer i - validation loss)
//
// with the rates of DropRates, at which every layer loses the same FLOPs. A layer whose rate was cut gets the loss that
// the full rate would have shown, in proportion. A ratio that is not a finite number is an error in both modes, because
// it comes from a training that has diverged and no record can hold it. Controls change what is measured.
func (m Method) measure(ctx context.Context, t search.Trained, p search.Problem, step Step, c []int, update int) (
	*search.Measured, error) {
	u := &search.Measured{Channels: c, FLOPsPerChannel: step.FLOPsPerChannel(c)}
	if m.Score == Random {
		if err := m.draw(ctx, t, p, update, u); err != nil {
			return nil, err
		}
		return u, checkLoss(u.Validation)
	}
	dropRates, on := rulesOf(m.Reference).dropRates, m.On()
	if m.EqualDropRates {
		dropRates = EqualDropRates
	}
	rates, scale, err := dropRates(c, u.FLOPsPerChannel, m.DropRate)
	if err != nil {
		return nil, err
	}
	d, err := t.EvaluateDropout(ctx, on, rates, m.Repeats)
	if err != nil {
		return nil, err
	}
	u.Validation, u.DropRates = d.Clean, rates
	if on != search.HeldOut {
		if u.Validation, err = t.Validate(ctx); err != nil {
			return nil, err
		}
	}
	for i, repeats := range d.Dropped {
		rise := make([]float64, len(repeats))
		for r, e := range repeats {
			rise[r] = m.Score.rise(d.Clean, e) * scale[i]
		}
		stdErr := 0.
		if len(rise) > 1 {
			stdErr = stat.StdErr(stat.StdDev(rise, nil), float64(len(rise)))
		}
		u.FUR, u.FURStdErr = append(u.FUR, stat.Mean(rise, nil)), append(u.FURStdErr, stdErr)
		u.FURImageStdErr = append(u.FURImageStdErr, m.Score.of(d.StdErr[i])*scale[i])
	}
	if err := checkFinite(u.FUR, step.Network.Adjustable()); err != nil {
		return nil, err
	}
	return u, checkLoss(u.Validation)
}

// On returns the images that ratios are measured on.
func (m Method) On() search.Images {
	if m.Images == search.HeldOut {
		return rulesOf(m.Reference).heldOut
	}
	return m.Images
}

// checkLoss reports a loss that no record can hold.
func checkLoss(e search.Evaluation) error {
	if math.IsNaN(e.Loss) || math.IsInf(e.Loss, 0) {
		return fmt.Errorf("validation loss is %v: training has diverged; try a lower learning rate", e.Loss)
	}
	return nil
}

// measurement returns how often measuring sends an image through a network of widths c or a part of it, and the FLOPs
// of that.
func (m Method) measurement(p search.Problem, c []int) (runs int, flops int64) {
	whole := p.Network.FLOPs(c)
	if m.Score == Random {
		return 1, whole
	}
	runs, flops = 1+len(c)*m.Repeats, whole
	on := m.On()
	for _, behind := range p.Network.FLOPsBehind(c) {
		if on == search.Redrawn {
			behind = whole
		}
		flops += behind * int64(m.Repeats)
	}
	if on != search.HeldOut {
		runs, flops = runs+1, flops+whole
	}
	return runs, flops
}
