package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func example() *File {
	return &File{
		Metadata: map[string]string{"note": `of a "sha256":"` + noSum + `" test`},
		Tensors: []Tensor{
			{"stem.weights", []int{2, 3}, []float32{1, -2, 0.5, 3e-9, 0, 7}},
			{"labels", []int{3}, []uint32{0, 1 << 31, 9}},
			{"pixels", []int{1, 1, 5}, []uint8{0, 1, 2, 254, 255}},
			{"none", []int{0, 4}, []float32{}},
			{"loss", []int{}, []float32{2.5}},
		},
	}
}

// written returns the path and the bytes of a file.
func written(t *testing.T, f *File) (string, []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := f.Write(path); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, content
}

func TestWriteRead(t *testing.T) {
	path, content := written(t, example())
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(example(), got); diff != "" {
		t.Errorf("file (-written +read):\n%s", diff)
	}
	if _, again := written(t, got); !bytes.Equal(again, content) {
		t.Error("what was read gives another file")
	}
	if _, err := Read(path + ".none"); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrDamaged) {
		t.Errorf("no file: error %v", err)
	}
}

// TestFormat reads a file by the rules of the format, as other libraries do.
func TestFormat(t *testing.T) {
	_, file := written(t, example())
	size := int(binary.LittleEndian.Uint64(file))
	header, body := file[8:8+size], file[8+size:]
	if header[0] != '{' || (8+size)%8 != 0 || len(bytes.TrimRight(header, " ")) < size-7 {
		t.Errorf("header of %d bytes: %q … %q", size, header[:1], header[size-8:])
	}
	d := json.NewDecoder(bytes.NewReader(header))
	d.DisallowUnknownFields()
	type place struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets []int  `json:"data_offsets"`
	}
	var got struct {
		Metadata map[string]string `json:"__metadata__"`
		Weights  place             `json:"stem.weights"`
		Labels   place             `json:"labels"`
		Pixels   place             `json:"pixels"`
		None     place             `json:"none"`
		Loss     place             `json:"loss"`
	}
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name      string
		got, want place
	}{
		{"weights", got.Weights, place{"F32", []int{2, 3}, []int{0, 24}}},
		{"labels", got.Labels, place{"U32", []int{3}, []int{24, 36}}},
		{"pixels", got.Pixels, place{"U8", []int{1, 1, 5}, []int{36, 41}}},
		{"none", got.None, place{"F32", []int{0, 4}, []int{41, 41}}},
		{"loss", got.Loss, place{"F32", []int{}, []int{41, 45}}},
	} {
		if diff := cmp.Diff(x.want, x.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", x.name, diff)
		}
	}
	if len(body) != 45 || got.Metadata["format_version"] != "2" || len(got.Metadata["sha256"]) != 64 {
		t.Errorf("%d bytes of tensors, metadata %q", len(body), got.Metadata)
	}
	if want := []byte{0, 0, 128, 63, 0, 0, 0, 192}; !bytes.Equal(body[:8], want) {
		t.Errorf("1 and -2 are stored as % x", body[:8])
	}
}

// TestDamaged checks that no change of a file goes unnoticed.
func TestDamaged(t *testing.T) {
	path, file := written(t, example())
	headerEnd := 8 + int(binary.LittleEndian.Uint64(file))
	damaged := func(what string, at int, content []byte) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Read(path)
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path+": file is damaged or foreign: ") {
			t.Errorf("%s at byte %d: error %v", what, at, err)
		}
	}
	for _, n := range []int{0, 7, 8, 9, headerEnd - 1, headerEnd, headerEnd + 4, len(file) - 1} {
		damaged("cut short", n, file[:n])
	}
	damaged("longer", len(file), append(slices.Clone(file), 0))
	for i := range file {
		flipped := slices.Clone(file)
		flipped[i] ^= 1 << (i % 8)
		damaged("flipped bit", i, flipped)
	}
}

// packed puts a header and a body together.
func packed(header string, body ...byte) []byte {
	return slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), []byte(header), body)
}

func TestForeign(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	body := []byte{0, 0, 128, 63}
	version1 := func(tensors string, body ...byte) []byte {
		return packed(`{"__metadata__":{"sha256":"`+checksum(body)+`","note":"old"}`+tensors+`}`, body...)
	}
	const x = `,"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`
	for _, tt := range []struct {
		name    string
		content []byte
		want    string // "" if it can be read
	}{
		{"version 1", version1(x, body...), ""},
		{"another version", packed(`{"__metadata__":{"format_version":"3"}}`), `format_version is "3"`},
		{"no checksum", packed(`{"__metadata__":{"format":"pt"}`+x+`}`, body...), `the header says ""`},
		{"no metadata", packed(`{}`), "metadata: "},
		{"no JSON", packed("PK"), "header: "},
		{"another type", version1(`,"x":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}`, body...), "tensor x: F16 [2]"},
		{"shape", version1(`,"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}`, body...), "tensor x: F32 [2]"},
		{"negative shape", version1(`,"x":{"dtype":"U8","shape":[-2,-2],"data_offsets":[0,4]}`, body...), "tensor x"},
		{"huge shape", version1(`,"x":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}`), "tensor x"},
		{"outside", version1(`,"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}`, body...), "tensor x"},
		{"overlap", version1(x+`,"y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`, body...), "tensor y"},
		{"gap at the end", version1("", body...), "tensors end at byte 0 of 4"},
		{"no place", version1(`,"x":null`, body...), "tensor x"},
	} {
		if err := os.WriteFile(path, tt.content, 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := Read(path)
		if tt.want == "" {
			want := &File{map[string]string{"note": "old"}, []Tensor{{"x", []int{1}, []float32{1}}}}
			if diff := cmp.Diff(want, f); diff != "" || err != nil {
				t.Errorf("%s: error %v, file (-want +got):\n%s", tt.name, err, diff)
			}
			continue
		}
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

func TestWriteErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	for _, tt := range []struct {
		want    string
		tensors []Tensor
	}{
		{"tensor x is there twice", []Tensor{{"x", []int{1}, []float32{1}}, {"x", []int{1}, []float32{1}}}},
		{"tensor x: [2] in 4 bytes is no F32", []Tensor{{"x", []int{2}, []float32{1}}}},
		{"[1] in 8 bytes is no []float64", []Tensor{{"x", []int{1}, []float64{1}}}},
		{"tensor x: ", []Tensor{{"x", []int{1}, []int{1}}}},
	} {
		err := (&File{Tensors: tt.tensors}).Write(path)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want one with %q", err, tt.want)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file was written: %v", err)
	}
}

func TestFloat32(t *testing.T) {
	f := example()
	if got, err := f.Float32("stem.weights", 2, 3); err != nil || got[1] != -2 {
		t.Errorf("%v, %v", got, err)
	}
	for _, tt := range []struct {
		name  string
		shape []int
		want  string
	}{
		{"stem.weights", []int{3, 2}, "tensor stem.weights is F32 [2 3], want F32 [3 2]"},
		{"labels", []int{3}, "tensor labels is U32 [3], want F32 [3]"},
		{"head", []int{3}, "there is no tensor head"},
	} {
		if _, err := f.Float32(tt.name, tt.shape...); err == nil || err.Error() != tt.want {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
}
