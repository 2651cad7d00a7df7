package cpu

import (
	"fmt"

	"netadjust/internal/device"
	"netadjust/internal/ops"
)

// sweep runs a network without channel dropout, and then with dropout in one layer after the other. What lies before the
// dropped layer does not change, so it keeps all values of the clean run and runs again only what depends on the
// layer, chunk by chunk, while the clean values are still in the cache. On average that is half of the network.
type sweep struct {
	*executable
	variations []variation // by layer; none for layers that the program does not drop
	repeats    int
	results    [][][]float32 // by output, run, then all images
}

// variation is what dropout in one layer changes.
type variation struct {
	steps   []int // of the phase
	changed []bool
}

// dropout tells DropMask steps of a sweep what to draw.
type dropout struct{ layer, repeat int }

func newSweep(d *Device, p *device.Program) (*sweep, error) {
	e, err := d.compile(p, true)
	if err != nil {
		return nil, err
	}
	s := &sweep{executable: e, results: make([][][]float32, len(p.Outputs))}
	for _, i := range e.list {
		if k, ok := i.op.(ops.DropMask); ok {
			for len(s.variations) <= k.Layer {
				s.variations = append(s.variations, variation{})
			}
			s.variations[k.Layer] = e.dependent(i.out[0])
		}
	}
	return s, nil
}

// dependent lists the steps that give or need value v, directly or not. The program has one phase.
func (e *executable) dependent(v int) variation {
	d := variation{changed: make([]bool, len(e.layouts))}
	d.changed[v] = true
	at := 0
	for _, s := range e.list {
		u, _ := usageOf(s.op) // known since compile
		if !u.batched() {
			continue
		}
		needs := d.changed[s.out[0]]
		for _, in := range s.in {
			needs = needs || d.changed[in]
		}
		if needs {
			d.steps = append(d.steps, at)
			for i, out := range s.out {
				// A masked convolution whose mask alone changes keeps what it gave before the mask.
				d.changed[out] = i == 0 || d.changed[s.in[0]]
			}
		}
		at++
	}
	return d
}

// RunDropped executes the program without dropout and then, for every layer and repeat, what dropout changes.
func (e *executable) RunDropped(inputs []any, repeats int) error {
	if e.sweep == nil {
		s, err := newSweep(e.dev, e.program)
		if err != nil {
			return err
		}
		e.sweep = s
	}
	return e.sweep.run(inputs, repeats)
}

// OutputDropped copies an output of the last RunDropped.
func (e *executable) OutputDropped(i, layer, repeat int, dst []float32) error {
	s := e.sweep
	if s == nil || layer >= len(s.variations) || repeat >= s.repeats {
		return fmt.Errorf("there was no run with dropout in layer %d, repeat %d", layer, repeat)
	}
	result := s.results[i][s.index(layer, repeat)]
	if len(dst) != len(result) {
		return fmt.Errorf("room for %d elements, want %d", len(dst), len(result))
	}
	copy(dst, result)
	return nil
}

// index is the number of a run; layer -1 is the one without dropout.
func (s *sweep) index(layer, repeat int) int {
	if layer < 0 {
		return 0
	}
	return 1 + layer*s.repeats + repeat
}

func (s *sweep) run(inputs []any, repeats int) error {
	s.bind(inputs)
	s.repeats = repeats
	for i, v := range s.program.Outputs {
		if s.layouts[v].role != row {
			return fmt.Errorf("output %d of a program with dropout layer by layer must have a row for each image", i)
		}
		s.results[i] = make([][]float32, s.index(len(s.variations), 0))
		for j := range s.results[i] {
			s.results[i][j] = make([]float32, s.batch*s.layouts[v].size)
		}
	}
	s.poison()
	s.all(&s.prepare)
	s.dev.pool.run(s.slots, func(slot, worker int) { s.slot(&s.phases[0], slot, s.workers[worker]) })
	s.checkCanaries()
	return nil
}

// slot takes a slot's images through all runs, chunk by chunk.
func (s *sweep) slot(ph *compiled, slot int, w *worker) {
	for _, st := range ph.steps {
		if st.begin != nil {
			st.begin(slot)
		}
	}
	from, to := part(slot, s.slots, s.batch)
	for ; from < to; from += ph.chunk {
		end := min(from+ph.chunk, to)
		w.from, w.changed, w.drop = from, nil, dropout{layer: -1}
		s.poisonChunk(ph, w)
		for _, st := range ph.steps {
			st.run(w, slot, from, end)
		}
		s.keep(w, from, end)
		for layer, v := range s.variations {
			for repeat := range s.repeats {
				w.changed, w.drop = v.changed, dropout{layer, repeat}
				for _, i := range v.steps {
					ph.steps[i].run(w, slot, from, end)
				}
				s.keep(w, from, end)
			}
		}
	}
}

// keep copies the outputs of images [from, to) to the results of the run at hand.
func (s *sweep) keep(w *worker, from, to int) {
	for i, v := range s.program.Outputs {
		result := s.results[i][s.index(w.drop.layer, w.drop.repeat)]
		size := s.layouts[v].size
		copy(result[from*size:to*size], s.at(w, v, from))
	}
}
