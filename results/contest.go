package results

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"netadjust/results/markdown"
	"netadjust/results/paired"
)

// Methods that statistics single out.
const (
	baseline  = "uniform"           // what every other method is compared with
	noise     = "random"            // widths at random: what any search has to beat
	adjusted  = "adjust"            // the method in question
	atRandom  = "adjust_random_fur" // the same with ratios replaced by random numbers
	measuring = "fur_truth"         // measures what ratios are worth and competes with nothing
)

// significance is the level of every test.
const significance = 0.05

// contest is one method against another: their differences in top-1 accuracy at the budgets and seeds that both have.
type contest struct {
	method, against string
	rounds          []round
	p               float64 // of the exact sign-flip test over all pairs
	holm            float64 // the same after Holm's correction for the contests of the comparison
	family          int     // how many contests that are
	least           float64 // the smallest p-value after correction that the pairs of all contests could have given
}

// round is the part of a contest at one budget: differences in percentage points, seed by seed.
type round struct {
	budget string
	seeds  []string
	ids    []string // of the cells of the method
	values []float64
}

// meet tells whether a method is compared with another one: every method with uniform and random widths, network
// adjustment with every other method, and a variant with its own method as it is without one. No two meet twice.
func meet(method, against string) bool {
	plain, _, _ := strings.Cut(method, ", ")
	switch {
	case method == against || method == baseline || method == measuring || against == measuring:
		return false
	case against == baseline:
		return true
	case method == adjusted:
		return !strings.HasPrefix(against, adjusted+", ")
	case method == noise || against == adjusted:
		return plain == against
	}
	return against == noise || plain == against
}

// contests returns the contests of c, in the order of methods, with p-values corrected for their number.
func contests(c comparison) []contest {
	methods := distinct(methodsOf(c))
	var out []contest
	var ps, least []float64
	for _, method := range methods {
		for _, against := range methods {
			if !meet(method, against) {
				continue
			}
			if x := newContest(c, method, against); len(x.rounds) > 0 {
				out, ps = append(out, x), append(ps, x.p)
				least = append(least, paired.SmallestP(x.sample().Pairs()))
			}
		}
	}
	for i, p := range paired.Holm(ps) {
		out[i].holm, out[i].family = p, len(ps)
	}
	for i, p := range paired.Holm(least) {
		out[i].least = p
	}
	return out
}

// newContest pairs the cells of two methods by budget and seed; it has no rounds if none is shared.
func newContest(c comparison, method, against string) contest {
	x := contest{method: method, against: against}
	for _, p := range c.points {
		if p.method != method {
			continue
		}
		for _, q := range c.points {
			if q.method == against && q.budget == p.budget {
				if r := roundOf(p, q); len(r.values) > 0 {
					x.rounds = append(x.rounds, r)
				}
			}
		}
	}
	x.p = x.sample().SignFlip()
	return x
}

// roundOf returns the differences of two points over the seeds that both have.
func roundOf(p, against point) round {
	r := round{budget: p.budget}
	other := bySeed(against)
	ids, top1 := p.cells.strings("id"), p.cells.numbers("test_top1")
	for i, seed := range p.cells.strings("seed") {
		if base, ok := other[seed]; ok {
			r.seeds, r.ids = append(r.seeds, seed), append(r.ids, ids[i])
			r.values = append(r.values, 100*(top1[i]-base))
		}
	}
	return r
}

// bySeed maps the seeds of a point to its top-1 accuracies.
func bySeed(p point) map[string]float64 {
	out := make(map[string]float64)
	top1 := p.cells.numbers("test_top1")
	for i, seed := range p.cells.strings("seed") {
		out[seed] = top1[i]
	}
	return out
}

// sample returns the differences of all rounds.
func (x contest) sample() paired.Sample {
	var s paired.Sample
	for _, r := range x.rounds {
		s = append(s, r.values)
	}
	return s
}

// seedsNeeded is how many seeds each budget needs to show a difference of this size at the level that Holm's correction
// asks of the smallest p, 0 if that is not known, as for a spread of two pairs.
func (x contest) seedsNeeded() int {
	if x.sample().Pairs()-len(x.rounds) < 2 {
		return 0
	}
	pairs := x.sample().PairsNeeded(significance / float64(x.family))
	return (pairs + len(x.rounds) - 1) / len(x.rounds)
}

