package export

import (
	"bytes"
	_ "embed"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"netadjust/internal/atomicfile"
	"netadjust/internal/ops"
	"netadjust/internal/safetensors"
	"netadjust/internal/train"
)

//go:embed torch.py.tmpl
var torchText string

var torchTemplate = template.Must(template.New("torch").Parse(torchText))

// torchModule is what the template is filled in with.
type torchModule struct {
	Network    string
	Metadata   []string // those that fit on a line
	Module     string   // name of the file without ending
	Input      [3]int
	Mean, Std  string // Python lists
	Normalize  bool
	Init, Body []string // lines
	Result     string   // expression of the logits
}

// WriteTorch writes the model as a PyTorch module, a Python file at path that needs nothing but torch and safetensors,
// and its weights beside it in a file that ends in .safetensors. The module takes what an ONNX file takes and gives the
// same logits.
func WriteTorch(path string, m *train.Model, o Options) error {
	layers, err := layersOf(m, o.FoldBatchNorm)
	if err != nil {
		return err
	}
	if !moduleFile.MatchString(filepath.Base(path)) {
		return fmt.Errorf("%s: Python imports no such file; name it like network.py, with letters, digits and underscores",
			path)
	}
	stem := strings.TrimSuffix(path, ".py")
	module := torchModule{
		Network: m.Network.Name, Module: filepath.Base(stem), Input: m.Network.Input, Normalize: o.Normalize,
		Mean: strings.ReplaceAll(list(m.Norm.Mean), ",", ", "), Std: strings.ReplaceAll(list(m.Norm.Std), ",", ", "),
	}
	weights := safetensors.File{Metadata: metadata(m, o)}
	for _, key := range slices.Sorted(maps.Keys(weights.Metadata)) {
		if line := key + ": " + weights.Metadata[key]; len(line) < 100 && !strings.Contains(line, "\n") {
			module.Metadata = append(module.Metadata, line)
		}
	}
	named := map[string]string{}
	for _, l := range layers {
		if line := torchInit(l); line != "" {
			module.Init = append(module.Init, line)
			if other, taken := named[identifier(l.name)]; taken {
				return fmt.Errorf("export %s: layers %s and %s have one name in Python; rename one", m.Network.Name, other, l.name)
			}
			named[identifier(l.name)] = l.name
		}
		for _, p := range l.params {
			p.Name = identifier(l.name) + "." + p.Name
			weights.Tensors = append(weights.Tensors, p)
		}
	}
	if module.Body, module.Result, err = torchBody(layers); err != nil {
		return fmt.Errorf("export %s: %w", m.Network.Name, err)
	}
	var text bytes.Buffer
	if err := torchTemplate.Execute(&text, module); err != nil {
		return err
	}
	if err := weights.Write(stem + ".safetensors"); err != nil {
		return err
	}
	return atomicfile.Write(path, text.Bytes())
}

// torchInit is the line that makes the module of a layer, empty for layers without parameters.
func torchInit(l layer) string {
	module := ""
	switch k := l.op.(type) {
	case ops.Conv2D:
		module = torchConv(l, k, 1)
	case ops.DepthwiseConv2D:
		module = torchConv(l, ops.Conv2D(k), l.shape[0])
	case ops.BatchNorm:
		module = fmt.Sprintf("nn.BatchNorm2d(%d, eps=%g)", l.shape[0], k.Epsilon)
	case ops.Linear:
		w := l.params[0].Shape
		module = fmt.Sprintf("nn.Linear(%d, %d)", w[1], w[0])
	default:
		return ""
	}
	return "self." + identifier(l.name) + " = " + module
}

func torchConv(l layer, k ops.Conv2D, groups int) string {
	w := l.params[0].Shape
	text := fmt.Sprintf("nn.Conv2d(%d, %d, %d", w[1]*groups, w[0], w[2])
	if w[3] != w[2] {
		text = fmt.Sprintf("nn.Conv2d(%d, %d, (%d, %d)", w[1]*groups, w[0], w[2], w[3])
	}
	if k.Stride > 1 {
		text += fmt.Sprintf(", stride=%d", k.Stride)
	}
	if k.Pad > 0 {
		text += fmt.Sprintf(", padding=%d", k.Pad)
	}
	if groups > 1 {
		text += fmt.Sprintf(", groups=%d", groups)
	}
	if l.param("bias") == nil {
		text += ", bias=False"
	}
	return text + ")"
}

