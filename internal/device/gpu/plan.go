package gpu

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"netadjust/internal/device"
	"netadjust/internal/device/gpu/driver"
	"netadjust/internal/device/gpu/kernels"
	"netadjust/internal/ops"
)

// operand is a value as the argument of a kernel.
type operand int

// value is a tensor of a plan: one of the program's, or one that only the plan has.
type value struct {
	name  string
	shape []int
	elem  ops.Element
	state *tensor // for what outlives a run
	input bool
}

func (v *value) size() int { return (device.Value{Shape: v.shape}).Size() }

func (v *value) bytes() int {
	if v.elem == ops.Byte {
		return v.size()
	}
	return 4 * v.size()
}

// call is a launch in the making.
type call struct {
	program driver.Program
	kernel  string
	grid    [3]int
	threads int
	args    []any  // operand, int32 and float32
	work    string // for people
	flops   int64  // multiply-adds
}

// planner makes a plan of instructions.
type planner struct {
	dev     *Device
	program *device.Program
	list    []instruction
	values  []value
	calls   []call
	steps   []instruction // all sgd, which become few launches in the end
	at      int           // instruction at hand
	plain   int           // images of the run without dropout in a plan of a sweep, else 0
}

// newPlanner reads a program.
func newPlanner(d *Device, p *device.Program) (*planner, error) {
	pl := &planner{dev: d, program: p, list: fuse(p)}
	for _, v := range p.Values {
		own := value{name: v.Name, shape: slices.Clone(v.Shape), elem: v.Elem}
		if v.State != nil {
			t, ok := v.State.(*tensor)
			if !ok || t.dev != d {
				return nil, fmt.Errorf("state %s is not on this device", v.Name)
			}
			own.state = t
		}
		pl.values = append(pl.values, own)
	}
	for _, v := range p.Inputs {
		pl.values[v].input = true
	}
	return pl, nil
}

// add adds a value that only the plan has.
func (p *planner) add(name string, shape ...int) int {
	p.values = append(p.values, value{name: name, shape: shape})
	return len(p.values) - 1
}

// most is the largest number of elements that kernels count in 32 bits, with what the last group has beyond the end.
const most = math.MaxInt32 - 1<<10

// check refuses values of more elements than that.
func (p *planner) check() error {
	for i := range p.values {
		if v := &p.values[i]; v.size() > most {
			return fmt.Errorf("%s of shape %v has more than %d elements; try a smaller batch", v.name, v.shape, most)
		}
	}
	return nil
}

// emit makes the calls of all instructions.
func (p *planner) emit() error {
	for p.at = range p.list {
		if err := p.instruction(p.list[p.at]); err != nil {
			return err
		}
	}
	return nil
}

// kernel is a kernel's text with its geometry.
type kernel struct {
	text    string
	name    string
	threads int
	options []string
}

// The sizes of groups.
const (
	planeThreads  = 64  // that have a plane or a row
	windowThreads = 128 // of kernels that go through windows
	threads       = 256 // all others
)

func ofElements(name string) kernel { return kernel{kernels.Elements, name, threads, nil} }
func ofUpdates(name string) kernel  { return kernel{kernels.Update, name, threads, nil} }

func ofPlanes(name string) kernel { return kernel{kernels.Planes, name, planeThreads, nil} }

// ofNorm is a kernel that knows the area of a plane.
func ofNorm(name string, shape []int) kernel {
	return kernel{kernels.Norm, name, threads, []string{define("HW", area(shape))}}
}

func define(name string, value int) string { return fmt.Sprintf("-D%s=%d", name, value) }

// call appends a call with the given groups.
func (p *planner) call(k kernel, grid [3]int, args ...any) error {
	options := append([]string{define("T", k.threads)}, k.options...)
	return p.append(kernels.Text(k.text), options, k.name, grid, k.threads, args)
}

// each appends a call with a thread for each of n elements. The kernel's last arguments are those given here.
func (p *planner) each(k kernel, n int, args ...any) error {
	return p.call(k, [3]int{ceil(n, k.threads), 1, 1}, args...)
}

func (p *planner) append(text string, options []string, name string, grid [3]int, threads int, args []any) error {
	program, err := p.dev.driver.Build(text, options...)
	if err != nil {
		return fmt.Errorf("kernel %s: %w", name, err)
	}
	for i, a := range args {
		switch a := a.(type) {
		case int:
			args[i] = int32(a)
		case float64:
			args[i] = float32(a)
		case bool:
			args[i] = int32(0)
			if a {
				args[i] = int32(1)
			}
		}
	}
	p.calls = append(p.calls, call{program, name, grid, threads, args, workOf(p.list[p.at].op), 0})
	return nil
}

