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
	"strconv"
	"strings"
	"sync"
	"time"

	"netadjust/experiments"
	"netadjust/internal/atomicfile"
	"netadjust/internal/device"
	"netadjust/internal/lease"
	"netadjust/internal/progress"
	"netadjust/results"
)

// Options say how to run an experiment.
type Options struct {
	Experiment *experiments.Experiment
	Out        string                                   // output folder
	DataDir    string                                   // folder of the datasets
	Device     func(threads int) (device.Device, error) // opens a device for one job
	Memory     int64                                    // of a card that the jobs share, in bytes; 0: they use the machine's
	Jobs       int                                      // cells at a time; 0: one per core
	Shard      Shard                                    // which of the cells to run
	Checkpoint time.Duration                            // at most so much time is between two checkpoints; 0: a minute
	Retries    int                                      // how often a cell is tried again that fails for a reason that may pass
	Again      bool                                     // run cells again that failed in an earlier run
	FailFast   bool                                     // stop as soon as a cell fails
	Stale      Stale
	Progress   progress.Printer
	Version    string // of the program, for records
}

// Shard is one of Count parts of the cells of an experiment, from 0. The zero value is all cells.
type Shard struct{ Index, Count int }

// Set reads a shard from a text such as 2/8.
func (s *Shard) Set(text string) error {
	index, count, _ := strings.Cut(text, "/")
	i, err := strconv.Atoi(index)
	n, err2 := strconv.Atoi(count)
	if err != nil || err2 != nil || i < 0 || i >= n {
		return errors.New("want I/N with I from 0 to N-1")
	}
	*s = Shard{i, n}
	return nil
}

// Stale is what to do with cells whose records were made by a program with other numbers, or from other data.
type Stale int

const (
	RefuseStale Stale = iota // the run does not start
	AcceptStale              // the records count, and the report says so
	RerunStale               // the records are set aside, and the cells run again
)

// Summary says how the cells of an experiment, or of a shard of it, stand after a run.
type Summary struct {
	Done    int      // finished in this run
	Before  int      // finished before it, or by another process
	Failed  []string // ids of cells that failed, now or before
	Stopped bool     // the run was interrupted; what is missing runs next time
}

// Run runs the cells that have no record yet, one seed after the other, so that an interrupted experiment has fewer seeds
// rather than fewer methods, and the longest first; but one that would wait for a network that another cell is training
// comes later. It leaves out cells that another process is running, and waits for their records at the end. An error
// means that the run could not start or go on; a cell that fails is in the summary.
func Run(ctx context.Context, o Options) (Summary, error) {
	r, err := newRun(ctx, o)
	if err != nil {
		return Summary{}, err
	}
	if err := r.pending(ctx); err != nil || len(r.queue) == 0 {
		return r.summary, err
	}
	if err := r.prepare(); err != nil {
		return r.summary, err
	}
	if err := r.chooseJobs(ctx); err != nil {
		return r.summary, err
	}
	r.account.begin()
	ctx, r.stop = context.WithCancel(ctx)
	defer r.stop()
	errs := make(chan error, r.jobs)
	for range r.jobs {
		go func() {
			err := r.work(ctx)
			if err != nil {
				r.stop() // what stops one job stops all: damaged data, a disk that is gone
			}
			errs <- err
		}()
	}
	for range r.jobs {
		err = errors.Join(err, <-errs)
	}
	if text := r.account.errors(); text != "" {
		r.print(progress.Event{Kind: progress.Note, Message: text})
	}
	slices.Sort(r.summary.Failed)
	r.summary.Stopped = r.summary.Done+r.summary.Before+len(r.summary.Failed) < len(r.cells)
	return r.summary, err
}

// run is one execution of an experiment. Its jobs share it.
type run struct {
	Options
	cells   []*cell // of the shard
	jobs    int
	threads int // of each job
	store   *store
	library *library
	room    *room
	stop    context.CancelFunc

	mu        sync.Mutex
	running   int              // cells at this moment
	queue     []*cell          // to be run
	making    map[string]*cell // which cell trains a network that others may share, by the file where it will be
	elsewhere []*cell          // another process has the lease
	summary   Summary
	account   account
	busy      int           // of them those that do not wait for memory
	begun     int           // that have begun to, so far
	ended     chan struct{} // closed when one of them ends
}

