package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"netadjust/internal/atomicfile"
	"netadjust/internal/safetensors"
)

// Partial keeps on disk what a long measurement has added up so far, so that it goes on from there after an
// interruption. Sums are added up in a fixed order and kept to the last bit, so the result is the same. A nil Partial
// keeps nothing.
type Partial struct {
	Path string // of the file
	Of   string // names the measurement, with all that its numbers follow from; sums of another one are not used
	Pace
}

// keySums is the metadata that hold the sums, as JSON.
const keySums = "sums"

// Restore reads the sums that an interrupted run has left into sums, a pointer, if there are any.
func (p *Partial) Restore(sums any) error {
	if p == nil {
		return nil
	}
	p.begin()
	f, err := safetensors.Read(p.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, safetensors.ErrDamaged):
		aside, moveErr := atomicfile.SetAside(p.Path)
		p.Warn(errors.Join(fmt.Errorf("%w; set aside as %s", err, filepath.Base(aside)), moveErr))
		return nil
	case err != nil:
		return err
	case f.Metadata[keyOf] != p.Of:
		return nil // of another candidate
	}
	if err := json.Unmarshal([]byte(f.Metadata[keySums]), sums); err != nil {
		return fmt.Errorf("%s: %w; remove it", p.Path, err)
	}
	return nil
}

// Keep writes the sums if that is due, or if the measurement is told to stop.
func (p *Partial) Keep(ctx context.Context, sums any) {
	if p != nil && (p.due() || ctx.Err() != nil) {
		p.Write(ctx, sums)
	}
}

// Write writes the sums.
func (p *Partial) Write(ctx context.Context, sums any) {
	text, err := json.Marshal(sums)
	if err != nil {
		return // a loss that is no number, which JSON does not have, ends the search anyhow
	}
	f := safetensors.File{Metadata: map[string]string{keyOf: p.Of, keySums: string(text)}}
	p.write(ctx, func() error {
		if err := os.MkdirAll(filepath.Dir(p.Path), 0o755); err != nil {
			return err
		}
		return f.Write(p.Path)
	})
}

// Remove removes the file, when the result is kept elsewhere.
func (p *Partial) Remove() error {
	if err := os.Remove(p.Path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Pace tells when to write to disk again.
type Pace struct {
	Every time.Duration       // at most so much time is between twice, or up to twice as much where writing takes long
	Warn  func(error)         // is told of what cannot be written or read: the work is none the worse for it
	Wrote func(time.Duration) // if set, is told how long writing has taken
	// Try, if set, writes, and may do so again if that fails for a reason that passes.
	Try func(ctx context.Context, write func() error) error

	last time.Time     // when something was written, or the work began
	cost time.Duration // of writing the last time
}

// assumedCost is what writing takes as long as nothing has been written.
const assumedCost = 20 * time.Millisecond

func (p *Pace) begin() { p.last, p.cost = time.Now(), assumedCost }

// slow is the time of which writing once takes a fiftieth.
func (p *Pace) slow() time.Duration { return 50 * p.cost }

func (p *Pace) due() bool { return time.Since(p.last) >= min(max(p.Every, p.slow()), 2*p.Every) }

// write lets something be written, and tells whether it was.
func (p *Pace) write(ctx context.Context, write func() error) bool {
	timed := func() error {
		start := time.Now()
		defer func() { p.cost = time.Since(start) }()
		return write()
	}
	var err error
	if p.Try == nil {
		err = timed()
	} else {
		err = p.Try(ctx, timed)
	}
	p.last = time.Now()
	if p.Wrote != nil {
		p.Wrote(p.cost)
	}
	if err != nil {
		p.Warn(fmt.Errorf("no checkpoint: %w", err))
	}
	return err == nil
}
