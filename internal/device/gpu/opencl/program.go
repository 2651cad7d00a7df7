package opencl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"netadjust/internal/device/gpu/clib"
	"netadjust/internal/device/gpu/driver"
)

type program struct {
	d    *Driver
	id   uintptr
	text string
}

// Build compiles text, or takes the program from memory or from disk.
func (d *Driver) Build(text string, options ...string) (driver.Program, error) {
	key := d.properties.Key(text, options)
	if p := d.programs[key]; p != nil {
		return p, nil
	}
	id := d.stored(key, options)
	if id == 0 {
		var err error
		if id, err = d.compile(text, options); err != nil {
			return nil, err
		}
		d.built++
		if b, err := d.binary(id); err == nil {
			d.cache.Put(key, b)
		}
	}
	d.programs[key] = &program{d, id, text}
	return d.programs[key], nil
}

// compile builds text for the device.
func (d *Driver) compile(text string, options []string) (uintptr, error) {
	source := clib.NewStrings(text)
	defer source.Unpin()
	id, err := d.create(createProgramWithSource, d.context, 1, uintptr(unsafe.Pointer(&source.List[0])), 0)
	if err != nil {
		return 0, err
	}
	if err := d.build(id, options); err != nil {
		log := d.text(getProgramBuildInfo, id, d.device, programBuildLog)
		if strings.Contains(log, "unknown target CPU") {
			log += "\nPOCL does not know this processor: set POCL_LLVM_CPU_NAME=x86-64-v3"
		}
		err = fmt.Errorf("options %s: %w\n%s", strings.Join(options, " "), err, log)
		return 0, errors.Join(err, d.call(releaseProgram, id))
	}
	return id, nil
}

func (d *Driver) build(id uintptr, options []string) error {
	line := clib.CString("-cl-std=CL1.2 " + strings.Join(options, " "))
	devices := []uintptr{d.device}
	return d.call(buildProgram, id, 1, uintptr(unsafe.Pointer(&devices[0])), uintptr(unsafe.Pointer(line)), 0, 0)
}

// stored returns the program of the cache, or 0 if there is none that the driver takes.
func (d *Driver) stored(key string, options []string) uintptr {
	b := d.cache.Get(key)
	if len(b) == 0 {
		return 0
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&b[0])
	devices, sizes, list := []uintptr{d.device}, []uintptr{uintptr(len(b))}, []uintptr{uintptr(unsafe.Pointer(&b[0]))}
	id, err := d.create(createProgramWithBinary, d.context, 1, uintptr(unsafe.Pointer(&devices[0])),
		uintptr(unsafe.Pointer(&sizes[0])), uintptr(unsafe.Pointer(&list[0])), 0)
	if err != nil {
		return 0
	}
	if d.build(id, options) != nil {
		_ = d.call(releaseProgram, id)
		return 0
	}
	return id
}

// binary returns what the driver has made of a program.
func (d *Driver) binary(id uintptr) ([]byte, error) {
	size, err := d.info(getProgramInfo, id, programBinarySizes)
	if err != nil || len(size) != 8 || binary.NativeEndian.Uint64(size) == 0 {
		return nil, errors.Join(errors.New("the program has no binary"), err)
	}
	b := make([]byte, binary.NativeEndian.Uint64(size))
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&b[0])
	list := []uintptr{uintptr(unsafe.Pointer(&b[0]))}
	return b, d.call(getProgramInfo, id, programBinaries, 8, uintptr(unsafe.Pointer(&list[0])), 0)
}

// launch is a kernel object of its own, so that its arguments are set once.
type launch struct {
	d             *Driver
	id            uintptr
	name          string
	global, local [3]uintptr // threads
	held          []driver.Buffer
}

// Launch prepares a kernel with its arguments.
func (p *program) Launch(kernel string, grid [3]int, threads int, args ...any) (driver.Launch, error) {
	if err := driver.CheckLaunch(p.text, kernel, grid, threads, args); err != nil {
		return nil, err
	}
	id, err := p.d.create(createKernel, p.id, uintptr(unsafe.Pointer(clib.CString(kernel))))
	if err != nil {
		return nil, fmt.Errorf("kernel %s: %w", kernel, err)
	}
	l := &launch{d: p.d, id: id, name: kernel, local: [3]uintptr{uintptr(threads), 1, 1}}
	for i, groups := range grid {
		l.global[i] = uintptr(groups) * l.local[i]
	}
	if err := l.set(args); err != nil {
		return nil, errors.Join(fmt.Errorf("kernel %s: %w", kernel, err), l.Free())
	}
	return l, nil
}

