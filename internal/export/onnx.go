package export

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"netadjust/internal/atomicfile"
	"netadjust/internal/ops"
	"netadjust/internal/train"
)

// What ONNX files are of. Every runtime since the middle of 2022 reads them; onnxruntime does so from 1.12 on.
const (
	Opset     = 17
	IRVersion = 8
)

// Element types and kinds of attributes, as onnx.proto numbers them.
const (
	typeFloat = 1
	typeUint8 = 2
	typeInt64 = 7

	attributeFloat = 1
	attributeInt   = 2
	attributeInts  = 7
)

// outputSuffix follows the name of a layer in the name of its output, which so is like no input, weight or result.
const outputSuffix = ".output"

// maxONNX is the size at which a protobuf message ends.
const maxONNX = math.MaxInt32

// WriteONNX writes the model as an ONNX file at path. The batch size is free. The input is images, float32
// [batch, channels, height, width] and normalized already, or with o.Normalize pixels, uint8 from 0 to 255; the output
// is logits, float32 [batch, classes]. Equal models give equal files.
func WriteONNX(path string, m *train.Model, o Options) error {
	layers, err := layersOf(m, o.FoldBatchNorm)
	if err != nil {
		return err
	}
	w := &onnxWriter{model: m, normalize: o.Normalize}
	for i, l := range layers {
		output := l.name + outputSuffix
		if i == len(layers)-1 {
			output = "logits"
		}
		var in []operand
		for _, j := range l.in {
			in = append(in, operand{w.values[j], layers[j].shape})
		}
		if err := w.layer(l, in, output); err != nil {
			return fmt.Errorf("export %s: %w", m.Network.Name, err)
		}
	}
	model := w.file(metadata(m, o))
	if len(model) > maxONNX {
		return fmt.Errorf("export %s: %d bytes, but an ONNX file ends at %d; write another format", m.Network.Name,
			len(model), maxONNX)
	}
	return atomicfile.Write(path, model)
}

// file puts together the message ModelProto.
func (w *onnxWriter) file(metadata map[string]string) message {
	m := w.model
	input, element, form := "images", typeFloat, "normalized by "+m.Norm.String()+" of pixels from 0 to 1"
	if w.normalize {
		input, element, form = "pixels", typeUint8, "from 0 to 255"
	}
	graph := slices.Clone(w.nodes)
	graph.text(2, m.Network.Name)
	graph = append(graph, w.initializers...)
	graph.bytes(11, valueInfo(input, element, m.Network.Input[:], form))
	graph.bytes(12, valueInfo("logits", typeFloat, []int{m.Network.Classes}, ""))

	var opset, model message
	opset.text(1, "")
	opset.int(2, Opset)
	model.int(1, IRVersion)
	model.text(2, "netadjust")
	model.text(3, metadata["version"])
	model.bytes(7, graph)
	model.bytes(8, opset)
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		var entry message
		entry.text(1, key)
		entry.text(2, metadata[key])
		model.bytes(14, entry)
	}
	return model
}

// onnxWriter collects the parts of a graph.
type onnxWriter struct {
	model        *train.Model
	normalize    bool
	nodes        message  // fields node of GraphProto
	initializers message  // fields initializer of GraphProto
	values       []string // output of each layer
}

// operand is an input of a node with its shape for one image.
type operand struct {
	name  string
	shape []int
}

// layer adds the nodes of a layer, the last of which gives the named output.
func (w *onnxWriter) layer(l layer, in []operand, output string) error {
	names := []string{}
	for _, x := range in {
		names = append(names, x.name)
	}
	for _, p := range l.params {
		name := l.name + "." + p.Name
		w.float32s(name, p.Shape, p.Data.([]float32))
		names = append(names, name)
	}
	switch k := l.op.(type) {
	case ops.Images:
		output = w.images(l)
	case ops.Conv2D:
		w.conv(l, names, output, k, 1)
	case ops.DepthwiseConv2D:
		w.conv(l, names, output, ops.Conv2D(k), l.shape[0])
	case ops.BatchNorm:
		order := []string{names[0], l.name + ".weight", l.name + ".bias", l.name + ".running_mean", l.name + ".running_var"}
		w.node("BatchNormalization", order, output, attribute{"epsilon", float32(k.Epsilon)})
	case ops.ReLU, ops.RowReLU:
		w.node("Relu", names, output)
	case ops.ReLU6:
		w.float32s(output+".min", nil, []float32{0})
		w.float32s(output+".max", nil, []float32{6})
		w.node("Clip", append(names, output+".min", output+".max"), output)
	case ops.Sigmoid:
		w.node("Sigmoid", names, output)
	case ops.AvgPool:
		w.node("AveragePool", names, output, append(window(k.Window, in[0].shape, l.shape),
			attribute{"count_include_pad", 0})...)
	case ops.MaxPool:
		w.node("MaxPool", names, output, window(k.Window, in[0].shape, l.shape)...)
	case ops.GlobalAvgPool:
		w.node("GlobalAveragePool", names, output+".mean")
		w.node("Flatten", []string{output + ".mean"}, output, attribute{"axis", 1})
	case ops.ChannelWindow:
		output = w.channels(k, in[0], output)
	case ops.Add:
		w.node("Add", names, output)
	case ops.Concat:
		w.node("Concat", names, output, attribute{"axis", 1})
	case ops.ScaleChannels:
		w.int64s(output+".axes", 2, 3)
		w.node("Unsqueeze", []string{names[1], output + ".axes"}, output+".factors")
		w.node("Mul", []string{names[0], output + ".factors"}, output)
	case ops.Linear:
		w.node("Gemm", names, output, attribute{"transB", 1})
	default:
		return fmt.Errorf("ONNX export knows no operation %s", ops.Name(k))
	}
	w.values = append(w.values, output)
	return nil
}

