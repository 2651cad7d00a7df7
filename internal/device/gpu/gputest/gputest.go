// Package gputest runs tests on every driver that needs no GPU, and kernels through NVIDIA's compiler.
package gputest

import (
	"os"
	"regexp"
	"slices"
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
	t.Run("cuda", func(t *testing.T) {
		d, err := standin.Open(t, choose.Cache(), false)
		if err != nil {
			t.Fatal(err)
		}
		test(t, d)
	})
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

// Recorder is a driver that remembers what was built.
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
	return r.Driver.Build(text, options...)
}

var (
	// Architectures are those that programs are compiled for: Turing, Ampere, Hopper.
	architectures = []string{"sm_75", "sm_80", "sm_90"}
	spill         = regexp.MustCompile(`[1-9]\d* bytes spill`)
)

// Compile compiles what was built for NVIDIA's cards. No kernel may keep in memory what should be in registers.
func (r *Recorder) Compile(t *testing.T) {
	c := Compiler(t)
	seen := map[string]bool{}
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
			} else if spill.MatchString(log) {
				t.Errorf("%s, options %q:\n%s", arch, p.options, log)
			}
		}
	}
	if len(seen) == 0 {
		t.Error("nothing was built")
	}
}