func (l *launch) set(args []any) error {
	compiled, err := l.d.info(getKernelWorkGroupInfo, l.id, l.d.device, kernelThreads)
	if err != nil {
		return err
	}
	if want := binary.NativeEndian.Uint64(compiled); want != 0 && want != uint64(l.local[0]) {
		return fmt.Errorf("compiled for groups of %d threads, launched with %d", want, l.local[0])
	}
	for i, arg := range args {
		size, value := uintptr(4), uint64(0)
		switch v := arg.(type) {
		case driver.Buffer:
			size = unsafe.Sizeof(uintptr(0))
			if v != (driver.Buffer{}) {
				mem, err := l.d.hold(v)
				if err != nil {
					return fmt.Errorf("argument %d: %w", i, err)
				}
				l.held = append(l.held, v)
				value = uint64(mem)
			}
		case int32:
			value = uint64(uint32(v))
		case uint32:
			value = uint64(v)
		case float32:
			value = uint64(math.Float32bits(v))
		}
		if err := l.d.call(setKernelArg, l.id, uintptr(i), size, uintptr(unsafe.Pointer(&value))); err != nil {
			return fmt.Errorf("argument %d: %w", i, err)
		}
	}
	return nil
}

func (l *launch) Name() string { return l.name }

func (l *launch) Free() error {
	all := l.d.call(releaseKernel, l.id)
	for _, b := range l.held {
		all = errors.Join(all, l.d.release(b))
	}
	return all
}

// Launch appends kernels to the queue.
func (d *Driver) Launch(list ...driver.Launch) error {
	q := d.queues[driver.Compute]
	for _, k := range list {
		l := k.(*launch)
		err := d.call(enqueueNDRangeKernel, q, l.id, 3, 0,
			uintptr(unsafe.Pointer(&l.global)), uintptr(unsafe.Pointer(&l.local)), 0, 0, 0)
		if err == nil && d.trace {
			err = d.call(finish, q)
		}
		if err != nil {
			return fmt.Errorf("kernel %s: %w", l.name, err)
		}
	}
	return d.call(flush, q)
}

// event is a marker in a queue.
type event struct {
	d  *Driver
	id []uintptr // of the last record, as a list for OpenCL
}

// NewEvent returns an event.
func (d *Driver) NewEvent() (driver.Event, error) { return &event{d: d, id: make([]uintptr, 1)}, nil }

func (e *event) Record(q driver.Queue) error {
	if err := e.Free(); err != nil {
		return err
	}
	if err := e.d.call(enqueueMarkerWithList, e.d.queues[q], 0, 0, uintptr(unsafe.Pointer(&e.id[0]))); err != nil {
		return err
	}
	return e.d.call(flush, e.d.queues[q])
}

func (e *event) Await(q driver.Queue) error {
	if e.id[0] == 0 {
		return nil
	}
	return e.d.call(enqueueBarrierWithList, e.d.queues[q], 1, uintptr(unsafe.Pointer(&e.id[0])), 0)
}

func (e *event) Wait() error {
	if e.id[0] == 0 {
		return nil
	}
	return e.d.call(waitForEvents, 1, uintptr(unsafe.Pointer(&e.id[0])))
}

func (e *event) Since(start driver.Event) (time.Duration, error) {
	to, err := e.end()
	if err != nil {
		return 0, err
	}
	from, err := start.(*event).end()
	return time.Duration(to - from), err
}

// end is when the device came to the marker, in nanoseconds.
func (e *event) end() (int64, error) {
	if e.id[0] == 0 {
		return 0, errors.New("an event that has not been recorded has no time")
	}
	b, err := e.d.info(getEventProfilingInfo, e.id[0], profilingEnd)
	if err != nil {
		return 0, err
	}
	return int64(binary.NativeEndian.Uint64(b)), nil
}

func (e *event) Free() error {
	if e.id[0] == 0 {
		return nil
	}
	id := e.id[0]
	e.id[0] = 0
	return e.d.call(releaseEvent, id)
}
