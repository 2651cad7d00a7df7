package harness

import (
	"fmt"

	"netadjust/experiments"
	"netadjust/internal/data"
	"netadjust/internal/search"
	"netadjust/internal/train"
	"netadjust/networks"
)

// cropPad is the padding of random crops: 4 pixels, as in the paper's CIFAR recipe.
const cropPad = 4

// cell is a cell of an experiment, ready to run.
type cell struct {
	experiments.Cell
	id      string
	problem search.Problem
	method  search.Method
	recipe  train.Recipe // of the final training
	search  train.Recipe // of the trainings of the search, which say themselves how long they are
	start   []int        // the network's widths fitted to the budget
	costs   costs        // as far as known before
	wrong   error        // why the method will fail, if that is known already
	stale   string       // why its record does not belong to this run
	left    bool         // another process was running it
	log     *cellLog     // while it runs
}

// planned is the FLOPs of search and final training, as far as known before.
func (c *cell) planned() int64 { return c.costs.search.FLOPs + c.costs.final.FLOPs }

// prepare builds what a cell needs, and finds out early whether its budget can be met.
func prepare(c experiments.Cell) (*cell, error) {
	info, err := data.Lookup(c.Dataset)
	if err != nil {
		return nil, err
	}
	n, err := networks.New(networks.Spec{
		Name: c.Network, Width: c.Width, Padding: c.Padding,
		Input: [3]int{info.Channels, info.Height, info.Width}, Classes: info.Classes, Description: c.Description,
	})
	if err != nil {
		return nil, err
	}
	p := &cell{Cell: c, id: c.ID(), recipe: recipeOf(c.Train)}
	p.search = p.recipe
	if c.Search != nil {
		p.search = recipeOf(c.SearchRecipe())
	}
	p.problem = search.Problem{Network: n, Budget: c.Budget.Resolve(n.FLOPs(n.Start())), Seed: c.Seed}
	if p.method, err = methodOf(c); err != nil {
		return nil, err
	}
	if p.start, _, err = p.problem.Start(p.problem.Budget); err != nil {
		return nil, fmt.Errorf("%s: %w", p.id, err)
	}
	p.costs, p.wrong = p.plan()
	return p, nil
}

func recipeOf(t experiments.Train) train.Recipe {
	r := train.Recipe{
		Epochs: t.Epochs, Batch: t.Batch, LearningRate: t.LearningRate, MinLearningRate: t.MinLearningRate,
		Momentum: t.Momentum, WeightDecay: t.WeightDecay, LabelSmoothing: t.LabelSmoothing,
		WarmupEpochs: t.WarmupEpochs, WarmupLearningRate: t.WarmupLearningRate,
		DropRate: t.DropRate, DropGrowsWithEpoch: t.DropGrowsWithEpoch, DropGrowsWithDepth: t.DropGrowsWithDepth,
	}
	if t.Augment != "none" {
		r.CropPad = cropPad
	}
	r.Mirror = t.Augment == "pad-crop-flip"
	return r
}
