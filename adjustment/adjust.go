package adjustment

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/stat"

	"netadjust/internal/search"
)

// Settings of network adjustment.
type Settings struct {
	Epochs          int     // of each training
	Iterations      int     // trainings, each followed by an update
	LayersPerUpdate float64 // pairs of layers that move in the first update
	LayersDecay     float64 // how many fewer in each further update
	Rate            float64 // step relative to the start width
	RateDecay       float64 // how much smaller with each rank
	DropRate        float64 // mean drop rate of the utilization ratio
	Repeats         int     // dropout draws for each layer
	Reference       bool    // the rules of the authors' code, which does not always meet the budget
}

// Method is network adjustment. From widths that meet the budget it repeats: train from scratch, measure every layer's
// FLOPs utilization ratio, let the layers with the highest ratios grow and those with the lowest shrink, and fit the
// widths to the budget. The widths after the last update are the result; with Settings.Reference they may miss the
// budget, see ReferenceFit.
type Method struct{ Settings }

// Search runs the loop of section 3 of the paper.
func (m Method) Search(ctx context.Context, lab search.Lab, p search.Problem) (*search.Outcome, error) {
	start, _, err := p.Start(p.Budget)
	if err != nil {
		return nil, err
	}
	step := Step{
		Network: p.Network, Start: start, Budget: p.Budget, Layers: LayersToMove(m.LayersPerUpdate, m.LayersDecay, 0),
		Rate: m.Rate, RateDecay: m.RateDecay, Reference: m.Reference,
	}
	if err := step.Check(); err != nil {
		return nil, err // before hours of training
	}
	out := &search.Outcome{Start: start, Channels: start}
	for k := range m.Iterations {
		t, err := lab.Train(ctx, m.training(p, k, out.Channels))
		if err != nil {
			return nil, fmt.Errorf("update %d: %w", k+1, err)
		}
		u := search.Update{Channels: out.Channels}
		if err := m.measure(ctx, t, step, &u); err != nil {
			return nil, fmt.Errorf("update %d: %w", k+1, err)
		}
		step.Layers = LayersToMove(m.LayersPerUpdate, m.LayersDecay, k)
		change, err := step.Apply(u.Channels, u.FUR)
		if err != nil {
			return nil, fmt.Errorf("update %d: %w", k+1, err)
		}
		u.Grown, u.Shrunk, u.Next = change.Grown, change.Shrunk, change.Next
		if err := p.Network.Check(u.Next); err != nil { // nothing keeps reference mode from leaving a layer no channel
			return nil, fmt.Errorf("update %d ends in widths that no network can have: %w", k+1, err)
		}
		out.Updates, out.Channels = append(out.Updates, u), u.Next
		lab.Report("update %d of %d: validation loss %.4f, top-1 %.2f %%, widths %v",
			k+1, m.Iterations, u.Validation.Loss, 100*u.Validation.Top1, u.Next)
	}
	return out, nil
}

// Plan lists the trainings with the passes over the validation images that measuring takes. Only the first one's widths
// are known; all meet the budget.
func (m Method) Plan(p search.Problem) ([]search.Work, error) {
	start, _, err := p.Start(p.Budget)
	if err != nil {
		return nil, err
	}
	work := make([]search.Work, m.Iterations)
	runs := p.Network.FLOPs(start) // of a validation image
	for _, flops := range p.Network.FLOPsBehind(start) {
		runs += flops * int64(m.Repeats)
	}
	for k := range work {
		work[k] = search.Work{
			Training: m.training(p, k, nil), FLOPs: p.Budget, Validations: 1 + len(start)*m.Repeats, ValidationFLOPs: runs,
		}
	}
	if len(work) > 0 {
		work[0].Training.Channels, work[0].FLOPs = start, p.Network.FLOPs(start)
	}
	return work, nil
}

func (m Method) training(p search.Problem, update int, c []int) search.Training {
	return search.Training{
		Network: p.Network, Channels: c, Epochs: m.Epochs, Purpose: fmt.Sprintf("update %d", update+1),
	}
}

// measure fills in the FLOPs utilization ratio of every layer of a trained network:
//
//	FUR_i = mean over repeats of (validation loss with channel dropout in layer i - validation loss)
//
// with the rates of DropRates, at which every layer loses the same FLOPs. A layer whose rate was cut gets the loss that
// the full rate would have shown, in proportion. A ratio that is not a finite number is an error in both modes, because
// it comes from a training that has diverged and no record can hold it.
func (m Method) measure(ctx context.Context, t search.Trained, step Step, u *search.Update) error {
	u.FLOPsPerChannel = step.FLOPsPerChannel(u.Channels)
	rates, scale, err := rulesOf(m.Reference).dropRates(u.Channels, u.FLOPsPerChannel, m.DropRate)
	if err != nil {
		return err
	}
	d, err := t.ValidateDropout(ctx, rates, m.Repeats)
	if err != nil {
		return err
	}
	u.Validation, u.DropRates = d.Clean, rates
	u.FUR, u.FURStdErr = make([]float64, len(rates)), make([]float64, len(rates))
	for i, repeats := range d.Dropped {
		rise := make([]float64, len(repeats))
		for r, e := range repeats {
			rise[r] = (e.Loss - d.Clean.Loss) * scale[i]
		}
		u.FUR[i] = stat.Mean(rise, nil)
		if len(rise) > 1 {
			u.FURStdErr[i] = stat.StdErr(stat.StdDev(rise, nil), float64(len(rise)))
		}
	}
	return checkFinite(u.FUR, step.Network.Adjustable())
}
