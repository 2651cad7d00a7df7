package cpu_test

import (
	"strings"
	"testing"

	"netadjust/internal/device"
	"netadjust/internal/device/cpu"
	"netadjust/internal/device/cpu/kernel"
	"netadjust/internal/device/devicetest"
)

// TestConformance runs the table of operations on every set of kernels that this processor has.
func TestConformance(t *testing.T) {
	for _, set := range kernel.Available() {
		t.Run(set.Name, func(t *testing.T) {
			t.Setenv(cpu.KernelsVariable, set.Name)
			devicetest.Run(t, func(threads int) (device.Device, error) { return cpu.New(threads) })
		})
	}
}

func TestNonFinite(t *testing.T) {
	for _, set := range kernel.Available() {
		t.Run(set.Name, func(t *testing.T) {
			t.Setenv(cpu.KernelsVariable, set.Name)
			devicetest.RunNonFinite(t, func(threads int) (device.Device, error) { return cpu.New(threads) })
		})
	}
}

func TestNewErrors(t *testing.T) {
	if _, err := cpu.New(-1); err == nil || !strings.Contains(err.Error(), "-1 threads") {
		t.Errorf("-1 threads: error %v", err)
	}
	t.Setenv(cpu.KernelsVariable, "avx1024")
	if _, err := cpu.New(1); err == nil || !strings.Contains(err.Error(), "NETADJUST_CPU") || !strings.Contains(err.Error(), "go") {
		t.Errorf("unknown kernels: error %v, want one that names the variable and what there is", err)
	}
}