func newRun(ctx context.Context, o Options) (*run, error) {
	cells, err := prepareAll(o.Experiment)
	if err != nil {
		return nil, err
	}
	cores := runtime.GOMAXPROCS(0)
	switch {
	case o.Jobs < 0:
		return nil, fmt.Errorf("%d jobs: want 1 or more, or 0 for one per core", o.Jobs)
	case o.Retries < 0:
		return nil, fmt.Errorf("%d retries: want 0 or more", o.Retries)
	case o.Checkpoint < 0:
		return nil, fmt.Errorf("%v between checkpoints: want more than 0s", o.Checkpoint)
	}
	r := &run{Options: o, cells: o.Shard.of(cells), jobs: cmp.Or(o.Jobs, cores)}
	r.library, r.making = newLibrary(o.DataDir), map[string]*cell{}
	r.jobs = max(min(r.jobs, len(r.cells)), 1)
	r.threads = threadsOf(r.jobs)
	r.room = newRoom(o.Memory, r.warn)
	r.store = newStore(o.Out, cmp.Or(o.Checkpoint, time.Minute), r.warn)
	if err := patiently(ctx, r.warn, func() error {
		return os.MkdirAll(filepath.Join(o.Out, results.CellsFolder), 0o755)
	}); err != nil {
		return nil, fmt.Errorf("output folder: %w", err)
	}
	if o.Shard.Count > 0 {
		if err := checkPlan(o.Out, o.Experiment); err != nil {
			return nil, err
		}
	}
	if err := patiently(ctx, r.warn, func() error { return planOf(o.Experiment).write(ctx, o.Out) }); err != nil {
		return nil, err
	}
	return r, r.tidy()
}

// tidy removes what killed runs have left in the folders that processes share. Other leftovers go when a lease on their
// place is taken. The plan has just been written, so its time is that of the file server.
func (r *run) tidy() error {
	info, err := os.Stat(filepath.Join(r.Out, planFile))
	if err != nil {
		return err
	}
	for _, folder := range []string{r.Out, r.store.trainings, r.store.evaluations} {
		err = errors.Join(err, atomicfile.SweepOld(folder, info.ModTime()), lease.SweepOld(filepath.Join(folder, "*lease"), info.ModTime()))
	}
	return err
}

// of returns every Count-th of the cells.
func (s Shard) of(cells []*cell) []*cell {
	if s.Count == 0 {
		return cells
	}
	var part []*cell
	for i, c := range cells {
		if i%s.Count == s.Index {
			part = append(part, c)
		}
	}
	return part
}

// prepareAll prepares the cells of an experiment and reports all that cannot run. They are in the order in which they
// run: by seed, then the longest first.
func prepareAll(e *experiments.Experiment) ([]*cell, error) {
	cells, errs := make([]*cell, len(e.Cells)), make([]error, len(e.Cells))
	all := preparer{}
	for _, c := range e.Cells {
		all.start(c, e.Dataset(c))
	}
	atOnce(len(cells), func(i int) {
		if cells[i], errs[i] = all.prepare(e.Cells[i], e.Dataset(e.Cells[i])); errs[i] != nil {
			errs[i] = fmt.Errorf("%s: %w", e.Path, errs[i])
		}
	})
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.SortStableFunc(cells, func(a, b *cell) int {
		return cmp.Or(cmp.Compare(a.Seed, b.Seed), cmp.Compare(b.planned(), a.planned()))
	})
	return cells, nil
}

// atOnce calls do with 0 to n-1, as many at a time as there are processors.
func atOnce(n int, do func(i int)) {
	var running sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for first := range workers {
		running.Go(func() {
			for i := first; i < n; i += workers {
				do(i)
			}
		})
	}
	running.Wait()
}

// folder is where a cell leaves its files.
func (r *run) folder(c *cell) string { return filepath.Join(r.Out, results.CellsFolder, c.id) }

