// Package cuda drives an NVIDIA GPU through libcuda and NVRTC, without cgo and without CUDA's toolkit.
package cuda

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"netadjust/internal/device/gpu/clib"
	"netadjust/internal/device/gpu/driver"
)

// Options choose a device.
type Options struct {
	Library   string   // if empty, libcuda.so.1
	Compilers []string // files to try for NVRTC; if empty, where it usually is
	Index     int      // of the card
	Cache     driver.Cache
	Trace     bool // wait after every launch, so that an error names its kernel
}

func usualLibrary() string {
	if runtime.GOOS == "windows" {
		return "nvcuda.dll"
	}
	return "libcuda.so.1"
}

// Driver is one card with its primary context and two streams. It implements driver.Driver.
type Driver struct {
	*library
	properties driver.Properties
	cache      driver.Cache
	trace      bool

	device   uintptr
	context  uintptr
	streams  [driver.Queues]uintptr
	compiler *Compiler
	target   string // of the compiler
	programs map[string]*program
	built    int
}

// Open returns the driver of a card.
func Open(o Options) (*Driver, error) {
	if o.Library == "" {
		o.Library = usualLibrary()
	}
	l, err := open(o.Library)
	if err != nil {
		return nil, err
	}
	d := &Driver{library: l, cache: o.Cache, trace: o.Trace, programs: map[string]*program{}}
	err = d.find(o.Index)
	if err == nil {
		err = d.start(o.Compilers)
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// find chooses a card.
func (d *Driver) find(index int) error {
	if err := d.call(cuInit, 0); err != nil {
		var s *status
		if errors.As(err, &s) && s.code == noDevice {
			return fmt.Errorf("%s is here, but finds no card that it drives", d.file)
		}
		return err
	}
	count, device := new(int32), new(int32)
	if err := d.call(cuDeviceGetCount, uintptr(unsafe.Pointer(count))); err != nil {
		return err
	}
	if index >= int(*count) {
		return fmt.Errorf("number %d is asked for, but %s has only %d cards", index, d.file, *count)
	}
	err := d.call(cuDeviceGet, uintptr(unsafe.Pointer(device)), uintptr(index))
	d.device = uintptr(*device)
	return err
}

// start loads the compiler and makes the card's primary context, which other libraries would use too.
func (d *Driver) start(compilers []string) error {
	version := new(int32)
	if err := d.call(cuDriverGetVersion, uintptr(unsafe.Pointer(version))); err != nil {
		return err
	}
	var err error
	if d.compiler, err = OpenCompiler(compilers, int(*version/1000)); err != nil {
		return err
	}
	if d.properties, err = d.describe(*version); err != nil {
		return err
	}
	context := new(uintptr)
	if err := d.call(cuDevicePrimaryCtxRetain, uintptr(unsafe.Pointer(context)), d.device); err != nil {
		return err
	}
	d.context = *context
	if err := d.call(cuCtxSetCurrent, d.context); err != nil {
		return err
	}
	for q := range d.streams {
		const independent = 1 // of CUDA's default stream
		if err := d.call(cuStreamCreate, uintptr(unsafe.Pointer(&d.streams[q])), independent); err != nil {
			return err
		}
	}
	return nil
}

// Attributes of cuda.h.
const (
	attributeThreads      = 1
	attributeSharedMemory = 8
	attributeUnits        = 16
	attributeMajor        = 75
	attributeMinor        = 76
)

func (d *Driver) describe(version int32) (driver.Properties, error) {
	name, memory := make([]byte, 256), new(uintptr)
	err := errors.Join(
		d.call(cuDeviceGetName, uintptr(unsafe.Pointer(&name[0])), uintptr(len(name)), d.device),
		d.call(cuDeviceTotalMem, uintptr(unsafe.Pointer(memory)), d.device))
	var values [5]int32
	for i, attribute := range []uintptr{
		attributeThreads, attributeSharedMemory, attributeUnits, attributeMajor, attributeMinor,
	} {
		err = errors.Join(err, d.call(cuDeviceGetAttribute, uintptr(unsafe.Pointer(&values[i])), attribute, d.device))
	}
	if err != nil {
		return driver.Properties{}, err
	}
	if d.target, err = d.compiler.Target(10*values[3] + values[4]); err != nil {
		return driver.Properties{}, err
	}
	p := driver.Properties{
		Layer: "cuda", Name: clib.Text(uintptr(unsafe.Pointer(&name[0]))), Vendor: "NVIDIA",
		Version:  fmt.Sprintf("CUDA %d.%d", version/1000, version%1000/10),
		Compiler: fmt.Sprintf("NVRTC %d.%d for %s", d.compiler.Major, d.compiler.Minor, d.target),
		Library:  d.file, Units: int(values[2]), Memory: int(*memory), MaxAlloc: int(*memory),
		LocalMemory: int(values[1]), MaxThreads: int(values[0]),
	}
	// libcuda does not tell its own version.
	if module, err := os.ReadFile("/sys/module/nvidia/version"); err == nil {
		p.Version = strings.TrimSpace(string(module)) + ", " + p.Version
	}
	return p, nil
}

// Properties describe the card.
func (d *Driver) Properties() driver.Properties { return d.properties }

// Built counts what was compiled.
func (d *Driver) Built() int { return d.built }

// Finish waits for both streams.
func (d *Driver) Finish() error {
	var all error
	for _, s := range d.streams {
		all = errors.Join(all, d.call(cuStreamSynchronize, s))
	}
	return all
}

// Close releases programs, streams and context, as far as Open has come.
func (d *Driver) Close() error {
	defer d.close()
	var all error
	for _, s := range d.streams {
		if s != 0 {
			all = errors.Join(all, d.call(cuStreamSynchronize, s), d.call(cuStreamDestroy, s))
		}
	}
	for _, p := range d.programs {
		all = errors.Join(all, d.call(cuModuleUnload, p.module))
	}
	if d.context != 0 {
		all = errors.Join(all, d.call(cuCtxSetCurrent, 0), d.call(cuDevicePrimaryCtxRelease, d.device))
	}
	return all
}
