package cuda_test

import (
	"strings"
	"testing"

	"netadjust/internal/device/gpu/cuda/standin"
	"netadjust/internal/device/gpu/driver"
	"netadjust/internal/device/gpu/driver/drivertest"
)

// opener opens a stand-in for libcuda and NVRTC.
func opener(t *testing.T) drivertest.Open {
	return func(cache driver.Cache, trace bool) (driver.Driver, error) { return standin.Open(t, cache, trace) }
}

func TestDriver(t *testing.T) { drivertest.Run(t, opener(t)) }

// TestStandInNotices makes mistakes that the stand-in has to notice.
func TestStandInNotices(t *testing.T) {
	t.Run("missing barrier", func(t *testing.T) {
		if drivertest.MissingBarrier(t, opener(t)) == "" {
			t.Error("right results without the barrier")
		}
	})
	err := drivertest.DivergentBarrier(t, opener(t))
	if err == nil || !strings.Contains(err.Error(), "kernel sums: cuStreamSynchronize: CUDA_ERROR_LAUNCH_FAILED") {
		t.Errorf("a barrier for some threads: %v", err)
	}
}
