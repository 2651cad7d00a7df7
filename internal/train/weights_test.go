package train

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/networks"
)

// saved writes an untrained model and returns it with its file's path and content.
func saved(t *testing.T, metadata map[string]string) (m *Model, path string, file []byte) {
	t.Helper()
	n := network(t, "resnet8", 0.125)
	m = newModel(n, []int{3, 2, 5, 4, 7, 9}, norm, Stream{1, "final"})
	path = filepath.Join(t.TempDir(), "weights.safetensors")
	if err := m.Save(path, metadata); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return m, path, file
}

func TestSaveLoad(t *testing.T) {
	m, path, _ := saved(t, nil)
	got, err := Load(path, m.Network, m.Channels, norm)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m.tensors, got.tensors); diff != "" {
		t.Errorf("tensors (-saved +loaded):\n%s", diff)
	}
	if diff := cmp.Diff(m.Channels, got.Channels); diff != "" || got.Network != m.Network || !cmp.Equal(got.Norm, norm) {
		t.Errorf("widths %v, want %v; normalization %v", got.Channels, m.Channels, got.Norm)
	}
	for _, x := range m.Network.Tensors(m.Channels) {
		if len(got.Tensor(x.Name)) == 0 {
			t.Errorf("no tensor %s", x.Name)
		}
	}
}

// TestSafetensors reads a file by the rules of the format, as the library of that name does
// (https://huggingface.co/docs/safetensors, "Format").
func TestSafetensors(t *testing.T) {
	m, _, file := saved(t, map[string]string{"note": "of a test"})
	size := int(binary.LittleEndian.Uint64(file))
	header, body := file[8:8+size], file[8+size:]
	if header[0] != '{' || (8+size)%8 != 0 || len(strings.TrimRight(string(header), " ")) < size-7 {
		t.Errorf("header of %d bytes: %q … %q", size, header[:1], header[size-8:])
	}
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(header, &entries); err != nil {
		t.Fatal(err)
	}
	var metadata map[string]string // strings only
	if err := json.Unmarshal(entries["__metadata__"], &metadata); err != nil {
		t.Fatal(err)
	}
	delete(entries, "__metadata__")
	sum := metadata["sha256"]
	delete(metadata, "sha256")
	if diff := cmp.Diff(map[string]string{
		"network": "resnet8 width 0.125 padding max input 1x14x14 classes 10", "channels": "3 2 5 4 7 9",
		"normalization": "mean [0.1307] std [0.3081]", "note": "of a test",
	}, metadata); diff != "" || len(sum) != 64 {
		t.Errorf("sum %q, other metadata (-want +got):\n%s", sum, diff)
	}

	type entry struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets []int  `json:"data_offsets"`
	}
	tensors := map[string]entry{}
	var order []string
	for name, text := range entries {
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.DisallowUnknownFields()
		var e entry
		if err := d.Decode(&e); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		tensors[name] = e
		order = append(order, name)
	}
	slices.SortFunc(order, func(a, b string) int { return tensors[a].Offsets[0] - tensors[b].Offsets[0] })
	end := 0
	for _, name := range order {
		e := tensors[name]
		bytes := 4
		for _, d := range e.Shape {
			bytes *= d
		}
		if e.DType != "F32" || len(e.Offsets) != 2 || e.Offsets[0] != end || e.Offsets[1] != end+bytes {
			t.Fatalf("tensor %s after byte %d: %+v", name, end, e)
		}
		for i, want := range m.tensors[name] {
			if got := math.Float32frombits(binary.LittleEndian.Uint32(body[end+4*i:])); got != want {
				t.Fatalf("element %d of %s is %v, want %v", i, name, got, want)
			}
		}
		end = e.Offsets[1]
	}
	if end != len(body) || len(order) != len(m.tensors) {
		t.Errorf("%d tensors in %d of %d bytes, want %d tensors", len(order), end, len(body), len(m.tensors))
	}
}

// TestLoadDamaged checks that no damage to a file changes a tensor unnoticed.
func TestLoadDamaged(t *testing.T) {
	m, path, file := saved(t, nil)
	headerEnd := 8 + int(binary.LittleEndian.Uint64(file))
	load := func(content []byte) (*Model, error) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return Load(path, m.Network, m.Channels, norm)
	}
	damaged := func(what string, content []byte) {
		t.Helper()
		_, err := load(content)
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: error %v, want %v", what, err, ErrDamaged)
		}
		checkError(t, what, err, path+": weights file is damaged or foreign: ")
	}
	for _, n := range []int{0, 7, 8, 9, headerEnd - 1, headerEnd, headerEnd + 4, len(file) - 1} {
		damaged("cut short", file[:n])
	}
	damaged("longer", append(slices.Clone(file), 0))
	damaged("no metadata", append([]byte{8, 0, 0, 0, 0, 0, 0, 0}, "{}      "...))
	damaged("huge header", append(slices.Repeat([]byte{255}, 8), file[8:]...))

	refused := 0
	for i := 0; i < len(file); i += 11 {
		flipped := slices.Clone(file)
		flipped[i] ^= 1 << (i % 8)
		got, err := load(flipped)
		switch {
		case errors.Is(err, ErrDamaged):
			refused++
		case err != nil:
			t.Fatalf("bit flipped in byte %d: error %v, want %v", i, err, ErrDamaged)
		case i < 8 || i >= headerEnd:
			t.Fatalf("bit flipped in byte %d unnoticed", i)
		case !cmp.Equal(got.tensors, m.tensors): // what is no tensor's place or checksum may be flipped
			t.Fatalf("bit flipped in byte %d of the header gives other tensors", i)
		}
	}
	if refused < len(file)/11*9/10 {
		t.Errorf("only %d of %d files with a flipped bit were refused", refused, len(file)/11)
	}
}

func TestLoadForeign(t *testing.T) {
	m, path, _ := saved(t, nil)
	classes, err := networks.New(networks.Spec{Name: "resnet8", Width: 0.125, Input: [3]int{1, side, side}, Classes: 9})
	if err != nil {
		t.Fatal(err)
	}
	local, err := networks.New(networks.Spec{
		Name: "resnet8", Width: 0.125, Padding: networks.PaddingLocal, Input: [3]int{1, side, side}, Classes: 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	deeper := network(t, "resnet14", 0.125)
	for _, tt := range []struct {
		name string
		net  *networks.Network
		c    []int
		want string
	}{
		{"network", deeper, deeper.Start(),
			"classes 10 with widths 3 2 5 4 7 9, want resnet14 width 0.125"},
		{"widths", m.Network, []int{2, 3, 5, 4, 7, 9},
			"classes 10 with 2 3 5 4 7 9"},
		{"classes", classes, m.Channels, "classes 9 with 3 2 5 4 7 9"},
		{"padding", local, m.Channels, "padding local"},
	} {
		_, err := Load(path, tt.net, tt.c, norm)
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: error %v, want %v", tt.name, err, ErrDamaged)
		}
		checkError(t, tt.name, err, path+": ")
		checkError(t, tt.name, err, tt.want)
	}
	_, err = Load(path+".none", m.Network, m.Channels, norm)
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrDamaged) {
		t.Errorf("no file: error %v", err)
	}
}