// torchBody returns the statements of the method forward, and the expression of the logits. A layer that only the
// next one reads has no statement of its own if that one works on elements or channels alone; variables are used again
// when nothing reads them any more.
func torchBody(layers []layer) (lines []string, result string, err error) {
	left := readers(layers)
	values := make([]string, len(layers)) // the expression or variable of each layer
	used := map[string]int{}              // the layer that each variable holds
	for i, l := range layers {
		in := make([]string, len(l.in))
		for k, j := range l.in {
			in[k] = values[j]
			left[j]--
		}
		var expression string
		if expression, err = torchExpression(l, in, layers); err != nil {
			return nil, "", err
		}
		values[i] = expression
		if i+1 == len(layers) || left[i] == 1 && joins(layers[i+1], i) {
			continue
		}
		free := func(name string) bool {
			at, taken := used[name]
			return !taken || left[at] == 0
		}
		for n := 0; ; n++ {
			if values[i] = variable(n); free(values[i]) {
				break
			}
		}
		used[values[i]] = i
		if _, input := l.op.(ops.Images); !input {
			lines = append(lines, values[i]+" = "+expression)
		}
	}
	return lines, values[len(layers)-1], nil
}

// variable names the variables x, y, z, x3, x4, …
func variable(n int) string {
	if n < 3 {
		return "xyz"[n : n+1]
	}
	return fmt.Sprint("x", n)
}

// joins tells whether l reads layer i alone and can take it as an expression.
func joins(l layer, i int) bool {
	switch l.op.(type) {
	case ops.BatchNorm, ops.ReLU, ops.ReLU6, ops.RowReLU, ops.Sigmoid:
		return slices.Equal(l.in, []int{i})
	}
	return false
}

// torchExpression is the output of a layer, given the expressions of what it reads.
func torchExpression(l layer, in []string, layers []layer) (string, error) {
	switch k := l.op.(type) {
	case ops.Images:
		return "x", nil
	case ops.Conv2D, ops.DepthwiseConv2D, ops.BatchNorm, ops.Linear:
		return fmt.Sprintf("self.%s(%s)", identifier(l.name), in[0]), nil
	case ops.ReLU, ops.RowReLU:
		return "F.relu(" + in[0] + ")", nil
	case ops.ReLU6:
		return "F.relu6(" + in[0] + ")", nil
	case ops.Sigmoid:
		return "torch.sigmoid(" + in[0] + ")", nil
	case ops.AvgPool:
		return torchPool("avg_pool2d", in[0], k.Window) + ", count_include_pad=False)", nil
	case ops.MaxPool:
		return torchPool("max_pool2d", in[0], k.Window) + ")", nil
	case ops.GlobalAvgPool:
		return in[0] + ".mean((2, 3))", nil
	case ops.ChannelWindow: // a negative padding cuts
		before, after := -k.Offset, k.Offset+k.Count-layers[l.in[0]].shape[0]
		return fmt.Sprintf("F.pad(%s, (0, 0, 0, 0, %d, %d))", in[0], before, after), nil
	case ops.Add:
		return in[0] + " + " + in[1], nil
	case ops.Concat:
		return "torch.cat((" + strings.Join(in, ", ") + "), 1)", nil
	case ops.ScaleChannels:
		return fmt.Sprintf("%s * %s[:, :, None, None]", in[0], in[1]), nil
	}
	return "", fmt.Errorf("PyTorch export knows no operation %s", ops.Name(l.op))
}

// torchPool is a call up to its last arguments. Without padding our windows take what there is at the end, see
// ops.Window; with it they round down, as PyTorch's do.
func torchPool(function, x string, k ops.Window) string {
	if k.Pad == 0 {
		return fmt.Sprintf("F.%s(%s, %d, %d, ceil_mode=True", function, x, k.Size, k.Stride)
	}
	return fmt.Sprintf("F.%s(%s, %d, %d, %d", function, x, k.Size, k.Stride, k.Pad)
}

var (
	moduleFile      = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*\.py$`)
	notInIdentifier = regexp.MustCompile(`[^A-Za-z0-9_]+`)
)

// reserved are the words that a module's attribute cannot have for a name: Python's own, and what nn.Module has (PyTorch
// 2.15).
var reserved = strings.Fields(`
	False None True and as assert async await break class continue def del elif else except finally for from global if import in is lambda nonlocal not or pass raise return try while with yield
	T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches eval
	extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu load_state_dict modules mtia
	named_buffers named_children named_modules named_parameters parameters register_backward_hook register_buffer
	register_forward_hook register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook
	register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module register_parameter
	register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule share_memory
	state_dict to to_empty train training type xpu zero_grad`)

// identifier makes a name of Python of a layer's.
func identifier(name string) string {
	name = notInIdentifier.ReplaceAllString(name, "_")
	if slices.Contains(reserved, name) {
		name += "_"
	}
	return name
}
