package results

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// enoughSeeds is the number of seeds below which the report warns: the exact two-sided sign-flip test on five pairs
// cannot get below p = 0.0625 either, but the spread over fewer is hardly known at all.
const enoughSeeds = 5

// section is what the report says about one comparison.
type section struct {
	comparison comparison
	truths     []truth
	figures    []figure
}

// report returns the report in Markdown. Every number in it is computed from the frame.
func report(frame table, sections []section, opts Options) string {
	m := new(markdown)
	m.line("# Results of %s\n", escape(opts.Name))
	done := frame.in("state", []string{stateDone})
	failed := frame.in("state", []string{stateFailed})
	m.line("%d cells finished, %d failed, %d not finished.\n", done.rows(), failed.rows(), len(opts.Missing))
	if done.rows() == 0 {
		m.line("No cell has finished yet, so there are no results to show.\n")
	} else {
		warnFewSeeds(m, sections)
		whatWasRun(m, done)
	}
	for _, s := range sections {
		s.write(m)
	}
	failures(m, failed)
	bullets(m, "Unfinished cells", "These cells have no record yet:", opts.Missing)
	bullets(m, "Stale cells", "These cells are kept although they do not belong with the others:", opts.Stale)
	problems := make([]string, len(opts.Problems))
	for i, err := range opts.Problems {
		problems[i] = err.Error()
	}
	bullets(m, "Problems", "These records could not be used:", problems)
	again(m, opts)
	return m.String()
}

// warnFewSeeds says that nothing is shown if any mean is over fewer than enoughSeeds seeds.
func warnFewSeeds(m *markdown, sections []section) {
	var counts []int
	for _, s := range sections {
		for _, p := range s.comparison.points {
			counts = append(counts, p.cells.rows())
		}
	}
	if slices.Min(counts) < enoughSeeds {
		m.line("> With n = %s, some rows have fewer than %d seeds: they do not show that one method is better than "+
			"another. They show that every step runs and how large the spread is.\n", countRange(counts), enoughSeeds)
	}
}

// bullets writes a section with a list, or nothing if the list is empty.
func bullets(m *markdown, title, intro string, items []string) {
	if len(items) == 0 {
		return
	}
	m.line("## %s\n\n%s\n", title, intro)
	for _, item := range items {
		m.line("- %s", escape(item))
	}
	m.line("")
}

// failures lists the failed cells.
func failures(m *markdown, failed table) {
	if failed.rows() == 0 {
		return
	}
	m.line("## Failed cells\n")
	columns := []string{"id", "network", "width", "dataset", "method", "budget", "seed", "failure",
		"failure_epoch", "failure_step", "failure_learning_rate"}
	rows := make([][]string, failed.rows())
	for _, c := range columns {
		for i, v := range failed.strings(c) {
			rows[i] = append(rows[i], escape(v))
		}
	}
	m.table(len(columns)-3, []string{"Cell", "Network", "Width", "Dataset", "Method", "Budget", "Seed", "Reason",
		"Epoch", "Step", "Learning rate"}, rows)
}

// again says how to repeat the run and where the numbers are.
func again(m *markdown, opts Options) {
	m.line("## How to make it again\n")
	command := cmp.Or(opts.Command, "netadjust run experiments/"+opts.Name+".toml")
	m.line("    %s\n", strings.ReplaceAll(command, "\n", " "))
	m.line("Cells that are finished are not run again. All numbers above are computed from [frame.csv](frame.csv), a "+
		"row for each cell, [layers.csv](layers.csv), a row for each cell, update and layer, and "+
		"[epochs.csv](epochs.csv), a row for each cell and epoch; times are in [timing.csv](timing.csv). Each figure "+
		"has its numbers in a CSV file beside it. Top-1 and loss are those of the test set after the last epoch, which "+
		"is read once. ± is one sample standard deviation over seeds (%s for a single one), n the number of seeds. "+
		"FLOPs are multiply-adds of one image; a cost in TFLOPs counts a backward pass as two forward passes.", noValue)
}

// write writes the tables and figures of one comparison.
func (s section) write(m *markdown) {
	c := s.comparison
	m.line("## %s\n", escape(c.String()))
	results(m, c)
	for _, note := range residue(c) {
		m.line("Note: %s\n", escape(note))
	}
	comparisonToBaseline(m, c)
	for _, t := range s.truths {
		t.write(m)
	}
	for _, f := range s.figures {
		m.line("![%s](%s.png)\n", escape(f.name), f.name)
		m.line("%s ([SVG](%[2]s.svg), [PDF](%[2]s.pdf), [numbers](%[2]s.csv))\n", escape(f.caption), f.name)
	}
}

// results writes the main table: one row for each method and budget.
func results(m *markdown, c comparison) {
	var rows [][]string
	for _, p := range c.points {
		images := func(what string) string {
			return scaled(p.of(what+"_forward_images").mean) + " / " + scaled(p.of(what+"_backward_images").mean)
		}
		top1 := p.of("test_top1")
		rows = append(rows, []string{escape(p.method), escape(p.budget),
			scaled(p.of("flops").mean), scaled(p.of("params").mean), spread(top1, 100, 2), fmt.Sprint(top1.n),
			fixed(p.of("test_loss").mean, 4), images("search"), significant(p.of("search_flops").mean / 1e12),
			images("final"), significant(p.of("final_flops").mean / 1e12)})
	}
	m.table(2, []string{"Method", "Budget", "FLOPs", "Parameters", "Top-1 (%)", "n", "Test loss",
		"Search images (forward / backward)", "Search TFLOPs",
		"Final images (forward / backward)", "Final TFLOPs"}, rows)
}

// comparisonToBaseline writes the differences to the baseline, seed by seed.
func comparisonToBaseline(m *markdown, c comparison) {
	m.line("### Difference to %s\n", baseline)
	ds := differences(c)
	if len(ds) == 0 {
		m.line("No other method shares a budget and a seed with %s.\n", baseline)
		return
	}
	var rows [][]string
	for _, d := range ds {
		values := make([]string, len(d.values))
		for i, v := range d.values {
			values[i] = fmt.Sprintf("%s (seed %s)", signed(v, 2), d.seeds[i])
		}
		x := momentsOf(d.values)
		rows = append(rows, []string{escape(d.method), escape(d.budget), strings.Join(values, ", "),
			signed(x.mean, 2) + " ± " + fixed(x.std, 2), fmt.Sprint(x.n)})
	}
	m.line("Top-1 accuracy minus that of %s at the same budget and seed, in percentage points.\n", baseline)
	m.table(3, []string{"Method", "Budget", "By seed", "Mean", "n"}, rows)
}
