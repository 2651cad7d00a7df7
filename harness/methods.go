package harness

import (
	"cmp"
	"fmt"
	"slices"

	"netadjust/adjustment"
	"netadjust/baselines"
	"netadjust/experiments"
	"netadjust/internal/data"
	"netadjust/internal/search"
	"netadjust/networks"
	"netadjust/results"
)

// Method describes a method that an experiment can name.
type Method struct {
	Name     string   `json:"name"`
	Title    string   `json:"title"`
	Source   string   `json:"source"`
	Year     int      `json:"year,omitempty"`  // of the source; 0 for controls
	Searches bool     `json:"searches"`        // reads [search]
	Prunes   []string `json:"prunes"`          // keys of [prune] that it reads; none if nil
	Given    bool     `json:"given,omitempty"` // reads width.channels
	Needs    []string `json:"needs"`           // before or while it searches
	Grows    bool     `json:"grows"`           // can end with a layer wider than the budget's uniform network has it
	Inherits bool     `json:"inherits"`        // has final = "finetune"
	Cost     string   `json:"cost"`            // of a search, in epochs of the training images on which network
	build    func(c experiments.Cell) search.Method
}

// What methods need.
const (
	needsTraining  = "trained start"
	needsGradients = "gradients"
	needsHook      = "training-time hook"
)

// Costs of searches. The keys are those of experiments.
const (
	nothing       = "none"
	startTraining = "prune.epochs of the start network"
	startGradient = startTraining + ", and prune.gradient_batches batches forward and backward"
	searchCost    = "search.iterations * search.epochs at the budget, and (1 + layers * search.repeats) / 2 passes over " +
		"the held-out images after each"
)

var startKeys = []string{"start_flops", "epochs"}

// reading returns keys of [prune].
func reading(keys ...string) []string { return slices.Concat(startKeys, keys) }

// Methods lists the methods, the ones to beat first.
func Methods() []Method { return slices.Concat(trivialMethods(), pruners(), adjustments()) }

func trivialMethods() []Method {
	return []Method{
		{
			Name: "uniform", Title: "one factor for all widths", Source: "-", Cost: nothing,
			build: func(experiments.Cell) search.Method { return baselines.Uniform{} },
		},
		{
			Name: "random", Title: "widths drawn at random on the budget", Source: "control of every search", Cost: nothing,
			Grows: true,
			build: func(experiments.Cell) search.Method { return baselines.Random{} },
		},
		{
			Name: "random_best", Title: "the best of many random widths, at the cost of network adjustment", Searches: true,
			Grows: true, Source: "control of every search", Cost: "that of adjust", Needs: []string{needsTraining},
			build: func(c experiments.Cell) search.Method {
				return baselines.RandomBest{
					Epochs: c.Search.Epochs, Equal: adjustment.Method{Settings: adjustmentOf(c)},
					Train: c.Data.Train, Validation: c.Data.Validation,
				}
			},
		},
		{
			Name: "widths", Title: "given widths, scaled to the budget if they do not meet it", Source: "-", Given: true,
			Grows: true, Cost: nothing,
			build: func(c experiments.Cell) search.Method { return baselines.Widths{Channels: c.Channels} },
		},
	}
}

