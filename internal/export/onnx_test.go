package export

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
)

// values are those of a field of a message, in their order. Numbers are kept as text.
type values [][]byte

func (v values) text() string {
	if len(v) != 1 {
		return fmt.Sprintf("%d values", len(v))
	}
	return string(v[0])
}

func (v values) texts() (all []string) {
	for _, x := range v {
		all = append(all, string(x))
	}
	return all
}

// fields takes a message apart.
func fields(t *testing.T, m []byte) map[protowire.Number]values {
	t.Helper()
	all := map[protowire.Number]values{}
	for len(m) > 0 {
		field, kind, n := protowire.ConsumeTag(m)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		m = m[n:]
		var v []byte
		switch kind {
		case protowire.VarintType:
			var x uint64
			x, n = protowire.ConsumeVarint(m)
			v = fmt.Append(nil, x)
		case protowire.Fixed32Type:
			var x uint32
			x, n = protowire.ConsumeFixed32(m)
			v = fmt.Append(nil, x)
		default:
			v, n = protowire.ConsumeBytes(m)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		all[field] = append(all[field], v)
		m = m[n:]
	}
	return all
}

// TestONNX reads a file by the field numbers of onnx.proto and checks what makes a graph whole. What the operations
// mean is checked by running files in onnxruntime, see .ci/export.
func TestONNX(t *testing.T) {
	for _, network := range []string{"resnet8", "resnet18"} {
		m := model(t, network, odd)
		for _, o := range []Options{
			{}, {FoldBatchNorm: true, Normalize: true, Provenance: map[string]string{"version": "v1"}},
		} {
			file := fields(t, written(t, "net.onnx", func(path string) error { return WriteONNX(path, m, o) }))
			if file[1].text() != "8" || file[2].text() != "netadjust" || file[3].text() != o.Provenance["version"] {
				t.Errorf("IR version %s of %s %s", file[1].text(), file[2].text(), file[3].text())
			}
			if opset := fields(t, file[8][0]); opset[1].text() != "" || opset[2].text() != "17" {
				t.Errorf("opset %v", opset)
			}
			got := map[string]string{}
			for _, entry := range file[14] {
				e := fields(t, entry)
				got[e[1].text()] = e[2].text()
			}
			if diff := cmp.Diff(metadata(m, o), got); diff != "" {
				t.Errorf("metadata (-want +got):\n%s", diff)
			}
			checkGraph(t, fields(t, file[7][0]), o)
		}
	}
	path := filepath.Join(t.TempDir(), "none", "net.onnx")
	if err := WriteONNX(path, model(t, "resnet8", odd), Options{}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one that names the file", err)
	}
}

func checkGraph(t *testing.T, graph map[protowire.Number]values, o Options) {
	t.Helper()
	input, element := "images", "1"
	if o.Normalize {
		input, element = "pixels", "2"
	}
	for field, want := range map[protowire.Number][]string{
		11: {input, element, "batch", "2", "9", "9"}, 12: {"logits", "1", "batch", "3"},
	} {
		info := fields(t, graph[field][0])
		kind := fields(t, fields(t, info[2][0])[1][0])
		got := []string{info[1].text(), kind[1].text()}
		for _, dim := range fields(t, kind[2][0])[1] {
			d := fields(t, dim)
			got = append(got, slices.Concat(d[1], d[2]).text())
		}
		if !slices.Equal(got, want) {
			t.Errorf("input or output %v, want %v", got, want)
		}
	}
	known := map[string]bool{input: true}
	for _, x := range graph[5] {
		initializer := fields(t, x)
		size := map[string]int{"1": 4, "7": 8}[initializer[2].text()]
		for _, d := range initializer[1].texts() {
			var n int
			if _, err := fmt.Sscan(d, &n); err != nil {
				t.Fatal(err)
			}
			size *= n
		}
		name := initializer[8].text()
		if size != len(initializer[9][0]) || known[name] {
			t.Errorf("initializer %s of shape %v has %d bytes, or is there twice", name, initializer[1].texts(),
				len(initializer[9][0]))
		}
		known[name] = true
	}
	count := map[string]int{}
	for _, x := range graph[1] {
		node := fields(t, x)
		for _, name := range node[1].texts() {
			if !known[name] {
				t.Errorf("%s reads %s, which is not there", node[3].text(), name)
			}
		}
		if known[node[2].text()] {
			t.Errorf("%s is there twice", node[2].text())
		}
		known[node[2].text()] = true
		count[node[4].text()]++
	}
	if !known["logits"] || count["Cast"] > 0 != o.Normalize || count["BatchNormalization"] > 0 == o.FoldBatchNorm {
		t.Errorf("logits %v, nodes %v", known["logits"], count)
	}
}

// TestAttributes reads the attributes of a convolution and the numbers of a slice.
func TestAttributes(t *testing.T) {
	w := new(onnxWriter)
	w.node("Conv", []string{"x"}, "y", attribute{"pads", []int{1, 0, 2, 0}}, attribute{"group", 3},
		attribute{"epsilon", float32(0.5)})
	w.int64s("n", -1, 7)
	node := fields(t, fields(t, w.nodes)[1][0])
	var got []string
	for _, x := range node[5] {
		a := fields(t, x)
		got = append(got, strings.Join(slices.Concat(a[1].texts(), a[2].texts(), a[3].texts(), a[8].texts(),
			a[20].texts()), " "))
	}
	if diff := cmp.Diff([]string{"pads 1 0 2 0 7", "group 3 2", "epsilon 1056964608 1"}, got); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	raw := fields(t, fields(t, w.initializers)[5][0])[9][0]
	if a, b := int64(binary.LittleEndian.Uint64(raw)), int64(binary.LittleEndian.Uint64(raw[8:])); a != -1 || b != 7 {
		t.Errorf("numbers %d and %d, want -1 and 7", a, b)
	}
}
