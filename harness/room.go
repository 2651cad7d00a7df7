package harness

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"netadjust/internal/device"
	"netadjust/internal/host"
	"netadjust/internal/train"
)

// room lets cells run at the same time as long as there is memory for all of them, by estimates: one that does not fit
// beside those that run waits until another has ended, so that there are fewer jobs for a while rather than none.
type room struct {
	memory func() (host.Memory, bool)
	own    func() int64 // memory that the process has from the system
	warn   func(error)

	mu      sync.Mutex
	base    int64 // own memory when no cell was running
	needs   map[*cell]int64
	known   memories
	changed chan struct{} // closed when a cell has ended
}

// newRoom makes one in the memory of a card, or of the machine if that is 0. A card does not tell what else is on it.
func newRoom(card int64, warn func(error)) *room {
	r := &room{
		memory: host.ReadMemory, own: ownMemory, warn: warn,
		needs: map[*cell]int64{}, known: memories{}, changed: make(chan struct{}),
	}
	if card > 0 {
		r.memory = func() (host.Memory, bool) { return host.Memory{Total: card, Free: card}, true }
		r.own = func() int64 { return 0 }
	}
	return r
}

func ownMemory() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys - m.HeapReleased)
}

// usable is the share of the free memory that estimates may fill.
const usable = 0.9

// enter waits until there is memory for a cell. It tells whether it did so to the end; if so, the cell has to leave.
func (r *room) enter(ctx context.Context, c *cell) bool {
	r.mu.Lock()
	need := r.known.of(c)
	r.mu.Unlock()
	for warned := false; ctx.Err() == nil; {
		r.mu.Lock()
		free, fits := r.fits(need)
		if fits || len(r.needs) == 0 {
			r.needs[c] = need
			r.mu.Unlock()
			if !fits {
				r.warn(fmt.Errorf("%s needs about %d MiB of memory, %d MiB are free; trying", c.id, need>>20, free>>20))
			}
			return true
		}
		changed := r.changed
		r.mu.Unlock()
		if !warned {
			r.warn(fmt.Errorf("%s needs about %d MiB of memory, %d MiB are free: it waits until another cell has ended",
				c.id, need>>20, free>>20))
			warned = true
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return false
}

// fits tells whether a cell does beside those that run, and what is free beside them. What the process has taken since
// it began to run cells is theirs.
func (r *room) fits(need int64) (free int64, ok bool) {
	m, known := r.memory()
	if !known {
		return 0, true
	}
	if len(r.needs) == 0 {
		r.base = r.own()
	}
	free = int64(usable * float64(m.Free+max(r.own()-r.base, 0)))
	for _, n := range r.needs {
		free -= n
	}
	return max(free, 0), need <= free
}

// leave makes room for others.
func (r *room) leave(c *cell) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.needs, c)
	close(r.changed)
	r.changed = make(chan struct{})
}

// memories are what trainings need, by network, widths and recipe, which many cells share.
type memories map[string]int64

// of estimates what a cell needs: the most that one of its trainings does whose widths are known, twice, since what a
// training leaves behind is collected when as much again is wanted.
func (m memories) of(c *cell) int64 {
	most := m.training(c, c.start, c.recipe)
	if work, err := c.method.Plan(c.problem); err == nil {
		for _, w := range work {
			if w.Training.Channels != nil {
				of := contentOf(c, w.Training, "", device.Info{})
				most = max(most, m.training(c, of.Channels, of.Recipe))
			}
		}
	}
	return 2 * most
}

func (m memories) training(c *cell, channels []int, recipe train.Recipe) int64 {
	key := keyOf(content{Network: c.problem.Network.Spec, Channels: channels, Recipe: recipe})
	if _, ok := m[key]; !ok {
		m[key], _ = train.Memory(c.problem.Network, channels, recipe) // 0 if that fails: the cell will say why
	}
	return m[key]
}
