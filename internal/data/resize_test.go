package data

import (
	"encoding/json"
	"os"
	"testing"
)

// noise is that of testdata/pillow_resize.py.
func noise(n int) []byte {
	x, out := uint32(12345), make([]byte, n)
	for i := range out {
		x = (1103515245*x + 12345) % (1 << 31)
		out[i] = byte(x >> 16)
	}
	return out
}

// TestResizeIsPillows compares the resizer with what Pillow gave, to the last bit. All cases share one resizer.
func TestResizeIsPillows(t *testing.T) {
	text, err := os.ReadFile("testdata/pillow_resize.json")
	if err != nil {
		t.Fatal(err)
	}
	var fixture struct {
		Cases []struct {
			Source, Result [2]int
			Box            Box
			SHA256         string
		}
	}
	if err := json.Unmarshal(text, &fixture); err != nil || len(fixture.Cases) < 9 {
		t.Fatal(len(fixture.Cases), err)
	}
	var r resizer
	for _, c := range fixture.Cases {
		got := make([]byte, c.Result[0]*c.Result[1])
		r.plane(noise(c.Source[0]*c.Source[1]), c.Source[1], c.Box, got, c.Result[0], c.Result[1])
		if sum := hexSum(got); sum != c.SHA256 {
			t.Errorf("%v of %v to %v: SHA-256 %s, Pillow's has %s", c.Box, c.Source, c.Result, sum, c.SHA256)
		}
	}
}

// TestLoad checks what is resampled and what is not, and that the planes of an image stay apart.
func TestLoad(t *testing.T) {
	im := &Images{Channels: 2, Height: 2, Width: 4, Pixels: make([]byte, 2*16), Labels: []int32{0, 1}}
	for i := range im.Pixels {
		im.Pixels[i] = byte(i)
	}
	buffer := make([]byte, 16)
	if got := im.Load(1, im.Center(1), buffer); &got[0] != &im.Pixels[16] {
		t.Error("an image that fits has been copied")
	}
	// One pixel of each plane, all over.
	for i, pixel := range im.Load(1, Box{Top: 1, Left: 2, Height: 1, Width: 1}, buffer) {
		if want := im.Pixels[16+8*(i/8)+6]; pixel != want {
			t.Fatalf("byte %d is %d, want %d", i, pixel, want)
		}
	}
	// The left half, each of its columns twice as wide: the inner ones are mixed 1 to 3.
	im.Pixels = []byte{0, 100, 7, 7, 0, 100, 7, 7, 10, 10, 7, 7, 10, 10, 7, 7}
	want := []byte{0, 25, 75, 100, 0, 25, 75, 100, 10, 10, 10, 10, 10, 10, 10, 10}
	if got := im.Load(0, Box{Height: 2, Width: 2}, buffer); string(got) != string(want) {
		t.Errorf("the left half is %v, want %v", got, want)
	}
}

// TestLoadAllocatesNothing loads boxes of several sizes with memory that is warm.
func TestLoadAllocatesNothing(t *testing.T) {
	im := &Images{Channels: 3, Height: 32, Width: 32, Pixels: noise(3 * 32 * 32), Labels: []int32{0}}
	buffer, side := make([]byte, 3*32*32), 8
	im.Load(0, Box{Height: 31, Width: 31}, buffer)
	if n := testing.AllocsPerRun(100, func() {
		im.Load(0, Box{Height: side, Width: 30 - side/2}, buffer)
		side = 8 + (side+1)%24
	}); n != 0 {
		t.Errorf("%v allocations for an image", n)
	}
}

// BenchmarkResize resamples a usual crop of an ImageNet picture on one core.
func BenchmarkResize(b *testing.B) {
	im := &Images{Channels: 3, Height: 224, Width: 224, Labels: []int32{0}, packed: &packed{
		data: noise(3 * 256 * 341), offsets: []int{0}, entries: []entry{{Height: 256, Width: 341}},
	}}
	buffer, side := make([]byte, im.bytes()), 100
	for b.Loop() {
		side = 100 + (side+37)%156
		im.Load(0, Box{Top: 0, Left: 3, Height: side, Width: side + 50}, buffer)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
}
