package gate

import (
	"fmt"
	"strings"

	"netadjust/results/markdown"
)

// mostFindings is the number of findings of one level that a summary shows one by one.
const mostFindings = 20

// Markdown returns the report as a summary for a pull request.
func (r *Report) Markdown() string {
	d := new(markdown.Document)
	d.Line("## Results: %s\n", r.Verdict)
	d.Line("%d cells compared.\n", r.Cells)
	for _, level := range []Level{Regression, NotComparable, Warning, Note} {
		r.list(d, level)
	}
	if len(r.Accuracy) > 0 {
		r.table(d)
	}
	if s := r.Speed; s != nil {
		d.Line("Device time, in units of a calibration kernel that ran in between: %.3f times that of the base (%.3f to "+
			"%.3f, geometric mean over %d cells), %s.", s.Ratio, s.Low, s.High, s.Cells, s.Verdict)
	}
	return d.String()
}

// list writes the findings of one level.
func (r *Report) list(d *markdown.Document, level Level) {
	var lines []string
	for _, f := range r.Findings {
		if f.Level == level {
			text := strings.TrimPrefix(f.Cell+": "+f.Text, ": ")
			lines = append(lines, fmt.Sprintf("- **%s** %s", level, markdown.Escape(text)))
		}
	}
	if more := len(lines) - mostFindings; more > 0 {
		lines = append(lines[:mostFindings], fmt.Sprintf("- **%s** and %d more", level, more))
	}
	if len(lines) > 0 {
		d.Line("%s\n", strings.Join(lines, "\n"))
	}
}

// table writes the change of every method.
func (r *Report) table(d *markdown.Document) {
	var rows [][]string
	for _, a := range r.Accuracy {
		span := markdown.NoValue
		if a.Low != nil {
			span = markdown.Signed(*a.Low, 2) + " to " + markdown.Signed(*a.High, 2)
		}
		rows = append(rows, []string{markdown.Escape(a.Network), markdown.Escape(a.Dataset), markdown.Escape(a.Method),
			markdown.Escape(a.Budget), a.Verdict, markdown.Fixed(a.Base, 2), markdown.Fixed(a.New, 2),
			markdown.Signed(mean(a.Changes), 2), span, fmt.Sprint(a.Seeds)})
	}
	d.Table(5, []string{"Network", "Dataset", "Method", "Budget", "Verdict", "Base top-1 (%)", "New top-1 (%)", "Change",
		"Interval", "n"}, rows)
}
