package cpu

import (
	"errors"
	"fmt"

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
	prepare tasks // before the phases: inputs and weights as kernels want them
	phases  []compiled
	workers []*worker
	outside [][]float32 // inputs of a run, by value
	bytes   [][]uint8
	words   [][]uint32
	loaders []device.Loader // instead of bytes
	pixels  int             // bytes of an image that a loader needs room for
	kept    bool            // this is the executable of a sweep
	sweep   *sweep          // of RunDropped, once that is called
	arena   int             // floats, of all places that are not local
	scratch int             // floats that a convolution needs of each worker
	clocks  *clocks
}

// place is where a value lies: for all images at data, or for the images of a chunk at an offset in the worker's memory.
type place struct {
	data    []float32
	local   bool
	offset  int
	variant int // offset of what a variation changes, see sweep
}

// compiled is a phase that is ready to run.
type compiled struct {
	plan   phase
	chunk  int // images at a time
	steps  []step
	finish tasks // after the chunks: sums over the batch
	after  tasks // after that: what has no batch
	run    func(slot, worker int)
}

// tasks are pieces of work that may be done in any order.
type tasks struct {
	list []func()
	do   func(i, worker int) // made once: a run allocates nothing
}

func (t *tasks) add(f func()) {
	t.list = append(t.list, f)
	t.do = func(i, _ int) { t.list[i]() }
}

// step is one instruction of a phase for images [from, to), and what begins its sums in a slot.
type step struct {
	begin func(slot int)
	run   func(w *worker, slot, from, to int)
}

// worker is what one worker has for itself.
type worker struct {
	from    int // first image of the chunk
	local   []float32
	scratch []float32 // of the convolution at hand
	pixels  []uint8   // of the image at hand
	changed []bool    // values that differ in the variation at hand; nil outside of a sweep
	drop    dropout
}

// Compile makes phases of the program and places its values.
func (d *Device) Compile(p *device.Program) (device.Executable, error) { return d.compile(p, false) }

// compile does it, and keeps every value of an image if asked to: then there may be one phase only.
func (d *Device) compile(p *device.Program, keep bool) (*executable, error) {
	list, signs := fuse(p)
	values := len(p.Values) + len(signs)
	e := &executable{
		dev: d, program: p, list: list, places: make([]place, values), outside: make([][]float32, values),
		bytes: make([][]uint8, values), words: make([][]uint32, values),
		loaders: make([]device.Loader, values), kept: keep,
	}
	var err error
	if e.layouts, e.batch, err = layouts(p, list, signs, d.kernels.Pad); err != nil {
		return nil, err
	}
	e.slots = min(slots, max(e.batch, 1))
	phases, err := phasesOf(values, list)
	if err != nil {
		return nil, err
	}
	if keep && len(phases) > 1 {
		return nil, errors.New("dropout layer by layer is for inference, and this program has sums over the batch")
	}
	e.place(phases, keep)
	e.convertInputs()
	for i, ph := range phases {
		if err := e.compile(&e.phases[i], ph); err != nil {
			return nil, err
		}
	}
	for _, w := range e.workers {
		w.scratch, w.pixels = aligned(e.scratch), make([]uint8, e.pixels)
	}
	return e, nil
}

// at returns the memory of value v from image n on.
func (e *executable) at(w *worker, v, n int) []float32 {
	p, size := &e.places[v], e.layouts[v].size
	switch {
	case p.local && w.changed != nil && w.changed[v]:
		return w.local[p.variant+(n-w.from)*size:]
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
		e.prepare.add(func() {
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

// bind takes the inputs of a run.
func (e *executable) bind(inputs []any) {
	for i, v := range e.program.Inputs {
		switch d := inputs[i].(type) {
		case []float32:
			e.outside[v] = d
		case []uint8:
			e.bytes[v], e.loaders[v] = d, nil
		case device.Loader:
			e.loaders[v] = d
		case []uint32:
			e.words[v] = d
		}
	}
}

// Run executes the program once.
func (e *executable) Run(inputs []any) error {
	e.bind(inputs)
	e.poison()
	e.all(&e.prepare)
	for i := range e.phases {
		ph := &e.phases[i]
		if len(ph.steps) > 0 {
			e.dev.pool.run(e.slots, ph.run)
		}
		e.all(&ph.finish)
		e.all(&ph.after)
	}
	e.checkCanaries()
	return nil
}

// all does tasks, side by side.
func (e *executable) all(t *tasks) { e.dev.pool.run(len(t.list), t.do) }

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
		e.poisonChunk(ph, w)
		end := min(from+ph.chunk, to)
		for _, s := range ph.steps {
			s.run(w, slot, from, end)
		}
	}
}

// Kept is 1: a run waits for its end.
func (e *executable) Kept() int { return 1 }

// Output copies an output of the last run.
func (e *executable) Output(i, _ int, dst []float32) error {
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
