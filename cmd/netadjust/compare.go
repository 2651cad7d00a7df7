package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"netadjust/results"
	"netadjust/results/gate"
)

// exitNotComparable is the exit code of compare if cells are missing or damaged, or none has a counterpart.
const exitNotComparable = 3

func compareCommand(a *app, f *flags) error {
	accuracy := f.String("accuracy", "0.5pp", "top-1 that a method may lose, in percentage `points`")
	speed := f.String("speed", "", "slowdown that is allowed, in `percent`; more is a regression (default: a warning "+
		"beyond 5%)")
	f.json()
	args, err := f.parse()
	if err != nil {
		return err
	}
	limits, err := limitsOf(*accuracy, *speed)
	if err != nil {
		return err
	}
	var runs [2][]*results.Record
	var damaged []error
	for i, dir := range args {
		if _, err := os.Stat(dir); err != nil {
			return failf(exitUsage, "%w; want an output folder of netadjust run", err)
		}
		records, errs := results.Load(dir)
		runs[i], damaged = records, append(damaged, errs...)
	}
	r := gate.Compare(runs[0], runs[1], damaged, limits)
	if err := f.print(r, func(w io.Writer) { fmt.Fprint(w, r.Markdown()) }); err != nil {
		return err
	}
	switch {
	case r.Verdict == gate.Regression:
		return failf(exitFailed, "%s is worse than %s", args[1], args[0])
	case r.Verdict == gate.NotComparable:
		return failf(exitNotComparable, "%s and %s cannot be compared, see the findings; if the experiment has changed, record "+
			"the base anew", args[1], args[0])
	}
	return nil
}

// limitsOf reads the flags of compare.
func limitsOf(accuracy, speed string) (gate.Limits, error) {
	l := gate.Limits{Speed: 0.05, JudgeSpeed: speed != ""}
	var ok bool
	if l.Accuracy, ok = withUnit(accuracy, "pp"); !ok {
		return l, failf(exitUsage, "--accuracy %q: want percentage points from 0 to 100, as in 0.5pp", accuracy)
	}
	if l.JudgeSpeed {
		if l.Speed, ok = withUnit(speed, "%"); !ok {
			return l, failf(exitUsage, "--speed %q: want percent from 0 to 100, as in 5%%", speed)
		}
		l.Speed /= 100
	}
	return l, nil
}

// withUnit reads a number from 0 to 100 with or without its unit.
func withUnit(text, unit string) (float64, bool) {
	v, err := strconv.ParseFloat(strings.TrimSuffix(text, unit), 64)
	return v, err == nil && v >= 0 && v <= 100
}
