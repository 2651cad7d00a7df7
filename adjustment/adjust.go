package adjustment

import (
	"context"
	"fmt"
	"slices"

	"netadjust/internal/search"
)

// Settings of network adjustment.
type Settings struct {
	Epochs          int      // of each training
	Iterations      int      // trainings, each followed by an update
	LayersPerUpdate float64  // pairs of layers that move in the first update
	LayersDecay     float64  // how many fewer in each further update
	Rate            float64  // step relative to the start width
	RateDecay       float64  // how much smaller with each rank
	DropRate        float64  // mean drop rate of the utilization ratio
	Repeats         int      // dropout draws for each layer
	Reference       []string // ReferenceRules to follow instead of the default mode's
	Init            []int    // widths that the search starts from, fitted to the budget; nil: the network's own
	EarlyEnd        bool     // stop when widths repeat or ratios are noise, see ended
	Controls
}

// Method is network adjustment. From widths that meet the budget it repeats: train from scratch, measure every layer's
// FLOPs utilization ratio, let the layers with the highest ratios grow and those with the lowest shrink, and fit the
// widths to the budget. The widths after the last update are the result. With the reference's rule for the budget they
// may miss it, see ReferenceFit; then the default mode's rule fits them at the end.
type Method struct{ Settings }

// Search runs the loop of section 3 of the paper.
func (m Method) Search(ctx context.Context, lab search.Lab, p search.Problem) (*search.Outcome, error) {
	start, minimum, err := p.Start(p.Budget)
	if err != nil {
		return nil, err
	}
	step := m.step(p, start)
	if err := step.Check(); err != nil {
		return nil, err // before hours of training
	}
	first, err := m.first(p, start)
	if err != nil {
		return nil, err
	}
	out := &search.Outcome{Start: first, Channels: first}
	for k := range m.Iterations {
		t, err := lab.Train(ctx, m.training(p, k, out.Channels))
		if err != nil {
			return nil, fmt.Errorf("update %d: %w", k+1, err)
		}
		measured, err := m.measure(ctx, t, p, step, out.Channels, k)
		if err != nil {
			return nil, fmt.Errorf("update %d: %w", k+1, err)
		}
		u := search.Update{Measured: *measured, Cost: lab.Cost()}
		step.Layers = LayersToMove(m.LayersPerUpdate, m.LayersDecay, k)
		change, err := step.Apply(u.Channels, u.FUR)
		if err != nil {
			return nil, fmt.Errorf("update %d: %w", k+1, err)
		}
		u.Grown, u.Shrunk, u.Next = change.Grown, change.Shrunk, change.Next
		if err := p.Network.Check(u.Next); err != nil { // nothing keeps reference mode from leaving a layer no channel
			return nil, fmt.Errorf("update %d ends in widths that no network can have: %w", k+1, err)
		}
		if m.EarlyEnd {
			out.Stopped = ended(&u, out.Updates)
		}
		out.Updates, out.Channels = append(out.Updates, u), u.Next
		lab.Updated(k, &u)
		lab.Report("update %d of %d: validation loss %.4f, top-1 %.2f %%, FUR %.2g to %.2g, widths %v, %.4g MFLOPs",
			k+1, m.Iterations, u.Validation.Loss, 100*u.Validation.Top1, slices.Min(u.FUR), slices.Max(u.FUR), u.Next,
			float64(p.Network.FLOPs(u.Next))/1e6)
		if out.Stopped != "" {
			lab.Report("search ended early: %s", out.Stopped)
			break
		}
	}
	if f := p.Network.FLOPs(out.Channels); !search.WithinBudget(f, p.Budget) {
		if out.Channels, err = search.FitToBudget(p.Network, out.Channels, p.Budget, minimum); err != nil {
			return nil, err
		}
		lab.Report("widths at the end, fitted from %.4f to %.4f of the budget: %v", float64(f)/float64(p.Budget),
			float64(p.Network.FLOPs(out.Channels))/float64(p.Budget), out.Channels)
	}
	return out, nil
}

// step is the first update, the one that moves most layers; steps are relative to the widths start.
func (m Method) step(p search.Problem, start []int) Step {
	return Step{
		Network: p.Network, Start: start, Budget: p.Budget, Layers: LayersToMove(m.LayersPerUpdate, m.LayersDecay, 0),
		Rate: m.Rate, RateDecay: m.RateDecay, Reference: m.Reference,
	}
}

// first returns the widths that a search starts from; start are the network's own, fitted to the budget. Steps stay
// relative to these and the budget is what it is, as in the reference code, wherever a search starts.
func (m Method) first(p search.Problem, start []int) ([]int, error) {
	if m.Init == nil {
		return start, nil
	}
	if err := p.Network.Check(m.Init); err != nil {
		return nil, fmt.Errorf("widths to start from: %w", err)
	}
	first, err := search.FitToBudget(p.Network, m.Init, p.Budget, search.Minimum(p.Network.Start()))
	if err != nil {
		return nil, fmt.Errorf("widths to start from: %w", err)
	}
	return first, nil
}

// Plan lists the trainings with the passes over the validation images that measuring takes. Only the first one's widths
// are known; all meet the budget.
func (m Method) Plan(p search.Problem) ([]search.Work, error) {
	start, _, err := p.Start(p.Budget)
	if err != nil {
		return nil, err
	}
	if err := m.step(p, start).Check(); err != nil {
		return nil, err
	}
	if start, err = m.first(p, start); err != nil {
		return nil, err
	}
	work := make([]search.Work, m.Iterations)
	runs, flops := m.measurement(p, start)
	for k := range work {
		work[k] = search.Work{
			Training: m.training(p, k, nil), FLOPs: p.Budget, Validations: runs, ValidationFLOPs: flops,
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
