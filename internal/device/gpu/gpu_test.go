package gpu

import (
	"testing"

	"netadjust/internal/device"
	"netadjust/internal/device/devicetest"
	"netadjust/internal/device/gpu/driver"
	"netadjust/internal/device/gpu/gputest"
	"netadjust/internal/device/gpu/kernels"
	"netadjust/internal/ops"
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

// TestStandIn runs the table on the stand-in for CUDA, but for what is large, for that is slow.
func TestStandIn(t *testing.T) {
	const most = 4000 // elements of an operand
	dev := deviceOn(t, gputest.CUDA(t))
	dev.poison = true
	dev.tiles = dev.tiles[:1] // each takes g++ a second
	for _, o := range devicetest.Operations() {
		if o.Larger(most) {
			continue
		}
		t.Run(o.String(), func(t *testing.T) {
			if _, err := o.Check(dev); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTiles checks convolutions with the tiles that a processor does not take.
func TestTiles(t *testing.T) { gputest.Each(t, checkTiles) }

func checkTiles(t *testing.T, d driver.Driver) {
	dev := deviceOn(t, d)
	for _, tile := range kernels.Tiles[1:] {
		dev.tiles = []kernels.Tile{tile} // which is compiled faster than all of them
		for _, g := range []struct {
			k       ops.Conv2D
			x, w, y []int
		}{
			{ops.Conv2D{Stride: 1, Pad: 1}, []int{2, 17, 9, 9}, []int{133, 17, 3, 3}, []int{2, 133, 9, 9}},
			{ops.Conv2D{Stride: 2}, []int{150, 5, 7, 7}, []int{70, 5, 1, 1}, []int{150, 70, 4, 4}},
		} {
			for _, o := range []devicetest.Operation{
				{Kind: g.k, Shapes: [][]int{g.x, g.w}},
				{Kind: ops.Conv2DGradInput{Conv: g.k, Height: g.x[2], Width: g.x[3]}, Shapes: [][]int{g.w, g.y}},
				{Kind: ops.Conv2DGradWeights{Conv: g.k, Height: g.w[2], Width: g.w[3]}, Shapes: [][]int{g.x, g.y}},
			} {
				if _, err := o.Check(dev); err != nil {
					t.Errorf("tile %s, %v: %v", tile.Name(), o, err)
				}
			}
		}
	}
}

func TestNonFinite(t *testing.T) {
	devicetest.RunNonFinite(t, stays{deviceOn(t, gputest.POCL(t))}.open)
}
