package adjustment

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/search"
	"netadjust/networks"
)

// randomStep draws a network, an update, and widths and ratios for it; ratios have ties.
func randomStep(t *testing.T, rng *rand.Rand) (Step, []int, []float64) {
	specs := []networks.Spec{{Name: "resnet8"}, {Name: "resnet20"}, {Name: "resnet56"}, {Name: "resnet18"}}
	spec := specs[rng.IntN(len(specs))]
	spec.Padding = []string{networks.PaddingMax, networks.PaddingLocal}[rng.IntN(2)]
	spec.Width = 0.25 * math.Exp2(3*rng.Float64())
	net := network(t, spec)
	start := net.Start()
	c, fur := net.Start(), make([]float64, len(start))
	for i := range c {
		c[i] = max(1, int(float64(c[i])*math.Exp2(2*rng.Float64()-1)))
		fur[i] = math.Round(20*rng.NormFloat64()) / 20
	}
	return Step{
		Network: net, Start: start, Budget: int64(float64(net.FLOPs(start)) * math.Exp2(1.5*rng.Float64()-1)),
		Layers: rng.IntN(len(c)/2 + 1), Rate: rng.Float64(), RateDecay: 0.1 * rng.Float64(),
	}, c, fur
}

func mustApply(t *testing.T, s Step, c []int, fur []float64) *Change {
	t.Helper()
	change, err := s.Apply(c, fur)
	if err != nil {
		t.Fatalf("%+v %v: %v", s.Network.Spec, c, err)
	}
	return change
}

// In the default mode an update ends within the budget and not below the minimum widths, or with an error.
func TestUpdateMeetsTheBudgetOrFails(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 32))
	met := 0
	for range 300 {
		s, c, fur := randomStep(t, rng)
		change, err := s.Apply(c, fur)
		if err != nil {
			checkError(t, "budget", err, "budget of ")
			continue
		}
		met++
		if f := s.Network.FLOPs(change.Next); !search.WithinBudget(f, s.Budget) {
			t.Fatalf("%+v from %v: %v has %d FLOPs, budget %d", s, c, change.Next, f, s.Budget)
		}
		if err := s.Network.Check(change.Next); err != nil {
			t.Fatal(err)
		}
		for i, least := range search.Minimum(s.Network.Start()) {
			if change.Next[i] < least {
				t.Fatalf("%+v from %v: %v, but layer %d has a minimum of %d", s, c, change.Next, i, least)
			}
		}
		for j, i := range change.Grown {
			if k := change.Shrunk[j]; fur[i] <= fur[k] || slices.Contains(change.Shrunk, i) {
				t.Fatalf("%+v: layer %d grows at a ratio of %v, layer %d shrinks at %v", s, i, fur[i], k, fur[k])
			}
		}
	}
	if met < 250 {
		t.Errorf("only %d of 300 budgets could be met", met)
	}
}

// The order of the ratios decides and nothing else, in both modes.
func TestOnlyTheOrderOfRatiosCounts(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for range 200 {
		s, c, fur := randomStep(t, rng)
		other := slices.Clone(fur)
		for i := range other {
			other[i] = 8*other[i] + 3
		}
		for _, s.Reference = range [][]string{nil, ReferenceRules()} {
			before, err := s.Apply(c, fur)
			after, otherErr := s.Apply(c, other)
			if (err == nil) != (otherErr == nil) {
				t.Fatalf("%+v: error %v, and %v for scaled ratios", s, err, otherErr)
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Fatalf("%+v (-before +after):\n%s", s, diff)
			}
		}
	}
}

// Equal ratios change nothing in the default mode; the reference moves layers all the same.
func TestEqualRatios(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	for range 50 {
		s, _, fur := randomStep(t, rng)
		s.Budget, s.Layers, s.Rate = s.Network.FLOPs(s.Start), 1+rng.IntN(3), 0.5
		for i := range fur {
			fur[i] = -0.25
		}
		change := mustApply(t, s, s.Start, fur)
		if diff := cmp.Diff(&Change{Moved: s.Start, Next: s.Start}, change); diff != "" {
			t.Fatalf("%+v (-want +got):\n%s", s, diff)
		}
		s.Reference = ReferenceRules()
		if change = mustApply(t, s, s.Start, fur); slices.Equal(change.Moved, s.Start) {
			t.Fatalf("%+v: reference mode leaves %v", s, s.Start)
		}
	}
}