func pruners() []Method {
	trained, gradients := []string{needsTraining}, []string{needsTraining, needsGradients}
	hook := []string{needsTraining, needsHook}
	list := []Method{
		{
			Name: "l1", Title: "filters with the smallest L1 norm are pruned, all layers ranked together", Year: 2017,
			Prunes: reading("scope"), Needs: trained, Inherits: true,
			Source: "Li et al., Pruning filters for efficient ConvNets, ICLR 2017",
			build: func(c experiments.Cell) search.Method {
				return baselines.L1{Start: startOf(c), Scope: scopeOf(c)}
			},
		},
		{
			Name: "l1_per_flop", Title: "the same, norms relative to the FLOPs that a filter takes", Year: 2020,
			Prunes: reading(), Needs: trained, Inherits: true, Source: knapsackPaper,
			build: func(c experiments.Cell) search.Method { return baselines.L1{Start: startOf(c), PerFLOP: true} },
		},
		{
			Name: "fpgm", Title: "filters nearest to the geometric median, masked while training", Year: 2019,
			Prunes: reading("scope"), Needs: hook, Inherits: true,
			Source: "He et al., Filter pruning via geometric median for deep convolutional neural networks acceleration, CVPR 2019",
			build: func(c experiments.Cell) search.Method {
				return baselines.FPGM{Start: startOf(c), Scope: scopeOf(c)}
			},
		},
		{
			Name: "sfp", Title: "filters with the smallest L2 norm, zeroed after every epoch", Year: 2018,
			Prunes: reading("scope"), Needs: hook, Inherits: true,
			Source: "He et al., Soft filter pruning for accelerating deep convolutional neural networks, IJCAI 2018",
			build: func(c experiments.Cell) search.Method {
				return baselines.SFP{Start: startOf(c), Scope: scopeOf(c)}
			},
		},
		{
			Name: "slimming", Title: "smallest batch norm scales, trained under an L1 penalty", Year: 2017,
			Prunes: reading("slimming_penalty"), Needs: hook, Inherits: true,
			Source: "Liu et al., Learning efficient convolutional networks through network slimming, ICCV 2017",
			build: func(c experiments.Cell) search.Method {
				return baselines.Slimming{Start: startOf(c), Penalty: c.Prune.SlimmingPenalty}
			},
		},
		{
			Name: "taylor", Title: "smallest first-order change of the loss by a gate behind batch norm", Year: 2019,
			Prunes: reading("gradient_batches"), Needs: gradients, Inherits: true, Cost: startGradient,
			Source: "Molchanov et al., Importance estimation for neural network pruning, CVPR 2019",
			build: func(c experiments.Cell) search.Method {
				return baselines.Taylor{Start: startOf(c), Batches: c.Prune.GradientBatches}
			},
		},
		{
			Name: "taylor_per_flop", Title: "the same, relative to the FLOPs that a channel takes", Year: 2020,
			Prunes: reading("gradient_batches"), Needs: gradients, Inherits: true, Source: knapsackPaper, Cost: startGradient,
			build: func(c experiments.Cell) search.Method {
				return baselines.Taylor{Start: startOf(c), Batches: c.Prune.GradientBatches, PerFLOP: true}
			},
		},
		{
			Name: "random_ratio", Title: "random shares of filters, batch norm estimated again, the best on held-out images",
			Year: 2020, Prunes: reading("candidates", "least_ratio", "norm_batches"), Needs: trained, Inherits: true,
			Source: "Li et al., EagleEye: fast sub-net evaluation for efficient neural network pruning, ECCV 2020",
			Cost:   startTraining + ", and prune.candidates * (prune.norm_batches batches + held-out images) forward",
			build: func(c experiments.Cell) search.Method {
				return baselines.RandomRatio{
					Start: startOf(c), Candidates: c.Prune.Candidates, Least: c.Prune.LeastRatio, Batches: c.Prune.NormBatches,
				}
			},
		},
		{
			Name: "synflow", Title: "least synaptic flow of the untrained network, in many rounds", Year: 2020,
			Prunes: []string{"start_flops", "rounds"}, Needs: []string{needsGradients}, Cost: "prune.rounds images",
			Source: "Tanaka et al., Pruning neural networks without any data by iteratively conserving synaptic flow, NeurIPS 2020",
			build: func(c experiments.Cell) search.Method {
				return baselines.SynFlow{Start: startOf(c), Rounds: c.Prune.Rounds}
			},
		},
		{
			Name: "morphnet", Title: "batch norm scales under a penalty of their FLOPs; what is alive is scaled to the budget",
			Year: 2018, Prunes: []string{"epochs", "morphnet_penalty"}, Needs: hook, Grows: true,
			Cost:   "prune.epochs at the budget",
			Source: "Gordon et al., MorphNet: fast & simple resource-constrained structure learning of deep networks, CVPR 2018",
			build: func(c experiments.Cell) search.Method {
				return baselines.MorphNet{Epochs: c.Prune.Epochs, Penalty: c.Prune.MorphNetPenalty}
			},
		},
		{
			Name: "autoslim", Title: "a slimmable network, slimmed greedily by accuracy on held-out images", Year: 2019,
			Prunes: reading("slimmable_steps", "slimmable_random"), Needs: hook,
			Source: "Yu and Huang, AutoSlim: towards one-shot architecture search for channel numbers, 2019",
			Cost: "prune.epochs of the start network, of its narrowest and of prune.slimmable_random others, and the held-out " +
				"images once for every layer and step",
			build: func(c experiments.Cell) search.Method {
				return baselines.AutoSlim{
					Start: startOf(c), Steps: c.Prune.SlimmableSteps, Random: c.Prune.SlimmableRandom,
				}
			},
		},
	}
	for i := range list {
		list[i].Cost = cmp.Or(list[i].Cost, startTraining)
	}
	return list
}

