package harness

import (
	"netadjust/experiments"
	"netadjust/internal/device"
	"netadjust/results"
)

// PlannedCell is what a cell will cost, as far as that is known before: trainings and evaluations with the FLOPs of the
// budget where widths are still to be found.
type PlannedCell struct {
	ID          string       `json:"id"`
	BudgetFLOPs int64        `json:"budget_flops"`
	Search      results.Cost `json:"search"`
	Final       results.Cost `json:"final"`
	Problem     string       `json:"problem,omitempty"` // why the cell will fail, if that is known already
}

// Plan is what an experiment will cost.
type Plan struct {
	Name  string        `json:"name"`
	Cells []PlannedCell `json:"cells"` // in the order in which they will run
	// GFLOPs is the computation of all cells together, in multiply-adds: what cells share (start networks) is charged to
	// each of them but counted here once.
	GFLOPs float64 `json:"gflops"`
	// TrainingImages is the number of images trained on, an image in two epochs counting twice, shared trainings once.
	TrainingImages int64 `json:"training_images"`
}

// MakePlan adds up the cost of an experiment's cells.
func MakePlan(e *experiments.Experiment) (*Plan, error) {
	cells, err := prepareAll(e)
	if err != nil {
		return nil, err
	}
	p := &Plan{Name: e.Name}
	seen := map[string]bool{}
	var flops int64
	for _, c := range cells {
		planned := PlannedCell{ID: c.id, BudgetFLOPs: c.problem.Budget}
		if c.wrong != nil {
			planned.Problem = c.wrong.Error()
		} else {
			planned.Search, planned.Final = c.costs.search, c.costs.final
			flops += c.planned()
			p.TrainingImages += c.costs.search.BackwardImages + c.costs.final.BackwardImages
			for key, cost := range c.costs.shared {
				if seen[key] {
					flops -= cost.FLOPs
					p.TrainingImages -= cost.BackwardImages
				}
				seen[key] = true
			}
		}
		p.Cells = append(p.Cells, planned)
	}
	p.GFLOPs = float64(flops) / 1e9
	return p, nil
}

// costs are the expected costs of a cell, and those of its trainings that another cell may share, by content.
type costs struct {
	search, final results.Cost
	shared        map[string]results.Cost
	trainings     int64 // FLOPs of all trainings
}

func (c *cell) plan() (costs, error) {
	work, err := c.method.Plan(c.problem)
	if err != nil {
		return costs{}, err
	}
	p := costs{shared: map[string]results.Cost{}}
	for _, w := range work {
		var training results.Cost
		if w.Training.Channels != nil {
			training = contentOf(c, w.Training, c.Dataset, device.Info{}).cost(w.Training, c.Data.Train)
		} else {
			trained(&training, w.FLOPs, c.Data.Train*w.Training.Epochs)
		}
		p.trainings += training.FLOPs
		p.search.ForwardImages += training.ForwardImages
		p.search.BackwardImages += training.BackwardImages
		p.search.FLOPs += training.FLOPs
		p.search.ForwardImages += int64(c.Data.Validation * w.Validations)
		p.search.FLOPs += w.ValidationFLOPs * int64(c.Data.Validation)
		trained(&p.search, w.FLOPs, w.Images+w.Backward*c.search.Batch)
		p.search.ForwardImages += int64(w.Forward * c.search.Batch)
		p.search.FLOPs += w.ForwardFLOPs * int64(c.search.Batch)
		if w.Training.Channels != nil {
			key := keyOf(contentOf(c, w.Training, c.Dataset, device.Info{}))
			p.shared[key] = training
		}
	}
	flops := c.problem.Network.FLOPs(c.start)
	trained(&p.final, flops, (c.Data.Train+c.Data.Validation)*c.recipe.Epochs)
	p.trainings += p.final.FLOPs
	evaluated(&p.final, flops, c.Data.Test)
	return p, nil
}
