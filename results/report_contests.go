package results

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"netadjust/results/markdown"
	"netadjust/results/paired"
)

// whichWins is what a reader wants first: the best method at each budget, how sure that is, and what became of the
// claims of the paper.
func whichWins(m *markdown.Document, sections []section) {
	if !slices.ContainsFunc(sections, func(s section) bool { return len(leaders(s.comparison)) > 0 }) {
		return // nothing competes
	}
	m.Line("## Which method wins\n")
	for _, s := range sections {
		if len(sections) > 1 {
			m.Line("### %s\n", markdown.Escape(s.comparison.String()))
		}
		var rows [][]string
		for _, l := range leaders(s.comparison) {
			top1 := l.of("test_top1")
			rows = append(rows, []string{markdown.Escape(l.budget), markdown.Escape(l.method), spread(top1, 100, 2),
				fmt.Sprint(top1.n), markdown.Escape(l.sure())})
		}
		m.Table(5, []string{"Budget", "Leader", "Top-1 (%)", "n", "How sure"}, rows)
		s.claims(m)
	}
	m.Line("The leader of a budget is the method that the fewest others beat over the seeds that both have; of several, "+
		"the one with the highest mean. A method is told apart from it if the paired t interval of their difference "+
		"excludes 0, at a level of %.0f %% for all pairs of methods at the budget together. Sentences about two "+
		"methods come from the exact sign-flip test over all budgets and seeds, with Holm's correction for all "+
		"comparisons of methods below.\n", 100*(1-significance))
}

// claims answers the questions that network adjustment raises, if it was run.
func (s section) claims(m *markdown.Document) {
	var answers []string
	run := false
	for _, q := range []struct{ question, method, against string }{
		{"Is network adjustment better than uniform widths?", adjusted, baseline},
		{"What does moving channels at all give?", atRandom, baseline},
		{"What do utilization ratios add to that?", adjusted, atRandom},
	} {
		answer := fmt.Sprintf("Not run: %s and %s share no budget and seed.", q.method, q.against)
		if x := find(s.contests, q.method, q.against); x != nil {
			run, answer = true, x.verdict()
		}
		answers = append(answers, fmt.Sprintf("- *%s* %s", q.question, markdown.Escape(answer)))
	}
	if run {
		m.Line("%s\n", strings.Join(answers, "\n"))
	}
}

// duels writes the table of all contests and their differences, budget by budget.
func (s section) duels(m *markdown.Document) {
	m.Line("### Method against method\n")
	if len(s.contests) == 0 {
		m.Line("No two methods that are compared share a budget and a seed.\n")
		return
	}
	var rows, rounds [][]string
	for _, x := range s.contests {
		d := x.sample()
		needed := markdown.NoValue
		if n := x.seedsNeeded(); n > 0 {
			needed = fmt.Sprint(n)
		}
		names := []string{markdown.Escape(x.method), markdown.Escape(x.against)}
		rows = append(rows, append(names, x.outcome(), markdown.Signed(d.Mean(), 2),
			markdown.Signed(d.Effect(), 2),
			fmt.Sprint(d.Pairs()), pText(x.p), pText(x.holm), pText(x.least), needed))
		for _, r := range x.rounds {
			low, high := paired.Interval(r.values, 1-significance)
			rounds = append(rounds, append(names[:2:2], markdown.Escape(r.budget), r.bySeed(),
				markdown.Signed(momentsOf(r.values).mean, 2), markdown.Signed(low, 2), markdown.Signed(high, 2),
				fmt.Sprint(len(r.values))))
		}
	}
	m.Line("Differences in top-1 accuracy in percentage points, paired: same budget, same seed.\n")
	m.Table(3, []string{"Method", "Against", "Verdict", "Mean difference", "Effect", "Pairs", "p", "p after Holm",
		"Smallest p possible", "Seeds needed"}, rows)
	m.Line("p is that of the exact sign-flip test over all pairs of budgets and seeds; the smallest possible one, after "+
		"Holm too, is what the design could reach if all pairs agreed. The effect is the mean difference in standard "+
		"deviations of the differences within a budget. Seeds needed are those at each budget with which such "+
		"differences would be shown in 80 %% of cases, even as the smallest p of all. Shown is what has p after Holm of at "+
		"most %g.\n",
		significance)
	m.Table(4, []string{"Method", "Against", "Budget", "By seed", "Mean", "95 % low", "95 % high", "n"}, rounds)
}

// bySeed writes the differences, each with a link to the record of its cell.
func (r round) bySeed() string {
	values := make([]string, len(r.values))
	for i, v := range r.values {
		values[i] = fmt.Sprintf("[%s](%s) (seed %s)", markdown.Signed(v, 2), recordLink(r.ids[i]), r.seeds[i])
	}
	return strings.Join(values, ", ")
}

// recordLink is where the record of a cell lies, seen from the report.
func recordLink(id string) string { return CellsFolder + "/" + url.PathEscape(id) + "/" + RecordFile }
