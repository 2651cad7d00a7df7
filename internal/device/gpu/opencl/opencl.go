// Package opencl drives a GPU, or in tests a processor, through OpenCL 1.2 without cgo. Of the system it needs the
// vendor's driver and nothing else.
package opencl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"netadjust/internal/device/gpu/clib"
	"netadjust/internal/device/gpu/driver"
)

// Options choose a device.
type Options struct {
	Libraries []string // to try one after the other; if empty, the loader and the vendors' drivers
	Processor bool     // a processor, as for tests; else a GPU
	Index     int      // among the library's devices of that kind
	Cache     driver.Cache
	Trace     bool // wait after every launch, so that an error names its kernel
}

// libraries are the loader and drivers that do without one.
func libraries(processor bool) []string {
	switch runtime.GOOS {
	case "windows":
		return []string{"OpenCL.dll"}
	case "darwin":
		return []string{"/System/Library/Frameworks/OpenCL.framework/OpenCL"}
	}
	if processor {
		return []string{"libOpenCL.so.1", "libpocl.so.2"}
	}
	return []string{"libOpenCL.so.1", "libnvidia-opencl.so.1", "libamdocl64.so"}
}

// opening is held while a device is opened: POCL 3.1 sets itself up at the first calls, and several at once crash it.
var opening sync.Mutex

// Open returns the driver of a device. The error says of every library why it would not do.
func Open(o Options) (*Driver, error) {
	opening.Lock()
	defer opening.Unlock()
	if len(o.Libraries) == 0 {
		o.Libraries = libraries(o.Processor)
	}
	var missing []string
	var reasons []error
	for _, file := range o.Libraries {
		l, platforms, err := open(file)
		if clib.Absent(err) {
			missing = append(missing, file)
			continue
		}
		if err == nil {
			var devices []uintptr
			if devices, err = l.devices(platforms, o.Processor); err == nil {
				if o.Index >= len(devices) {
					return nil, fmt.Errorf("number %d is asked for, but %s has only %d such devices", o.Index, file, len(devices))
				}
				return newDriver(l, devices[o.Index], o)
			}
		}
		reasons = append(reasons, err)
	}
	if len(missing) > 0 {
		reasons = append(reasons, fmt.Errorf("not installed: %s", strings.Join(missing, ", ")))
	}
	return nil, errors.Join(reasons...)
}

// Numbers of the Khronos headers.
const (
	typeCPU, typeGPU = 1 << 1, 1 << 2

	platformVersion = 0x0901
	platformName    = 0x0902

	deviceType         = 0x1000
	deviceMaxUnits     = 0x1002
	deviceMaxThreads   = 0x1004
	deviceMaxAlloc     = 0x1010
	deviceAlign        = 0x1019 // in bits
	deviceMemory       = 0x101F
	deviceLocalMemory  = 0x1023
	deviceCompiles     = 0x1028
	deviceName         = 0x102B
	deviceVendor       = 0x102C
	driverVersion      = 0x102D
	deviceVersion      = 0x102F
	devicePlatform     = 0x1031
	programBinarySizes = 0x1165
	programBinaries    = 0x1166
	programBuildLog    = 0x1183
	kernelThreads      = 0x11B1
	regionOfBuffer     = 0x1220
	profilingEnd       = 0x1283
	queueProfiling     = 1 << 1
	memReadWrite       = 1 << 0
	memHost            = 1 << 4
	mapReadWrite       = 1<<0 | 1<<1
)

// devices lists the GPUs, or the processors, of all platforms.
func (l *library) devices(platforms []uintptr, processor bool) ([]uintptr, error) {
	kind, what := uintptr(typeGPU), "GPU"
	if processor {
		kind, what = typeCPU, "processor"
	}
	var devices []uintptr
	var names []string
	for _, p := range platforms {
		names = append(names, l.text(getPlatformInfo, p, platformName))
		n, ids := new(uint32), make([]uintptr, 64)
		err := l.call(getDeviceIDs, p, kind, uintptr(len(ids)), uintptr(unsafe.Pointer(&ids[0])), uintptr(unsafe.Pointer(n)))
		if err != nil && !is(err, deviceNotFound) {
			return nil, fmt.Errorf("%s, %s: %w", l.file, names[len(names)-1], err)
		}
		devices = append(devices, ids[:min(int(*n), len(ids))]...)
	}
	if len(devices) == 0 {
		return nil, fmt.Errorf("%s is here, but has no %s (it has: %s)", l.file, what, strings.Join(names, ", "))
	}
	return devices, nil
}