// Ratios that are not finite numbers are an error in the default mode, which names the first layer that has one.
func TestRatiosThatAreNotFinite(t *testing.T) {
	rng := rand.New(rand.NewPCG(35, 36))
	odd := []float64{math.NaN(), math.Inf(1), math.Inf(-1)}
	for range 100 {
		s, c, fur := randomStep(t, rng)
		first := rng.IntN(len(fur))
		fur[first] = odd[rng.IntN(len(odd))]
		fur[first+rng.IntN(len(fur)-first)] = fur[first]
		_, err := s.Apply(c, fur)
		checkError(t, "ratio", err, fmt.Sprintf("FLOPs utilization ratio of %s is %v: training has diverged",
			s.Network.Adjustable()[first], fur[first]))
	}
}

// Whole searches from random widths on random networks, with whatever ratios and controls, meet the budget and keep the
// minimum widths at every update, go from each update to the next, and are the same when they are made again.
func TestSearchesKeepTheRules(t *testing.T) {
	rng := rand.New(rand.NewPCG(37, 38))
	searched := 0
	for range 60 {
		step, c, _ := randomStep(t, rng)
		p := search.Problem{Network: step.Network, Budget: step.Budget, Seed: rng.Uint64()}
		m := Method{Settings{
			Epochs: 1, Iterations: 1 + rng.IntN(4), LayersPerUpdate: float64(step.Layers), LayersDecay: rng.Float64(),
			Rate: step.Rate, RateDecay: step.RateDecay, DropRate: 0.01 + 0.49*rng.Float64(), Repeats: 1 + rng.IntN(3),
			EarlyEnd: rng.IntN(2) == 0,
			Controls: Controls{Score: Score(rng.IntN(3)), EqualDropRates: rng.IntN(2) == 0},
		}}
		if rng.IntN(2) == 0 {
			m.Init = c
		}
		lab := fakeLab{t: t, repeats: m.Repeats, loss: 1, limit: 0.5, utility: make([]float64, len(c))}
		for i := range lab.utility {
			lab.utility[i] = 1e-8 * math.Round(4*rng.NormFloat64())
		}
		run := func() (*search.Outcome, error) {
			lab := lab
			return m.Search(t.Context(), &lab, p)
		}
		out, err := run()
		if again, otherErr := run(); !cmp.Equal(out, again) || (err == nil) != (otherErr == nil) {
			t.Fatalf("%+v: errors %v and %v (-once +again):\n%s", m, err, otherErr, cmp.Diff(out, again))
		}
		if err != nil {
			checkError(t, "search", err, "budget of ")
			continue
		}
		searched++
		at, minimum := out.Start, search.Minimum(p.Network.Start())
		for k, u := range out.Updates {
			if !slices.Equal(u.Channels, at) {
				t.Fatalf("%+v: update %d is of %v, the one before ended at %v", m, k+1, u.Channels, at)
			}
			if f := p.Network.FLOPs(u.Next); !search.WithinBudget(f, p.Budget) || p.Network.Check(u.Next) != nil {
				t.Fatalf("%+v: update %d ends at %v with %d FLOPs, budget %d", m, k+1, u.Next, f, p.Budget)
			}
			for i := range minimum {
				if u.Next[i] < minimum[i] {
					t.Fatalf("%+v: update %d ends at %v, minimum %v", m, k+1, u.Next, minimum)
				}
			}
			at = u.Next
		}
		ended := out.Stopped != ""
		if !slices.Equal(out.Channels, at) || ended && !m.EarlyEnd || !ended && len(out.Updates) != m.Iterations {
			t.Fatalf("%+v: %d updates to %v, result %v, stopped %q", m, len(out.Updates), at, out.Channels, out.Stopped)
		}
	}
	if searched < 40 {
		t.Errorf("only %d of 60 budgets could be met", searched)
	}
}

