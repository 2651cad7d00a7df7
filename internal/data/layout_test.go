package data

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestLayouts(t *testing.T) {
	planes := func(first byte) (b []byte) {
		for i := range 3 * 2 * 2 {
			b = append(b, first+byte(i))
		}
		return b
	}
	tests := []struct {
		name     string
		layout   layout
		channels int
		content  string // hexadecimal
		pixels   []byte // nil if the content has none
		labels   []int32
	}{
		{"IDX images", readIDXImages, 1, "00000803 00000002 00000002 00000002 01020304 05060708",
			[]byte{1, 2, 3, 4, 5, 6, 7, 8}, []int32{0, 0}},
		{"IDX labels", readIDXLabels, 1, "00000801 00000002 0902", make([]byte, 8), []int32{9, 2}},
		{"CIFAR-10", readCIFAR(1), 3, "07" + hex.EncodeToString(planes(0)) + "03" + hex.EncodeToString(planes(100)),
			append(planes(0), planes(100)...), []int32{7, 3}},
		{"CIFAR-100", readCIFAR(2), 3, "ff07" + hex.EncodeToString(planes(0)) + "ff03" + hex.EncodeToString(planes(100)),
			append(planes(0), planes(100)...), []int32{7, 3}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			content := unhex(t, test.content)
			decode := func(content []byte) (*Images, error) {
				im := &Images{Channels: test.channels, Height: 2, Width: 2,
					Pixels: make([]byte, 2*test.channels*2*2), Labels: make([]int32, 2)}
				return im, test.layout(bytes.NewReader(content), 10, im)
			}
			got, err := decode(content)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Pixels, test.pixels) {
				t.Errorf("pixels %v, want %v", got.Pixels, test.pixels)
			}
			if diff := cmp.Diff(test.labels, got.Labels); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
			for n := range content {
				if _, err := decode(content[:n]); err == nil {
					t.Errorf("content cut to %d of %d bytes was accepted", n, len(content))
				}
			}
		})
	}
}

func TestLayoutErrors(t *testing.T) {
	tests := []struct {
		name, content, want string
		layout              layout
	}{
		{"magic number", "00000802 00000001 00000002 00000002 01020304",
			"IDX header is 00000802000000010000000200000002, want 00000803000000010000000200000002", readIDXImages},
		{"width", "00000803 00000001 00000002 00000003 010203040506",
			"(unsigned bytes of dimensions [1 2 2])", readIDXImages},
		{"floats", "00000d01 00000001 05", "IDX header is 00000d01", readIDXLabels},
		{"empty", "", "IDX header: EOF", readIDXLabels},
		{"cut", "00000803 00000001 00000002 00000002 0102", "IDX values: unexpected EOF", readIDXImages},
		{"IDX label", "00000801 00000001 0a", "image 0 has label 10, want 0 to 9", readIDXLabels},
		{"CIFAR label", "ff 01020304", "image 0 has label 255, want 0 to 9", readCIFAR(1)},
		{"CIFAR fine label", "00ff 01020304", "image 0 has label 255, want 0 to 9", readCIFAR(2)},
		{"CIFAR cut", "00 0102", "record 0: unexpected EOF", readCIFAR(1)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			im := &Images{Channels: 1, Height: 2, Width: 2, Pixels: make([]byte, 4), Labels: make([]int32, 1)}
			err := test.layout(bytes.NewReader(unhex(t, test.content)), 10, im)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// FuzzIDX checks that exactly the files with the right header and enough values are read, and that the values are the
// bytes behind the header.
func FuzzIDX(f *testing.F) {
	header := unhex(f, "00000803 00000002 00000001 00000003")
	f.Add(append(bytes.Clone(header), 1, 2, 3, 4, 5, 6))
	f.Add(append(bytes.Clone(header), 1, 2, 3, 4, 5))
	f.Add(append(bytes.Clone(header), 1, 2, 3, 4, 5, 6, 7))
	f.Add(header[:7])
	f.Add(unhex(f, "00000801 00000006 010203040506"))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, content []byte) {
		im := &Images{Channels: 1, Height: 1, Width: 3, Pixels: make([]byte, 6), Labels: make([]int32, 2)}
		err := readIDXImages(bytes.NewReader(content), 10, im)
		values, valid := bytes.CutPrefix(content, header)
		valid = valid && len(values) >= len(im.Pixels)
		if valid != (err == nil) {
			t.Fatalf("error %v for a file that is valid: %v", err, valid)
		}
		if valid && !bytes.Equal(im.Pixels, values[:len(im.Pixels)]) {
			t.Fatalf("pixels %v of values %v", im.Pixels, values)
		}
	})
}
