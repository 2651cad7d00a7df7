package harness

import (
	"context"
	"encoding/json"
	"path/filepath"

	"netadjust/internal/train"
)

// looks are the evaluations of the networks that the search of a cell has cut out of trained ones, and what its method has
// computed itself. They are many and short, so they are kept together, from time to time, in the cell's folder.
type looks struct {
	store  *store
	folder string
	keep   *train.Partial
	known  map[string]json.RawMessage // by what they are of; nil: not read yet
	fresh  bool                       // something has become known by this run
}

// looks returns those of a cell. Ones that another dataset, device or version has made are not used.
func (w *worker) looks(c *cell, dataset string) *looks {
	folder, of := w.folder(c), keyOf(finalOf(c, nil, dataset, w.dev.Info()))
	return &looks{store: w.store, folder: folder, keep: w.store.partial(filepath.Join(folder, looksFile), of)}
}

// Files of a search in the folder of its cell, while it is under way.
const (
	looksFile      = "looks"      // evaluations that are complete
	lookFile       = "look"       // the one at hand
	statisticsFile = "statistics" // of batch norm, that are being estimated for it
)

// recall reads what of, an evaluation or a name, gave into value, a pointer, or lets run put it there.
func (l *looks) recall(ctx context.Context, of, value any, run func(keep *train.Partial) error) error {
	if l.known == nil {
		l.known = map[string]json.RawMessage{}
		if err := l.keep.Restore(&l.known); err != nil {
			return fatal{err}
		}
	}
	defer l.keep.Keep(ctx, &l.known)
	key := keyOf(of)
	if text, ok := l.known[key]; ok {
		return json.Unmarshal(text, value)
	}
	if err := run(l.partial(lookFile, key)); err != nil {
		return err
	}
	if text, err := json.Marshal(value); err == nil { // a loss that is no number, which JSON does not have, is not kept
		l.known[key], l.fresh = text, true
	}
	return nil
}

// end keeps all that is known when the search is over, since nothing asks for it while the network is trained.
func (l *looks) end(ctx context.Context) {
	if l.fresh {
		l.keep.Write(ctx, &l.known)
	}
}

func (l *looks) partial(file, of string) *train.Partial {
	return l.store.partial(filepath.Join(l.folder, file), of)
}