// images adds the normalization, if it is asked for, and returns the name of the network's input.
func (w *onnxWriter) images(l layer) string {
	if !w.normalize {
		return "images"
	}
	norm := w.model.Norm
	scale, shift := make([]float32, len(norm.Mean)), make([]float32, len(norm.Mean))
	for c := range scale {
		scale[c], shift[c] = float32(1/(255*norm.Std[c])), float32(-norm.Mean[c]/norm.Std[c])
	}
	shape := []int{1, len(scale), 1, 1}
	w.float32s("pixels.scale", shape, scale)
	w.float32s("pixels.shift", shape, shift)
	w.node("Cast", []string{"pixels"}, "pixels.float", attribute{"to", typeFloat})
	w.node("Mul", []string{"pixels.float", "pixels.scale"}, "pixels.scaled")
	w.node("Add", []string{"pixels.scaled", "pixels.shift"}, "images")
	return "images"
}

func (w *onnxWriter) conv(l layer, names []string, output string, k ops.Conv2D, groups int) {
	kernel := l.params[0].Shape[2:]
	w.node("Conv", names, output,
		attribute{"kernel_shape", kernel}, attribute{"strides", []int{k.Stride, k.Stride}},
		attribute{"pads", []int{k.Pad, k.Pad, k.Pad, k.Pad}}, attribute{"group", groups})
}

// window is the geometry of a pooling. The padding at the end is what its windows reach over, so that there is no
// question of rounding.
func window(k ops.Window, in, out []int) []attribute {
	end := func(axis int) int { return max((out[axis]-1)*k.Stride+k.Size-in[axis]-k.Pad, 0) }
	return []attribute{
		{"kernel_shape", []int{k.Size, k.Size}}, {"strides", []int{k.Stride, k.Stride}},
		{"pads", []int{k.Pad, k.Pad, end(1), end(2)}},
	}
}

// channels cuts the channels that the window leaves out, appends zeros for those that do not exist, and returns the
// name of the result.
func (w *onnxWriter) channels(k ops.ChannelWindow, in operand, output string) string {
	name, c := in.name, in.shape[0]
	from, to := max(k.Offset, 0), min(k.Offset+k.Count, c)
	if to-from < c {
		w.int64s(output+".from", from)
		w.int64s(output+".to", to)
		w.int64s(output+".axis", 1)
		w.node("Slice", []string{name, output + ".from", output + ".to", output + ".axis"}, output+".cut")
		name = output + ".cut"
	}
	if to-from < k.Count {
		w.int64s(output+".pads", 0, from-k.Offset, 0, 0, 0, k.Offset+k.Count-to, 0, 0)
		w.node("Pad", []string{name, output + ".pads"}, output)
		name = output
	}
	return name
}

// attribute is a named int, float32 or []int.
type attribute struct {
	name  string
	value any
}

// node adds a NodeProto, named like the layer whose output it gives.
func (w *onnxWriter) node(op string, in []string, output string, attributes ...attribute) {
	var n message
	for _, name := range in {
		n.text(1, name)
	}
	n.text(2, output)
	n.text(3, strings.TrimSuffix(output, outputSuffix))
	n.text(4, op)
	for _, a := range attributes {
		var x message
		x.text(1, a.name)
		switch v := a.value.(type) {
		case float32:
			x.float(2, v)
			x.int(20, attributeFloat)
		case int:
			x.int(3, v)
			x.int(20, attributeInt)
		case []int:
			for _, i := range v {
				x.int(8, i)
			}
			x.int(20, attributeInts)
		}
		n.bytes(5, x)
	}
	w.nodes.bytes(1, n)
}

func (w *onnxWriter) float32s(name string, shape []int, data []float32) {
	raw, _ := binary.Append(nil, binary.LittleEndian, data)
	w.initializer(name, typeFloat, shape, raw)
}

// int64s adds a list of numbers.
func (w *onnxWriter) int64s(name string, data ...int) {
	var raw []byte
	for _, v := range data {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	w.initializer(name, typeInt64, []int{len(data)}, raw)
}

// initializer adds a TensorProto.
func (w *onnxWriter) initializer(name string, element int, shape []int, raw []byte) {
	var t message
	for _, d := range shape {
		t.int(1, d)
	}
	t.int(2, element)
	t.text(8, name)
	t.bytes(9, raw)
	w.initializers.bytes(5, t)
}

// valueInfo is an input or output with a row for each image of a batch.
func valueInfo(name string, element int, shape []int, doc string) message {
	var dims, dim, tensor, kind, info message
	dim.text(2, "batch")
	dims.bytes(1, dim)
	for _, d := range shape {
		dim = nil
		dim.int(1, d)
		dims.bytes(1, dim)
	}
	tensor.int(1, element)
	tensor.bytes(2, dims)
	kind.bytes(1, tensor)
	info.text(1, name)
	info.bytes(2, kind)
	if doc != "" {
		info.text(3, doc)
	}
	return info
}

// message is a protobuf message in the making. The numbers of fields are those of onnx.proto.
type message []byte

func (m *message) int(field protowire.Number, v int) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), uint64(v))
}

func (m *message) float(field protowire.Number, v float32) {
	*m = protowire.AppendFixed32(protowire.AppendTag(*m, field, protowire.Fixed32Type), math.Float32bits(v))
}

func (m *message) text(field protowire.Number, s string) { m.bytes(field, []byte(s)) }

func (m *message) bytes(field protowire.Number, b []byte) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), b)
}
