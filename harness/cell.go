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
	costs   costs        // as far as known before
	wrong   error        // why the method will fail, if that is known already
	stale   string       // why its record does not belong to this run
	left    bool         // another process was running it
	log     *cellLog     // while it runs
}

// planned is the FLOPs of search and final training, as far as known before.
func (c *cell) planned() int64 { return c.costs.search.FLOPs + c.costs.final.FLOPs }

// prepare builds what a cell needs, and finds out early whether its budget can be met.
func prepare(c experiments.Cell, d experiments.Dataset) (*cell, error) {
	return preparer{}.prepare(c, d)
}

// preparer prepares cells. It keeps the networks and start widths that cells share; once it has started all cells it can
// be used by several goroutines.
type preparer map[start]*started

// start is what start widths follow from.
type start struct {
	network, description string
	width                float64
	padding, dataset     string
	budget               experiments.Budget
}

type started struct {
	problem search.Problem // but for its seed
	err     error
}

func (all preparer) start(c experiments.Cell, d experiments.Dataset) *started {
	key := start{c.Network, c.Description, c.Width, c.Padding, c.Dataset, c.Budget}
	if all[key] == nil {
		s := &started{}
		s.problem.Network, s.err = networkOf(c, d)
		if s.err == nil {
			s.problem.Budget = c.Budget.Resolve(s.problem.Network.FLOPs(s.problem.Network.Start()))
			s.problem.Fitted, _, s.err = s.problem.Start(s.problem.Budget)
		}
		all[key] = s
	}
	return all[key]
}

func networkOf(c experiments.Cell, d experiments.Dataset) (*networks.Network, error) {
	return networks.New(networks.Spec{
		Name: c.Network, Width: c.Width, Padding: c.Padding,
		Input: d.Input, Classes: d.Classes, Description: c.Description,
	})
}

func (all preparer) prepare(c experiments.Cell, d experiments.Dataset) (*cell, error) {
	s := all.start(c, d)
	if s.err != nil {
		return nil, fmt.Errorf("%s: %w", c.ID(), s.err)
	}
	p := &cell{Cell: c, id: c.ID(), recipe: recipeOf(c.Train), problem: s.problem, start: s.problem.Fitted}
	p.problem.Seed = c.Seed
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
	var err error
	if p.method, err = methodOf(c); err != nil {
		return nil, err
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
		HeInit: t.Init == "he", ZeroGamma: t.ZeroGamma, NoBiasDecay: t.NoBiasDecay,
	}
	if strings.HasPrefix(t.Augment, "pad-crop") {
		r.CropPad = cropPad
	}
	r.Mirror = strings.HasSuffix(t.Augment, "-flip")
	r.ResizedCrop = t.Augment == "resized-crop-flip"
	return r
}
