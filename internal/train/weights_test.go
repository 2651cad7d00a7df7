package train

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/networks"
)

// saved writes an untrained model and returns it with its file's path.
func saved(t *testing.T, metadata map[string]string) (m *Model, path string) {
	t.Helper()
	n := network(t, "resnet8", 0.125)
	m = newModel(n, []int{3, 2, 5, 4, 7, 9}, norm, Stream{1, "final"})
	path = filepath.Join(t.TempDir(), "weights.safetensors")
	if err := m.Save(path, metadata); err != nil {
		t.Fatal(err)
	}
	return m, path
}

func TestSaveLoad(t *testing.T) {
	m, path := saved(t, map[string]string{"note": "of a test"})
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

func TestOpen(t *testing.T) {
	m, path := saved(t, map[string]string{"note": "of a test"})
	got, metadata, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m.tensors, got.tensors); diff != "" {
		t.Errorf("tensors (-saved +loaded):\n%s", diff)
	}
	if !cmp.Equal(got.Channels, m.Channels) || got.Network.Spec != m.Network.Spec || !cmp.Equal(got.Norm, norm) {
		t.Errorf("%+v with widths %v and %v, want %+v with %v and %v", got.Network.Spec, got.Channels, got.Norm,
			m.Network.Spec, m.Channels, norm)
	}
	if diff := cmp.Diff(map[string]string{
		"network": "resnet8 width 0.125 padding max input 1x14x14 classes 10", "channels": "3 2 5 4 7 9",
		"normalization": "mean [0.1307] std [0.3081]", "note": "of a test",
	}, metadata); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
}

// TestOpenDescribed does the same for a network that is of no known family.
func TestOpenDescribed(t *testing.T) {
	const text = `input = [1, 14, 14]
classes = 10
adjustable = { width = 4 }
layers = [{ conv = "width", kernel = 3, stride = 2 }, "batchnorm", "relu", "drop", "globalavgpool", "classifier"]`
	spec := networks.Spec{Name: "my own", Description: text}
	n, err := networks.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	m := newModel(n, []int{5}, norm, Stream{1, "final"})
	path := filepath.Join(t.TempDir(), "weights.safetensors")
	if err := m.Save(path, nil); err != nil {
		t.Fatal(err)
	}
	got, _, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m.tensors, got.tensors); diff != "" || got.Network.Spec != n.Spec {
		t.Errorf("%+v, want %+v; tensors (-saved +loaded):\n%s", got.Network.Spec, n.Spec, diff)
	}
	spec.Description += "\n"
	if n, err = networks.New(spec); err != nil {
		t.Fatal(err)
	}
	_, err = Load(path, n, m.Channels, norm)
	checkError(t, "another description", err, path+": file is damaged or foreign: it holds a network that is called my own")
}

// TestOpenForeign alters what the metadata say of a network.
func TestOpenForeign(t *testing.T) {
	for _, tt := range []struct{ key, value, want string }{
		{"network", "", `metadata network is ""`},
		{"network", "resnet9 width 1 padding max input 1x14x14 classes 10", `unknown network "resnet9"`},
		{"network", "resnet8 width 0.125 padding max input 1x14x14 classes 9", "tensor classifier.weights is F32 [10 9]"},
		{"channels", "3 2 5 4 7", "6 adjustable layers, but 5 widths"},
		{"channels", "3 2 5 4 7 x", `parsing "x"`},
		{"normalization", "mean 0.1307 std 0.3081", "want a form such as"},
		{"normalization", "mean [0.1307] std [a]", `parsing "a"`},
		{"normalization", "mean [0.1 0.2] std [0.3]", "images have 1 channels"},
	} {
		_, path := saved(t, map[string]string{tt.key: tt.value})
		_, _, err := Open(path)
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s %q: error %v, want %v", tt.key, tt.value, err, ErrDamaged)
		}
		checkError(t, tt.key, err, path+": ")
		checkError(t, tt.key, err, tt.want)
	}
}

func TestLoadForeign(t *testing.T) {
	m, path := saved(t, nil)
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
