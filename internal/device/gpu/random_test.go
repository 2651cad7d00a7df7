package gpu

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/device/gpu/driver"
	"netadjust/internal/device/gpu/gputest"
	"netadjust/internal/device/gpu/kernels"
)

// known is a kernel that writes all words of the generator for keys and counters.
const known = `
KERNEL(T) known(GLOBAL const uint *restrict in, GLOBAL uint *restrict out, int n) {
    int i = ELEMENT;
    if (i >= n) return;
    for (int w = 0; w < 4; w++)
        out[4 * i + w] = philox(in[6 * i], in[6 * i + 1], in[6 * i + 2], in[6 * i + 3], in[6 * i + 4], in[6 * i + 5], w);
}
`

// TestPhilox compares the kernels' generator with the known answers that the authors' Random123 library ships for
// philox4x32-10.
func TestPhilox(t *testing.T) {
	const full = 0xffffffff
	in := []uint32{ // two words of a key, four of a counter
		0, 0, 0, 0, 0, 0,
		full, full, full, full, full, full,
		0xa4093822, 0x299f31d0, 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344,
	}
	want := []uint32{
		0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8,
		0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd,
		0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1,
	}
	gputest.Each(t, func(t *testing.T, d driver.Driver) {
		got, err := words(deviceOn(t, d), in, len(want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// words runs the kernel.
func words(dev *Device, in []uint32, n int) ([]uint32, error) {
	d := dev.driver
	program, err := d.Build(kernels.Text(kernels.Elements)+known, define("T", threads))
	if err != nil {
		return nil, err
	}
	from, err := dev.state.take(4 * len(in))
	if err != nil {
		return nil, err
	}
	to, err := dev.state.take(4 * n)
	if err != nil {
		return nil, err
	}
	host, err := dev.staged(max(from.Bytes, to.Bytes))
	if err != nil {
		return nil, err
	}
	copy(driver.Slice[uint32](host), in)
	if err := d.Upload(driver.Compute, from, host[:from.Bytes]); err != nil {
		return nil, err
	}
	l, err := program.Launch("known", [3]int{1, 1, 1}, threads, from, to, int32(n/4))
	if err != nil {
		return nil, err
	}
	defer l.Free()
	if err := d.Launch(l); err != nil {
		return nil, err
	}
	if err := d.Download(driver.Compute, host[:to.Bytes], to); err != nil {
		return nil, err
	}
	return driver.Slice[uint32](host)[:n], dev.wait()
}
