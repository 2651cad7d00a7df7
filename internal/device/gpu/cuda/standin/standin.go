// Package standin builds a stand-in for libcuda and NVRTC that runs on the processor, so that tests need no card.
package standin

import (
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"netadjust/internal/device/gpu/cuda"
	"netadjust/internal/device/gpu/driver"
)

//go:embed testdata/standin.cpp
var source []byte

// build makes the library once in a process, in a folder that is gone when it has been loaded.
var build = sync.OnceValues(func() (file string, err error) {
	dir, err := os.MkdirTemp("", "netadjust-standin-")
	if err != nil {
		return "", err
	}
	cpp, file := filepath.Join(dir, "standin.cpp"), filepath.Join(dir, "standin.so")
	if err := os.WriteFile(cpp, source, 0o644); err != nil {
		return "", err
	}
	command := exec.Command("g++", "-std=c++17", "-O1", "-shared", "-fPIC", "-Wall", "-Werror", "-o", file, cpp)
	command.Stderr = os.Stderr
	return file, command.Run()
})

// Open returns the driver of the stand-in. Without g++ it skips the test.
func Open(t testing.TB, cache driver.Cache, trace bool) (driver.Driver, error) {
	t.Helper()
	if _, err := exec.LookPath("g++"); err != nil {
		t.Skip("no stand-in for CUDA, which g++ compiles: ", err)
	}
	file, err := build()
	if err != nil {
		return nil, err
	}
	return cuda.Open(cuda.Options{Library: file, Compilers: []string{file}, Cache: cache, Trace: trace})
}
