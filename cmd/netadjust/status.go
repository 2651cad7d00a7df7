package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"netadjust/harness"
	"netadjust/internal/data"
	"netadjust/internal/progress"
)

func statusCommand(a *app, f *flags) error {
	verify := f.Bool("verify", false, "check the hashes of weights, trainings, evaluations and checkpoints, too")
	dataDir := f.data()
	f.json()
	args, err := f.parse()
	if err != nil {
		return err
	}
	s, err := harness.ReadStatus(args[0], data.Dir(*dataDir), *verify)
	if err != nil {
		return fmt.Errorf("%s is not an output folder of netadjust run: %w", args[0], err)
	}
	if err := f.print(s, func(w io.Writer) { printStatus(w, s, time.Now()) }); err != nil {
		return err
	}
	if damaged := s.Counts["damaged"] + len(s.Problems); damaged > 0 {
		return failf(exitFailed, "%d files are damaged; the next run sets aside those that it needs and makes them again", damaged)
	}
	return nil
}

// printStatus prints a row for each combination and a column for each seed, and then what needs words.
func printStatus(w io.Writer, s *harness.Status, now time.Time) {
	var rows []string
	var seeds []int
	cells := map[string]map[int][]string{} // by row and seed; settings can make several
	for _, c := range s.Cells {
		row, seed := c.Key()
		if cells[row] == nil {
			cells[row] = map[int][]string{}
			rows = append(rows, row)
		}
		if !slices.Contains(seeds, seed) {
			seeds = append(seeds, seed)
		}
		cells[row][seed] = append(cells[row][seed], mark(c))
	}
	slices.Sort(seeds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, s.Name)
	for _, seed := range seeds {
		fmt.Fprintf(t, "\tseed %d", seed)
	}
	fmt.Fprintln(t)
	for _, row := range rows {
		fmt.Fprint(t, row)
		for _, seed := range seeds {
			fmt.Fprint(t, "\t")
			for i, m := range cells[row][seed] {
				if i > 0 {
					fmt.Fprint(t, " ")
				}
				fmt.Fprint(t, m)
			}
		}
		fmt.Fprintln(t)
	}
	t.Flush()
	fmt.Fprintf(w, "\n%d cells:", len(s.Cells))
	for _, state := range harness.States() {
		if n := s.Counts[state]; n > 0 {
			fmt.Fprintf(w, " %d %s", n, state)
		}
	}
	if left := s.End.Sub(now); left > 0 {
		fmt.Fprintf(w, "; about %s left", progress.Duration(left.Seconds()))
	}
	fmt.Fprintln(w)
	for _, c := range s.Cells {
		switch {
		case c.Owner != nil:
			fmt.Fprintf(w, "%s is run by %v; %s ago: %s\n", c.ID, c.Owner, progress.Duration(now.Sub(c.At).Seconds()), c.Last)
		case c.Why != "":
			fmt.Fprintf(w, "%s is %s: %s\n", c.ID, c.State, c.Why)
		}
	}
	for _, id := range s.Others {
		fmt.Fprintf(w, "%s is not in the experiment, and not in the report\n", id)
	}
	for _, p := range s.Problems {
		fmt.Fprintln(w, p)
	}
}

// mark stands for a cell in the matrix: its accuracy, or its state.
func mark(c harness.CellStatus) string {
	if c.State == "done" {
		return fmt.Sprintf("%.2f %%", 100*c.TestTop1)
	}
	return c.State
}

func mergeCommand(a *app, f *flags) error {
	f.json()
	args, err := f.parse()
	if err != nil {
		return err
	}
	if len(args) < 2 {
		return failf(exitUsage, "merge: want the folder to merge into and at least one to merge from")
	}
	m, err := harness.Merge(a.ctx, args[0], args[1:])
	if err != nil {
		return failf(exitFailed, "%w", err)
	}
	if _, err := harness.Report(a.ctx, args[0], nil); err != nil {
		return err
	}
	return f.print(m, func(w io.Writer) {
		fmt.Fprintf(w, "%d cells copied, %d were there, %d are missing\n", m.Copied, m.Same, len(m.Missing))
		for _, id := range m.Missing {
			fmt.Fprintf(w, "  %s\n", id)
		}
	})
}
