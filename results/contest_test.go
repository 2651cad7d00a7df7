package results

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// contestsOf returns the contests of the first comparison among records.
func contestsOf(t *testing.T, records []*Record) []contest {
	t.Helper()
	return contests(comparisons(frameOf(t, records))[0])
}

// accurate returns one record for each accuracy in percent, with seeds from 1.
func accurate(t *testing.T, method, budget string, percent ...float64) []*Record {
	t.Helper()
	var records []*Record
	for i, v := range percent {
		records = append(records, withTop1(t, method, budget, uint64(i+1), v/100))
	}
	return records
}

func TestContestPairs(t *testing.T) {
	records := []*Record{
		withTop1(t, "uniform", "0.5", 1, 0.90), withTop1(t, "uniform", "0.5", 2, 0.91),
		withTop1(t, "uniform", "0.5", 3, 0.92), withTop1(t, "adjust", "0.5", 2, 0.93),
		withTop1(t, "adjust", "0.5", 1, 0.91), withTop1(t, "adjust", "0.5", 7, 0.5),
		withTop1(t, "l1", "1.0", 1, 0.9), withTop1(t, "random", "0.5", 9, 0.9),
	}
	xs := contestsOf(t, records)
	if len(xs) != 1 || xs[0].method != "adjust" || xs[0].against != "uniform" || len(xs[0].rounds) != 1 {
		t.Fatalf("contests %+v, want adjust against uniform at one budget: others share no budget or no seed", xs)
	}
	got := make(map[string]string)
	r := xs[0].rounds[0]
	for i, seed := range r.seeds {
		got[seed] = fmt.Sprintf("%.9g %s", r.values[i], r.ids[i])
	}
	if diff := cmp.Diff(map[string]string{"1": "1 adjust-0.5-1", "2": "2 adjust-0.5-2"}, got); diff != "" {
		t.Errorf("differences in points by seed:\n%s", diff)
	}
}

func TestWhoMeetsWhom(t *testing.T) {
	methods := []string{"uniform", "random", "adjust", "adjust, rate 0.2", "adjust_random_fur", "l1", "fur_truth"}
	var got []string
	for _, method := range methods {
		for _, against := range methods {
			if meet(method, against) {
				got = append(got, method+" - "+against)
			}
		}
	}
	want := []string{
		"random - uniform",
		"adjust - uniform", "adjust - random", "adjust - adjust_random_fur", "adjust - l1",
		"adjust, rate 0.2 - uniform", "adjust, rate 0.2 - random", "adjust, rate 0.2 - adjust",
		"adjust_random_fur - uniform", "adjust_random_fur - random", "l1 - uniform", "l1 - random",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("contests (-want +got):\n%s", diff)
	}
}

// Three budgets with five seeds can show a difference that one budget with five seeds cannot.
func TestVerdicts(t *testing.T) {
	var large, small []*Record
	for _, budget := range []string{"1.0", "0.5", "0.25"} {
		records := slices.Concat(accurate(t, "uniform", budget, 90, 90.5, 91, 90, 90),
			accurate(t, "adjust", budget, 91, 91.5, 92.5, 90.5, 91), accurate(t, "l1", budget, 90.1, 90.4, 91, 90.5, 89.7))
		large = append(large, records...)
		if budget == "1.0" {
			small = records
		}
	}
	for _, c := range []struct {
		name, method, against string
		records               []*Record
		want                  []string
	}{
		{"shown", "adjust", "uniform", large, []string{
			"Shown: adjust is better than uniform, +1.00 points over 15 pairs at 3 budgets, p = 6.1e-05 (0.00018 after Holm",
			"over 3 comparisons)"}},
		{"noise", "l1", "uniform", large, []string{"Not shown: that l1 and uniform differ, +0.04 points over 15 pairs",
			"would need about "}},
		{"few", "adjust", "uniform", small, []string{"Not shown: that adjust and uniform differ, +1.00 points over 5 pairs",
			"p = 0.062 (0.19 after Holm", "No result of 5 pairs could have shown it: the smallest p is 0.19."}},
	} {
		x := find(contestsOf(t, c.records), c.method, c.against)
		if x == nil {
			t.Fatalf("%s: no contest", c.name)
		}
		for _, want := range c.want {
			if got := x.verdict(); !strings.Contains(got, want) {
				t.Errorf("%s: %q does not say %q", c.name, got, want)
			}
		}
	}
	// What a contest of few pairs could show does not depend on the number of those with more.
	uneven := slices.Concat(large, accurate(t, "slimming", "1.0", 90, 90, 90, 90, 90, 90, 90, 90)[:5])
	if x := find(contestsOf(t, uneven), "slimming", "uniform"); x == nil || x.family != 5 || x.least != 2*0.0625 {
		t.Errorf("contest of 5 pairs among those of 15: %+v", x)
	}
	worse := slices.Concat(accurate(t, "uniform", "1.0", 90, 91, 92, 90, 91, 90, 91),
		accurate(t, "adjust", "1.0", 89, 89, 90, 88, 90, 88, 88))
	if got := contestsOf(t, worse)[0].verdict(); !strings.HasPrefix(got, "Shown: adjust is worse than uniform, -1.86") {
		t.Errorf("seven losses: %q", got)
	}
}

