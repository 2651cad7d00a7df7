package cpu

import (
	"fmt"
	"unsafe"

	"netadjust/internal/device"
	"netadjust/internal/ops"
)

// executable is a compiled program.
type executable struct {
	dev     *Device
	program *device.Program
	list    []instruction
	layouts []layout
	batch   int
	slots   int
	places  []place
	prepare []func() // before the phases, in any order: inputs and weights as kernels want them
	phases  []compiled
	workers []*worker
	outside [][]float32 // inputs of a run, by value
	bytes   [][]uint8
	words   [][]uint32
}

// place is where a value lies: for all images at data, or for the images of a chunk at an offset in the worker's memory.
type place struct {
	data   []float32
	local  bool
	offset int
}

// compiled is a phase that is ready to run.
type compiled struct {
	chunk  int // images at a time
	steps  []step
	finish []func() // after the chunks, in any order
	after  []func() // after that, in order
}

// step is one instruction of a phase for images [from, to), and what begins its sums in a slot.
type step struct {
	begin func(slot int)
	run   func(w *worker, slot, from, to int)
}

// worker is what one worker has for itself.
type worker struct {
	from  int // first image of the chunk
	local []float32
}

// Compile makes phases of the program and places its values.
func (d *Device) Compile(p *device.Program) (device.Executable, error) {
	list, signs := fuse(p)
	values := len(p.Values) + len(signs)
	e := &executable{
		dev: d, program: p, list: list, places: make([]place, values), outside: make([][]float32, values),
		bytes: make([][]uint8, values), words: make([][]uint32, values),
	}
	var err error
	if e.layouts, e.batch, err = layouts(p, list, signs); err != nil {
		return nil, err
	}
	e.slots = min(slots, max(e.batch, 1))
	phases, err := phasesOf(values, list)
	if err != nil {
		return nil, err
	}
	e.place(phases)
	e.convertInputs()
	for i, ph := range phases {
		if err := e.compile(&e.phases[i], ph); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// chunkFloats is how large the largest value of a chunk may be, 256 KiB: a few such values fit into a core's cache.
const chunkFloats = 64 << 10

// place gives every value its memory. What is born and read in one phase only is there for the images of a chunk.
func (e *executable) place(phases []phase) {
	p := e.program
	first, last := make([]int, len(e.layouts)), make([]int, len(e.layouts)) // phases
	inside := make([]bool, len(e.layouts))                                  // born and read in one phase, image by image
	for v := range e.layouts {
		first[v], last[v] = -1, -1
	}
	for _, v := range p.Inputs {
		if e.converted(v) {
			first[v] = 0
		}
	}
	for i, ph := range phases {
		for at, list := range [][]int{ph.chunked, ph.after} {
			for _, s := range list {
				for _, v := range e.list[s].in {
					if last[v] = i; first[v] != i || at == 1 {
						inside[v] = false
					}
				}
				for _, v := range e.list[s].out {
					if first[v] < 0 {
						first[v], last[v] = i, i
						inside[v] = e.layouts[v].role != whole
					}
				}
			}
		}
	}
	for _, v := range p.Outputs {
		inside[v], last[v] = false, len(phases)
	}

	var blocks []device.Block
	var owners []int
	for v, l := range e.layouts {
		if v < len(p.Values) && p.Values[v].State != nil {
			e.places[v].data = p.Values[v].State.(*array).data
			continue
		}
		if first[v] < 0 || inside[v] {
			continue
		}
		size := l.size
		if l.role != whole {
			size *= e.batch
		}
		blocks = append(blocks, device.Block{Size: align(size), First: first[v], Last: last[v]})
		owners = append(owners, v)
	}
	offsets, total := device.PlanArena(blocks)
	arena := aligned(total)
	for i, v := range owners {
		e.places[v].data = arena[offsets[i] : offsets[i]+blocks[i].Size]
	}

	e.phases = make([]compiled, len(phases))
	locals := 0
	for i, ph := range phases {
		e.phases[i].chunk = e.chunk(ph)
		locals = max(locals, e.placeLocal(ph, e.phases[i].chunk, inside))
	}
	for range e.dev.pool.threads {
		e.workers = append(e.workers, &worker{local: aligned(locals)})
	}
}

// chunk is the number of images that a phase takes at a time.
func (e *executable) chunk(ph phase) int {
	largest := 1
	for _, s := range ph.chunked {
		for _, v := range e.list[s].out {
			if e.layouts[v].role != whole {
				largest = max(largest, e.layouts[v].size)
			}
		}
	}
	return max(1, min(chunkFloats/largest, (e.batch+e.slots-1)/e.slots))
}

// placeLocal places the values that live in one phase only, and returns the memory that they need.
func (e *executable) placeLocal(ph phase, chunk int, inside []bool) int {
	var blocks []device.Block
	var owners []int
	block := map[int]int{}
	for i, s := range ph.chunked {
		for _, v := range e.list[s].in {
			if b, ok := block[v]; ok {
				blocks[b].Last = i
			}
		}
		for _, v := range e.list[s].out {
			if inside[v] {
				block[v] = len(blocks)
				blocks = append(blocks, device.Block{Size: align(chunk * e.layouts[v].size), First: i, Last: i})
				owners = append(owners, v)
			}
		}
	}
	offsets, total := device.PlanArena(blocks)
	for i, v := range owners {
		e.places[v] = place{local: true, offset: offsets[i]}
	}
	return total
}

// align rounds up to whole cache lines.
func align(n int) int { return (n + 15) &^ 15 }

// aligned allocates memory that begins at a cache line.
func aligned(n int) []float32 {
	b := make([]float32, n+16)
	skip := 0
	for uintptr(unsafe.Pointer(&b[skip]))%64 != 0 {
		skip++
	}
	return b[skip : skip+n : skip+n]
}

// at returns the memory of value v from image n on.
func (e *executable) at(w *worker, v, n int) []float32 {
	p, size := &e.places[v], e.layouts[v].size
	switch {
	case p.local:
		return w.local[p.offset+(n-w.from)*size:]
	case p.data == nil:
		return e.outside[v][n*size:]
	}
	return p.data[n*size:]
}

// converted tells whether an input is a feature map that has to be brought into its layout.
func (e *executable) converted(v int) bool {
	return e.layouts[v].role == image && e.program.Values[v].Elem == ops.Float
}

// convertInputs brings feature maps that are handed in into their layout.
func (e *executable) convertInputs() {
	for _, v := range e.program.Inputs {
		if !e.converted(v) {
			continue
		}
		e.prepare = append(e.prepare, func() {
			l := &e.layouts[v]
			size := l.c * l.h * l.w
			for n := range e.batch {
				l.load(e.outside[v][n*size:(n+1)*size], e.at(nil, v, n))
			}
		})
	}
}

// data returns the memory of a value without a batch.
func (e *executable) data(v int) []float32 {
	if d := e.outside[v]; d != nil {
		return d
	}
	return e.places[v].data
}

// Run executes the program once.
func (e *executable) Run(inputs []any) error {
	for i, v := range e.program.Inputs {
		switch d := inputs[i].(type) {
		case []float32:
			e.outside[v] = d
		case []uint8:
			e.bytes[v] = d
		case []uint32:
			e.words[v] = d
		}
	}
	pool := e.dev.pool
	pool.run(len(e.prepare), func(i, _ int) { e.prepare[i]() })
	for i := range e.phases {
		ph := &e.phases[i]
		if len(ph.steps) > 0 {
			pool.run(e.slots, func(slot, worker int) { e.chunks(ph, slot, e.workers[worker]) })
		}
		pool.run(len(ph.finish), func(i, _ int) { ph.finish[i]() })
		for _, f := range ph.after {
			f()
		}
	}
	return nil
}

// chunks takes a slot's images through a phase.
func (e *executable) chunks(ph *compiled, slot int, w *worker) {
	from, to := part(slot, e.slots, e.batch)
	for _, s := range ph.steps {
		if s.begin != nil {
			s.begin(slot)
		}
	}
	for ; from < to; from += ph.chunk {
		w.from = from
		end := min(from+ph.chunk, to)
		for _, s := range ph.steps {
			s.run(w, slot, from, end)
		}
	}
}

// Output copies an output of the last run.
func (e *executable) Output(i int, dst []float32) error {
	v := e.program.Outputs[i]
	if n := e.program.Values[v].Size(); len(dst) != n {
		return fmt.Errorf("room for %d elements, want %d for shape %v", len(dst), n, e.program.Values[v].Shape)
	}
	switch l := &e.layouts[v]; l.role {
	case image:
		for n := range e.batch {
			size := l.c * l.h * l.w
			l.unload(e.at(nil, v, n), dst[n*size:(n+1)*size])
		}
	default:
		copy(dst, e.data(v))
	}
	return nil
}

// Close lets go of the memory.
func (e *executable) Close() error {
	*e = executable{dev: e.dev, program: e.program}
	return nil
}