// outcome is what the contest has shown.
func (x contest) outcome() string {
	switch {
	case x.holm > significance:
		return "not shown"
	case x.sample().Mean() > 0:
		return "better"
	}
	return "worse"
}

// verdict says in words what the contest has shown, and if nothing, why.
func (x contest) verdict() string {
	s := x.sample()
	found := fmt.Sprintf("%s points over %s at %s, p = %s", markdown.Signed(s.Mean(), 2), plural(s.Pairs(), "pair"),
		plural(len(x.rounds), "budget"), pText(x.p))
	if x.family > 1 {
		found += fmt.Sprintf(" (%s after Holm over %d comparisons)", pText(x.holm), x.family)
	}
	if outcome := x.outcome(); outcome != "not shown" {
		return fmt.Sprintf("Shown: %s is %s than %s, %s.", x.method, outcome, x.against, found)
	}
	text := fmt.Sprintf("Not shown: that %s and %s differ, %s.", x.method, x.against, found)
	if x.least > significance {
		text += fmt.Sprintf(" No result of %s could have shown it: the smallest p is %s.",
			plural(s.Pairs(), "pair"), pText(x.least))
	}
	if n := x.seedsNeeded(); n > 0 {
		text += fmt.Sprintf(" A difference of this size, %s standard deviations, would need about %s at each budget to be shown.",
			markdown.Fixed(math.Abs(s.Effect()), 2), plural(n, "seed"))
	}
	return text
}

// pText writes a p-value with two significant digits.
func pText(p float64) string { return strconv.FormatFloat(p, 'g', 2, 64) }

// plural writes a count with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// leader is the method that leads at a budget, and who may be as good.
type leader struct {
	point
	rivals int      // other methods at the budget
	alike  []string // those whose difference to the leader may be nothing
}

// leaders returns the leader of each budget of c, the largest budget first: the method that is behind the fewest others
// in top-1 accuracy, by the mean over the seeds that both have, so that nobody leads for having had the easier seeds;
// where several are, the one with the highest mean. A rival is told apart if the paired t interval of the difference
// excludes 0; as any method could have led, the level is 95 % for all pairs of methods at the budget together
// (Bonferroni).
func leaders(c comparison) []leader {
	byBudget := make(map[string][]point)
	var budgets []string
	for _, p := range c.points {
		if p.method == measuring {
			continue
		}
		budgets = append(budgets, p.budget)
		byBudget[p.budget] = append(byBudget[p.budget], p)
	}
	var out []leader
	for _, budget := range distinct(budgets) {
		points := byBudget[budget]
		l := leader{rivals: len(points) - 1}
		l.point = slices.MaxFunc(points, func(a, b point) int {
			return cmp.Or(cmp.Compare(behind(b, points), behind(a, points)),
				cmp.Compare(a.of("test_top1").mean, b.of("test_top1").mean))
		})
		pairs := float64(len(points)*(len(points)-1)) / 2
		for _, p := range points {
			if p.method == l.method {
				continue
			}
			if low, _ := paired.Interval(roundOf(l.point, p).values, 1-significance/pairs); !(low > 0) {
				l.alike = append(l.alike, p.method)
			}
		}
		out = append(out, l)
	}
	return out
}

// behind counts the points that are better than p over the seeds that both have.
func behind(p point, points []point) (n int) {
	for _, q := range points {
		if (paired.Sample{roundOf(p, q).values}).Mean() < 0 {
			n++
		}
	}
	return n
}

// sure says how sure it is that the leader leads.
func (l leader) sure() string {
	switch {
	case l.rivals == 0:
		return "nothing to compare with"
	case len(l.alike) == 0:
		return "told apart from every other method"
	case len(l.alike) == l.rivals:
		return "not told apart from any other method"
	}
	return "not told apart from " + strings.Join(l.alike, "; ")
}

// find returns the contest of two methods, nil if it was not held.
func find(cs []contest, method, against string) *contest {
	i := slices.IndexFunc(cs, func(x contest) bool { return x.method == method && x.against == against })
	if i < 0 {
		return nil
	}
	return &cs[i]
}