// pending fills the queue with the cells that have no record, and removes what processes have left beside a record that
// were killed before they could do so. It is an error if there are stale ones and the user has not said what to do with
// them.
func (r *run) pending(ctx context.Context) error {
	states, errs := make([]state, len(r.cells)), make([]error, len(r.cells))
	atOnce(len(r.cells), func(i int) {
		c := r.cells[i]
		if states[i], errs[i] = r.look(c); states[i] == done || states[i] == failed {
			errs[i] = errors.Join(errs[i], r.clear(ctx, c))
		}
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	var stale []error
	for i, c := range r.cells {
		switch states[i] {
		case pending:
			r.queue = append(r.queue, c)
		case failed:
			r.summary.Failed = append(r.summary.Failed, c.id)
		case done:
			r.summary.Before++
		case outdated:
			stale = append(stale, fmt.Errorf("  %s: %s", c.id, c.stale))
		}
	}
	if len(stale) > 0 {
		return fmt.Errorf("these cells have results that do not belong to this run; --accept-stale keeps them, "+
			"--rerun-stale sets them aside and runs the cells again, and so does another --out without a loss:\n%w",
			errors.Join(stale...))
	}
	return nil
}

// clear removes what a process has left beside a record, but not what one uses that is running the cell again.
func (r *run) clear(ctx context.Context, c *cell) error {
	path := filepath.Join(r.folder(c), leaseFolder)
	if _, alive, err := lease.Look(path); err == nil && alive {
		return nil
	}
	return errors.Join(r.removeKept(c), lease.Bury(ctx, path))
}

// state is how a cell stands by its record.
type state int

const (
	pending  state = iota // there is none, or one that does not count
	failed                // it says why
	done                  // it is complete
	outdated              // it is stale, and the user has not said what to do
)

// look reads the record of a cell. A damaged one is set aside, and so is a stale one if the user wants that.
func (r *run) look(c *cell) (state, error) {
	path := filepath.Join(r.folder(c), results.RecordFile)
	record, err := results.ReadCell(r.folder(c))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return pending, nil
	case errors.As(err, new(*results.CorruptError)):
		return pending, r.setAside(path, err)
	case err != nil:
		return pending, err
	}
	if c.stale = staleness(&record.Result, r.library.checksum(c.Dataset)); c.stale != "" && r.Stale != AcceptStale {
		if r.Stale == RefuseStale {
			return outdated, nil
		}
		return pending, r.setAside(path, fmt.Errorf("%s: %s", path, c.stale))
	}
	if record.Result.Failure == nil {
		return done, nil
	}
	if r.Again {
		return pending, nil
	}
	return failed, nil
}

// setAside sets a record aside that does not count.
func (r *run) setAside(path string, why error) error {
	return r.store.setAside(path, why, "running the cell again")
}

// staleness tells why a result does not belong with those that this program would make now from a dataset with the given
// checksum, "" where that is not known.
func staleness(r *results.Result, dataset string) string {
	version := cmp.Or(r.ResultsVersion, 1)
	if version != results.ResultsVersion && (version != 2 || changedSince2(r.Config)) {
		return fmt.Sprintf("made by a program whose numbers are of version %d, those of this one are of version %d",
			version, results.ResultsVersion)
	}
	if dataset != "" && r.DatasetChecksum != dataset {
		return fmt.Sprintf("made from other files of %s: their checksum is %.12s, that of those here %.12s",
			r.Dataset, r.DatasetChecksum, dataset)
	}
	return ""
}

// changedSince2 tells whether version 3 may give a cell other numbers than version 2. It changed slimming where several
// batch norms read a channel, what is inherited behind gates in networks of a description, and the rules of the authors'
// code by which a layer grows and shrinks in one update, without that for its steps.
func changedSince2(config json.RawMessage) bool {
	var c experiments.Cell
	if json.Unmarshal(config, &c) != nil {
		return true
	}
	described := c.Description != ""
	severalNorms := described || strings.HasPrefix(c.Network, "densenet") || strings.HasPrefix(c.Network, "mobilenet") ||
		strings.HasPrefix(c.Network, "mnasnet")
	var rules []string
	if c.Search != nil {
		rules = c.Search.Reference.Names()
	}
	overlap := slices.Contains(rules, "overlap") && slices.Contains(rules, "pairs") && !slices.Contains(rules, "steps")
	return c.Method == "slimming" && severalNorms || c.Prune != nil && described || overlap
}

// prepare opens the data of all cells in the queue, so that nothing is missing after hours, and adds up what there is to
// do.
func (r *run) prepare() error {
	checked := map[string]bool{}
	for _, c := range r.queue {
		images, err := r.library.images(c.Dataset, c.Data)
		if err != nil {
			return err
		}
		if !checked[c.Dataset] {
			if err := images.dataset.CheckTest(); err != nil {
				return err
			}
			checked[c.Dataset] = true
		}
		r.account.total += c.planned()
	}
	return nil
}

// plan.json names the cells that a folder's report has to cover.
type plan struct {
	Name  string   `json:"name"`
	File  string   `json:"file"`
	Cells []string `json:"cells"`
}

const planFile = "plan.json"

func planOf(e *experiments.Experiment) plan {
	p := plan{Name: e.Name, File: filepath.ToSlash(e.Path)}
	for _, c := range e.Cells {
		p.Cells = append(p.Cells, c.ID())
	}
	return p
}

// write notes in the output folder which cells the experiment has.
func (p plan) write(ctx context.Context, out string) error {
	text, err := json.MarshalIndent(p, "", "\t")
	if err != nil {
		return err
	}
	return alone(ctx, out, func() error { return atomicfile.Write(filepath.Join(out, planFile), append(text, '\n')) })
}

// alone lets write put files into the output folder itself, when no other process does, and removes what processes have
// left there that were killed when they did.
func alone(ctx context.Context, out string, write func() error) (err error) {
	_, l, err := lease.Wait(ctx, filepath.Join(out, "report.lease"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Release()) }()
	if err := atomicfile.Sweep(out, ""); err != nil {
		return err
	}
	return write()
}

// readPlan reads the plan in an output folder. The error is fs.ErrNotExist if there is none.
func readPlan(out string) (p plan, err error) {
	path := filepath.Join(out, planFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return p, fmt.Errorf("%s: %w; run the experiment again to write it anew", path, err)
	}
	if p.Name == "" || len(p.Cells) == 0 {
		return p, fmt.Errorf("%s names no experiment, or none of its cells; run the experiment again to write it anew", path)
	}
	return p, nil
}

// checkPlan refuses an experiment whose cells are not those that other shards run: it would be cut into other shards.
func checkPlan(out string, e *experiments.Experiment) error {
	p, err := readPlan(out)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !slices.Equal(p.Cells, planOf(e).Cells) {
		err = fmt.Errorf("%s has other cells than %s, so shards of both would not fit together; if the experiment was "+
			"changed on purpose, remove %[1]s when no shard is running", filepath.Join(out, planFile), e.Path)
	}
	return err
}

// Report writes frames, figures and report of the experiment whose cells are in the folder out, and returns the files. One
// process does so at a time, so that the last one has seen all records. If the disk is full, it tells warn and waits; where
// that is nil, it is an error. Records that cannot be used are named in the report.
func Report(ctx context.Context, out string, warn func(error)) (files []string, err error) {
	if warn == nil {
		return report(ctx, out)
	}
	err = patiently(ctx, warn, func() error {
		files, err = report(ctx, out)
		return err
	})
	return files, err
}

func report(ctx context.Context, out string) (files []string, err error) {
	p, err := readPlan(out)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return nil, err
	}
	if _, none := os.Stat(filepath.Join(out, results.CellsFolder)); missing && none != nil {
		return nil, fmt.Errorf("%s is not an output folder of netadjust run: %w", out, err)
	}
	err = alone(ctx, out, func() error {
		files, err = draw(out, p, missing)
		return err
	})
	return files, err
}

