package export

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
	"gorgonia.org/tensor"

	"netadjust/internal/data"
	"netadjust/internal/device/cpu"
	"netadjust/internal/ops"
	"netadjust/internal/safetensors"
	"netadjust/internal/train"
	"netadjust/networks"
)

var norm = train.Normalization{Mean: []float64{0.3, 0.25}, Std: []float64{0.5, 0.4}}

// model returns a network with random weights and statistics for images of two channels.
func model(t *testing.T, name string, c func(start []int) []int) *train.Model {
	t.Helper()
	n, err := networks.New(networks.Spec{Name: name, Width: 0.125, Input: [3]int{2, 9, 9}, Classes: 3})
	if err != nil {
		t.Fatal(err)
	}
	widths := c(n.Start())
	r := rand.New(rand.NewPCG(1, 2))
	path := filepath.Join(t.TempDir(), "weights.safetensors")
	f := safetensors.File{Metadata: map[string]string{
		"network":       fmt.Sprintf("%s width 0.125 padding max input 2x9x9 classes 3", name),
		"channels":      strings.Trim(fmt.Sprint(widths), "[]"),
		"normalization": norm.String(),
	}}
	for _, x := range n.Tensors(widths) {
		values := n.Initial(x, r)
		if x.Role != networks.Weights {
			for i := range values {
				values[i] = 0.5 + r.Float32()
			}
		}
		f.Tensors = append(f.Tensors, safetensors.Tensor{Name: x.Name, Shape: x.Shape, Data: values})
	}
	if err := f.Write(path); err != nil {
		t.Fatal(err)
	}
	m, _, err := train.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// odd are widths that a search could find, wider and narrower than the stream that they are in.
func odd(start []int) []int {
	for i := range start {
		start[i] += 3 - 2*(i%3)
	}
	return start
}

// run computes the logits of one image with the references of the operations.
func run(t *testing.T, layers []layer, pixels ops.Array) []float64 {
	t.Helper()
	values := make([]ops.Array, len(layers))
	for i, l := range layers {
		var in []ops.Array
		for _, j := range l.in {
			in = append(in, values[j])
		}
		param := func(name string) ops.Array {
			for _, p := range l.params {
				if p.Name == name {
					a := ops.Array{Shape: p.Shape}
					for _, v := range p.Data.([]float32) {
						a.Data = append(a.Data, float64(v))
					}
					return a
				}
			}
			t.Fatalf("%s has no %s", l.name, name)
			return ops.Array{}
		}
		switch l.op.(type) {
		case ops.Images:
			scale := ops.Array{Shape: []int{2, 2}}
			for c := range 2 {
				scale.Data = append(scale.Data, 1/(255*norm.Std[c]))
			}
			for c := range 2 {
				scale.Data = append(scale.Data, -norm.Mean[c]/norm.Std[c])
			}
			in = []ops.Array{pixels, {Shape: []int{1, 3}, Data: make([]float64, 3)}, scale}
		case ops.Conv2D, ops.DepthwiseConv2D:
			in = append(in, param("weight"))
		case ops.BatchNorm:
			mean, variance := param("running_mean"), param("running_var")
			in = append(in, ops.Array{Shape: []int{2, len(mean.Data)}, Data: append(mean.Data, variance.Data...)},
				param("weight"), param("bias"))
		case ops.Linear:
			in = append(in, param("weight"), param("bias"))
		}
		shape := append(tensor.Shape{1}, l.shape...)
		values[i] = ops.Array{Shape: shape, Data: make([]float64, shape.TotalSize())}
		l.op.Reference(in, values[i])
		if isConv(l.op) && l.param("bias") != nil {
			bias, area := param("bias").Data, l.shape[1]*l.shape[2]
			for k := range values[i].Data {
				values[i].Data[k] += bias[k/area]
			}
		}
	}
	return values[len(layers)-1].Data
}

// TestLayers computes the layers that are written and compares with the evaluation of the model.
func TestLayers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		norms int
	}{{"resnet8", 7}, {"resnet18", 20}} {
		m := model(t, tt.name, odd)
		images := &data.Images{Channels: 2, Height: 9, Width: 9, Labels: []int32{0}}
		pixels := ops.Array{Shape: []int{1, 2, 9, 9}}
		for i := range 2 * 9 * 9 {
			images.Pixels = append(images.Pixels, uint8(i*i))
			pixels.Data = append(pixels.Data, float64(uint8(i*i)))
		}
		dev, err := cpu.New(1)
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		e, err := train.NewEvaluator(dev, m, images, false)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		want, err := e.Logits(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, fold := range []bool{false, true} {
			layers, err := layersOf(m, fold)
			if err != nil {
				t.Fatal(err)
			}
			norms := 0
			names := map[string]bool{}
			for _, l := range layers {
				if _, ok := l.op.(ops.BatchNorm); ok {
					norms++
				}
				names[l.name] = true
			}
			if left := map[bool]int{false: tt.norms}[fold]; norms != left || len(names) != len(layers) {
				t.Errorf("%s, fold %v: %d batch norms, want %d; %d names for %d layers", tt.name, fold, norms, left, len(names),
					len(layers))
			}
			for k, z := range run(t, layers, pixels) {
				if math.Abs(z-float64(want[k])) > 1e-4*(1+math.Abs(z)) {
					t.Errorf("%s, fold %v: logit %d is %v, want %v", tt.name, fold, k, z, want[k])
				}
			}
		}
	}
}

