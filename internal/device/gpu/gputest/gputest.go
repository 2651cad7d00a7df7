// Package gputest runs tests on every driver that needs no GPU, and kernels through NVIDIA's compiler.
package gputest

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"netadjust/internal/device/gpu/choose"
	"netadjust/internal/device/gpu/cuda"
	"netadjust/internal/device/gpu/cuda/standin"
	"netadjust/internal/device/gpu/driver"
	"netadjust/internal/device/gpu/opencl/oclgrind"
)

// Each runs a test on POCL and on the stand-in for CUDA, or, inside of Oclgrind, on that. What is not installed is
// skipped. The test closes its driver.
func Each(t *testing.T, test func(t *testing.T, d driver.Driver)) {
	t.Run("opencl", func(t *testing.T) { test(t, POCL(t)) })
	if oclgrind.Inside() {
		return
	}
	t.Run("cuda", func(t *testing.T) { test(t, CUDA(t)) })
}

// CUDA returns the driver of the stand-in for CUDA.
func CUDA(t *testing.T) driver.Driver {
	t.Helper()
	d, err := standin.Open(t, choose.Cache(), false)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// POCL returns the driver of the processor through OpenCL.
func POCL(t *testing.T) driver.Driver {
	t.Helper()
	c, err := choose.Parse("gpu:pocl")
	if err != nil {
		t.Fatal(err)
	}
	d, _, err := c.Open()
	if err != nil {
		t.Skip("Debian's pocl-opencl-icd would offer OpenCL on the processor: ", err)
	}
	return d
}

// Compiler returns NVRTC, or skips the test where there is none.
func Compiler(t *testing.T) *cuda.Compiler {
	t.Helper()
	var files []string
	if file := os.Getenv(choose.NVRTCVariable); file != "" {
		files = []string{file}
	}
	c, err := cuda.OpenCompiler(files, newest)
	if err != nil {
		t.Skip("no kernel goes through NVIDIA's compiler: ", err)
	}
	return c
}

const newest = 1000 // major version of CUDA

// Recorder is a driver that remembers what it should build, and does not. Plans can be made on it, but not run.
type Recorder struct {
	driver.Driver
	programs []program
}

type program struct {
	text    string
	options []string
}

// Build remembers.
func (r *Recorder) Build(text string, options ...string) (driver.Program, error) {
	r.programs = append(r.programs, program{text, slices.Clone(options)})
	return unbuilt{}, nil
}

// unbuilt is a program, and any launch of it.
type unbuilt struct{}

func (unbuilt) Launch(string, [3]int, int, ...any) (driver.Launch, error) { return unbuilt{}, nil }
func (unbuilt) Name() string                                              { return "unbuilt" }
func (unbuilt) Free() error                                               { return nil }

// spilled is what ptxas says of registers that a kernel keeps in memory.
var spilled = regexp.MustCompile(`Function properties for (\w+)\n.* (\d+) bytes spill stores`)

// fewBytes of spilled registers are allowed: ptxas gives up one or two of a small kernel to run more threads at once.
const fewBytes = 8

// Compile compiles what was built for NVIDIA's architectures, as in sm_80. The registers of a kernel have to do.
func (r *Recorder) Compile(t *testing.T, architectures ...string) {
	c := Compiler(t)
	seen, kernels := map[string]bool{}, 0
	for _, p := range r.programs {
		key := r.Properties().Key(p.text, p.options)
		if seen[key] {
			continue
		}
		seen[key] = true
		for _, arch := range architectures {
			_, log, err := c.Compile(p.text, arch, append(p.options, "--ptxas-options=-v")...)
			if err != nil {
				t.Errorf("%s: %v", arch, err)
			}
			for _, m := range spilled.FindAllStringSubmatch(log, -1) {
				if bytes, err := strconv.Atoi(m[2]); err != nil || bytes > fewBytes {
					t.Errorf("%s, options %q: kernel %s spills %s bytes of registers", arch, p.options, m[1], m[2])
				}
			}
			kernels += strings.Count(log, "Function properties for")
		}
	}
	if kernels == 0 {
		t.Error("no kernel was built, or ptxas says nothing of it")
	}
}
