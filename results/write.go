package results

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"netadjust/internal/atomicfile"
)

// Options say what the records themselves do not tell.
type Options struct {
	Name     string   // of the experiment
	Command  string   // what to type to repeat the run; default: netadjust run experiments/NAME.toml
	Missing  []string // ids of cells that have not finished
	Problems []error  // records that could not be used, from Load
	Stale    []string // cells that other numbers or data have made, and why they are
}

// WriteAll writes frames, figures and report of the records into the folder outDir, which must exist: frame.csv,
// layers.csv, epochs.csv, truth.csv, timing.csv, report.md and each figure as PNG, SVG, PDF and CSV. It returns the
// paths of the files, the report first. The same records give the same bytes. Figures of an earlier call that are not
// drawn any more are removed, so that none shows numbers that are not in the frame.
func WriteAll(outDir string, records []*Record, opts Options) (files []string, err error) {
	records = slices.SortedFunc(slices.Values(records), compareRecords)
	frame, err := cellTable(records)
	if err != nil {
		return nil, err
	}
	layers, err := layerTable(records)
	if err != nil {
		return nil, err
	}
	timing, err := timingTable(records)
	if err != nil {
		return nil, err
	}
	epochs, err := epochTable(records)
	if err != nil {
		return nil, err
	}
	truths, err := truthTable(records)
	if err != nil {
		return nil, err
	}
	sections, err := compare(frame, layers, epochs, truths)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(outDir, "report.md")
	files = append(files, path)
	for _, t := range []struct {
		name  string
		table table
	}{
		{"frame.csv", frame}, {"layers.csv", layers}, {"epochs.csv", epochs}, {"truth.csv", truths}, {"timing.csv", timing},
	} {
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
	return append(files, drawn...), atomicfile.Write(path, []byte(report(frame, sections, opts)))
}

// compare makes one section for each comparison in the frame.
func compare(frame, layers, epochs, truths table) ([]section, error) {
	cs := comparisons(frame)
	sections := make([]section, len(cs))
	for i, suffix := range suffixes(cs) {
		figs, err := figures(cs[i], layers, epochs, suffix)
		if err != nil {
			return nil, err
		}
		found := truthsOf(cs[i], truths)
		for _, t := range found {
			figs = append(figs, truthFigure("truth-"+slug(t.point.method+"-"+t.point.budget)+suffix, cs[i], t))
		}
		sections[i] = section{cs[i], found, figs}
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
	prefixes := []string{"accuracy-vs-", "learning-curves", "widths-", "fur-", "truth-"}
	known := slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
	return known && slices.Contains([]string{".png", ".svg", ".pdf", ".csv"}, filepath.Ext(name))
}
