package harness

import (
	"fmt"

	"netadjust/adjustment"
	"netadjust/baselines"
	"netadjust/experiments"
	"netadjust/internal/data"
	"netadjust/internal/search"
	"netadjust/networks"
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
			Source: "Chen et al., Network Adjustment: Channel Search Guided by FLOPs Utilization Ratio, CVPR 2020",
			build: func(c experiments.Cell) search.Method {
				s := c.Search
				return adjustment.Method{Settings: adjustment.Settings{
					Epochs: s.Epochs, Iterations: s.Iterations,
					LayersPerUpdate: float64(s.LayersPerUpdate), LayersDecay: s.LayersDecay,
					Rate: s.Rate, RateDecay: s.RateDecay, DropRate: s.DropRate, Repeats: s.Repeats,
					Reference: s.Reference,
				}}
			},
		},
	}
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
	c := experiments.Catalog{Network: func(name string) error {
		_, err := networks.New(networks.Spec{Name: name})
		return err
	}}
	for _, m := range Methods() {
		c.Methods = append(c.Methods, experiments.Method{Name: m.Name, Searches: m.Searches, Prunes: m.Prunes})
	}
	for _, d := range data.Known() {
		c.Datasets = append(c.Datasets, experiments.Dataset{Name: d.Name, Train: d.TrainImages, Test: d.TestImages})
	}
	return c
}
