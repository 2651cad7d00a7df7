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
	"netadjust/internal/vm"
)

// Checkpoints keep a training on disk, so that it goes on after an interruption as if there had been none: all tensors of
// its state, and how far it is. Everything random follows from the training's stream and the position. The last two are
// kept, in the files Path-0.safetensors and Path-1.safetensors, and the one that is further counts.
//
// One is written when Pace says so, when the training is told to stop, and after an epoch as long as writing takes less
// than a fiftieth of the time.
type Checkpoints struct {
	Path  string
	Of    string         // names the training, with all that its numbers follow from; files of another one are not used
	Watch func(Progress) // if set, is told of every step
	Pace

	saved position // of the last one
	next  int      // the file to write next
}

// Progress is how far an epoch of a training is: its images so far, and the means over them.
type Progress struct {
	Epoch, Images int // epochs count from 0
	Loss, Top1    float64
}

// Metadata of checkpoints.
const (
	keyOf       = "training"
	keyPosition = "position"
)

// position is how far a training is.
type position struct {
	Epochs  []Epoch // the complete ones
	Step    int     // of the next one
	Loss    float64 // sum over the images of these steps
	Correct int     // of these images
}

func (p position) before(q position) bool {
	return len(p.Epochs) < len(q.Epochs) || len(p.Epochs) == len(q.Epochs) && p.Step < q.Step
}

func (k *Checkpoints) path(i int) string { return fmt.Sprintf("%s-%d.safetensors", k.Path, i) }

// restore sets state and position to those of the checkpoint that is further, if there is one. A damaged one is set aside.
func (k *Checkpoints) restore(state *vm.State) (position, error) {
	k.begin()
	var found *safetensors.File
	for i := range 2 {
		f, p, err := k.read(k.path(i))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, safetensors.ErrDamaged):
			aside, moveErr := atomicfile.SetAside(k.path(i))
			k.Warn(errors.Join(fmt.Errorf("%w; set aside as %s", err, filepath.Base(aside)), moveErr))
		case err != nil:
			k.Warn(err)
		case k.saved.before(p):
			found, k.saved, k.next = f, p, 1-i
		}
	}
	if found == nil {
		return position{}, nil
	}
	return k.saved, load(state, found)
}

// read reads a checkpoint. It is an error if it is of another training.
func (k *Checkpoints) read(path string) (*safetensors.File, position, error) {
	var p position
	f, err := safetensors.Read(path)
	if err != nil {
		return nil, p, err
	}
	if of := f.Metadata[keyOf]; of != k.Of {
		return nil, p, fmt.Errorf("%s is a checkpoint of another training or device (%s, not %s); starting again",
			path, of, k.Of)
	}
	if err := json.Unmarshal([]byte(f.Metadata[keyPosition]), &p); err != nil {
		return nil, p, fmt.Errorf("%s: %w: position: %w", path, safetensors.ErrDamaged, err)
	}
	return f, p, nil
}

func load(state *vm.State, f *safetensors.File) error {
	for _, name := range state.Names() {
		values, err := f.Float32(name, state.Tensor(name).Shape()...)
		if err != nil {
			return err
		}
		if err := state.Write(name, values); err != nil {
			return err
		}
	}
	return nil
}

// due tells whether to write a checkpoint now, between two steps or after an epoch.
func (k *Checkpoints) due(epochEnded bool) bool {
	return k.Pace.due() || epochEnded && time.Since(k.last) >= k.slow()
}

// save writes a checkpoint, unless nothing has been done since the last one.
func (k *Checkpoints) save(ctx context.Context, state *vm.State, at position) {
	if !k.saved.before(at) {
		return
	}
	if k.Pace.write(ctx, func() error { return k.write(state, at) }) {
		k.next, k.saved = 1-k.next, at
	}
}

func (k *Checkpoints) write(state *vm.State, at position) error {
	text, err := json.Marshal(at)
	if err != nil {
		return err
	}
	f := safetensors.File{Metadata: map[string]string{keyOf: k.Of, keyPosition: string(text)}}
	for _, name := range state.Names() {
		values, err := state.Read(name)
		if err != nil {
			return err
		}
		f.Tensors = append(f.Tensors, safetensors.Tensor{Name: name, Shape: state.Tensor(name).Shape(), Data: values})
	}
	if err := os.MkdirAll(filepath.Dir(k.Path), 0o755); err != nil {
		return err
	}
	return f.Write(k.path(k.next))
}

// Remove removes the files, when what the training gave is kept elsewhere.
func (k *Checkpoints) Remove() error {
	var errs []error
	for i := range 2 {
		if err := os.Remove(k.path(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
