package cpu

import (
	"sync"
	"sync/atomic"
)

// slots is the number of parts that a batch is cut into. It is fixed, since sums over a batch are made per slot and then
// in slot order; eight keep eight threads busy.
const slots = 8

// pool runs slots on a fixed set of workers, the calling goroutine among them.
type pool struct {
	threads int
	work    func(slot, worker int)
	next    atomic.Int64
	limit   int64
	start   []chan struct{} // one per further worker
	done    sync.WaitGroup
}

func newPool(threads int) *pool {
	p := &pool{threads: threads, start: make([]chan struct{}, threads-1)}
	for i := range p.start {
		start := make(chan struct{})
		p.start[i] = start
		go func() {
			for range start {
				p.claim(i + 1)
				p.done.Done()
			}
		}()
	}
	return p
}

// run calls work for every slot below n and returns when all calls have returned.
func (p *pool) run(n int, work func(slot, worker int)) {
	helpers := min(n, p.threads) - 1
	if helpers <= 0 {
		for slot := range n {
			work(slot, 0)
		}
		return
	}
	p.work, p.limit = work, int64(n)
	p.next.Store(0)
	p.done.Add(helpers)
	for i := range helpers {
		p.start[i] <- struct{}{}
	}
	p.claim(0)
	p.done.Wait()
}

func (p *pool) claim(worker int) {
	for slot := p.next.Add(1) - 1; slot < p.limit; slot = p.next.Add(1) - 1 {
		p.work(int(slot), worker)
	}
}

func (p *pool) close() {
	for _, c := range p.start {
		close(c)
	}
	p.start = nil
	p.threads = 1
}

// part returns the share [from, to) of n images that one of k slots has.
func part(slot, k, n int) (from, to int) { return slot * n / k, (slot + 1) * n / k }
