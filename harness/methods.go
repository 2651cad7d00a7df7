package harness

import (
	"fmt"

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
	Name     string `json:"name"`
	Title    string `json:"title"`
	Source   string `json:"source"`
	Searches bool   `json:"searches"` // reads [search]
	Prunes   bool   `json:"prunes"`   // starts from a larger trained network; reads [prune]
	Grows    bool   `json:"grows"`    // can end with a layer wider than it started
	build    func(c experiments.Cell) search.Method
}

// Methods lists the methods, the ones to beat first.
func Methods() []Method {
	return []Method{
		{
			Name: "uniform", Title: "one factor for all widths", Source: "-",
			build: func(experiments.Cell) search.Method { return baselines.Uniform{} },
		},
		{
			Name: "l1", Title: "filters with the smallest L1 norm are pruned, all layers ranked together", Prunes: true,
			Source: "Li et al., Pruning filters for efficient ConvNets, ICLR 2017",
			build:  func(c experiments.Cell) search.Method { return baselines.L1{Start: startOf(c)} },
		},
		{
			Name: "adjust", Title: "network adjustment by FLOPs utilization ratio", Searches: true, Grows: true,
			Source: adjustmentPaper,
			build:  func(c experiments.Cell) search.Method { return adjustment.Method{Settings: adjustmentOf(c)} },
		},
		{
			Name: "adjust_random_fur", Title: "network adjustment, layers ranked at random", Searches: true, Grows: true,
			Source: "control of adjust",
			build: func(c experiments.Cell) search.Method {
				s := adjustmentOf(c)
				s.Score = adjustment.Random
				return adjustment.Method{Settings: s}
			},
		},
		{
			Name: "adjust_no_flops_norm", Title: "network adjustment, one drop rate for all layers", Searches: true, Grows: true,
			Source: "ablation of adjust",
			build: func(c experiments.Cell) search.Method {
				s := adjustmentOf(c)
				s.EqualDropRates = true
				return adjustment.Method{Settings: s}
			},
		},
		{
			Name: "adjust_one_shot", Title: "network adjustment, all steps in one update", Searches: true, Grows: true,
			Source: "ablation of adjust",
			build: func(c experiments.Cell) search.Method {
				return adjustment.Method{Settings: adjustmentOf(c).OneShot()}
			},
		},
		{
			Name: "fur_truth", Title: "utilization ratios beside retrained networks; the widths stay", Searches: true,
			Source: "test of adjust",
			build:  func(c experiments.Cell) search.Method { return adjustment.Truth{Settings: adjustmentOf(c)} },
		},
	}
}

const adjustmentPaper = "Chen et al., Network Adjustment: Channel Search Guided by FLOPs Utilization Ratio, CVPR 2020"

func adjustmentOf(c experiments.Cell) adjustment.Settings {
	s := c.Search
	a := adjustment.Settings{
		Epochs: s.Epochs, Iterations: s.Iterations,
		LayersPerUpdate: float64(s.LayersPerUpdate), LayersDecay: s.LayersDecay,
		Rate: s.Rate, RateDecay: s.RateDecay, DropRate: s.DropRate, Repeats: s.Repeats,
		Reference: s.Reference, Init: s.Init, EarlyEnd: s.EarlyEnd,
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
	return baselines.Start{FLOPs: c.Prune.StartFLOPs, Epochs: c.Prune.Epochs}
}

func methodOf(c experiments.Cell) (search.Method, error) {
	for _, m := range Methods() {
		if m.Name == c.Method {
			return m.build(c), nil
		}
	}
	return nil, fmt.Errorf("unknown method %q", c.Method)
}

// Catalog is what experiments may name.
func Catalog() experiments.Catalog {
	c := experiments.Catalog{Network: func(name string) (experiments.Network, error) {
		s, err := networks.Read(name)
		return experiments.Network{Name: s.Name, Description: s.Description}, err
	}}
	c.Widths = results.Widths
	for _, m := range Methods() {
		c.Methods = append(c.Methods, experiments.Method{Name: m.Name, Searches: m.Searches, Prunes: m.Prunes})
	}
	for _, d := range data.Known() {
		c.Datasets = append(c.Datasets, experiments.Dataset{Name: d.Name, Train: d.TrainImages, Test: d.TestImages})
	}
	return c
}