func TestLeaders(t *testing.T) {
	records := slices.Concat(
		accurate(t, "uniform", "1.0", 90, 90.5, 91, 90, 90), accurate(t, "l1", "1.0", 92, 90.5, 91.2, 93, 91),
		accurate(t, "adjust", "1.0", 92.1, 92.4, 93.1, 92, 91.9), accurate(t, "adjust", "0.5", 80, 81),
		accurate(t, "uniform", "0.25", 80, 81), accurate(t, "adjust", "0.25", 81, 82.1))
	var got []string
	for _, l := range leaders(comparisons(frameOf(t, records))[0]) {
		got = append(got, l.budget+": "+l.method+", "+l.sure())
	}
	want := []string{
		"1.0: adjust, not told apart from l1",
		"0.5: adjust, nothing to compare with",
		"0.25: adjust, told apart from every other method",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("leaders (-want +got):\n%s", diff)
	}
}

// The spread of two pairs says nothing of the seeds that are needed.
func TestContestOfTwoPairs(t *testing.T) {
	x := contestsOf(t, slices.Concat(accurate(t, "uniform", "1.0", 90, 91), accurate(t, "adjust", "1.0", 91, 92.01)))[0]
	if n := x.seedsNeeded(); n != 0 || strings.Contains(x.verdict(), "would need") {
		t.Errorf("%d seeds needed: %s", n, x.verdict())
	}
}

// Nobody leads for a seed that is easier and that the others have not been run with yet.
func TestLeaderOfUnevenSeeds(t *testing.T) {
	c := comparisons(frameOf(t, slices.Concat(accurate(t, "uniform", "0.5", 70), accurate(t, "adjust", "0.5", 69.9, 75),
		accurate(t, "l1", "0.5", 69, 80))))[0]
	if l := leaders(c)[0]; l.method != "uniform" || l.sure() != "not told apart from any other method" {
		t.Errorf("%s leads, %s", l.method, l.sure())
	}
}

// One pair has no spread: nothing may be said about it.
func TestContestOfOnePair(t *testing.T) {
	x := contestsOf(t, slices.Concat(accurate(t, "uniform", "1.0", 90), accurate(t, "adjust", "1.0", 95)))[0]
	if x.outcome() != "not shown" || x.seedsNeeded() != 0 || !math.IsNaN(x.sample().Effect()) {
		t.Errorf("%s, %d seeds needed", x.verdict(), x.seedsNeeded())
	}
	if got := leaders(comparisons(frameOf(t, slices.Concat(accurate(t, "uniform", "1.0", 90),
		accurate(t, "adjust", "1.0", 95))))[0])[0].sure(); got != "not told apart from any other method" {
		t.Errorf("leader of one pair: %s", got)
	}
}
