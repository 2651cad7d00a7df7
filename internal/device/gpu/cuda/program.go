package cuda

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"time"
	"unsafe"

	"netadjust/internal/device/gpu/clib"
	"netadjust/internal/device/gpu/driver"
)

type program struct {
	d      *Driver
	module uintptr
	text   string
}

// Build compiles text, or takes the program from memory or from disk.
func (d *Driver) Build(text string, options ...string) (driver.Program, error) {
	key := d.properties.Key(text, options)
	if p := d.programs[key]; p != nil {
		return p, nil
	}
	module, err := d.load(d.cache.Get(key))
	if err != nil {
		image, _, err := d.compiler.Compile(text, d.target, options...)
		if err != nil {
			return nil, err
		}
		if module, err = d.load(image); err != nil {
			return nil, err
		}
		d.built++
		d.cache.Put(key, image)
	}
	d.programs[key] = &program{d, module, text}
	return d.programs[key], nil
}

// load hands a compiled program to the driver.
func (d *Driver) load(image []byte) (uintptr, error) {
	if len(image) == 0 {
		return 0, errors.New("no program")
	}
	module := new(uintptr)
	err := d.call(cuModuleLoadData, uintptr(unsafe.Pointer(module)), uintptr(unsafe.Pointer(&image[0])))
	return *module, err
}

// launch keeps a kernel's arguments and their addresses in place, for CUDA reads them at every launch.
type launch struct {
	d          *Driver
	name       string
	kernel     uintptr
	grid       [3]int
	threads    int
	values     []uint64
	parameters []uintptr // addresses of the values
	pin        runtime.Pinner
}

// Launch prepares a kernel with its arguments.
func (p *program) Launch(kernel string, grid [3]int, threads int, args ...any) (driver.Launch, error) {
	if err := driver.CheckLaunch(p.text, kernel, grid, threads, args); err != nil {
		return nil, err
	}
	l := &launch{d: p.d, name: kernel, grid: grid, threads: threads}
	if err := l.find(p.module); err != nil {
		return nil, fmt.Errorf("kernel %s: %w", kernel, err)
	}
	l.values, l.parameters = make([]uint64, len(args)+1), make([]uintptr, len(args)+1)
	for i, arg := range args {
		v, err := p.d.value(arg)
		if err != nil {
			return nil, fmt.Errorf("kernel %s: argument %d: %w", kernel, i, err)
		}
		l.values[i] = v
		l.parameters[i] = uintptr(unsafe.Pointer(&l.values[i]))
	}
	l.pin.Pin(&l.values[0])
	l.pin.Pin(&l.parameters[0])
	return l, nil
}

// find looks the kernel up and compares what it was compiled for.
func (l *launch) find(module uintptr) error {
	name := clib.CString(l.name)
	err := l.d.call(cuModuleGetFunction, uintptr(unsafe.Pointer(&l.kernel)), module, uintptr(unsafe.Pointer(name)))
	if err != nil {
		return err
	}
	const mostThreads = 0
	most := new(int32)
	if err := l.d.call(cuFuncGetAttribute, uintptr(unsafe.Pointer(most)), mostThreads, l.kernel); err != nil {
		return err
	}
	if l.threads > int(*most) {
		return fmt.Errorf("compiled for groups of %d threads, launched with %d", *most, l.threads)
	}
	return nil
}

// value returns the bytes of an argument, the first of them first.
func (d *Driver) value(arg any) (uint64, error) {
	switch v := arg.(type) {
	case driver.Buffer:
		if v == (driver.Buffer{}) {
			return 0, nil
		}
		address, err := d.address(v)
		return uint64(address), err
	case int32:
		return uint64(uint32(v)), nil
	case uint32:
		return uint64(v), nil
	case float32:
		return uint64(math.Float32bits(v)), nil
	}
	return 0, fmt.Errorf("cannot pass a %T", arg)
}

func (l *launch) Name() string { return l.name }

func (l *launch) Free() error {
	l.pin.Unpin()
	return nil
}

// Launch appends kernels to the stream.
func (d *Driver) Launch(list ...driver.Launch) error {
	var err error
	d.do(func() {
		for _, k := range list {
			if err = d.append(k.(*launch)); err != nil {
				return
			}
		}
	})
	return err
}

func (d *Driver) append(l *launch) error {
	stream := d.streams[driver.Compute]
	err := d.here(cuLaunchKernel, l.kernel, uintptr(l.grid[0]), uintptr(l.grid[1]), uintptr(l.grid[2]),
		uintptr(l.threads), 1, 1, 0, stream, uintptr(unsafe.Pointer(&l.parameters[0])), 0)
	if err == nil && d.trace {
		err = d.here(cuStreamSynchronize, stream)
	}
	if err != nil {
		return fmt.Errorf("kernel %s: %w", l.name, err)
	}
	return nil
}

// event is an event of CUDA.
type event struct {
	d  *Driver
	id uintptr
}

// NewEvent returns an event.
func (d *Driver) NewEvent() (driver.Event, error) {
	e := &event{d: d}
	return e, d.call(cuEventCreate, uintptr(unsafe.Pointer(&e.id)), 0)
}

func (e *event) Record(q driver.Queue) error { return e.d.call(cuEventRecord, e.id, e.d.streams[q]) }

func (e *event) Await(q driver.Queue) error {
	return e.d.call(cuStreamWaitEvent, e.d.streams[q], e.id, 0)
}

func (e *event) Wait() error { return e.d.call(cuEventSynchronize, e.id) }

func (e *event) Since(start driver.Event) (time.Duration, error) {
	milliseconds := new(float32)
	err := e.d.call(cuEventElapsedTime, uintptr(unsafe.Pointer(milliseconds)), start.(*event).id, e.id)
	return time.Duration(float64(*milliseconds) * float64(time.Millisecond)), err
}

func (e *event) Free() error { return e.d.call(cuEventDestroy, e.id) }
