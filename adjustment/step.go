package adjustment

import (
	"fmt"
	"slices"

	"netadjust/internal/search"
	"netadjust/networks"
)

// rules are all that the two modes do differently.
type rules struct {
	heldOut    search.Images // how held-out images are shown while ratios are measured
	tie        func(n *networks.Network) networks.Tie
	dropRates  func(channels []int, flopsPerChannel []float64, base float64) (rates, scale []float64, err error)
	rank       func(fur []float64, names []string) (ranking []int, err error)
	mostLayers func(layers int) int
	choose     func(fur []float64, ranking []int, u int) (grow, shrink []int)
	move       func(channels, start, minimum, grow, shrink []int, rate, decay float64) []int
	fit        func(net search.Counter, channels []int, budget int64, minimum []int) ([]int, error)
}

// referenceRules are the rules of the authors' code by name, in the order in which an update needs them.
var referenceRules = []struct {
	name string
	use  func(*rules)
}{
	{"images", func(r *rules) { r.heldOut = search.Redrawn }},
	{"ties", func(r *rules) { r.tie = ReferenceTie }},
	{"drop-rates", func(r *rules) { r.dropRates = ReferenceDropRates }},
	{"nan", func(r *rules) { r.rank = ReferenceRank }},
	{"overlap", func(r *rules) { r.mostLayers = ReferenceMostLayers }},
	{"pairs", func(r *rules) { r.choose = ReferenceChoose }},
	{"steps", func(r *rules) { r.move = ReferenceMove }},
	{"budget", func(r *rules) { r.fit = ReferenceFit }},
}

// ReferenceRules returns the names of all rules that the authors' code has differently. With all of them a search is in
// reference mode, with none in the default one.
func ReferenceRules() []string {
	var names []string
	for _, r := range referenceRules {
		names = append(names, r.name)
	}
	return names
}

// rulesOf returns the rules of the default mode but for those that are named.
func rulesOf(reference []string) rules {
	r := rules{
		heldOut: search.HeldOut, tie: Tie, dropRates: DropRates, rank: Rank, mostLayers: MostLayers,
		choose: Choose, move: Move, fit: search.FitToBudget,
	}
	for _, rule := range referenceRules {
		if slices.Contains(reference, rule.name) {
			rule.use(&r)
		}
	}
	return r
}

// Step is what an update of the widths of a network depends on, besides the widths and their FLOPs utilization ratios.
type Step struct {
	Network   *networks.Network
	Start     []int // widths that steps are relative to, c0
	Budget    int64
	Layers    int      // that grow, and that shrink
	Rate      float64  // step of the first of them, relative to the start width
	RateDecay float64  // how much smaller with each rank
	Reference []string // ReferenceRules to follow instead of the default mode's
}

// Change is what an update does to widths.
type Change struct {
	Grown, Shrunk []int // layers by index, the one that moves most first
	Moved         []int // widths after these have moved
	Next          []int // widths after that, fitted to the budget
}

// FLOPsPerChannel returns dF/dc of every adjustable layer at the widths c.
func (s Step) FLOPsPerChannel(c []int) []float64 {
	return s.Network.FLOPsPerChannel(c, rulesOf(s.Reference).tie(s.Network))
}

// Check reports whether so many layers can move.
func (s Step) Check() error {
	layers := len(s.Network.Adjustable())
	if most := rulesOf(s.Reference).mostLayers(layers); s.Layers < 0 || s.Layers > most {
		return fmt.Errorf("%d layers cannot grow and %d shrink in an update of %s with its %d adjustable layers; "+
			"move at most %d", s.Layers, s.Layers, s.Network.Name, layers, most)
	}
	return nil
}

// Apply makes one update: it ranks the layers by their ratios, lets the highest grow and the lowest shrink, and fits
// the widths to the budget.
func (s Step) Apply(channels []int, fur []float64) (*Change, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	r, names, minimum := rulesOf(s.Reference), s.Network.Adjustable(), search.Minimum(s.Network.Start())
	if len(channels) != len(names) || len(fur) != len(names) || len(s.Start) != len(names) {
		return nil, fmt.Errorf("%d widths, %d start widths and %d utilization ratios: give one of each for the %d "+
			"adjustable layers of %s", len(channels), len(s.Start), len(fur), len(names), s.Network.Name)
	}
	ranking, err := r.rank(fur, names)
	if err != nil {
		return nil, err
	}
	c := &Change{}
	c.Grown, c.Shrunk = r.choose(fur, ranking, s.Layers)
	c.Moved = r.move(channels, s.Start, minimum, c.Grown, c.Shrunk, s.Rate, s.RateDecay)
	if c.Next, err = r.fit(s.Network, c.Moved, s.Budget, minimum); err != nil {
		return nil, err
	}
	return c, nil
}
