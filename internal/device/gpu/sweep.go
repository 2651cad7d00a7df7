package gpu

import (
	"errors"
	"fmt"
	"slices"

	"netadjust/internal/device"
	"netadjust/internal/ops"
)

// sweep runs a network without channel dropout and with dropout in one layer after the other, as one batch that grows:
// behind the images of the run without dropout, every layer that drops appends as many copies of them as there are
// repeats, with its factors. All that comes behind treats one larger batch. In inference an image knows nothing of the
// others, so each result has the bits of a run of its own. A batch that takes too much memory goes in groups.
type sweep struct {
	plan    *plan
	repeats int
	batch   int           // images
	group   int           // of them at a time
	images  []int         // by input: elements of an image, 0 where there is no batch
	layers  [][]int       // by output: the layers that drop before it, in the order of their copies
	results [][][]float32 // by output: all images without dropout, and then for each of these layers and each repeat
}

// repeat is n elements of its output, from element `to` on, which repeat `period` elements of its input, from element
// `from` on.
type repeat struct{ from, period, to, n int }

// newSweep plans a sweep for groups of as many images as memory allows.
func newSweep(d *Device, p *device.Program, repeats int) (*sweep, error) {
	for _, v := range p.Outputs {
		if s := p.Values[v].Shape; len(s) == 0 || s[0] != p.Values[p.Outputs[0]].Shape[0] {
			return nil, fmt.Errorf("dropout layer by layer: output %s of shape %v must have a row for each image",
				p.Values[v].Name, s)
		}
	}
	if len(p.Outputs) == 0 {
		return nil, errors.New("dropout layer by layer: the program has no output")
	}
	batch := p.Values[p.Outputs[0]].Shape[0]
	limit := min(d.sweep, d.driver.Properties().MaxAlloc)
	for group := batch; ; {
		s, err := spreadProgram(d, p, batch, group, repeats)
		if err != nil {
			return nil, err
		}
		size := s.memory()
		if group == 1 || size <= limit && s.check() == nil {
			return s.sweep(batch)
		}
		group = max(1, min(group/2, int(float64(group)*float64(limit)/float64(size))))
	}
}

// spreader brings the values of a plan to the batches of a sweep.
type spreader struct {
	*planner
	batch, repeats int
	layers         [][]int     // by value: the layers that have dropped, in the order of their copies
	order          []int       // in which layers drop
	masks          map[int]int // layer of each mask
	images         map[int]bool
	spread         []instruction
}

func spreadProgram(d *Device, p *device.Program, batch, group, repeats int) (*spreader, error) {
	pl, err := newPlanner(d, p)
	if err != nil {
		return nil, err
	}
	pl.plain = group
	s := &spreader{
		planner: pl, batch: batch, repeats: repeats, layers: make([][]int, len(pl.values)), masks: map[int]int{},
		images: map[int]bool{},
	}
	for _, i := range pl.list {
		if err := s.instruction(i); err != nil {
			return nil, err
		}
	}
	pl.list = s.spread
	return s, pl.emit()
}

// instruction lets one instruction treat the copies that are there, and make those of its own.
func (s *spreader) instruction(i instruction) error {
	i.in = slices.Clone(i.in)
	switch k := i.op.(type) {
	case ops.DropMask:
		s.image(i.in[1])
		s.masks[i.out[0]] = k.Layer
		if !slices.Contains(s.order, k.Layer) {
			s.order = append(s.order, k.Layer)
		}
		s.values[i.out[0]].shape[0] = s.plain * s.repeats
	case ops.Images:
		s.image(i.in[0])
		s.image(i.in[1])
		s.give(i.out[0], nil)
	case apply:
		s.apply(&k, &i)
		i.op = k
	case ops.Concat:
		var all []int
		for _, v := range i.in {
			all = s.union(all, s.of(v))
		}
		for j, v := range i.in {
			i.in[j] = s.copied(v, all)
		}
		s.give(i.out[0], all)
	case ops.Conv2D, ops.DepthwiseConv2D, ops.AvgPool, ops.MaxPool, ops.GlobalAvgPool, ops.ChannelWindow, ops.Linear,
		ops.Sigmoid:
		s.give(i.out[0], s.of(i.in[0]))
	default:
		return fmt.Errorf("dropout layer by layer is for inference, and the program has %v", i.op)
	}
	s.spread = append(s.spread, i)
	return nil
}

// apply appends the copies that its factors drop. What it reads beside x may lack the last copies: there it reads the
// images without dropout again.
func (s *spreader) apply(k *apply, i *instruction) {
	at := 1
	if k.normed {
		at += 3
	}
	all := s.of(i.in[0])
	if k.added {
		all = s.union(all, s.of(i.in[len(i.in)-1]))
	}
	if k.factored {
		if layer, ok := s.masks[i.in[at]]; ok {
			all = s.union(all, []int{layer})
			k.first = s.rows(all[:slices.Index(all, layer)])
		} else {
			all = s.union(all, s.of(i.in[at]))
			i.in[at] = s.copied(i.in[at], all)
		}
	}
	i.in[0] = s.known(i.in[0], all)
	if k.added {
		last := len(i.in) - 1
		i.in[last] = s.known(i.in[last], all)
	}
	s.give(i.out[0], all)
}

// known returns v if its copies are the first of those asked for, else a copy of v that has all of them.
func (s *spreader) known(v int, layers []int) int {
	if n := len(s.layers[v]); n <= len(layers) && slices.Equal(s.layers[v], layers[:n]) {
		return v
	}
	return s.copied(v, layers)
}

