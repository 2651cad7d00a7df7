// Package trial is what a GPU goes through before anybody relies on it: a list of steps that check it and measure it, on
// every layer that drives it. Each step takes minutes at most, and what it found is in a file as soon as it ends, so that
// a trial that was interrupted, or that a broken driver took down, goes on with the step behind.
package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"time"

	"netadjust/internal/atomicfile"
)

// State is how a step stands.
type State string

// The states. A step that is begun and not ended took the program down, or was cut off.
const (
	Begun   State = "begun"
	Passed  State = "passed"
	Failed  State = "failed"
	Skipped State = "skipped"
)

// Step is one step in a record.
type Step struct {
	Name    string          `json:"name"`
	State   State           `json:"state"`
	Reason  string          `json:"reason,omitempty"` // why it failed or was skipped
	Start   time.Time       `json:"start"`
	Seconds float64         `json:"seconds"`
	Result  json.RawMessage `json:"result,omitempty"` // what was measured, also of a step that failed
}

// Record is the file.
type Record struct {
	Version string `json:"version"` // of the program
	Device  string `json:"device"`  // as it was asked for
	Steps   []Step `json:"steps"`
}

// limit is how long a step may take.
const limit = 7 * time.Minute

// skipped is the error of a step that cannot be done here.
type skipped struct{ reason string }

func (s *skipped) Error() string { return s.reason }

// task is a step to be done.
type task struct {
	name string
	do   func(ctx context.Context) (result any, err error)
}

// run does the tasks that a record in a file has not passed yet, and keeps it up to date.
func (r *Record) run(ctx context.Context, file string, tasks []task, limit time.Duration, out io.Writer) error {
	for _, t := range tasks {
		s := r.step(t.name)
		if s.State == Passed {
			fmt.Fprintf(out, "%-40s passed before\n", t.name)
			continue
		}
		if s.State == Begun && s.Reason == "" {
			fmt.Fprintf(out, "%-40s was interrupted or ended the program; once more\n", t.name)
		}
		*s = Step{Name: t.name, State: Begun, Start: time.Now().UTC().Truncate(time.Second)}
		if err := r.write(file); err != nil {
			return err
		}
		s.attempt(ctx, t, limit)
		if ctx.Err() != nil { // it is begun, and done again next time
			return ctx.Err()
		}
		if err := r.write(file); err != nil {
			return err
		}
		fmt.Fprintf(out, "%-40s %s after %.1f s", t.name, s.State, s.Seconds)
		if s.Reason != "" {
			fmt.Fprintf(out, ": %s", s.Reason)
		}
		fmt.Fprintln(out)
	}
	return nil
}

// attempt does a task and notes how it went, unless the context ends.
func (s *Step) attempt(ctx context.Context, t task, limit time.Duration) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	start := time.Now()
	result, err := guarded(limited, t)
	if ctx.Err() != nil {
		return
	}
	s.Seconds = time.Since(start).Seconds()
	s.State = Passed
	if b, marshal := json.Marshal(result); result != nil && marshal == nil {
		s.Result = b
	} else {
		err = errors.Join(err, marshal)
	}
	var skip *skipped
	switch {
	case errors.As(err, &skip):
		s.State, s.Reason = Skipped, err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		s.State, s.Reason = Failed, fmt.Sprintf("not done after %v: %v", limit, err)
	case err != nil:
		s.State, s.Reason = Failed, err.Error()
	}
}

// guarded does a task; a panic is an error.
func guarded(ctx context.Context, t task) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the program has a mistake: %v\n%s", p, debug.Stack())
		}
	}()
	return t.do(ctx)
}

// step returns the step of that name, a new one if there is none. It is good until the next call.
func (r *Record) step(name string) *Step {
	for i := range r.Steps {
		if r.Steps[i].Name == name {
			return &r.Steps[i]
		}
	}
	r.Steps = append(r.Steps, Step{Name: name})
	return &r.Steps[len(r.Steps)-1]
}

// open reads the record that an earlier call has left in a file. It must be of the same program and the same device.
func open(file, version, device string) (*Record, error) {
	r := &Record{Version: version, Device: device}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	var old Record
	if err := json.Unmarshal(text, &old); err != nil {
		return nil, fmt.Errorf("%s is no record of a trial: %w", file, err)
	}
	if old.Version != version || old.Device != device {
		return nil, fmt.Errorf("%s is the record of version %s on %s, and this is version %s on %s: give another --out",
			file, old.Version, old.Device, version, device)
	}
	return &old, nil
}

func (r *Record) write(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(file, append(text, '\n'))
}

// Count returns how many steps are in a state.
func (r *Record) Count(s State) int {
	n := 0
	for _, x := range r.Steps {
		if x.State == s {
			n++
		}
	}
	return n
}
