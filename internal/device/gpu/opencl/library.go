package opencl

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"netadjust/internal/device/gpu/clib"
)

// function is a function of OpenCL 1.2: its place in the dispatch table of drivers (cl_icd.h), whose order is fixed.
type function int

const (
	getPlatformIDs          function = 0
	getPlatformInfo         function = 1
	getDeviceIDs            function = 2
	getDeviceInfo           function = 3
	createContext           function = 4
	releaseContext          function = 7
	createCommandQueue      function = 9
	releaseCommandQueue     function = 11
	createBuffer            function = 14
	releaseMemObject        function = 18
	createProgramWithSource function = 26
	createProgramWithBinary function = 27
	releaseProgram          function = 29
	buildProgram            function = 30
	getProgramInfo          function = 32
	getProgramBuildInfo     function = 33
	createKernel            function = 34
	getKernelWorkGroupInfo  function = 40
	releaseKernel           function = 37
	setKernelArg            function = 38
	waitForEvents           function = 41
	releaseEvent            function = 44
	getEventProfilingInfo   function = 45
	flush                   function = 46
	finish                  function = 47
	enqueueReadBuffer       function = 48
	enqueueWriteBuffer      function = 49
	enqueueCopyBuffer       function = 50
	enqueueMapBuffer        function = 56
	enqueueUnmapMemObject   function = 58
	enqueueNDRangeKernel    function = 59
	createSubBuffer         function = 82
	enqueueFillBuffer       function = 102
	enqueueMarkerWithList   function = 105
	enqueueBarrierWithList  function = 106
	functions                        = 107
)

var names = map[function]string{
	getPlatformIDs: "clGetPlatformIDs", getPlatformInfo: "clGetPlatformInfo",
	getDeviceIDs: "clGetDeviceIDs", getDeviceInfo: "clGetDeviceInfo",
	createContext: "clCreateContext", releaseContext: "clReleaseContext",
	createCommandQueue: "clCreateCommandQueue", releaseCommandQueue: "clReleaseCommandQueue",
	createBuffer: "clCreateBuffer", createSubBuffer: "clCreateSubBuffer", releaseMemObject: "clReleaseMemObject",
	createProgramWithSource: "clCreateProgramWithSource", createProgramWithBinary: "clCreateProgramWithBinary",
	releaseProgram: "clReleaseProgram", buildProgram: "clBuildProgram", getProgramInfo: "clGetProgramInfo",
	getProgramBuildInfo: "clGetProgramBuildInfo",
	createKernel:        "clCreateKernel", releaseKernel: "clReleaseKernel", setKernelArg: "clSetKernelArg",
	getKernelWorkGroupInfo: "clGetKernelWorkGroupInfo",
	waitForEvents:          "clWaitForEvents", releaseEvent: "clReleaseEvent",
	getEventProfilingInfo: "clGetEventProfilingInfo",
	flush:                 "clFlush", finish: "clFinish",
	enqueueReadBuffer: "clEnqueueReadBuffer", enqueueWriteBuffer: "clEnqueueWriteBuffer",
	enqueueCopyBuffer: "clEnqueueCopyBuffer", enqueueFillBuffer: "clEnqueueFillBuffer",
	enqueueMapBuffer: "clEnqueueMapBuffer", enqueueUnmapMemObject: "clEnqueueUnmapMemObject",
	enqueueNDRangeKernel: "clEnqueueNDRangeKernel", enqueueMarkerWithList: "clEnqueueMarkerWithWaitList",
	enqueueBarrierWithList: "clEnqueueBarrierWithWaitList",
}

// Codes of the Khronos headers that something depends on, or that a user may meet.
const (
	deviceNotFound      = -1
	allocationFailure   = -4
	outOfResources      = -5
	outOfHostMemory     = -6
	buildProgramFailure = -11
	platformNotFound    = -1001
)

var codes = map[int32]string{
	deviceNotFound: "no such device", -2: "the device is not available", allocationFailure: "no device memory",
	outOfResources: "out of resources", outOfHostMemory: "no host memory",
	buildProgramFailure: "the program does not build",
	-14:                 "a command before it failed", -33: "invalid device",
	-45: "the program has not been built for the device",
	-46: "no such kernel", -49: "no such parameter", -51: "a parameter of another size", -52: "arguments are missing",
	-54:              "the group has another size than the kernel was compiled for, or too many threads",
	platformNotFound: "no driver is registered with the loader",
	-9999:            "a kernel read or wrote memory that is not its own",
}

