package harness

import (
	"fmt"
	"math"
	"strings"

	"netadjust/experiments"
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
	planned int64        // FLOPs of search and final training, as far as known before
	toFind  int64        // those of the search
}

// prepare builds what a cell needs, and finds out early whether its budget can be met.
func prepare(c experiments.Cell, d experiments.Dataset) (*cell, error) {
	n, err := networks.New(networks.Spec{
		Name: c.Network, Width: c.Width, Padding: c.Padding,
		Input: d.Input, Classes: d.Classes, Description: c.Description,
	})
	if err != nil {
		return nil, err
	}
	p := &cell{Cell: c, id: c.ID(), recipe: recipeOf(c.Train)}
	p.search = p.recipe
	if f := c.Finetune; f != nil {
		p.recipe.Epochs = max(1, int(math.RoundToEven(f.Epochs*float64(p.recipe.Epochs))))
		p.recipe.LearningRate *= f.LearningRate
		p.recipe.MinLearningRate = min(p.recipe.MinLearningRate, p.recipe.LearningRate)
		p.recipe.WarmupEpochs, p.recipe.WarmupLearningRate = 0, 0
	}
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
	return p, nil
}

func recipeOf(t experiments.Train) train.Recipe {
	r := train.Recipe{
		Epochs: t.Epochs, Batch: t.Batch, LearningRate: t.LearningRate, MinLearningRate: t.MinLearningRate,
		Momentum: t.Momentum, WeightDecay: t.WeightDecay, LabelSmoothing: t.LabelSmoothing,
		WarmupEpochs: t.WarmupEpochs, WarmupLearningRate: t.WarmupLearningRate,
		DropRate: t.DropRate, DropGrowsWithEpoch: t.DropGrowsWithEpoch, DropGrowsWithDepth: t.DropGrowsWithDepth,
	}
	if strings.HasPrefix(t.Augment, "pad-crop") {
		r.CropPad = cropPad
	}
	r.Mirror = strings.HasSuffix(t.Augment, "-flip")
	r.ResizedCrop = t.Augment == "resized-crop-flip"
	return r
}
