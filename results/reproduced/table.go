package reproduced

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strings"

	"netadjust/results"
	"netadjust/results/markdown"
	"netadjust/results/published"
)

// Rates are multiply-adds a second of training, in 10^15, for the estimates of what a row would cost. That of two cores
// is measured (docs/performance.md); those of a data-centre GPU are assumptions: 20000 images a second of ResNet-20 and
// 3000 of ResNet-18 at 224 pixels.
const (
	twoCores    = 80e9 / 1e15
	gpuCIFAR    = 2.4e12 / 1e15
	gpuImageNet = 16e12 / 1e15
)

// Table is one of the paper's tables beside what came out here.
type Table struct {
	Title  string
	Header []string
	Rows   [][]string
}

// left is how many columns of a table are text.
const left = 2

// Tables returns the paper's tables beside what the records of any number of runs say. Numbers of networks that are not
// the paper's, of another width or dataset, stand there without a difference to it: what can be compared is the gain of
// the search.
func Tables(records []*results.Record) []Table {
	titles := map[string]string{"cifar100": "CIFAR-100", "imagenet": "ImageNet"}
	var tables []Table
	var original published.Row
	var base *Here
	for _, row := range published.Rows() {
		if len(tables) == 0 || tables[len(tables)-1].Title != titles[row.Table] {
			tables = append(tables, Table{Title: titles[row.Table], Header: []string{"Network", "Row", "Paper: top-1 (%)",
				"Here: top-1 (%)", "n", "Difference", "Paper: gain", "Here: gain", "Paper: MFLOPs", "Here: MFLOPs",
				"Paper: M parameters", "Here: M parameters", "What is reduced, or how to run it"}})
		}
		here := find(row, records)
		if row.Method == "uniform" {
			original, base = row, here
		}
		t := &tables[len(tables)-1]
		t.Rows = append(t.Rows, line(row, here, original, base))
	}
	return tables
}

// line returns the cells of one row.
func line(row published.Row, here *Here, original published.Row, base *Here) []string {
	top1, n, difference := markdown.NoValue, markdown.NoValue, markdown.NoValue
	paperGain, hereGain := math.NaN(), math.NaN()
	flops, params := math.NaN(), math.NaN()
	if row.Method == "adjust" {
		paperGain, hereGain, _ = gain(original, row, base, here)
	}
	if here != nil {
		mean, std := here.Mean()
		top1, n = markdown.Fixed(mean, 2)+" ± "+markdown.Fixed(std, 2), fmt.Sprint(len(here.Top1))
		if here.identical {
			difference = markdown.Signed(mean-row.Top1, 2)
		}
		flops, params = here.MFLOPs, here.MParams
	}
	return []string{row.Name, row.Row, markdown.Fixed(row.Top1, 2), top1, n, difference, markdown.Signed(paperGain, 2),
		markdown.Signed(hereGain, 2), markdown.Significant(row.MFLOPs), markdown.Significant(flops),
		markdown.Significant(row.MParams), markdown.Significant(params), remark(row, here)}
}

// remark says what was reduced in a row, or how to run it and how long that would take.
func remark(row published.Row, here *Here) string {
	var parts []string
	switch {
	case row.Method == "":
		parts = append(parts, "no counterpart")
	case here == nil:
		parts = append(parts, "not run: "+Command(row)+", "+Cost(row))
	case len(here.Reduced) > 0:
		parts = append(parts, "reduced: "+strings.Join(here.Reduced, ", "))
	}
	if row.Remark != "" {
		parts = append(parts, row.Remark)
	}
	return strings.Join(parts, "; ")
}

// Command is what to type to run a row, with the others of its table.
func Command(row published.Row) string {
	return "netadjust run experiments/paper-" + row.Table + ".toml"
}

// Cost says what one seed of a row takes.
func Cost(row published.Row) string {
	gpu := gpuCIFAR
	if row.Table == "imagenet" {
		gpu = gpuImageNet
	}
	return fmt.Sprintf("%s PFLOPs a seed, about %s on two cores and %s on one GPU", markdown.Significant(row.PFLOPs),
		duration(row.PFLOPs/twoCores), duration(row.PFLOPs/gpu))
}

// duration writes seconds as hours or days.
func duration(seconds float64) string {
	if hours := seconds / 3600; hours < 48 {
		return markdown.Significant(hours) + " h"
	}
	return markdown.Significant(seconds/86400) + " days"
}

// Markdown writes tables for a page.
func Markdown(w io.Writer, tables []Table) error {
	d := new(markdown.Document)
	for _, t := range tables {
		d.Line("### %s\n", markdown.Escape(t.Title))
		rows := make([][]string, len(t.Rows))
		for i, row := range t.Rows {
			for _, cell := range row {
				rows[i] = append(rows[i], markdown.Escape(cell))
			}
		}
		d.Table(left, t.Header, rows)
	}
	_, err := io.WriteString(w, d.String())
	return err
}

// CSV writes tables as one, with the title of each in the first column.
func CSV(w io.Writer, tables []Table) error {
	rows := [][]string{append([]string{"Table"}, tables[0].Header...)}
	for _, t := range tables {
		for _, row := range t.Rows {
			rows = append(rows, append([]string{t.Title}, row...))
		}
	}
	return csv.NewWriter(w).WriteAll(rows)
}

var latexEscaper = strings.NewReplacer(`\`, `\textbackslash{}`, "_", `\_`, "%", `\%`, "&", `\&`, "#", `\#`, "$", `\$`,
	"{", `\{`, "}", `\}`, "~", `\textasciitilde{}`, "^", `\textasciicircum{}`, "±", `$\pm$`, "–", "--")

// LaTeX writes tables for the package booktabs. What is reduced or how to run a row is left out, as it would not fit:
// rows with a reduction have a mark.
func LaTeX(w io.Writer, tables []Table) error {
	var b strings.Builder
	for _, t := range tables {
		last := len(t.Header) - 1
		fmt.Fprintf(&b, "%% %s. An asterisk marks what was reduced.\n\\begin{tabular}{%s}\n\\toprule\n%s \\\\\n\\midrule\n",
			t.Title, strings.Repeat("l", left)+strings.Repeat("r", last-left), latexLine(t.Header[:last]))
		for _, row := range t.Rows {
			cells := append([]string{}, row[:last]...)
			if strings.HasPrefix(row[last], "reduced") {
				cells[3] += "*"
			}
			fmt.Fprintf(&b, "%s \\\\\n", latexLine(cells))
		}
		b.WriteString("\\bottomrule\n\\end{tabular}\n\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func latexLine(cells []string) string {
	escaped := make([]string, len(cells))
	for i, c := range cells {
		escaped[i] = latexEscaper.Replace(c)
	}
	return strings.Join(escaped, " & ")
}