// counted notes the multiply-adds of the last call.
func (p *planner) counted(flops int64) { p.calls[len(p.calls)-1].flops = flops }

func ceil(n, part int) int { return (n + part - 1) / part }

// plan is a program that is ready to run on a device.
type plan struct {
	dev      *Device
	launches []driver.Launch
	calls    []call       // of the launches
	block    driver.Chunk // of all inputs
	inputs   []driver.Buffer
	batch    []int // rows of each input
	ring     [depth]slot
	next     int // slot of the ring
	arena    []driver.Chunk
	table    driver.Chunk // of the updates
	outputs  []driver.Buffer
	places   []int // of the outputs in the memory of results
	results  [depth]slot
	last     int // slot of results
}

// depth is how many runs may be in the queue at once.
const depth = 3

// slot is pinned memory for the inputs or the outputs of a run. What is in it is there, or may be overwritten, after its
// event.
type slot struct {
	host  driver.Host
	event driver.Event
}

// slot makes one.
func (d *Device) slot(bytes int) (s slot, err error) {
	if s.host, err = d.driver.Pin(bytes); err != nil {
		return s, err
	}
	s.event, err = d.driver.NewEvent()
	return s, err
}

// finish places all values and freezes the launches.
func (p *planner) finish() (*plan, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	pl := &plan{dev: p.dev, calls: p.calls}
	if err := p.build(pl); err != nil {
		pl.Close()
		return nil, err
	}
	return pl, nil
}

func (p *planner) build(pl *plan) error {
	buffers := make([]driver.Buffer, len(p.values))
	if err := p.placeInputs(pl, buffers); err != nil {
		return err
	}
	if err := p.placeArena(pl, buffers); err != nil {
		return err
	}
	for v := range p.values {
		if t := p.values[v].state; t != nil {
			buffers[v] = t.buffer
		}
	}
	for _, c := range p.calls {
		args := make([]any, len(c.args))
		for i, a := range c.args {
			if args[i] = a; a == operand(absent) {
				args[i] = driver.Buffer{}
			} else if v, ok := a.(operand); ok {
				args[i] = buffers[v]
			}
		}
		l, err := c.program.Launch(c.kernel, c.grid, c.threads, args...)
		if err != nil {
			return err
		}
		pl.launches = append(pl.launches, l)
	}
	if err := p.descend(pl, buffers); err != nil {
		return err
	}
	size := 0
	for _, v := range p.program.Outputs {
		b := buffers[v]
		b.Bytes = p.values[v].bytes()
		pl.outputs, pl.places = append(pl.outputs, b), append(pl.places, size)
		size += align(b.Bytes)
	}
	if size == 0 {
		return nil
	}
	for i := range pl.results {
		var err error
		if pl.results[i], err = p.dev.slot(size); err != nil {
			return fmt.Errorf("outputs: %w", err)
		}
	}
	return nil
}

// placeInputs puts all inputs in one chunk, for one upload.
func (p *planner) placeInputs(pl *plan, buffers []driver.Buffer) error {
	size := 0
	for _, v := range p.program.Inputs {
		buffers[v] = driver.Buffer{Offset: size, Bytes: p.values[v].bytes()}
		size += align(buffers[v].Bytes)
	}
	if size == 0 {
		return nil
	}
	var err error
	if pl.block, err = p.dev.driver.Alloc(size); err != nil {
		return fmt.Errorf("inputs: %w", err)
	}
	for _, v := range p.program.Inputs {
		buffers[v].Chunk = pl.block
		pl.inputs = append(pl.inputs, buffers[v])
		pl.batch = append(pl.batch, append(p.values[v].shape, 1)[0])
	}
	for i := range pl.ring {
		s := &pl.ring[i]
		if *s, err = p.dev.slot(size); err != nil {
			return fmt.Errorf("inputs: %w", err)
		}
	}
	return nil
}

// blocks returns the memory that calculated values need, and for how long, and their numbers.
func (p *planner) blocks() (blocks []device.Block, owners []int) {
	block := make([]int, len(p.values))
	touch := func(v, at int) {
		if v == absent || p.values[v].state != nil || p.values[v].input {
			return
		}
		if block[v] == 0 {
			blocks = append(blocks, device.Block{Size: align(p.values[v].bytes()), First: at})
			owners = append(owners, v)
			block[v] = len(blocks)
		}
		blocks[block[v]-1].Last = at
	}
	for at, c := range p.calls {
		for _, a := range c.args {
			if v, ok := a.(operand); ok {
				touch(int(v), at)
			}
		}
	}
	for _, u := range p.steps {
		touch(u.in[2], len(p.calls))
	}
	for _, v := range p.program.Outputs {
		touch(v, len(p.calls))
	}
	for i := range blocks {
		if p.dev.apart {
			blocks[i].First, blocks[i].Last = 0, len(p.calls)
		}
	}
	return blocks, owners
}