// TestFoldOnlyAlone keeps the batch norm of a convolution that something else reads too.
func TestFoldOnlyAlone(t *testing.T) {
	params := []safetensors.Tensor{{Name: "weight", Shape: []int{1, 1, 1, 1}, Data: []float32{1}}}
	image := layer{op: ops.Images{}, name: "images0"}
	conv := layer{op: ops.Conv2D{Stride: 1}, name: "conv", in: []int{0}, params: params}
	norm := layer{op: ops.BatchNorm{Frozen: true}, name: "bn", in: []int{1},
		params: paramsOf(networks.Running, []int{2, 1}, []float32{0, 1})}
	both := layer{op: ops.Add{}, name: "add", in: []int{1, 2}}
	if got := foldBatchNorm([]layer{image, conv, norm, both}); len(got) != 4 || len(got[1].params) != 1 {
		t.Errorf("%d layers, want all 4", len(got))
	}
	first := layer{op: ops.BatchNorm{Frozen: true}, name: "bn", in: []int{0}}
	if got := foldBatchNorm([]layer{image, first}); len(got) != 2 {
		t.Error("a batch norm without a convolution is gone")
	}
}

// written returns what one of the writers gives, twice the same.
func written(t *testing.T, name string, write func(path string) error) []byte {
	t.Helper()
	var files [2][]byte
	for i := range files {
		path := filepath.Join(t.TempDir(), name)
		if err := write(path); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[i] = text
	}
	if !slices.Equal(files[0], files[1]) {
		t.Errorf("%s differs when it is written again", name)
	}
	return files[0]
}

func TestTorch(t *testing.T) {
	m := model(t, "resnet8", odd)
	o := Options{Provenance: map[string]string{"cell": "c", "config": strings.Repeat("x", 100)}}
	got := string(written(t, "resnet8.py", func(path string) error { return WriteTorch(path, m, o) }))
	want, err := os.ReadFile("testdata/resnet8.py")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("module (-want +got):\n%s", diff)
	}
	large := model(t, "resnet18", odd)
	o = Options{FoldBatchNorm: true, Normalize: true}
	got = string(written(t, "resnet18.py", func(path string) error { return WriteTorch(path, large, o) }))
	for _, line := range []string{
		"images are pixels from 0 to 255, [n, 2, 9, 9], of any type.",
		"STD = [0.5, 0.4]",
		"        self.stem_conv = nn.Conv2d(2, 8, 7, stride=2, padding=3)",
		"        x = (x.float() / 255 - self._mean) / self._std\n        x = F.relu(self.stem_conv(x))\n" +
			"        x = F.max_pool2d(x, 3, 2, 1)",
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("resnet18 has no line %q:\n%s", line, got)
		}
	}
}

