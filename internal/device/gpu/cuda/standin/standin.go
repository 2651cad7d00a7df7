// Package standin builds a stand-in for libcuda and NVRTC that runs on the processor, so that tests need no card.
package standin

import (
	"crypto/sha256"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"netadjust/internal/atomicfile"
	"netadjust/internal/device/gpu/cuda"
	"netadjust/internal/device/gpu/driver"
)

//go:embed testdata/standin.cpp
var source []byte

// revision names the source.
var revision = fmt.Sprintf("%x", sha256.Sum256(source))[:16]

// build makes the library once on a machine.
var build = sync.OnceValues(func() (file string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "netadjust", "tests")
	file = filepath.Join(dir, "standin-"+revision+".so")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return file, atomicfile.WriteTo(file, compile)
})

// compile writes the library.
func compile(w io.Writer) error {
	dir, err := os.MkdirTemp("", "standin-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cpp, so := filepath.Join(dir, "standin.cpp"), filepath.Join(dir, "standin.so")
	if err := os.WriteFile(cpp, source, 0o644); err != nil {
		return err
	}
	command := exec.Command("g++", "-std=c++17", "-shared", "-fPIC", "-Wall", "-Werror",
		`-DREVISION="`+revision+`"`, "-o", so, cpp)
	if log, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, log)
	}
	b, err := os.ReadFile(so)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// File returns the library, which is libcuda and NVRTC in one. Without g++ it skips the test. Where NoCard is in the
// environment the library finds no card.
func File(t testing.TB) string {
	t.Helper()
	if _, err := exec.LookPath("g++"); err != nil {
		t.Skip("no stand-in for CUDA, which g++ compiles: ", err)
	}
	file, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// NoCard is an environment variable.
const NoCard = "STANDIN_NO_CARD"

// Open returns the driver of the stand-in.
func Open(t testing.TB, cache driver.Cache, trace bool) (driver.Driver, error) {
	t.Helper()
	file := File(t)
	return cuda.Open(cuda.Options{Library: file, Compilers: []string{file}, Cache: cache, Trace: trace})
}