// draw writes the report of a plan, or of all records where it is missing.
func draw(out string, p plan, missing bool) (files []string, err error) {
	all, problems := results.Load(out)
	o := results.Options{Name: p.Name, Command: "netadjust run " + p.File, Problems: problems}
	if missing { // records without a plan, copied from elsewhere
		if len(all) == 0 {
			return nil, fmt.Errorf("%s holds no record and no plan", out)
		}
		o.Name, o.Command = all[0].Result.Experiment, ""
		return results.WriteAll(out, all, o)
	}
	byID := map[string]*results.Record{}
	for _, r := range all {
		byID[r.Result.ID] = r
	}
	var records []*results.Record
	for _, id := range p.Cells {
		if r := byID[id]; r != nil {
			records = append(records, r)
		} else {
			o.Missing = append(o.Missing, id)
		}
	}
	o.Stale = staleAmong(records)
	return results.WriteAll(out, records, o)
}

// staleAmong describes the records that do not belong with the others, or not with what this program would make.
func staleAmong(records []*results.Record) (stale []string) {
	newest := map[string]*results.Record{} // by dataset: what made the latest record counts
	for _, r := range records {
		if n := newest[r.Result.Dataset]; n == nil || n.Run.Start.Before(r.Run.Start) {
			newest[r.Result.Dataset] = r
		}
	}
	for _, r := range records {
		if why := staleness(&r.Result, newest[r.Result.Dataset].Result.DatasetChecksum); why != "" {
			stale = append(stale, r.Result.ID+": "+why)
		}
	}
	return stale
}