func adjustments() []Method {
	trained := []string{needsTraining}
	return []Method{
		{
			Name: "adjust", Title: "network adjustment by FLOPs utilization ratio", Searches: true, Grows: true,
			Source: adjustmentPaper, Year: 2020, Needs: trained, Cost: searchCost,
			build: func(c experiments.Cell) search.Method { return adjustment.Method{Settings: adjustmentOf(c)} },
		},
		{
			Name: "adjust_random_fur", Title: "network adjustment, layers ranked at random", Searches: true, Grows: true,
			Source: "control of adjust", Needs: trained, Cost: "search.iterations * search.epochs at the budget",
			build: func(c experiments.Cell) search.Method {
				s := adjustmentOf(c)
				s.Score = adjustment.Random
				return adjustment.Method{Settings: s}
			},
		},
		{
			Name: "adjust_no_flops_norm", Title: "network adjustment, one drop rate for all layers", Searches: true, Grows: true,
			Source: "ablation of adjust", Needs: trained, Cost: searchCost,
			build: func(c experiments.Cell) search.Method {
				s := adjustmentOf(c)
				s.EqualDropRates = true
				return adjustment.Method{Settings: s}
			},
		},
		{
			Name: "adjust_one_shot", Title: "network adjustment, all steps in one update", Searches: true, Grows: true,
			Source: "ablation of adjust", Needs: trained, Cost: "search.epochs at the budget, and its measurement",
			build: func(c experiments.Cell) search.Method {
				return adjustment.Method{Settings: adjustmentOf(c).OneShot()}
			},
		},
		{
			Name: "fur_truth", Title: "utilization ratios beside retrained networks; the widths stay", Searches: true,
			Source: "test of adjust", Needs: trained, Cost: "(1 + 2 * layers) * search.epochs near the budget",
			build: func(c experiments.Cell) search.Method { return adjustment.Truth{Settings: adjustmentOf(c)} },
		},
	}
}

const (
	adjustmentPaper = "Chen et al., Network Adjustment: Channel Search Guided by FLOPs Utilization Ratio, CVPR 2020"
	knapsackPaper   = "Aflalo et al., Knapsack pruning with inner distillation, 2020"
)

func adjustmentOf(c experiments.Cell) adjustment.Settings {
	s := c.Search
	a := adjustment.Settings{
		Epochs: s.Epochs, Iterations: s.Iterations,
		LayersPerUpdate: float64(s.LayersPerUpdate), LayersDecay: s.LayersDecay,
		Rate: s.Rate, RateDecay: s.RateDecay, DropRate: s.DropRate, Repeats: s.Repeats,
		Reference: s.Reference.Names(), Init: s.Init, EarlyEnd: s.EarlyEnd,
	}
	if s.FUR == "accuracy" {
		a.Score = adjustment.Accuracy
	}
	if s.FURImages == "training" {
		a.Images = search.Seen
	}
	return a
}

func startOf(c experiments.Cell) baselines.Start {
	return baselines.Start{FLOPs: c.Prune.StartFLOPs, Epochs: c.Prune.Epochs, Inherit: c.Finetune != nil}
}

func scopeOf(c experiments.Cell) baselines.Scope {
	if c.Prune.Scope == "layer" {
		return baselines.Layer
	}
	return baselines.Global
}

func methodOf(c experiments.Cell) (search.Method, error) {
	for _, m := range Methods() {
		if m.Name == c.Method {
			return m.build(c), nil
		}
	}
	return nil, fmt.Errorf("unknown method %q", c.Method)
}

// Catalog is what experiments may name, with the datasets of the data folder dir.
func Catalog(dir string) experiments.Catalog {
	c := experiments.Catalog{Network: func(name string) (experiments.Network, error) {
		s, err := networks.Read(name)
		return experiments.Network{Name: s.Name, Description: s.Description}, err
	}}
	c.Widths = results.Widths
	for _, m := range Methods() {
		c.Methods = append(c.Methods, experiments.Method{
			Name: m.Name, Searches: m.Searches, Prunes: m.Prunes != nil, Reads: m.Prunes, Inherits: m.Inherits, Given: m.Given,
		})
	}
	for _, d := range data.List(dir) {
		if d.TrainImages == 0 {
			_, err := data.Open(d.Name, dir)
			c.Datasets = append(c.Datasets, experiments.Dataset{Name: d.Name, Problem: err})
			continue
		}
		c.Datasets = append(c.Datasets, experiments.Dataset{
			Name: d.Name, Train: d.TrainImages, Test: d.TestImages, HeldOut: d.HeldOut, Checksum: d.Checksum,
			Input: [3]int{d.Channels, d.Height, d.Width}, Classes: d.Classes,
		})
	}
	return c
}
