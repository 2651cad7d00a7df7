package cuda

import (
	"fmt"
	"runtime"
	"unsafe"

	"netadjust/internal/device/gpu/clib"
)

// function is a function of libcuda. Where there are two of a name, the one with _v2 has addresses of 64 bits.
type function int

const (
	cuInit function = iota
	cuDriverGetVersion
	cuDeviceGetCount
	cuDeviceGet
	cuDeviceGetName
	cuDeviceTotalMem
	cuDeviceGetAttribute
	cuDevicePrimaryCtxRetain
	cuDevicePrimaryCtxRelease
	cuCtxSetCurrent
	cuMemAlloc
	cuMemFree
	cuMemHostAlloc
	cuMemFreeHost
	cuMemcpyHtoDAsync
	cuMemcpyDtoHAsync
	cuMemcpyDtoDAsync
	cuMemsetD32Async
	cuStreamCreate
	cuStreamDestroy
	cuStreamSynchronize
	cuStreamWaitEvent
	cuEventCreate
	cuEventRecord
	cuEventSynchronize
	cuEventElapsedTime
	cuEventDestroy
	cuModuleLoadData
	cuModuleUnload
	cuModuleGetFunction
	cuFuncGetAttribute
	cuLaunchKernel
	cuGetErrorName
	functions
)

var names = [functions]string{
	cuInit: "cuInit", cuDriverGetVersion: "cuDriverGetVersion", cuDeviceGetCount: "cuDeviceGetCount",
	cuDeviceGet: "cuDeviceGet", cuDeviceGetName: "cuDeviceGetName", cuDeviceTotalMem: "cuDeviceTotalMem_v2",
	cuDeviceGetAttribute:     "cuDeviceGetAttribute",
	cuDevicePrimaryCtxRetain: "cuDevicePrimaryCtxRetain", cuDevicePrimaryCtxRelease: "cuDevicePrimaryCtxRelease_v2",
	cuCtxSetCurrent: "cuCtxSetCurrent",
	cuMemAlloc:      "cuMemAlloc_v2", cuMemFree: "cuMemFree_v2",
	cuMemHostAlloc: "cuMemHostAlloc", cuMemFreeHost: "cuMemFreeHost",
	cuMemcpyHtoDAsync: "cuMemcpyHtoDAsync_v2", cuMemcpyDtoHAsync: "cuMemcpyDtoHAsync_v2",
	cuMemcpyDtoDAsync: "cuMemcpyDtoDAsync_v2", cuMemsetD32Async: "cuMemsetD32Async",
	cuStreamCreate: "cuStreamCreate", cuStreamDestroy: "cuStreamDestroy_v2",
	cuStreamSynchronize: "cuStreamSynchronize", cuStreamWaitEvent: "cuStreamWaitEvent",
	cuEventCreate: "cuEventCreate", cuEventRecord: "cuEventRecord", cuEventSynchronize: "cuEventSynchronize",
	cuEventElapsedTime: "cuEventElapsedTime", cuEventDestroy: "cuEventDestroy_v2",
	cuModuleLoadData: "cuModuleLoadData", cuModuleUnload: "cuModuleUnload", cuModuleGetFunction: "cuModuleGetFunction",
	cuFuncGetAttribute: "cuFuncGetAttribute", cuLaunchKernel: "cuLaunchKernel", cuGetErrorName: "cuGetErrorName",
}

// Codes of cuda.h that something depends on.
const (
	outOfMemory = 2
	noDevice    = 100
)

// status is a result of CUDA that is not success.
type status struct {
	function string
	code     int32
	name     string // of the code
}

func (s *status) Error() string {
	if s.name == "" {
		return fmt.Sprintf("%s: CUDA error %d", s.function, s.code)
	}
	return fmt.Sprintf("%s: %s (CUDA error %d)", s.function, s.name, s.code)
}

// library is libcuda's functions, called by one thread, for CUDA ties its context to threads.
type library struct {
	file  string
	entry [functions]uintptr
	work  chan func()
	done  chan struct{}
}

// open loads libcuda and starts the thread.
func open(file string) (*library, error) {
	so, err := clib.Open(file)
	if err != nil {
		return nil, err
	}
	l := &library{file: file, work: make(chan func()), done: make(chan struct{})}
	for f, name := range names {
		if l.entry[f], err = so.Symbol(name); err != nil {
			return nil, fmt.Errorf("the card's driver is too old: %w", err)
		}
	}
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine, and its context with it
		for f := range l.work {
			f()
			l.done <- struct{}{}
		}
	}()
	return l, nil
}

// do runs f on the thread that has the context.
func (l *library) do(f func()) {
	l.work <- f
	<-l.done
}

// call calls a function on the thread. What the arguments point to stays where it is, as with clib.Call.
//
//go:uintptrescapes
func (l *library) call(f function, args ...uintptr) error {
	var err error
	l.do(func() { err = l.here(f, args...) })
	return err
}

// here calls a function from the thread itself.
//
//go:uintptrescapes
func (l *library) here(f function, args ...uintptr) error {
	code := int32(clib.Call(l.entry[f], args...))
	if code == 0 {
		return nil
	}
	s := &status{function: names[f], code: code}
	text := new(uintptr)
	if clib.Call(l.entry[cuGetErrorName], uintptr(code), uintptr(unsafe.Pointer(text))) == 0 {
		s.name = clib.Text(*text)
	}
	return s
}

// close ends the thread.
func (l *library) close() { close(l.work) }