// Reference mode takes whatever it is given, gives the same twice, and never panics.
func TestReferenceTakesAnything(t *testing.T) {
	rng := rand.New(rand.NewPCG(33, 34))
	odd := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), math.MaxFloat64}
	empty := 0
	for range 300 {
		s, c, fur := randomStep(t, rng)
		s.Reference, s.Layers = ReferenceRules(), rng.IntN(len(c)+1)
		s.Budget = int64(float64(s.Budget) * math.Exp2(20*rng.Float64()-10))
		for range rng.IntN(4) {
			fur[rng.IntN(len(fur))] = odd[rng.IntN(len(odd))]
		}
		change, err := s.Apply(c, fur)
		again, otherErr := s.Apply(c, fur)
		if diff := cmp.Diff(change, again); diff != "" || (err == nil) != (otherErr == nil) {
			t.Fatalf("%+v: errors %v and %v (-once +again):\n%s", s, err, otherErr, diff)
		}
		if err != nil {
			checkError(t, "budget", err, "times what the widths need")
			continue
		}
		if slices.Min(change.Next) < 0 {
			t.Fatalf("%+v: widths %v", s, change.Next)
		}
		if slices.Contains(change.Next, 0) {
			empty++
		}
	}
	if empty == 0 {
		t.Error("no layer has lost all its channels, so the budgets are too easy")
	}
}

func TestStepErrors(t *testing.T) {
	net := network(t, networks.Spec{Name: "resnet8"})
	start := net.Start()
	good := Step{Network: net, Start: start, Budget: net.FLOPs(start), Layers: 1, Rate: 0.1}
	fur := []float64{1, 2, 3, 4, 5, 6}
	for _, tt := range []struct {
		name   string
		change func(s *Step)
		c      []int
		fur    []float64
		want   string
	}{
		{"too many", func(s *Step) { s.Layers = 4 }, start, fur,
			"4 layers cannot grow and 4 shrink in an update of resnet8 with its 6 adjustable layers; move at most 3"},
		{"too many for the reference", func(s *Step) { s.Layers, s.Reference = 7, ReferenceRules() }, start, fur, "move at most 6"},
		{"negative", func(s *Step) { s.Layers, s.Reference = -1, ReferenceRules() }, start, fur, "-1 layers cannot grow"},
		{"widths", func(*Step) {}, start[:5], fur,
			"5 widths, 6 start widths and 6 utilization ratios: give one of each for the 6 adjustable layers of resnet8"},
		{"start", func(s *Step) { s.Start = nil }, start, fur, "6 widths, 0 start widths and 6 utilization ratios"},
		{"ratios", func(*Step) {}, start, fur[:2], "6 widths, 6 start widths and 2 utilization ratios"},
		{"nan", func(*Step) {}, start, []float64{1, 2, math.NaN(), 4, 5, 6},
			"FLOPs utilization ratio of stage2.block1.conv1 is NaN: training has diverged"},
		{"budget", func(s *Step) { s.Budget = 1000 }, start, fur, "budget of 1000 FLOPs is too small"},
	} {
		s := good
		tt.change(&s)
		_, err := s.Apply(tt.c, tt.fur)
		checkError(t, tt.name, err, tt.want)
	}
}

