package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"

	"netadjust/experiments"
	"netadjust/harness"
	"netadjust/internal/atomicfile"
	"netadjust/internal/data"
	"netadjust/internal/progress"
	"netadjust/results"
	"netadjust/results/reproduced"
)

func runCommand(a *app, f *flags) error {
	out := f.String("out", "", "output `DIR` (default: out/ and the experiment's name)")
	deviceName := f.device()
	o := harness.Options{Version: version}
	dataDir := f.data()
	jobs := f.Int("jobs", 0, "cells to run at the same time (default: one per core or fewer, as is fastest, or one on a GPU)")
	f.Func("shard", "run the cells of part `I/N`, from 0/N; N processes with one output folder run all", o.Shard.Set)
	f.DurationVar(&o.Checkpoint, "checkpoint", time.Minute, "`TIME` between checkpoints, twice that where writing one is slow")
	f.IntVar(&o.Retries, "retries", 0, "times that a cell is tried again that fails for a reason that may pass")
	f.BoolVar(&o.Again, "retry-failed", false, "run the cells again that failed in an earlier run")
	f.BoolVar(&o.FailFast, "fail-fast", false, "stop as soon as a cell fails")
	accept := f.Bool("accept-stale", false, "keep results that other numbers or data have made; the report says so")
	rerun := f.Bool("rerun-stale", false, "set such results aside and run their cells again")
	quiet := f.Bool("quiet", false, "show failures and warnings only")
	set := f.set()
	f.json()
	args, err := f.parse()
	if err != nil {
		return err
	}
	switch {
	case *accept && *rerun:
		return failf(exitUsage, "--accept-stale and --rerun-stale: want one of them")
	case *accept:
		o.Stale = harness.AcceptStale
	case *rerun:
		o.Stale = harness.RerunStale
	}
	e, dev, err := load(args[0], *deviceName, *dataDir, *set...)
	if err != nil {
		return err
	}
	o.Experiment, o.Device, o.Memory, o.Jobs = e, dev.open, dev.memory, dev.jobs(*jobs)
	o.Out, o.DataDir = cmp.Or(*out, filepath.Join("out", e.Name)), data.Dir(*dataDir)
	o.Progress = newPrinter(a, *f.asJSON, *quiet)
	defer o.Progress.Close()
	summary, err := harness.Run(a.ctx, o)
	switch {
	case err != nil && a.ctx.Err() != nil && !summary.Stopped:
		return failf(exitStopped, "stopped before anything was run; the same command begins again")
	case err != nil && !summary.Stopped:
		return err // nothing has been run
	}
	var files []string
	if err == nil {
		files, err = harness.Report(a.ctx, o.Out, func(err error) {
			o.Progress.Print(progress.Event{Kind: progress.Warning, Message: err.Error()})
		})
		if summary.Stopped && errors.Is(err, context.Canceled) {
			err = nil // another process is at it, and there is no time to wait
		}
	}
	if err != nil {
		return failf(exitStopped, "%w\nfinished cells are kept in %s; the same command goes on from there", err, o.Out)
	}
	if !*f.asJSON {
		fmt.Fprintf(a.stdout, "%d cells finished now, %d before, %d failed\n", summary.Done, summary.Before,
			len(summary.Failed))
		if !*quiet {
			printFiles(a.stdout, files)
		}
	}
	return outcome(summary, o)
}

// outcome is the error of a run that is not complete.
func outcome(s harness.Summary, o harness.Options) error {
	if len(s.Failed) > 0 && (o.FailFast || !s.Stopped) {
		return failf(exitFailed, "these cells failed; their records and logs in %s say why, and --retry-failed runs them "+
			"again:\n  %s", filepath.Join(o.Out, "cells"), strings.Join(s.Failed, "\n  "))
	}
	if s.Stopped {
		return failf(exitStopped, "stopped; finished cells are kept in %s, and the same command goes on from there", o.Out)
	}
	return nil
}

// load reads an experiment, whose datasets are known or in the data folder that the flag names, and chooses the device
// to run it on.
func load(path, deviceName, dataDir string, set ...string) (*experiments.Experiment, *chosen, error) {
	e, err := experiments.Load(path, harness.Catalog(data.Dir(dataDir)), set...)
	if err != nil {
		return nil, nil, err
	}
	dev, err := openDevice(deviceName)
	return e, dev, err
}

