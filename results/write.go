package results

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"netadjust/internal/atomicfile"
	"netadjust/results/font"
	"netadjust/results/markdown"
)

// Options say what the records themselves do not tell.
type Options struct {
	Name     string   // of the experiment
	Command  string   // what to type to repeat the run; default: netadjust run experiments/NAME.toml
	Missing  []string // ids of cells that have not finished
	Problems []error  // records that could not be used, from Load
	Stale    []string // cells that other numbers or data have made, and why they are
}

// WriteAll writes frames, figures and reports of the records into the folder outDir, which must exist: report.html,
// report.md, the frames, benchmarks.txt and each figure as PNG, SVG, PDF and CSV. It returns the paths of the files,
// the reports first. The same records give the same bytes. Figures of an earlier call that are not drawn any more are
// removed, so that none shows numbers that are not in the frame. Its errors are those of checkDistinct, or say what
// cannot be written.
func WriteAll(outDir string, records []*Record, opts Options) (files []string, err error) {
	if err := checkDistinct(records); err != nil {
		return nil, err
	}
	records = slices.SortedFunc(slices.Values(records), compareRecords)
	f, err := framesOf(records)
	if err != nil {
		return nil, err
	}
	sections, err := sectionsOf(f)
	if err != nil {
		return nil, err
	}
	for _, t := range f.files() {
		path := filepath.Join(outDir, t.name)
		if err := writeCSV(path, t.table.csv()); err != nil {
			return nil, err
		}
		files = append(files, path)
	}
	drawn, err := writeFigures(outDir, sections)
	if err != nil {
		return nil, err
	}
	if err := removeStale(outDir, drawn); err != nil {
		return nil, err
	}
	text := report(f.cells, sections, opts)
	page, err := markdown.Page("Results of "+opts.Name, []byte(text), font.Face(), func(image string) ([]byte, error) {
		svg, err := os.ReadFile(filepath.Join(outDir, strings.TrimSuffix(image, ".png")+".svg"))
		return bytes.Replace(svg, svgFont(), nil, 1), err // the page has the letters once
	})
	if err != nil {
		return nil, err
	}
	var reports []string
	for _, d := range []struct {
		name    string
		content []byte
	}{{"report.html", page}, {"report.md", []byte(text)}, {"benchmarks.txt", []byte(benchmarks(records))}} {
		path := filepath.Join(outDir, d.name)
		if err := atomicfile.Write(path, d.content); err != nil {
			return nil, err
		}
		reports = append(reports, path)
	}
	return slices.Concat(reports, files, drawn), nil
}

// frames are the tables of all records.
type frames struct{ cells, layers, epochs, truths, timing table }

func framesOf(records []*Record) (f frames, err error) {
	for _, t := range []struct {
		table *table
		of    func([]*Record) (table, error)
	}{
		{&f.cells, cellTable}, {&f.layers, layerTable}, {&f.epochs, epochTable}, {&f.truths, truthTable},
		{&f.timing, timingTable},
	} {
		if *t.table, err = t.of(records); err != nil {
			return f, err
		}
	}
	return f, nil
}

// file is a table with the name of its file.
type file struct {
	name  string
	table table
}

// files returns the tables with the names of their files.
func (f frames) files() []file {
	return []file{
		{"frame.csv", f.cells}, {"layers.csv", f.layers}, {"epochs.csv", f.epochs}, {"truth.csv", f.truths},
		{"timing.csv", f.timing},
	}
}

// sectionsOf makes one section for each comparison in the frames.
func sectionsOf(f frames) ([]section, error) {
	cs := comparisons(f.cells)
	sections := make([]section, len(cs))
	var names []string
	for i, suffix := range suffixes(cs) {
		figs, err := figures(cs[i], f.layers, f.epochs, suffix)
		if err != nil {
			return nil, err
		}
		found := truthsOf(cs[i], f.truths)
		for _, t := range found {
			figs = append(figs, truthFigure("truth-"+slug(t.point.method+"-"+t.point.budget)+suffix, cs[i], t))
		}
		for i := range figs {
			figs[i].name = unused(names, figs[i].name)
			names = append(names, figs[i].name)
		}
		sections[i] = section{cs[i], contests(cs[i]), found, figs}
	}
	return sections, nil
}

// writeFigures writes the figures of all sections; the first one is also there under the name without a suffix.
func writeFigures(outDir string, sections []section) ([]string, error) {
	var figs []figure
	for _, s := range sections {
		figs = append(figs, s.figures...)
	}
	files, err := writeEach(outDir, figs)
	if err != nil || len(sections) < 2 {
		return files, err
	}
	first := figs[0]
	first.name = accuracyName
	again, err := writeEach(outDir, []figure{first})
	return slices.Concat(again, files), err
}

// writeEach writes figures, as many at a time as there are processors, and returns the paths of the files.
func writeEach(outDir string, figs []figure) ([]string, error) {
	written, errs := make([][]string, len(figs)), make([]error, len(figs))
	var running sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, f := range figs {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			if written[i], errs[i] = f.write(outDir); errs[i] != nil {
				errs[i] = fmt.Errorf("figure %s: %w", f.name, errs[i])
			}
		})
	}
	running.Wait()
	return slices.Concat(written...), errors.Join(errs...)
}

// removeStale removes the figures in outDir that are not among the files just written.
func removeStale(outDir string, files []string) error {
	entries, err := os.ReadDir(outDir)
	if err != nil {
		return fmt.Errorf("look for old figures: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(outDir, e.Name())
		if isFigure(e.Name()) && !slices.Contains(files, path) {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("remove old figure: %w", err)
			}
		}
	}
	return nil
}

// isFigure tells whether a file name is one that a figure gets.
func isFigure(name string) bool {
	prefixes := []string{"accuracy-", "learning-curves", "widths-", "fur-", "truth-"}
	known := slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
	return known && slices.Contains([]string{".png", ".svg", ".pdf", ".csv"}, filepath.Ext(name))
}
