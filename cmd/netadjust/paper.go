package main

import (
	"io"
	"os"

	"netadjust/results"
	"netadjust/results/reproduced"
)

// paperFormats write the tables of the paper.
var paperFormats = map[string]func(io.Writer, []reproduced.Table) error{
	"markdown": reproduced.Markdown, "csv": reproduced.CSV, "latex": reproduced.LaTeX,
}

func paperCommand(a *app, f *flags) error {
	format := f.String("format", "markdown", "markdown, csv, or latex for the package booktabs")
	dirs, err := f.parse()
	if err != nil {
		return err
	}
	write := paperFormats[*format]
	if write == nil {
		return failf(exitUsage, "--format %q: want markdown, csv or latex", *format)
	}
	var records []*results.Record
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err != nil {
			return failf(exitUsage, "%w; want an output folder of netadjust run", err)
		}
		more, errs := results.Load(dir)
		if len(errs) > 0 {
			return failf(exitFailed, "%w", errs[0])
		}
		records = append(records, more...)
	}
	return write(a.stdout, reproduced.Tables(records))
}
