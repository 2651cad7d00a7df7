// Package harness runs the cells of an experiment: it finds out what is done already, runs the rest some at a time, and
// leaves one record and the final weights of each cell in a folder of its own.
package harness

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"netadjust/experiments"
	"netadjust/internal/atomicfile"
	"netadjust/internal/device"
	"netadjust/internal/progress"
	"netadjust/results"
)

// Options say how to run an experiment.
type Options struct {
	Experiment *experiments.Experiment
	Out        string                                   // output folder
	DataDir    string                                   // folder of the datasets
	Device     func(threads int) (device.Device, error) // opens a device for one job
	Jobs       int                                      // cells at a time; 0: one per core
	Progress   progress.Printer
	Version    string // of the program, for records
}

// Summary says how the cells of an experiment stand after a run.
type Summary struct {
	Done    int      // finished in this run
	Before  int      // finished before it
	Failed  []string // ids of cells that failed, now or before
	Stopped bool     // the run was interrupted; what is missing runs next time
}

// Run runs the cells that have no record yet. Cells run seed by seed, so that an interrupted experiment has fewer seeds
// rather than fewer methods. An error means that the run could not start or go on; a cell that fails is in the summary.
func Run(ctx context.Context, o Options) (Summary, error) {
	r, err := newRun(o)
	if err != nil {
		return Summary{}, err
	}
	pending, err := r.pending()
	if err != nil {
		return r.summary, err
	}
	if len(pending) == 0 {
		return r.summary, nil
	}
	if err := r.prepare(pending); err != nil {
		return r.summary, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := make(chan *cell)
	errs := make(chan error, r.jobs)
	for range r.jobs {
		go func() {
			err := r.work(ctx, queue)
			if err != nil {
				cancel() // what stops one job stops all: a full disk, damaged data
			}
			errs <- err
		}()
	}
	for _, c := range pending {
		select {
		case queue <- c:
		case <-ctx.Done():
		}
	}
	close(queue)
	for range r.jobs {
		err = errors.Join(err, <-errs)
	}
	slices.Sort(r.summary.Failed)
	r.summary.Stopped = r.summary.Done+r.summary.Before+len(r.summary.Failed) < len(r.cells)
	return r.summary, err
}

// run is one execution of an experiment. Its jobs share it.
type run struct {
	Options
	cells   []*cell
	jobs    int
	threads int // of each job
	store   *store
	library *library

	mu      sync.Mutex
	summary Summary
	account account
}

func newRun(o Options) (*run, error) {
	cells, err := prepareAll(o.Experiment)
	if err != nil {
		return nil, err
	}
	cores := runtime.GOMAXPROCS(0)
	if o.Jobs < 0 {
		return nil, fmt.Errorf("%d jobs: want 1 or more, or 0 for one per core", o.Jobs)
	}
	r := &run{Options: o, cells: cells, jobs: cmp.Or(o.Jobs, cores), library: newLibrary(o.DataDir)}
	r.jobs = min(r.jobs, len(cells))
	r.threads = max(cores/r.jobs, 1)
	r.store = newStore(filepath.Join(o.Out, "trainings"), func(err error) {
		r.print(progress.Event{Kind: progress.Warning, Message: err.Error()})
	})
	if err := os.MkdirAll(filepath.Join(o.Out, results.CellsFolder), 0o755); err != nil {
		return nil, fmt.Errorf("output folder: %w", err)
	}
	return r, WritePlan(o.Out, o.Experiment)
}

// prepareAll prepares the cells of an experiment, seed by seed, and reports all that cannot run.
func prepareAll(e *experiments.Experiment) ([]*cell, error) {
	var cells []*cell
	var errs []error
	for _, c := range e.Cells {
		p, err := prepare(c, e.Dataset(c))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", e.Path, err))
			continue
		}
		cells = append(cells, p)
	}
	slices.SortStableFunc(cells, func(a, b *cell) int { return cmp.Compare(a.Seed, b.Seed) })
	return cells, errors.Join(errs...)
}

// folder is where a cell leaves its files.
func (r *run) folder(c *cell) string { return filepath.Join(r.Out, results.CellsFolder, c.id) }

// pending returns the cells that have no record. A damaged record is set aside and its cell runs again.
func (r *run) pending() ([]*cell, error) {
	var pending []*cell
	for _, c := range r.cells {
		path := filepath.Join(r.folder(c), results.RecordFile)
		record, err := results.Read(path)
		var damaged *results.CorruptError
		switch {
		case err == nil && record.Result.Failure != nil:
			r.summary.Failed = append(r.summary.Failed, c.id)
		case err == nil:
			r.summary.Before++
		case errors.Is(err, fs.ErrNotExist):
			pending = append(pending, c)
		case errors.As(err, &damaged):
			aside, moveErr := atomicfile.SetAside(path)
			if moveErr != nil {
				return nil, errors.Join(err, moveErr)
			}
			r.print(progress.Event{Kind: progress.Warning, Message: fmt.Sprintf("%v; set aside as %s, running the cell again",
				err, filepath.Base(aside))})
			pending = append(pending, c)
		default:
			return nil, err
		}
	}
	return pending, nil
}

// prepare opens the data of all pending cells, so that nothing is missing after hours, and adds up what there is to do.
func (r *run) prepare(pending []*cell) error {
	for _, c := range pending {
		if _, err := r.library.images(c.Dataset, c.Data); err != nil {
			return err
		}
		costs, err := c.plan()
		if err != nil {
			continue // the cell will fail and say why
		}
		c.planned, c.toFind = costs.search.FLOPs+costs.final.FLOPs, costs.search.FLOPs
		r.account.total += c.planned
	}
	r.account.begin()
	return nil
}

// plan.json names the cells that a folder's report has to cover.
type plan struct {
	Name  string   `json:"name"`
	File  string   `json:"file"`
	Cells []string `json:"cells"`
}

const planFile = "plan.json"

// WritePlan notes in the output folder which cells the experiment has.
func WritePlan(out string, e *experiments.Experiment) error {
	p := plan{Name: e.Name, File: filepath.ToSlash(e.Path)}
	for _, c := range e.Cells {
		p.Cells = append(p.Cells, c.ID())
	}
	text, err := json.MarshalIndent(p, "", "\t")
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(out, planFile), append(text, '\n'))
}

// Report writes frames, figures and report of the experiment whose cells are in the folder out, and returns the files.
func Report(out string) ([]string, error) {
	all, problems := results.Load(out)
	text, err := os.ReadFile(filepath.Join(out, planFile))
	if errors.Is(err, fs.ErrNotExist) && len(all) > 0 { // records without a plan, copied from elsewhere
		name := all[0].Result.Experiment
		return results.WriteAll(out, all, results.Options{Name: name, Problems: problems})
	}
	if err != nil {
		return nil, fmt.Errorf("%s is not an output folder of netadjust run: %w", out, err)
	}
	var p plan
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("%s: %w; run the experiment again to write it anew", filepath.Join(out, planFile), err)
	}
	o := results.Options{Name: p.Name, Command: "netadjust run " + p.File, Problems: problems}
	var records []*results.Record
	for _, id := range p.Cells {
		i := slices.IndexFunc(all, func(r *results.Record) bool { return r.Result.ID == id })
		if i < 0 {
			o.Missing = append(o.Missing, id)
			continue
		}
		records = append(records, all[i])
	}
	return results.WriteAll(out, records, o)
}
