package opencl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netadjust/internal/device/gpu/driver"
	"netadjust/internal/device/gpu/driver/drivertest"
)

// TestDriver runs on the processor, as POCL offers it: through the loader, and without it, as in a container that has
// nothing but a driver.
func TestDriver(t *testing.T) {
	for _, file := range libraries(true) {
		t.Run(file, func(t *testing.T) {
			o := Options{Libraries: []string{file}, Processor: true}
			d, err := Open(o)
			if err != nil {
				t.Skip("no OpenCL for the processor, which Debian's pocl-opencl-icd offers: ", err)
			}
			t.Logf("%+v", d.Properties())
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			drivertest.Run(t, func(cache driver.Cache, trace bool) (driver.Driver, error) {
				o.Cache, o.Trace = cache, trace
				return Open(o)
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
		options Options
		want    string
	}{
		{"absent", Options{Libraries: []string{"libnone.so.1", "libno.so.2"}}, "not installed: libnone.so.1, libno.so.2"},
		{"no library", Options{Libraries: []string{text}}, text + " cannot be loaded"},
		{"no driver", Options{Libraries: []string{"libc.so.6"}}, "not an OpenCL driver"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Open(tt.options); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
	o := Options{Processor: true}
	d, err := Open(o)
	if err != nil {
		t.Skip("no OpenCL for the processor: ", err)
	}
	defer d.Close()
	o.Index = 9
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "number 9 is asked for") {
		t.Errorf("device 9: %v", err)
	}
	o = Options{Libraries: []string{"libpocl.so.2"}}
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "has no GPU (it has: Portable Computing Language)") {
		t.Errorf("a GPU of POCL: %v", err)
	}
}
