package reproduced

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"netadjust/results"
	"netadjust/results/markdown"
	"netadjust/results/published"
)

// Run is an experiment whose records are kept.
type Run struct {
	Name    string
	Command string // that made the records
	Cells   int    // that the experiment has
	Records []*results.Record
}

// remarks is the heading under which a person may add to what the records tell.
const remarks = "\n## Remarks\n"

// Readme says what was run, all of it from the records. Of the text that it replaces it keeps the remarks.
func Readme(run Run, old string) string {
	d := new(markdown.Document)
	d.Line("# What `%s` gave\n", run.Name)
	d.Line("Written by `netadjust report --readme` from the records in [cells](cells). [report.md](report.md) and " +
		"[report.html](report.html) say what came out. Weights are not kept.\n")
	done := slices.DeleteFunc(slices.Clone(run.Records), func(r *results.Record) bool { return r.Result.Final == nil })
	d.Line("- Command: `%s`", run.Command)
	d.Line("- Cells: %d of %d finished, %d failed", len(done), run.Cells, len(run.Records)-len(done))
	d.Line("- Program: %s", counted(run.Records, func(r *results.Record) string {
		return fmt.Sprintf("commit %s (numbers of version %d, %s)", r.Result.Version, max(1, r.Result.ResultsVersion),
			r.Run.GoVersion)
	}))
	d.Line("- Machine: %s", counted(run.Records, machine))
	d.Line("- Time: %s", times(run.Records))
	for _, line := range data(run.Records) {
		d.Line("- Data: %s", line)
	}
	d.Line("- Recipe: %s", counted(done, recipeOf))
	for _, line := range reducedIn(done) {
		d.Line("- Reduced: %s", line)
	}
	if _, kept, ok := strings.Cut(old, remarks); ok {
		d.Line("%s%s", remarks, strings.TrimRight(kept, "\n"))
	}
	return d.String()
}

// counted lists what records say, in the order of the first of each, and how many say it if they do not agree.
func counted(records []*results.Record, say func(*results.Record) string) string {
	var said []string
	counts := map[string]int{}
	for _, r := range records {
		s := say(r)
		if counts[s]++; counts[s] == 1 {
			said = append(said, s)
		}
	}
	if len(said) > 1 {
		for i, s := range said {
			said[i] = fmt.Sprintf("%s for %s", s, cells(counts[s]))
		}
	}
	return strings.Join(said, "; ")
}

// cells writes how many cells there are.
func cells(n int) string {
	if n == 1 {
		return "1 cell"
	}
	return fmt.Sprintf("%d cells", n)
}

func machine(r *results.Record) string {
	return strings.TrimPrefix(fmt.Sprintf("%s, %s, jobs at a time: %d, threads of each: %d", r.Run.Processor, r.Result.Device,
		r.Run.Jobs, r.Run.Threads), ", ")
}

// times says when the cells ran and how long.
func times(records []*results.Record) string {
	if len(records) == 0 {
		return "none"
	}
	var first, last time.Time
	var busy float64
	interrupted := 0
	for _, r := range records {
		end := r.Run.Start.Add(time.Duration(r.Run.WallSeconds * float64(time.Second)))
		if first.IsZero() || r.Run.Start.Before(first) {
			first = r.Run.Start
		}
		if end.After(last) {
			last = end
		}
		busy += r.Run.WallSeconds * float64(r.Run.Threads)
		if r.Run.Resumed {
			interrupted++
		}
	}
	const minutes = "2006-01-02 15:04"
	text := fmt.Sprintf("from %s to %s UTC, threads were busy for %s h", first.UTC().Format(minutes),
		last.UTC().Format(minutes), markdown.Significant(busy/3600))
	if interrupted > 0 {
		text += fmt.Sprintf(" and longer, by what %s had done before an interruption", cells(interrupted))
	}
	return text
}

// data says which images were used.
func data(records []*results.Record) []string {
	var lines []string
	for _, r := range records {
		var s settings
		if json.Unmarshal(r.Result.Config, &s) != nil {
			continue // a record of another program
		}
		line := fmt.Sprintf("%s, SHA-256 %s", r.Result.Dataset, r.Result.DatasetChecksum)
		if r.Result.DatasetNote != "" {
			line += ", " + r.Result.DatasetNote
		}
		line += fmt.Sprintf("; the first %d training images to search on, the next %d held out for that, both for final "+
			"trainings", s.Data.Train, s.Data.Validation)
		if s.Data.Test > 0 {
			line += fmt.Sprintf("; the first %d test images", s.Data.Test)
		} else {
			line += "; all test images"
		}
		if line = markdown.Escape(line); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// recipeOf is the length of a cell's final training.
func recipeOf(r *results.Record) string {
	var s settings
	if json.Unmarshal(r.Result.Config, &s) != nil {
		return "unknown"
	}
	epochs := s.Train.Epochs
	if f := r.Result.Final; f != nil && len(f.Epochs) > 0 {
		epochs = len(f.Epochs) // of a network that is finetuned there are fewer
	}
	return fmt.Sprintf("final trainings of %d epochs, %d images", epochs, epochs*(s.Data.Train+s.Data.Validation))
}

// reducedIn says for every network and dataset what is less than in the paper, and how many seeds there are.
func reducedIn(records []*results.Record) []string {
	var where []string
	most := map[string][]string{} // cells that do not search have less that could be reduced
	for _, r := range records {
		res := &r.Result
		h := Here{Dataset: res.Dataset, Width: res.Width}
		if json.Unmarshal(res.Config, &h.settings) != nil {
			continue
		}
		row := published.Row{Table: "cifar100", Width: 1, Method: "uniform"}
		if strings.HasPrefix(res.Dataset, "imagenet") {
			row.Table = "imagenet"
		}
		if h.settings.Search.Iterations > 0 {
			row.Method = "adjust"
		}
		if res.Truth != nil {
			h.settings.Search.Iterations = 1 // measured in one network, whatever a search would do
		}
		at := fmt.Sprintf("%s on %s", res.Network, res.Dataset)
		if !slices.Contains(where, at) {
			where = append(where, at)
		}
		if what := h.reductions(row); len(what) > len(most[at]) {
			most[at] = what
		}
	}
	var lines []string
	for _, at := range where {
		if len(most[at]) > 0 {
			lines = append(lines, fmt.Sprintf("%s, against the tables of the paper: %s", at, strings.Join(most[at], ", ")))
		}
	}
	if n := seedsOf(records); n != "" {
		lines = append(lines, n)
	}
	return lines
}

// seedsOf says how many seeds the rows have.
func seedsOf(records []*results.Record) string {
	rows := map[string]int{}
	for _, r := range records {
		res := &r.Result
		rows[fmt.Sprint([]any{res.Network, res.Width, res.Padding, res.Dataset, res.Method, res.Variant, res.Budget})]++
	}
	least, most := 0, 0
	for _, n := range rows {
		if least == 0 || n < least {
			least = n
		}
		most = max(most, n)
	}
	switch {
	case most == 0:
		return ""
	case least == most:
		return fmt.Sprintf("seeds of each method and budget: %d", most)
	}
	return fmt.Sprintf("seeds of each method and budget: %d to %d", least, most)
}
