package opencl_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netadjust/internal/device/gpu/driver"
	"netadjust/internal/device/gpu/driver/drivertest"
	"netadjust/internal/device/gpu/opencl"
	"netadjust/internal/device/gpu/opencl/oclgrind"
)

// libraries are those with which the tests run on the processor: POCL through the loader, and POCL without it, as in a
// container that has nothing but a driver.
func libraries() []string {
	if oclgrind.Inside() {
		return []string{oclgrind.Driver}
	}
	return []string{"libOpenCL.so.1", "libpocl.so.2"}
}

// TestOpenAtOnce opens devices as the jobs of a run do. It comes first, because a library sets itself up at its first
// calls.
func TestOpenAtOnce(t *testing.T) {
	const jobs = 8
	errs := make(chan error, jobs)
	for range jobs {
		go func() {
			d, err := opencl.Open(opencl.Options{Libraries: libraries(), Processor: true})
			if err == nil {
				err = d.Close()
			}
			errs <- err
		}()
	}
	var failed []error
	for range jobs {
		if err := <-errs; err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) == jobs {
		t.Skip("no OpenCL for the processor, which Debian's pocl-opencl-icd offers: ", failed[0])
	}
	for _, err := range failed {
		t.Error(err)
	}
}

func TestDriver(t *testing.T) {
	for _, file := range libraries() {
		t.Run(file, func(t *testing.T) {
			o := opencl.Options{Libraries: []string{file}, Processor: true}
			d, err := opencl.Open(o)
			if err != nil {
				t.Skip("no OpenCL for the processor, which Debian's pocl-opencl-icd offers: ", err)
			}
			t.Logf("%+v", d.Properties())
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			drivertest.Run(t, func(cache driver.Cache, trace bool) (driver.Driver, error) {
				o.Cache, o.Trace = cache, trace
				return opencl.Open(o)
			})
		})
	}
}

// TestOpenErrors looks for devices that are not there.
func TestOpenErrors(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text.so")
	if err := os.WriteFile(text, []byte("no library"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		options opencl.Options
		want    string
	}{
		{"absent", opencl.Options{Libraries: []string{"libnone.so", "libno.so"}}, "not installed: libnone.so, libno.so"},
		{"no library", opencl.Options{Libraries: []string{text}}, text + " cannot be loaded"},
		{"no driver", opencl.Options{Libraries: []string{"libc.so.6"}}, "not an OpenCL driver"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := opencl.Open(tt.options); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
	o := opencl.Options{Processor: true}
	d, err := opencl.Open(o)
	if err != nil {
		t.Skip("no OpenCL for the processor: ", err)
	}
	defer d.Close()
	o.Index = 9
	if _, err := opencl.Open(o); err == nil || !strings.Contains(err.Error(), "number 9 is asked for") {
		t.Errorf("device 9: %v", err)
	}
	o = opencl.Options{Libraries: []string{"libpocl.so.2"}}
	if _, err := opencl.Open(o); err == nil || !strings.Contains(err.Error(), "no GPU (it has: Portable Computing ") {
		t.Errorf("a GPU of POCL: %v", err)
	}
}

// TestOclgrind runs the driver's tests on Oclgrind, which must have nothing to report.
func TestOclgrind(t *testing.T) {
	if report := oclgrind.Run(t, "^TestDriver$"); report != "" {
		t.Error(report)
	}
}

// TestOclgrindNotices makes a mistake that Oclgrind has to report.
func TestOclgrindNotices(t *testing.T) {
	if oclgrind.Inside() {
		drivertest.MissingBarrier(t, func(cache driver.Cache, trace bool) (driver.Driver, error) {
			return opencl.Open(opencl.Options{Libraries: libraries(), Processor: true})
		})
		return
	}
	if report := oclgrind.Run(t, "^TestOclgrindNotices$"); !strings.Contains(report, "data race") {
		t.Errorf("nothing about the missing barrier in %q", report)
	}
}
