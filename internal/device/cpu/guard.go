//go:build guard && (linux || darwin)

package cpu

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
	"weak"
)

// A build with the tag guard watches over the device's memory, at the price of time and memory. Every buffer, and every
// value of a program, ends where a page begins that nothing may touch: what reads or writes behind it stops the program
// with a trace of the kernel. The space before it, in its first page, holds canaries, which are checked after each run.
// Values share no memory, and are filled with NaNs before each run, or each chunk where they live in one: what reads an
// element that this run has not written passes the NaN on.

// canary is a NaN: what reads one by mistake passes it on, and what writes over one is found out.
var canary = math.Float32frombits(0x7fc0dead)

var pageSize = os.Getpagesize()

// allocate returns n zeros.
func allocate[T float32 | float64](n int) []T {
	var zero T
	size := n * int(unsafe.Sizeof(zero))
	b := pages(size + 64) // a cache line of canaries at least
	front := len(b) - size
	watch(b[:front])
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&b[front])), n)
}

// aligned allocates memory that begins at a cache line. The floats that it takes to end at one, too, are not watched.
func aligned(n int) []float32 { return allocate[float32](align(n))[:n:n] }

// pages returns as many pages of zeros as hold size bytes, before an inaccessible one. The garbage collector has them
// back as ordinary memory.
func pages(size int) []byte {
	inside := (size + pageSize - 1) / pageSize * pageSize
	b := make([]byte, inside+2*pageSize)
	start := 0
	if past := int(uintptr(unsafe.Pointer(&b[0])) % uintptr(pageSize)); past > 0 {
		start = pageSize - past
	}
	end := start + inside
	protect(b[end:end+pageSize], syscall.PROT_NONE)
	runtime.SetFinalizer(&b[0], func(b *byte) {
		protect(unsafe.Slice(b, end+pageSize)[start:], syscall.PROT_READ|syscall.PROT_WRITE)
	})
	return b[start:end:end]
}

// protect changes the access to pages. The system tells a limited number of areas apart (vm.max_map_count of Linux), of
// which the garbage collector gives some back.
func protect(pages []byte, access int) {
	var err error
	for range 5 {
		if err = syscall.Mprotect(pages, access); err == nil {
			return
		}
		runtime.GC()
		time.Sleep(10 * time.Millisecond) // for finalizers
	}
	panic(fmt.Sprintf("guard: change the access to %d bytes: %v", len(pages), err))
}

// watched is memory that holds canaries.
type watched struct {
	first  weak.Pointer[float32]
	floats int
	owner  []uintptr // the calls that allocated what lies behind
}

var canaries struct {
	sync.Mutex
	list []watched
}

// watch fills memory with canaries that checkCanaries looks after, as long as it lives.
func watch(b []byte) {
	if len(b) == 0 {
		return
	}
	c := unsafe.Slice((*float32)(unsafe.Pointer(&b[0])), len(b)/4)
	fill(c)
	owner := make([]uintptr, 8)
	owner = owner[:runtime.Callers(3, owner)]
	canaries.Lock()
	canaries.list = append(canaries.list, watched{weak.Make(&c[0]), len(c), owner})
	canaries.Unlock()
}

func fill(c []float32) {
	for i := range c {
		c[i] = canary
	}
}

// checkCanaries panics if anything has written before a buffer, of this executable or of any other.
func (e *executable) checkCanaries() {
	canaries.Lock()
	defer canaries.Unlock()
	alive := canaries.list[:0]
	for _, w := range canaries.list {
		first := w.first.Value()
		if first == nil {
			continue
		}
		alive = append(alive, w)
		for i, v := range unsafe.Slice(first, w.floats) {
			if math.Float32bits(v) != math.Float32bits(canary) {
				panic(fmt.Sprintf("guard: %v was written %d floats before a buffer that was allocated by\n%s",
					v, w.floats-i, trace(w.owner)))
			}
		}
	}
	canaries.list = alive
}

func trace(calls []uintptr) string {
	var s strings.Builder
	frames := runtime.CallersFrames(calls)
	for {
		f, more := frames.Next()
		fmt.Fprintf(&s, "%s\n\t%s:%d\n", f.Function, f.File, f.Line)
		if !more {
			return s.String()
		}
	}
}

// isolate gives every value pages of its own.
func (e *executable) isolate() {
	for v := range e.places {
		if p := &e.places[v]; p.data != nil && !e.isState(v) {
			p.data = aligned(len(p.data))
		}
	}
	var fronts [][2]int // what lies before values in their pages, in floats
	page, total := pageSize/4, 0
	add := func(size int) (offset int) {
		offset = (total+size+page-1)/page*page - size
		fronts = append(fronts, [2]int{total, offset})
		total = offset + size + page
		return offset
	}
	for i := range e.phases {
		e.eachLocal(&e.phases[i], func(p *place, size int) {
			p.offset = add(size)
			if e.kept {
				p.variant = add(size)
			}
		})
	}
	if total == 0 {
		return
	}
	total -= page
	for _, w := range e.workers {
		memory := pages(4 * total)
		w.local = unsafe.Slice((*float32)(unsafe.Pointer(&memory[0])), total)
		for i, f := range fronts {
			if i > 0 {
				protect(memory[4*(f[0]-page):4*f[0]], syscall.PROT_NONE)
			}
			watch(memory[4*f[0] : 4*f[1]])
		}
	}
}

func (e *executable) isState(v int) bool {
	return v < len(e.program.Values) && e.program.Values[v].State != nil
}

// eachLocal visits the values of a phase that live in chunks, with their size.
func (e *executable) eachLocal(c *compiled, visit func(p *place, floats int)) {
	for _, i := range c.plan.chunked {
		for _, v := range e.list[i].out {
			if p := &e.places[v]; p.local {
				visit(p, align(c.chunk*e.layouts[v].size))
			}
		}
	}
}

// poison fills the values of the whole batch with NaNs.
func (e *executable) poison() {
	for v := range e.places {
		if !e.isState(v) {
			fill(e.places[v].data)
		}
	}
}

// poisonChunk does it to those of a chunk, and to what kernels need besides.
func (e *executable) poisonChunk(c *compiled, w *worker) {
	fill(w.scratch)
	e.eachLocal(c, func(p *place, size int) {
		fill(w.local[p.offset:][:size])
		if e.kept {
			fill(w.local[p.variant:][:size])
		}
	})
}
