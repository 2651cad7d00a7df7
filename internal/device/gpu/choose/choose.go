// Package choose finds the GPU that a name like gpu:1 asks for, and the best layer that drives it.
package choose

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"netadjust/internal/device/gpu/cuda"
	"netadjust/internal/device/gpu/driver"
	"netadjust/internal/device/gpu/opencl"
)

// Environment variables: those of libraries name files that are not where they usually are; the trace is a wait after
// every launch, so that an error names its kernel.
const (
	OpenCLVariable = "NETADJUST_OPENCL"
	CUDAVariable   = "NETADJUST_CUDA"
	NVRTCVariable  = "NETADJUST_NVRTC"
	TraceVariable  = "NETADJUST_GPU_TRACE"
)

// Names are what Parse takes, for messages.
const Names = "gpu, gpu:N (card N, from 0), gpu:cuda, gpu:opencl and gpu:pocl"

// Choice is what a name asks for.
type Choice struct {
	layers []layer
	index  int
}

// layer is a way to a GPU.
type layer struct {
	name string
	open func(index int, cache driver.Cache, trace bool) (driver.Driver, error)
}

var (
	throughCUDA   = layer{"cuda", openCUDA}
	throughOpenCL = layer{"opencl", openOpenCL(false)}
	onProcessor   = layer{"pocl", openOpenCL(true)}
)

// Parse reads a name: gpu, with the number of a card, with a layer, or with both, as in gpu:cuda:1. Without a layer it
// is the first that has a card, CUDA before OpenCL. pocl is OpenCL on the processor, which nothing else chooses.
func Parse(name string) (Choice, error) {
	c := Choice{layers: []layer{throughCUDA, throughOpenCL}}
	words := strings.Split(name, ":")
	for i, word := range words[1:] {
		n, err := strconv.Atoi(word)
		switch {
		case err == nil && n >= 0 && i == len(words)-2:
			c.index = n
		case word == throughCUDA.name && i == 0:
			c.layers = []layer{throughCUDA}
		case word == throughOpenCL.name && i == 0:
			c.layers = []layer{throughOpenCL}
		case word == onProcessor.name && i == 0:
			c.layers = []layer{onProcessor}
		default:
			return c, fmt.Errorf("unknown GPU %q; there are %s", name, Names)
		}
	}
	if words[0] != "gpu" {
		return c, fmt.Errorf("unknown GPU %q; there are %s", name, Names)
	}
	return c, nil
}

// Layers returns the names that ask for the same card through one layer each, the best first.
func (c Choice) Layers() []string {
	var names []string
	for _, l := range c.layers {
		name := "gpu:" + l.name
		if c.index > 0 {
			name += fmt.Sprint(":", c.index)
		}
		names = append(names, name)
	}
	return names
}

// Name is what records call the device: gpu whichever card it is, for the card is named beside it.
func (c Choice) Name() string {
	if c.layers[0].name == onProcessor.name {
		return "gpu:pocl"
	}
	return "gpu"
}

// Open returns the driver of the GPU, and why each layer before it would not do.
func (c Choice) Open() (d driver.Driver, passed []error, err error) {
	for _, l := range c.layers {
		d, err := l.open(c.index, Cache(), os.Getenv(TraceVariable) != "")
		if err == nil {
			return d, passed, nil
		}
		passed = append(passed, fmt.Errorf("%s: %w", l.name, err))
	}
	return nil, nil, fmt.Errorf("no GPU can be used:\n%w", errors.Join(passed...))
}

// Cache is where compiled kernels are kept: in the user's folder for such things, if there is one.
func Cache() driver.Cache {
	dir, err := os.UserCacheDir()
	if err != nil {
		return driver.Cache{}
	}
	return driver.Cache{Dir: filepath.Join(dir, "netadjust", "kernels")}
}

func openCUDA(index int, cache driver.Cache, trace bool) (driver.Driver, error) {
	o := cuda.Options{Library: os.Getenv(CUDAVariable), Index: index, Cache: cache, Trace: trace}
	if file := os.Getenv(NVRTCVariable); file != "" {
		o.Compilers = []string{file}
	}
	return cuda.Open(o)
}

func openOpenCL(processor bool) func(int, driver.Cache, bool) (driver.Driver, error) {
	return func(index int, cache driver.Cache, trace bool) (driver.Driver, error) {
		o := opencl.Options{Processor: processor, Index: index, Cache: cache, Trace: trace}
		if file := os.Getenv(OpenCLVariable); file != "" {
			o.Libraries = []string{file}
		}
		return opencl.Open(o)
	}
}
