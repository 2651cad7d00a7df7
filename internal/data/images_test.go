package data

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// numbered returns n one-channel images of 1x2 pixels: image i has pixels 2i and 2i+1 and label i.
func numbered(n int) *Images {
	im := &Images{Channels: 1, Height: 1, Width: 2}
	for i := range n {
		im.Pixels = append(im.Pixels, byte(2*i), byte(2*i+1))
		im.Labels = append(im.Labels, int32(i))
	}
	return im
}

func TestSlice(t *testing.T) {
	im := numbered(6)
	outer, err := im.Slice(1, 5)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := outer.Slice(2, 4)
	if err != nil {
		t.Fatal(err)
	}
	want := &Images{Channels: 1, Height: 1, Width: 2, Pixels: []byte{6, 7, 8, 9}, Labels: []int32{3, 4}, First: 3}
	if diff := cmp.Diff(want, inner, cmp.AllowUnexported(Images{})); diff != "" {
		t.Errorf("slice 2:4 of slice 1:5 (-want +got):\n%s", diff)
	}
	im.Pixels[6] = 99
	if inner.Pixels[0] != 99 {
		t.Error("a slice holds a copy of the pixels, want a view")
	}
	if _ = append(inner.Pixels, 77); im.Pixels[10] != 10 {
		t.Error("appending to a slice wrote into the set behind it")
	}
}

func TestSliceOutOfRange(t *testing.T) {
	for _, r := range [][2]int{{-1, 2}, {0, 7}, {3, 3}, {4, 2}, {6, 7}} {
		if got, err := numbered(6).Slice(r[0], r[1]); err == nil {
			t.Errorf("slice %d:%d of 6 images has %d, want an error", r[0], r[1], got.Len())
		}
	}
}

func TestStatistics(t *testing.T) {
	// Channel 0 is black and white in equal parts, channel 1 constant, channel 2 has mean 102 and deviations of 51, 0
	// and 51: variance 51²*2/4.
	im := &Images{Channels: 3, Height: 1, Width: 2, Labels: []int32{0, 0}, Pixels: []byte{
		0, 255, 51, 51, 51, 102,
		255, 0, 51, 51, 102, 153,
	}}
	mean, std := im.Statistics()
	if diff := cmp.Diff([]float64{0.5, 0.2, 0.4}, mean); diff != "" {
		t.Errorf("mean (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]float64{0.5, 0, 0.2 / math.Sqrt2}, std); diff != "" {
		t.Errorf("standard deviation (-want +got):\n%s", diff)
	}
}

func TestVarianceIsExactForLargeSets(t *testing.T) {
	// As many white pixels as the training images of MNIST have, and one that differs by 1: n times the sum of squares
	// is beyond 2^63, and n² times the variance is n-1.
	const n = 60000 * 28 * 28
	if got := scaledVariance(n, 255*n, 255*255*n); got != 0 {
		t.Errorf("variance of a constant is %v, want 0", got)
	}
	if got := scaledVariance(n, 255*n-1, 255*255*n-255*255+254*254); got != n-1 {
		t.Errorf("n² times the variance is %v, want %d", got, n-1)
	}
}