// A search in reference mode follows the reference's rules from beginning to end, and says where they lead nowhere.
func TestReferenceSearch(t *testing.T) {
	p, lab := problem(t)
	lab.tie, lab.limit = networks.TieFirst, 1
	s := settings
	s.Reference, s.LayersPerUpdate, s.LayersDecay, s.DropRate = ReferenceRules(), 4, 2, 0.2
	lab.images = search.Redrawn
	out, err := Method{s}.Search(t.Context(), lab, p)
	if err != nil {
		t.Fatal(err)
	}
	step := Step{
		Network: p.Network, Start: p.Network.Start(), Budget: p.Budget, Rate: s.Rate, RateDecay: s.RateDecay,
		Reference: s.Reference,
	}
	c, cut := out.Start, 0
	for k, u := range out.Updates {
		step.Layers = 4 - 2*k // the first time two layers are chosen twice, the last time all grow
		want := mustApply(t, step, c, u.FUR)
		if diff := cmp.Diff(want, &Change{u.Grown, u.Shrunk, want.Moved, u.Next}); diff != "" {
			t.Errorf("update %d (-want +got):\n%s", k+1, diff)
		}
		if diff := cmp.Diff(step.FLOPsPerChannel(c), u.FLOPsPerChannel); diff != "" {
			t.Errorf("update %d, FLOPs per channel (-want +got):\n%s", k+1, diff)
		}
		for _, rate := range u.DropRates {
			if rate > 0.5 {
				cut++
			}
		}
		c = u.Next
	}
	if f := p.Network.FLOPs(c); search.WithinBudget(f, p.Budget) {
		t.Errorf("%d FLOPs after the last update are within the budget, so there is nothing to fit", f)
	}
	if want, err := search.FitToBudget(p.Network, c, p.Budget, search.Minimum(step.Start)); err != nil ||
		!slices.Equal(want, out.Channels) {
		t.Errorf("ends with %v, want %v after %v; %v", out.Channels, want, c, err)
	}
	if len(out.Updates) != 3 || cut == 0 || len(out.Updates[0].Grown) != 4 || len(out.Updates[2].Grown) != 6 {
		t.Errorf("%d updates, %d rates above 1/2; %+v", len(out.Updates), cut, out.Updates)
	}

	for _, tt := range []struct {
		name   string
		change func(*Settings, *fakeLab, *search.Problem)
		want   string
	}{
		{"too many layers", func(s *Settings, _ *fakeLab, _ *search.Problem) { s.LayersPerUpdate = 7 }, "move at most 6"},
		{"diverged", func(_ *Settings, lab *fakeLab, _ *search.Problem) { lab.loss = math.NaN() },
			"update 1: FLOPs utilization ratio of stage1.block1.conv1 is NaN: training has diverged"},
		{"drop rate", func(s *Settings, _ *fakeLab, _ *search.Problem) { s.DropRate = 0.5 },
			"at which the reference's dropout breaks"},
	} {
		p, lab := problem(t)
		lab.tie, lab.limit, lab.images = networks.TieFirst, 1, search.Redrawn
		s := s
		tt.change(&s, lab, &p)
		_, err := Method{s}.Search(t.Context(), lab, p)
		checkError(t, tt.name, err, tt.want)
	}
}

// Whole searches of ten updates with random ratios, which is what docs/method.md tells of both modes: how many updates
// end outside [99 %, 100 %] of the budget, how many more than 1 % away from it, and how many of the layers that are to
// move stay as they are.
func TestBothModes(t *testing.T) {
	const searches = 400
	for _, preset := range []struct {
		name          string
		number, decay float64
		rate, falling float64
	}{
		{"default", 3, 0, 0.1, 0},
		{"readme", 6, 0.5, 0.15, 0.01},
	} {
		for _, width := range []float64{1, 0.5, 0.25} {
			for _, reference := range []bool{true, false} {
				rng := rand.New(rand.NewPCG(13, 14))
				net := network(t, networks.Spec{Name: "resnet20", Width: width})
				start := net.Start()
				s := Step{
					Network: net, Start: start, Budget: net.FLOPs(start), Rate: preset.rate, RateDecay: preset.falling,
				}
				if reference {
					s.Reference = ReferenceRules()
				}
				var updates, outside, far, chosen, idle int
				var worst float64
				for range searches {
					c := start
					for k := range 10 {
						s.Layers = LayersToMove(preset.number, preset.decay, k)
						change := mustApply(t, s, c, randomRatios(rng, len(c)))
						for _, i := range slices.Concat(change.Grown, change.Shrunk) {
							chosen++
							if change.Moved[i] == c[i] {
								idle++
							}
						}
						c = change.Next
						f := net.FLOPs(c)
						off := math.Abs(float64(f)/float64(s.Budget) - 1)
						updates++
						worst = max(worst, off)
						if !search.WithinBudget(f, s.Budget) {
							outside++
						}
						if off > 0.01 {
							far++
						}
					}
				}
				percent := func(n, of int) float64 { return 100 * float64(n) / float64(of) }
				t.Logf("%-8s width %-5v reference %-5t %5.1f %% outside [99 %%, 100 %%], %5.1f %% more than 1 %% off, "+
					"%5.2f %% at most; %5.1f %% of the layers stay", preset.name, width, reference, percent(outside, updates),
					percent(far, updates), 100*worst, percent(idle, chosen))
				if reference == (outside == 0) {
					t.Errorf("%s, width %v, reference %t: %d of %d updates are outside the budget",
						preset.name, width, reference, outside, updates)
				}
			}
		}
	}
}
