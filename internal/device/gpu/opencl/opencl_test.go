package opencl

import (
	"testing"

	"netadjust/internal/device/gpu/driver"
	"netadjust/internal/device/gpu/driver/drivertest"
)

// TestDriver runs on a processor through OpenCL, as POCL offers it.
func TestDriver(t *testing.T) {
	d, err := Open(Options{Processor: true})
	if err != nil {
		t.Skipf("no OpenCL for the processor, which Debian's pocl-opencl-icd offers: %v", err)
	}
	t.Logf("%+v", d.Properties())
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	drivertest.Run(t, func(cache driver.Cache, trace bool) (driver.Driver, error) {
		return Open(Options{Processor: true, Cache: cache, Trace: trace})
	})
}
