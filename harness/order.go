package harness

import (
	"context"
	"maps"
	"os"
	"slices"
)

// next takes a cell from the queue. When that is empty it looks again at the cells of other processes, which are done
// some time, or left. It returns nil if there is nothing left to do.
func (w *worker) next(ctx context.Context) *cell {
	for ctx.Err() == nil {
		w.mu.Lock()
		if len(w.queue) > 0 {
			defer w.mu.Unlock()
			return w.pick()
		}
		waiting := len(w.elsewhere)
		w.mu.Unlock()
		if waiting == 0 || !sleep(ctx, pause) {
			return nil
		}
		w.mu.Lock()
		w.queue, w.elsewhere = append(w.queue, w.elsewhere...), nil
		w.mu.Unlock()
	}
	return nil
}

// pick takes the first cell that would not wait for a network that a running cell trains, or the first if all would.
func (w *worker) pick() *cell {
	at := slices.IndexFunc(w.queue, func(c *cell) bool {
		return !slices.ContainsFunc(w.missing(c), func(path string) bool { return w.making[path] != nil })
	})
	at = max(at, 0)
	c := w.queue[at]
	w.queue = slices.Delete(w.queue, at, at+1)
	for _, path := range w.missing(c) {
		if w.making[path] == nil {
			w.making[path] = c
		}
	}
	return c
}

// missing is where the networks will be that a cell is known to train in its search and that nobody has trained yet.
func (w *worker) missing(c *cell) (paths []string) {
	work, err := c.method.Plan(c.problem)
	if err != nil {
		return nil // the cell will say why
	}
	for _, u := range work {
		if u.Training.Channels == nil {
			continue
		}
		path := w.store.path(contentOf(c, u.Training, w.library.checksum(c.Dataset), w.dev.Info()))
		if _, err := os.Stat(path); err != nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// quit lets others train what a cell has not, whose run has ended.
func (r *run) quit(c *cell) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.making, func(_ string, by *cell) bool { return by == c })
}