// newPrinter shows progress on standard error, so that standard output holds results only; JSON events are the result.
func newPrinter(a *app, asJSON, quiet bool) progress.Printer {
	if asJSON {
		return progress.NewJSON(a.stdout)
	}
	if quiet {
		return progress.NewQuiet(a.stderr)
	}
	file, ok := a.stderr.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return progress.NewText(a.stderr, nil)
	}
	return progress.NewText(file, func() (columns, rows int) {
		columns, rows, err := term.GetSize(int(file.Fd()))
		if err != nil {
			return 80, 24
		}
		return columns, rows
	})
}

func printFiles(w io.Writer, files []string) {
	for _, file := range files {
		fmt.Fprintln(w, file)
	}
}

func reportCommand(a *app, f *flags) error {
	readme := f.Bool("readme", false, "also write README.md: what was run, where and on what, from the records")
	f.json()
	args, err := f.parse()
	if err != nil {
		return err
	}
	files, err := harness.Report(a.ctx, args[0], nil)
	if err != nil {
		return err
	}
	if *readme {
		file, err := writeReadme(args[0])
		if err != nil {
			return err
		}
		files = append(files, file)
	}
	if err := f.print(files, func(w io.Writer) { printFiles(w, files) }); err != nil {
		return err
	}
	if _, unusable := results.Load(args[0]); len(unusable) > 0 {
		return failf(exitFailed, "the report is without records that cannot be used; run the experiment again, or remove "+
			"them: %w", errors.Join(unusable...))
	}
	return nil
}

// writeReadme writes what was run into the output folder out, and returns the file.
func writeReadme(out string) (string, error) {
	s, err := harness.ReadStatus(out, data.Dir(""), false)
	if err != nil {
		return "", err
	}
	run := reproduced.Run{Name: s.Name, Command: "netadjust run " + s.File, Cells: len(s.Cells)}
	for _, c := range s.Cells {
		r, err := results.ReadCell(filepath.Join(out, results.CellsFolder, c.ID))
		switch {
		case err == nil:
			run.Records = append(run.Records, r)
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
	}
	file := filepath.Join(out, "README.md")
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return file, atomicfile.Write(file, []byte(reproduced.Readme(run, string(old))))
}

func planCommand(a *app, f *flags) error {
	deviceName := f.device()
	dataDir := f.data()
	jobs := f.Int("jobs", 0, "cells that will run at the same time (default: one per core, or one on a GPU)")
	ids := f.Bool("ids", false, "print the ids of the cells alone, in the order in which they run")
	set := f.set()
	f.json()
	args, err := f.parse()
	if err != nil {
		return err
	}
	e, dev, err := load(args[0], *deviceName, *dataDir, *set...)
	if err != nil {
		return err
	}
	p, err := harness.MakePlan(e)
	if err != nil {
		return err
	}
	if *ids {
		for _, c := range p.Cells {
			fmt.Fprintln(a.stdout, c.ID)
		}
		return nil
	}
	if *jobs < 0 {
		return failf(exitUsage, "--jobs %d: want 1 or more, or 0 for one per core", *jobs)
	}
	n := dev.jobs(*jobs)
	if n == 0 {
		if n, err = harness.Jobs(a.ctx, e, dev.open); err != nil {
			return err
		}
	}
	estimate, err := harness.Estimate(a.ctx, e, p, n, dev.open)
	if err != nil {
		return err
	}
	timed := struct {
		*harness.Plan
		EstimatedSeconds float64 `json:"estimated_seconds"`
	}{p, estimate.Seconds()}
	if err := f.print(timed, func(w io.Writer) { printPlan(w, p, estimate.Seconds()) }); err != nil {
		return err
	}
	var errs []error
	for _, c := range p.Cells {
		if c.Problem != "" {
			errs = append(errs, fmt.Errorf("%s will fail: %s", c.ID, c.Problem))
		}
	}
	return errors.Join(errs...)
}

func printPlan(w io.Writer, p *harness.Plan, seconds float64) {
	fmt.Fprintf(w, "%-72s %12s %16s %14s\n", "cell", "MFLOPs", "training images", "total GFLOPs")
	for _, c := range p.Cells {
		fmt.Fprintf(w, "%-72s %12.3f %16d %14.1f\n", c.ID, float64(c.BudgetFLOPs)/1e6,
			c.Search.BackwardImages+c.Final.BackwardImages, float64(c.Search.FLOPs+c.Final.FLOPs)/1e9)
	}
	fmt.Fprintf(w, "\n%d cells, %d training images, %.1f GFLOPs (multiply-adds) with shared trainings counted once\n",
		len(p.Cells), p.TrainingImages, p.GFLOPs)
	fmt.Fprintf(w, "about %s on this machine\n", progress.Duration(seconds))
}