// status is a result of OpenCL that is not success.
type status struct {
	function function
	code     int32
}

func (s *status) Error() string {
	if text, ok := codes[s.code]; ok {
		return fmt.Sprintf("%s: %s (OpenCL error %d)", names[s.function], text, s.code)
	}
	return fmt.Sprintf("%s: OpenCL error %d", names[s.function], s.code)
}

// is tells whether err is one of some codes.
func is(err error, codes ...int32) bool {
	var s *status
	if !errors.As(err, &s) {
		return false
	}
	for _, code := range codes {
		if s.code == code {
			return true
		}
	}
	return false
}

// library is OpenCL's functions, of the loader or of one vendor's driver by itself.
type library struct {
	file  string
	entry [functions]uintptr
}

// call calls a function that returns a code. See clib.Call for pointers.
//
//go:uintptrescapes
func (l *library) call(f function, args ...uintptr) error {
	if code := int32(clib.Call(l.entry[f], args...)); code != 0 {
		return &status{f, code}
	}
	return nil
}

// create calls a function that returns a handle or an address, and a code through its last parameter.
//
//go:uintptrescapes
func (l *library) create(f function, args ...uintptr) (uintptr, error) {
	code := new(int32)
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(code)
	handle := clib.Call(l.entry[f], append(args, uintptr(unsafe.Pointer(code)))...)
	if *code != 0 {
		return 0, &status{f, *code}
	}
	return handle, nil
}

// info reads a property, whose handles and number are the first arguments.
func (l *library) info(f function, args ...uintptr) ([]byte, error) {
	size := new(uintptr)
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(size)
	if err := l.call(f, append(args, 0, 0, uintptr(unsafe.Pointer(size)))...); err != nil || *size == 0 {
		return nil, err
	}
	value := make([]byte, *size)
	pin.Pin(&value[0])
	return value, l.call(f, append(args, *size, uintptr(unsafe.Pointer(&value[0])), 0)...)
}

// text reads a property that is a string, empty if it cannot be had.
func (l *library) text(f function, args ...uintptr) string {
	b, err := l.info(f, args...)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(strings.TrimRight(string(b), "\x00"))
}

// open loads a library and lists its platforms. Vendors' drivers export hardly more than clGetExtensionFunctionAddress,
// but every handle begins with a pointer to the dispatch table; so the loader is not needed where it is missing, as in
// many containers.
func open(file string) (*library, []uintptr, error) {
	so, err := clib.Open(file)
	if err != nil {
		return nil, nil, err
	}
	l := &library{file: file}
	loader := true
	if l.entry[getPlatformIDs], err = so.Symbol(names[getPlatformIDs]); err != nil {
		loader = false
		if l.entry[getPlatformIDs], err = driversOwn(so); err != nil {
			return nil, nil, err
		}
	}
	n := new(uint32)
	err = l.call(getPlatformIDs, 0, 0, uintptr(unsafe.Pointer(n)))
	if err != nil && !is(err, platformNotFound, deviceNotFound) {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	if *n == 0 && loader {
		return nil, nil, fmt.Errorf("%s is here, but no driver is registered with it (in /etc/OpenCL/vendors): "+
			"install the OpenCL driver of the card's vendor", file)
	} else if *n == 0 {
		return nil, nil, fmt.Errorf("%s is here, but finds no card that it drives", file)
	}
	platforms := make([]uintptr, *n)
	if err := l.call(getPlatformIDs, uintptr(*n), uintptr(unsafe.Pointer(&platforms[0])), 0); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	for f, name := range names {
		if !loader {
			table := **(***[functions]uintptr)(unsafe.Pointer(&platforms[0])) // a handle, its first word, the table
			l.entry[f] = table[f]
		} else if l.entry[f], err = so.Symbol(name); err != nil {
			return nil, nil, err
		}
	}
	return l, platforms, nil
}

// driversOwn returns a driver's function that lists its platforms.
func driversOwn(so *clib.Library) (uintptr, error) {
	find, err := so.Symbol("clGetExtensionFunctionAddress")
	if err != nil {
		return 0, fmt.Errorf("not an OpenCL driver: %w", err)
	}
	list := clib.Call(find, uintptr(unsafe.Pointer(clib.CString("clIcdGetPlatformIDsKHR"))))
	if list == 0 {
		return 0, fmt.Errorf("%s is not an OpenCL driver: it has no clIcdGetPlatformIDsKHR", so.File)
	}
	return list, nil
}