// TestTorchWeights reads the file beside a module.
func TestTorchWeights(t *testing.T) {
	m := model(t, "resnet8", odd)
	path := filepath.Join(t.TempDir(), "net.py")
	if err := WriteTorch(path, m, Options{}); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Read(strings.TrimSuffix(path, ".py") + ".safetensors")
	if err != nil {
		t.Fatal(err)
	}
	w, err := f.Float32("stage1_block1_conv1.weight", 5, 2, 3, 3)
	if err != nil || !slices.Equal(w, m.Tensor("stage1.block1.conv1.weights")) {
		t.Errorf("weights of the first convolution: %v", err)
	}
	running := m.Tensor("stem.bn.running")
	if v, err := f.Float32("stem_bn.running_var", 2); err != nil || !slices.Equal(v, running[2:]) {
		t.Errorf("variance of the stem is %v, %v, want %v", v, err, running[2:])
	}
	if f.Metadata["flops"] != fmt.Sprint(m.Network.FLOPs(m.Channels)) {
		t.Errorf("metadata %v", f.Metadata)
	}
	for _, name := range []string{"net", "net-1.py", "1.py"} {
		err := WriteTorch(name, m, Options{})
		if err == nil || !strings.Contains(err.Error(), "Python imports no such file") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestOperations writes every operation that networks have in inference.
func TestOperations(t *testing.T) {
	params := []safetensors.Tensor{{Name: "weight", Shape: []int{4, 1, 3, 3}, Data: make([]float32, 36)}}
	for _, tt := range []struct {
		op         ops.Kind
		in         int
		onnx       []string // of nodes
		expression string
	}{
		{ops.Conv2D{Stride: 1, Pad: 1}, 1, []string{"Conv"}, "self.l(x)"},
		{ops.DepthwiseConv2D{Stride: 1, Pad: 1}, 1, []string{"Conv"}, "self.l(x)"},
		{ops.BatchNorm{Epsilon: 1e-5, Frozen: true}, 1, []string{"BatchNormalization"}, "self.l(x)"},
		{ops.ReLU{}, 1, []string{"Relu"}, "F.relu(x)"},
		{ops.RowReLU{}, 1, []string{"Relu"}, "F.relu(x)"},
		{ops.ReLU6{}, 1, []string{"Clip"}, "F.relu6(x)"},
		{ops.Sigmoid{}, 1, []string{"Sigmoid"}, "torch.sigmoid(x)"},
		{ops.AvgPool{Window: ops.Window{Size: 2, Stride: 2}}, 1, []string{"AveragePool"},
			"F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)"},
		{ops.MaxPool{Window: ops.Window{Size: 3, Stride: 2, Pad: 1}}, 1, []string{"MaxPool"}, "F.max_pool2d(x, 3, 2, 1)"},
		{ops.GlobalAvgPool{}, 1, []string{"GlobalAveragePool", "Flatten"}, "x.mean((2, 3))"},
		{ops.ChannelWindow{Count: 6}, 1, []string{"Pad"}, "F.pad(x, (0, 0, 0, 0, 0, 2))"},
		{ops.ChannelWindow{Count: 3}, 1, []string{"Slice"}, "F.pad(x, (0, 0, 0, 0, 0, -1))"},
		{ops.ChannelWindow{Offset: 1, Count: 4}, 1, []string{"Slice", "Pad"}, "F.pad(x, (0, 0, 0, 0, -1, 1))"},
		{ops.ChannelWindow{Offset: -1, Count: 4}, 1, []string{"Slice", "Pad"}, "F.pad(x, (0, 0, 0, 0, 1, -1))"},
		{ops.ChannelWindow{Count: 4}, 1, nil, "F.pad(x, (0, 0, 0, 0, 0, 0))"},
		{ops.Add{}, 2, []string{"Add"}, "x + y"},
		{ops.Concat{Maps: 2}, 2, []string{"Concat"}, "torch.cat((x, y), 1)"},
		{ops.ScaleChannels{}, 2, []string{"Unsqueeze", "Mul"}, "x * y[:, :, None, None]"},
		{ops.Linear{}, 1, []string{"Gemm"}, "self.l(x)"},
	} {
		l := layer{op: tt.op, name: "l", in: []int{0, 1}[:tt.in], shape: []int{4, 2, 2}, params: params}
		w := &onnxWriter{values: []string{"x", "y"}}
		operands := []operand{{"x", []int{4, 3, 3}}, {"y", []int{4}}}[:tt.in]
		if err := w.layer(l, operands, "out"); err != nil {
			t.Error(err)
			continue
		}
		var types []string
		for _, n := range fields(t, w.nodes)[1] {
			types = append(types, fields(t, n)[4].text())
		}
		if !slices.Equal(types, tt.onnx) {
			t.Errorf("%s is %v in ONNX, want %v", ops.Name(tt.op), types, tt.onnx)
		}
		got, err := torchExpression(l, []string{"x", "y"}[:tt.in], []layer{{shape: []int{4, 3, 3}}})
		if err != nil || got != tt.expression {
			t.Errorf("%s is %q in PyTorch, want %q (%v)", ops.Name(tt.op), got, tt.expression, err)
		}
	}
	unknown := layer{op: ops.BatchStats{}}
	if err := new(onnxWriter).layer(unknown, nil, ""); err == nil || !strings.Contains(err.Error(), "BatchStats") {
		t.Errorf("ONNX of an unknown operation: error %v", err)
	}
	if _, err := torchExpression(unknown, nil, nil); err == nil || !strings.Contains(err.Error(), "BatchStats") {
		t.Errorf("PyTorch of an unknown operation: error %v", err)
	}
}

// TestIdentifiers checks that layers get no name that Python or a module has for something else.
func TestIdentifiers(t *testing.T) {
	for name, want := range map[string]string{
		"stage1.block1-a": "stage1_block1_a", "in": "in_", "train": "train_", "zero.grad": "zero_grad_", "trained": "trained",
	} {
		if got := identifier(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// TestVariables writes a network with many values that are read late.
func TestVariables(t *testing.T) {
	list := []layer{{op: ops.Images{}}}
	all := layer{op: ops.Concat{Maps: 5}}
	for i := range 5 {
		list = append(list, layer{op: ops.ReLU{}, in: []int{0}})
		all.in = append(all.in, i+1)
	}
	got, result, err := torchBody(append(list, all, layer{op: ops.ReLU{}, in: []int{6}}))
	want := []string{"y = F.relu(x)", "z = F.relu(x)", "x3 = F.relu(x)", "x4 = F.relu(x)", "x = F.relu(x)"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil || result != "F.relu(torch.cat((y, z, x3, x4, x), 1))" {
		t.Errorf("result %q, error %v, statements (-want +got):\n%s", result, err, diff)
	}
}

func TestWidths(t *testing.T) {
	m := model(t, "resnet8", odd)
	want := widths{
		Network: "resnet8", Width: 0.125, Padding: "max", Input: [3]int{2, 9, 9}, Classes: 3,
		FLOPs: m.Network.FLOPs(m.Channels), Params: m.Network.Params(m.Channels), Channels: []int{5, 3, 3, 7, 9, 7},
		Provenance: map[string]string{"cell": "c", "test_top1": "0.5"},
	}
	own := m.Network.Start()
	for i, name := range m.Network.Adjustable() {
		want.Layers = append(want.Layers, layerWidth{name, want.Channels[i], own[i]})
	}
	for name, decode := range map[string]func([]byte, any) error{
		"w.json": json.Unmarshal,
		"w.toml": func(text []byte, v any) error { return toml.Unmarshal(text, v) },
	} {
		text := written(t, name, func(path string) error {
			return WriteWidths(path, m.Network, m.Channels, maps.Clone(want.Provenance))
		})
		var got widths
		if err := decode(text, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	path := filepath.Join(t.TempDir(), "w.yaml")
	err := WriteWidths(path, m.Network, m.Channels, nil)
	if err == nil || !strings.Contains(err.Error(), path+": widths are written as JSON or TOML") {
		t.Errorf("error %v", err)
	}
}