// placeArena gives calculated values memory, which they share as their lifetimes allow.
func (p *planner) placeArena(pl *plan, buffers []driver.Buffer) error {
	limit := p.dev.driver.Properties().MaxAlloc / driver.Align * driver.Align
	blocks, owners := p.blocks()
	for i, b := range blocks {
		if b.Size > limit {
			return p.tooLarge(owners[i], b.Size, &driver.OutOfMemory{Want: b.Size, MaxAlloc: limit})
		}
	}
	places, chunks := placeBlocks(blocks, limit)
	total := 0
	for _, size := range chunks {
		total += size
	}
	for _, size := range chunks {
		c, err := p.dev.driver.Alloc(size)
		if err != nil {
			largest := slices.MaxFunc(owners, func(v, w int) int { return p.values[v].bytes() - p.values[w].bytes() })
			return p.tooLarge(largest, total, err)
		}
		pl.arena = append(pl.arena, c)
	}
	for i, v := range owners {
		buffers[v] = driver.Buffer{Chunk: pl.arena[places[i].chunk], Offset: places[i].offset, Bytes: blocks[i].Size}
	}
	return nil
}

// tooLarge is the error for memory that is not there: it names what takes most of it.
func (p *planner) tooLarge(v, total int, err error) error {
	const mib = 1 << 20
	x := &p.values[v]
	var memory *driver.OutOfMemory
	if errors.As(err, &memory) && len(x.shape) > 0 && x.shape[0] > 1 {
		err = fmt.Errorf("%w; try a batch of %d", err, x.shape[0]/2)
	}
	return fmt.Errorf("%d MiB for what the program computes, of which %s of shape %v takes %d MiB: %w", total/mib, x.name,
		x.shape, x.bytes()/mib, err)
}

const (
	piece = 2048             // elements of a parameter that one group updates
	unit  = driver.Align / 4 // elements that places in a chunk are multiples of, 128 in the kernel
)

// descend appends the updates of all parameters, in one launch if their memory is in one chunk each.
func (p *planner) descend(pl *plan, buffers []driver.Buffer) error {
	type launch struct {
		w, v, g        driver.Chunk
		rate           driver.Buffer
		momentum, down float64
	}
	var order []launch
	tables := map[launch][]uint32{}
	for _, u := range p.steps {
		k := u.op.(sgd)
		v, w, g := buffers[u.in[0]], buffers[u.in[1]], buffers[u.in[2]]
		key := launch{w.Chunk, v.Chunk, g.Chunk, buffers[u.in[3]], k.Momentum.Momentum, k.Decay}
		if tables[key] == nil {
			order = append(order, key)
		}
		size := p.values[u.in[1]].size()
		for at := 0; at < size; at += piece {
			tables[key] = append(tables[key], uint32((w.Offset/4+at)/unit), uint32((v.Offset/4+at)/unit),
				uint32((g.Offset/4+at)/unit), uint32(min(piece, size-at)))
		}
	}
	if len(order) == 0 {
		return nil
	}
	size := 0
	for _, t := range tables {
		size += align(4 * len(t))
	}
	var err error
	if pl.table, err = p.dev.driver.Alloc(size); err != nil {
		return err
	}
	host, err := p.dev.staged(size)
	if err != nil {
		return err
	}
	k := ofUpdates("sgd")
	program, err := p.dev.driver.Build(kernels.Text(k.text), define("T", k.threads))
	if err != nil {
		return err
	}
	at := 0
	for _, l := range order {
		t := tables[l]
		b := driver.Buffer{Chunk: pl.table, Offset: at, Bytes: 4 * len(t)}
		copy(driver.Slice[uint32](host[at:at+b.Bytes]), t)
		at += align(b.Bytes)
		made, err := program.Launch(k.name, [3]int{len(t) / 4, 1, 1}, k.threads, whole(l.w), whole(l.v), whole(l.g),
			l.rate, b, float32(l.momentum), float32(l.down))
		if err != nil {
			return err
		}
		pl.launches = append(pl.launches, made)
		pl.calls = append(pl.calls, call{work: workOf(sgd{})})
	}
	if err := p.dev.driver.Upload(driver.Compute, whole(pl.table), host[:size]); err != nil {
		return err
	}
	return p.dev.wait()
}
