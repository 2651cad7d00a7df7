package cpu_test

import (
	"testing"

	"netadjust/internal/device"
	"netadjust/internal/device/cpu"
	"netadjust/internal/device/devicetest"
)

func TestConformance(t *testing.T) {
	devicetest.Run(t, func(threads int) (device.Device, error) { return cpu.New(threads) })
}

func TestThreads(t *testing.T) {
	if _, err := cpu.New(-1); err == nil {
		t.Error("-1 threads are accepted")
	}
}
