package gpu

import (
	"testing"

	"netadjust/internal/device"
	"netadjust/internal/device/devicetest"
	"netadjust/internal/device/gpu/driver"
	"netadjust/internal/device/gpu/gputest"
)

// deviceOn returns a device on a driver.
func deviceOn(t *testing.T, d driver.Driver) *Device {
	t.Helper()
	dev, err := New("gpu:test", d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	})
	return dev
}

// stays is a device that the tests of a table share.
type stays struct{ *Device }

func (stays) Close() error { return nil }

func (s stays) open(int) (device.Device, error) { return s, nil }

// TestConformance runs the table of operations. Memory that nothing has been written to holds what is no number.
func TestConformance(t *testing.T) {
	dev := deviceOn(t, gputest.POCL(t))
	dev.poison = true
	devicetest.Run(t, stays{dev}.open)
}

func TestNonFinite(t *testing.T) {
	devicetest.RunNonFinite(t, stays{deviceOn(t, gputest.POCL(t))}.open)
}
