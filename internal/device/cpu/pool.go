package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// slots is the number of parts that a batch is cut into. It is fixed, since sums over a batch are made per slot and then
// in slot order; eight keep eight threads busy.
const slots = 8

// patience is how long a worker that has nothing to do looks for work before it sleeps. Phases follow each other faster
// than that, and waking a thread takes longer than many a phase.
const patience = time.Millisecond

// lookout is how often a worker looks for work before it lets others run: there may be more workers than cores.
const lookout = 256

// pool runs slots on a fixed set of workers, the calling goroutine among them.
type pool struct {
	threads int
	work    func(slot, worker int)
	limit   int64
	next    atomic.Int64
	turn    atomic.Int64 // raised when there is work, or no more
	busy    atomic.Int64 // helpers that are not through yet
	mu      sync.Mutex
	wake    *sync.Cond
	asleep  int // helpers
	closed  bool
}

func newPool(threads int) *pool {
	p := &pool{threads: threads}
	p.wake = sync.NewCond(&p.mu)
	for i := 1; i < threads; i++ {
		go p.help(i)
	}
	return p
}

// help is the life of a worker other than the caller.
func (p *pool) help(worker int) {
	for turn := int64(1); ; turn++ {
		p.await(turn)
		if p.closed {
			return
		}
		p.claim(worker)
		p.busy.Add(-1)
	}
}

// await returns when the turn has come.
func (p *pool) await(turn int64) {
	start := time.Now()
	for i := 1; p.turn.Load() < turn; i++ {
		if i%lookout != 0 {
			continue
		}
		if runtime.Gosched(); time.Since(start) > patience {
			p.mu.Lock()
			for p.turn.Load() < turn {
				p.asleep++
				p.wake.Wait()
				p.asleep--
			}
			p.mu.Unlock()
		}
	}
}

// next turn wakes the helpers.
func (p *pool) nextTurn() {
	p.turn.Add(1)
	p.mu.Lock()
	if p.asleep > 0 {
		p.wake.Broadcast()
	}
	p.mu.Unlock()
}

// run calls work for every slot below n and returns when all calls have returned.
func (p *pool) run(n int, work func(slot, worker int)) {
	if n <= 1 || p.threads == 1 {
		for slot := range n {
			work(slot, 0)
		}
		return
	}
	p.work, p.limit = work, int64(n)
	p.next.Store(0)
	p.busy.Store(int64(p.threads - 1))
	p.nextTurn()
	p.claim(0)
	for i := 1; p.busy.Load() > 0; i++ {
		if i%lookout == 0 {
			runtime.Gosched()
		}
	}
}

func (p *pool) claim(worker int) {
	for slot := p.next.Add(1) - 1; slot < p.limit; slot = p.next.Add(1) - 1 {
		p.work(int(slot), worker)
	}
}

func (p *pool) close() {
	if !p.closed {
		p.closed = true
		p.nextTurn()
	}
	p.threads = 1
}

// part returns the share [from, to) of n images that one of k slots has.
func part(slot, k, n int) (from, to int) { return slot * n / k, (slot + 1) * n / k }
