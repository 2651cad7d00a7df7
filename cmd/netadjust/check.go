package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"netadjust/internal/data"
	"netadjust/internal/trial"
)

// checkCommand runs the table of operations that every device must pass, or with --all everything that a new card has
// to go through.
func checkCommand(a *app, f *flags) error {
	deviceName := f.device()
	all := f.Bool("all", false, "go through everything that tells whether a GPU can be relied on, and how fast it is, and "+
		"keep what came out in a record; an interrupted call goes on where it was")
	out := f.String("out", "", "`FILE` of the record that --all writes (default: gpu-check.json)")
	dataDir := f.data()
	f.json()
	if _, err := f.parse(); err != nil {
		return err
	}
	if *all {
		return checkAll(a, f, *deviceName, cmp.Or(*out, "gpu-check.json"), data.Dir(*dataDir))
	}
	if *out != "" {
		return failf(exitUsage, "--out is where --all writes its record")
	}
	choice, err := openDevice(*deviceName)
	if err != nil {
		return err
	}
	dev, err := choice.open(0)
	if err != nil {
		return err
	}
	defer dev.Close()
	if !*f.asJSON {
		fmt.Fprintf(a.stdout, "%s (%s)\n%-28s %5s  %s\n", dev.Info().Name, dev.Info().Kernels, "operation", "cases",
			"worst error")
	}
	failed, cases := 0, 0
	list, err := trial.Operations(a.ctx, dev, func(c trial.Checked) {
		failed += len(c.Failures)
		cases += c.Cases
		if !*f.asJSON {
			printChecked(a.stdout, c)
		}
	})
	if err != nil {
		return err
	}
	if err := f.print(list, func(io.Writer) {}); err != nil {
		return err
	}
	if failed > 0 {
		return failf(exitFailed, "%d of %d operations failed on %s", failed, cases, dev.Info().Name)
	}
	return nil
}

func printChecked(w io.Writer, c trial.Checked) {
	verdict := "pass"
	if len(c.Failures) > 0 {
		verdict = "FAIL"
	}
	fmt.Fprintf(w, "%-28s %5d  %11.1e  %s\n", c.Operation, c.Cases, c.Worst, verdict)
	for _, text := range c.Failures {
		fmt.Fprintln(w, "  "+text)
	}
}

func checkAll(a *app, f *flags, deviceName, record, dataDir string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	progress := a.stdout
	if *f.asJSON {
		progress = a.stderr
	}
	r, err := trial.Run(a.ctx, trial.Options{
		Device: deviceName, Record: record, Program: program, Data: dataDir, Version: version, Progress: progress,
	})
	if r == nil {
		return failf(exitUsage, "%w", err)
	}
	if a.ctx.Err() != nil {
		return failf(exitStopped, "stopped; what is done is in %s, and the same command goes on from there", record)
	}
	if err != nil {
		return err
	}
	if path, err := filepath.Abs(record); err == nil {
		record = path
	}
	if err := f.print(r, func(w io.Writer) {
		fmt.Fprintf(w, "%d steps passed, %d failed, %d were skipped; the record is %s\n", r.Count(trial.Passed),
			r.Count(trial.Failed), r.Count(trial.Skipped), record)
	}); err != nil {
		return err
	}
	if n := r.Count(trial.Failed); n > 0 {
		return failf(exitFailed, "%d steps failed on %s", n, deviceName)
	}
	return nil
}
