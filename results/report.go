package results

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"netadjust/results/markdown"
)

// enoughSeeds is the number of seeds below which the report warns: the exact two-sided sign-flip test on five pairs
// cannot get below p = 0.0625 either, but the spread over fewer is hardly known at all.
const enoughSeeds = 5

// section is what the report says about one comparison.
type section struct {
	comparison comparison
	contests   []contest
	truths     []truth
	figures    []figure
}

// report returns the report in Markdown. Every number in it is computed from the frame.
func report(frame table, sections []section, opts Options) string {
	m := new(markdown.Document)
	m.Line("# Results of %s\n", markdown.Escape(opts.Name))
	done := frame.in("state", []string{stateDone})
	failed := frame.in("state", []string{stateFailed})
	m.Line("%d cells finished, %d failed, %d not finished.\n", done.rows(), failed.rows(), len(opts.Missing))
	if done.rows() == 0 {
		m.Line("No cell has finished yet, so there are no results to show.\n")
	} else {
		warnFewSeeds(m, sections)
		warnMissing(m, len(opts.Missing))
		whichWins(m, sections)
		whatWasRun(m, done)
	}
	for _, s := range sections {
		s.write(m)
	}
	cells(m, done)
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

// warnFewSeeds says so if any mean is over fewer than enoughSeeds seeds.
func warnFewSeeds(m *markdown.Document, sections []section) {
	var counts []int
	for _, s := range sections {
		for _, p := range s.comparison.points {
			counts = append(counts, p.cells.rows())
		}
	}
	if slices.Min(counts) < enoughSeeds {
		m.Line("> With n = %s, some rows have fewer than %d seeds, which hardly tell how large the spread between "+
			"seeds is.\n", countRange(counts), enoughSeeds)
	}
}

// warnMissing says so if leaders and p-values are those of a part of the experiment.
func warnMissing(m *markdown.Document, cells int) {
	if cells > 0 {
		m.Line("> Not finished: %s of the plan. A method that has no row at a budget yet, or fewer seeds, may come to lead it, "+
			"and p is that of one look at all seeds: what is shown before may not last.\n", plural(cells, "cell"))
	}
}

// bullets writes a section with a list, or nothing if the list is empty.
func bullets(m *markdown.Document, title, intro string, items []string) {
	if len(items) == 0 {
		return
	}
	m.Line("## %s\n\n%s\n", title, intro)
	for _, item := range items {
		m.Line("- %s", markdown.Escape(item))
	}
	m.Line("")
}

// failures lists the failed cells.
func failures(m *markdown.Document, failed table) {
	if failed.rows() == 0 {
		return
	}
	m.Line("## Failed cells\n")
	columns := []string{"id", "network", "width", "dataset", "method", "budget", "seed", "failure",
		"failure_epoch", "failure_step", "failure_learning_rate"}
	rows := make([][]string, failed.rows())
	for _, c := range columns {
		for i, v := range failed.strings(c) {
			rows[i] = append(rows[i], markdown.Escape(v))
		}
	}
	m.Table(len(columns)-3, []string{"Cell", "Network", "Width", "Dataset", "Method", "Budget", "Seed", "Reason",
		"Epoch", "Step", "Learning rate"}, rows)
}

// again says how to repeat the run and where the numbers are.
func again(m *markdown.Document, opts Options) {
	m.Line("## How to make it again\n")
	command := cmp.Or(opts.Command, "netadjust run experiments/"+opts.Name+".toml")
	m.Line("    %s\n", strings.ReplaceAll(command, "\n", " "))
	m.Line("Cells that are finished are not run again. All numbers above are computed from [frame.csv](frame.csv), a "+
		"row for each cell, [layers.csv](layers.csv), a row for each cell, update and layer, and "+
		"[epochs.csv](epochs.csv), a row for each cell and epoch; times are in [timing.csv](timing.csv). Each figure "+
		"has its numbers in a CSV file beside it. Top-1 and loss are those of the test set after the last epoch, which "+
		"is read once. ± is one sample standard deviation over seeds (%s for a single one), n the number of seeds. "+
		"FLOPs are multiply-adds of one image; a cost in TFLOPs counts a backward pass as two forward passes.",
		markdown.NoValue)
}

// write writes the tables and figures of one comparison.
func (s section) write(m *markdown.Document) {
	c := s.comparison
	m.Line("## %s\n", markdown.Escape(c.String()))
	s.figures[0].show(m) // the one that answers most
	results(m, c)
	for _, note := range residue(c) {
		m.Line("Note: %s\n", markdown.Escape(note))
	}
	s.duels(m)
	for _, t := range s.truths {
		t.write(m)
	}
	for _, f := range s.figures[1:] {
		f.show(m)
	}
}

// show puts a figure with its caption into a report.
func (f figure) show(m *markdown.Document) {
	m.Line("![%s](%s.png)\n", markdown.Escape(f.name), f.name)
	m.Line("%s ([SVG](%[2]s.svg), [PDF](%[2]s.pdf), [numbers](%[2]s.csv))\n", markdown.Escape(f.caption), f.name)
}

// results writes the main table: one row for each method and budget.
func results(m *markdown.Document, c comparison) {
	var rows [][]string
	for _, p := range c.points {
		images := func(what string) string {
			forward, backward := p.of(what+"_forward_images").mean, p.of(what+"_backward_images").mean
			return markdown.Scaled(forward) + " / " + markdown.Scaled(backward)
		}
		top1 := p.of("test_top1")
		rows = append(rows, []string{markdown.Escape(p.method), markdown.Escape(p.budget),
			markdown.Scaled(p.of("flops").mean), markdown.Scaled(p.of("params").mean), spread(top1, 100, 2), fmt.Sprint(top1.n),
			markdown.Fixed(p.of("test_loss").mean, 4), images("search"), markdown.Significant(p.of("search_flops").mean / 1e12),
			images("final"), markdown.Significant(p.of("final_flops").mean / 1e12), p.links()})
	}
	m.Table(2, []string{"Method", "Budget", "FLOPs", "Parameters", "Top-1 (%)", "n", "Test loss",
		"Search images (forward / backward)", "Search TFLOPs",
		"Final images (forward / backward)", "Final TFLOPs", "Records by seed"}, rows)
}

// links names the records that the numbers of a point come from by their seeds.
func (p point) links() string {
	ids, seeds := p.cells.strings("id"), p.cells.strings("seed")
	links := make([]string, len(ids))
	for i, id := range ids {
		links[i] = fmt.Sprintf("[%s](%s)", seeds[i], recordLink(id))
	}
	return strings.Join(links, " ")
}

// cells lists the finished cells with their records.
func cells(m *markdown.Document, done table) {
	if done.rows() == 0 {
		return
	}
	m.Line("## Cells\n")
	var rows [][]string
	top1, loss := done.numbers("test_top1"), done.numbers("test_loss")
	flops, params := done.numbers("flops"), done.numbers("params")
	methods, variants := done.strings("method"), done.strings("variant")
	budgets, seeds := done.strings("budget"), done.strings("seed")
	for i, id := range done.strings("id") {
		rows = append(rows, []string{fmt.Sprintf("[%s](%s)", markdown.Escape(id), recordLink(id)),
			markdown.Escape(withVariant(methods[i], variants[i])), markdown.Escape(budgets[i]), seeds[i],
			markdown.Fixed(100*top1[i], 2), markdown.Fixed(loss[i], 4), markdown.Scaled(flops[i]), markdown.Scaled(params[i])})
	}
	m.Table(3, []string{"Cell", "Method", "Budget", "Seed", "Top-1 (%)", "Test loss", "FLOPs", "Parameters"}, rows)
}
