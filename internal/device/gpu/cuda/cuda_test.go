package cuda_test

import (
	"strings"
	"testing"

	"netadjust/internal/device/gpu/cuda"
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

// TestOpenErrors looks for cards and libraries that are not there, or do not fit together.
func TestOpenErrors(t *testing.T) {
	file := standin.File(t)
	for _, tt := range []struct {
		name    string
		options cuda.Options
		noCard  string
		want    string
	}{
		{"no library", cuda.Options{Library: "libnone.so.1"}, "", "libnone.so.1 is not installed"},
		{"another library", cuda.Options{Library: "libc.so.6"}, "", "libc.so.6 has no function cuInit"},
		{"no card", cuda.Options{Library: file}, "1", file + " is here, but finds no card that it drives"},
		{"no such card", cuda.Options{Library: file, Index: 3}, "", "number 3 is asked for, but " + file + " has only 1"},
		{"no compiler", cuda.Options{Library: file, Compilers: []string{"libnone.so.12"}}, "", "NVRTC (libnone.so.12"},
		{"another compiler", cuda.Options{Library: file, Compilers: []string{"libc.so.6"}}, "", "libc.so.6 has no function"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.noCard != "" {
				t.Setenv(standin.NoCard, tt.noCard)
			}
			if _, err := cuda.Open(tt.options); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
	_, err := cuda.OpenCompiler([]string{file}, 11)
	if err == nil || !strings.Contains(err.Error(), "is of CUDA 12, and the card's driver of CUDA 11") {
		t.Errorf("a compiler newer than the driver: %v", err)
	}
}
