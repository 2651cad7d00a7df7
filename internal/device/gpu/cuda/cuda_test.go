package cuda_test

import (
	"testing"

	"netadjust/internal/device/gpu/cuda/standin"
	"netadjust/internal/device/gpu/driver"
	"netadjust/internal/device/gpu/driver/drivertest"
)

// TestDriver runs on a stand-in for libcuda and NVRTC.
func TestDriver(t *testing.T) {
	drivertest.Run(t, func(cache driver.Cache, trace bool) (driver.Driver, error) {
		return standin.Open(t, cache, trace)
	})
}
