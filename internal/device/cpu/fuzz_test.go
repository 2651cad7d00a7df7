package cpu_test

import (
	"testing"

	"netadjust/internal/device"
	"netadjust/internal/device/cpu"
	"netadjust/internal/device/cpu/kernel"
	"netadjust/internal/device/devicetest"
)

// FuzzOperations checks operations of random kind and shape on every set of kernels.
func FuzzOperations(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		for _, set := range kernel.Available() {
			t.Setenv(cpu.KernelsVariable, set.Name)
			devicetest.CheckRandom(t, func(threads int) (device.Device, error) { return cpu.New(threads) }, seed)
		}
	})
}