// Driver is one device with a context and two in-order queues. It implements driver.Driver.
type Driver struct {
	*library
	properties driver.Properties
	cache      driver.Cache
	trace      bool

	device, context uintptr
	queues          [driver.Queues]uintptr
	programs        map[string]*program
	built           int
	allocated       int // bytes
}

func newDriver(l *library, device uintptr, o Options) (*Driver, error) {
	d := &Driver{library: l, device: device, cache: o.Cache, trace: o.Trace, programs: map[string]*program{}}
	d.properties = driver.Properties{
		Layer: "opencl", Name: d.property(deviceName), Vendor: d.property(deviceVendor),
		Version:  d.property(driverVersion),
		Compiler: l.text(getPlatformInfo, uintptr(d.size(devicePlatform)), platformVersion),
		Library:  l.file, Processor: d.size(deviceType)&typeCPU != 0,
		Units: d.size(deviceMaxUnits), Memory: d.size(deviceMemory), MaxAlloc: d.size(deviceMaxAlloc),
		LocalMemory: d.size(deviceLocalMemory), MaxThreads: d.size(deviceMaxThreads),
	}
	if err := d.suitable(); err != nil {
		return nil, fmt.Errorf("%s: %w", d.properties.Name, err)
	}
	var err error
	devices := []uintptr{device} // no callback: drivers would call it from threads of their own
	if d.context, err = d.create(createContext, 0, 1, uintptr(unsafe.Pointer(&devices[0])), 0, 0); err != nil {
		return nil, fmt.Errorf("%s: %w", d.properties.Name, err)
	}
	for q := range d.queues {
		if d.queues[q], err = d.create(createCommandQueue, d.context, device, queueProfiling); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", d.properties.Name, err), d.Close())
		}
	}
	return d, nil
}

// property and size read a device's properties, of which all devices have these.
func (d *Driver) property(number uintptr) string { return d.text(getDeviceInfo, d.device, number) }

func (d *Driver) size(number uintptr) int {
	b, err := d.info(getDeviceInfo, d.device, number)
	if err != nil {
		return 0
	}
	return int(binary.NativeEndian.Uint64(append(b, make([]byte, 8)...)))
}

// suitable returns an error if the device is too old, or is one that cannot compile.
func (d *Driver) suitable() error {
	version := d.property(deviceVersion)
	switch align := d.size(deviceAlign) / 8; {
	case strings.HasPrefix(version, "OpenCL 1.0") || strings.HasPrefix(version, "OpenCL 1.1"):
		return fmt.Errorf("its driver has %s, want 1.2 or later: install a newer one", version)
	case d.size(deviceCompiles) == 0:
		return errors.New("its driver has no compiler")
	case align == 0 || driver.Align%align != 0:
		return fmt.Errorf("its buffers are aligned to %d bytes, want a divisor of %d", align, driver.Align)
	}
	return nil
}

// Properties describe the device.
func (d *Driver) Properties() driver.Properties { return d.properties }

// Built counts what was compiled.
func (d *Driver) Built() int { return d.built }

// Finish waits for both queues.
func (d *Driver) Finish() error {
	var all error
	for _, q := range d.queues {
		all = errors.Join(all, d.call(finish, q))
	}
	return all
}

// Close releases programs, queues and context.
func (d *Driver) Close() error {
	var all error
	for _, q := range d.queues {
		if q != 0 {
			all = errors.Join(all, d.call(finish, q), d.call(releaseCommandQueue, q))
		}
	}
	for _, p := range d.programs {
		all = errors.Join(all, d.call(releaseProgram, p.id))
	}
	return errors.Join(all, d.call(releaseContext, d.context))
}