// copied returns v if it has the copies asked for, else a copy of v that has them.
func (s *spreader) copied(v int, layers []int) int {
	if slices.Equal(s.layers[v], layers) {
		return v
	}
	shape := slices.Clone(s.values[v].shape)
	image := s.values[v].size() / shape[0]
	y := s.add(s.values[v].name+" with copies", shape...)
	s.layers = append(s.layers, nil)
	s.give(y, layers)
	block := func(r repeat) { s.spread = append(s.spread, instruction{r, []int{v}, []int{y}}) }
	block(repeat{0, s.plain * image, 0, s.plain * image})
	for j, layer := range layers {
		n := s.plain * s.repeats * image
		r := repeat{0, s.plain * image, s.rows(layers[:j]) * image, n}
		if at := slices.Index(s.layers[v], layer); at >= 0 {
			r.from, r.period = s.rows(s.layers[v][:at])*image, n
		}
		block(r)
	}
	return y
}

// rows is the size of the batch with the copies of some layers.
func (s *spreader) rows(layers []int) int { return s.plain * (1 + s.repeats*len(layers)) }

func (s *spreader) give(v int, layers []int) {
	s.layers[v] = layers
	s.values[v].shape[0] = s.rows(layers)
}

// of returns the copies of a value. If it is handed in, it is now known to have a row for each image.
func (s *spreader) of(v int) []int {
	s.image(v)
	return s.layers[v]
}

func (s *spreader) image(v int) {
	if x := &s.values[v]; x.input && !s.images[v] {
		s.images[v] = true
		x.shape[0] = s.plain
	}
}

// union returns the layers of both in the order in which they drop.
func (s *spreader) union(a, b []int) []int {
	var all []int
	for _, layer := range s.order {
		if slices.Contains(a, layer) || slices.Contains(b, layer) {
			all = append(all, layer)
		}
	}
	return all
}

// memory is what the plan takes for what it computes, in bytes.
func (s *spreader) memory() int {
	blocks, _ := s.blocks()
	_, total := device.PlanArena(blocks)
	return total
}

// sweep finishes the plan.
func (s *spreader) sweep(batch int) (*sweep, error) {
	pl, err := s.finish()
	if err != nil {
		return nil, err
	}
	w := &sweep{plan: pl, repeats: s.repeats, batch: batch, group: s.plain}
	for _, v := range s.program.Inputs {
		image := 0
		if s.images[v] {
			image = s.values[v].size() / s.plain
		}
		w.images = append(w.images, image)
	}
	for _, v := range s.program.Outputs {
		w.layers = append(w.layers, s.layers[v])
		runs := make([][]float32, 1+s.repeats*len(s.layers[v]))
		row := s.values[v].size() / s.values[v].shape[0]
		for i := range runs {
			runs[i] = make([]float32, batch*row)
		}
		w.results = append(w.results, runs)
	}
	return w, nil
}

// RunDropped executes the program without dropout and with dropout in every layer, as often as asked for.
func (e *executable) RunDropped(inputs []any, repeats int) error {
	if e.sweep != nil && e.sweep.repeats != repeats {
		if err := e.sweep.plan.Close(); err != nil {
			return err
		}
		e.sweep = nil
	}
	if e.sweep == nil {
		s, err := newSweep(e.dev, e.program, repeats)
		if err != nil {
			return outOfMemory(err)
		}
		e.sweep = s
	}
	return e.sweep.run(inputs, e.clocks)
}

// run takes one group of images after the other through the plan. The last one may have images of the one before it.
func (w *sweep) run(inputs []any, c *clocks) error {
	part := make([]any, len(inputs))
	for from := 0; from < w.batch; from += w.group {
		from = min(from, w.batch-w.group)
		for i, in := range inputs {
			part[i] = rowsOf(in, from, w.group, w.images[i])
		}
		if err := w.plan.run(part, c); err != nil {
			return err
		}
		for i, runs := range w.results {
			result, err := w.plan.result(i, 0)
			if err != nil {
				return err
			}
			row := len(runs[0]) / w.batch
			for j, run := range runs {
				copy(run[from*row:], result[j*w.group*row:][:w.group*row])
			}
		}
	}
	return nil
}

// rowsOf returns n rows of the given length of an input, or all of it if the length is 0.
func rowsOf(in any, from, n, length int) any {
	if length == 0 {
		return in
	}
	lo, hi := from*length, (from+n)*length
	switch d := in.(type) {
	case []float32:
		return d[lo:hi]
	case []uint32:
		return d[lo:hi]
	case []uint8:
		return d[lo:hi]
	case device.Loader:
		return offset{d, from}
	}
	return in
}

// offset is a loader of images from a later one on.
type offset struct {
	device.Loader
	from int
}

func (o offset) Load(i int, buffer []uint8) []uint8 { return o.Loader.Load(o.from+i, buffer) }

// OutputDropped copies an output of the last RunDropped.
func (e *executable) OutputDropped(i, layer, repeat int, dst []float32) error {
	w := e.sweep
	if w == nil {
		return errors.New("there was no run with dropout layer by layer")
	}
	run := 0
	if layer >= 0 {
		at := slices.Index(w.layers[i], layer)
		if at < 0 || repeat >= w.repeats {
			return fmt.Errorf("there was no run with dropout in layer %d, repeat %d", layer, repeat)
		}
		run = 1 + at*w.repeats + repeat
	}
	result := w.results[i][run]
	if len(dst) != len(result) {
		return fmt.Errorf("room for %d elements, want %d", len(dst), len(result))
	}
	copy(dst, result)
	return nil
}
