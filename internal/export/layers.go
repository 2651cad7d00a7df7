// Package export writes trained networks for other programs: as ONNX, as a PyTorch module with its weights, and as
// plain widths.
//
// The formats know no network. They write the steps of the program that evaluation runs, whatever it is made of.
package export

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"gorgonia.org/gorgonia"

	"netadjust/internal/ops"
	"netadjust/internal/safetensors"
	"netadjust/internal/train"
	"netadjust/internal/vm"
	"netadjust/networks"
)

// Options say how a network is written.
type Options struct {
	FoldBatchNorm bool // make batch norm part of the convolution before it, where there is one
	Normalize     bool // take pixels from 0 to 255 and normalize them in the network
	// Provenance says where the network comes from and how good it is.
	Provenance map[string]string
}

// metadata describe a model, with where it comes from.
func metadata(m *train.Model, o Options) map[string]string {
	n, c := m.Network, m.Channels
	text := map[string]string{
		"network": n.Name, "width": fmt.Sprint(n.Width), "padding": n.Padding, "channels": list(c),
		"layers": list(n.Adjustable()), "flops": fmt.Sprint(n.FLOPs(c)), "params": fmt.Sprint(n.Params(c)),
		"normalization": m.Norm.String(),
	}
	if n.Description != "" {
		text["description"] = n.Description
	}
	maps.Copy(text, o.Provenance)
	return text
}

// list prints numbers or names as JSON and Python do.
func list[T any](values []T) string {
	text, err := json.Marshal(values)
	if err != nil {
		panic(err) // numbers are finite
	}
	return string(text)
}

// layer is an operation of a network in inference.
type layer struct {
	op    ops.Kind
	name  string // unique: that of the layer whose parameters it has, else its kind and a number, as in relu.5
	in    []int  // layers whose output it reads; none for ops.Images
	shape []int  // of the output for one image: channels, height, width, or the length of a row
	// params are the parameters by PyTorch's names: weight, bias, running_mean, running_var.
	params []safetensors.Tensor
}

// layersOf lists the operations from the image to the logits, in an order in which each comes after those it reads.
func layersOf(m *train.Model, fold bool) ([]layer, error) {
	g, err := m.Network.Graph(m.Channels, networks.GraphOptions{Batch: 1})
	if err != nil {
		return nil, err
	}
	program, err := vm.Lower(g.ExprGraph, vm.NewState(nil), gorgonia.Nodes{g.Logits})
	if err != nil {
		return nil, err
	}
	var layers []layer
	from := map[int]int{} // layer by the value that it computes
	for i, s := range program.Steps {
		l := layer{op: s.Op, shape: program.Values[s.Out].Shape[1:]}
		kind, _, _ := strings.Cut(ops.Name(s.Op), "{")
		l.name = fmt.Sprintf("%s.%d", strings.ToLower(kind), i)
		for _, v := range s.In {
			value := program.Values[v]
			if j, computed := from[v]; computed {
				l.in = append(l.in, j)
			} else if data := m.Tensor(value.Name); data != nil {
				at := strings.LastIndexByte(value.Name, '.')
				l.name = value.Name[:at]
				l.params = append(l.params, paramsOf(networks.Role(value.Name[at+1:]), value.Shape, data)...)
			}
		}
		from[s.Out] = len(layers)
		layers = append(layers, l)
	}
	if fold {
		return foldBatchNorm(layers), nil
	}
	return layers, nil
}

// paramsOf gives a tensor of the network PyTorch's name, and makes two of running statistics.
func paramsOf(role networks.Role, shape []int, data []float32) []safetensors.Tensor {
	switch role {
	case networks.Weights, networks.Gamma:
		return []safetensors.Tensor{{Name: "weight", Shape: shape, Data: data}}
	case networks.Running:
		c := shape[1]
		return []safetensors.Tensor{
			{Name: "running_mean", Shape: shape[1:], Data: data[:c]}, {Name: "running_var", Shape: shape[1:], Data: data[c:]},
		}
	}
	return []safetensors.Tensor{{Name: "bias", Shape: shape, Data: data}}
}

// param returns the elements of a parameter, nil if the layer has none of that name.
func (l *layer) param(name string) []float32 {
	for _, p := range l.params {
		if p.Name == name {
			return p.Data.([]float32)
		}
	}
	return nil
}

// foldBatchNorm gives convolutions the scale and shift of a batch norm that alone reads them:
// gamma (w x - mean) / sqrt(variance + epsilon) + beta.
func foldBatchNorm(layers []layer) []layer {
	readers := readers(layers)
	moved := make([]int, len(layers)) // where a layer's output is found in the result
	var folded []layer
	for i, l := range layers {
		l.in = slices.Clone(l.in)
		for k, j := range l.in {
			l.in[k] = moved[j]
		}
		if norm, ok := l.op.(ops.BatchNorm); ok {
			before := &layers[layers[i].in[0]]
			if isConv(before.op) && readers[layers[i].in[0]] == 1 {
				moved[i] = l.in[0]
				folded[l.in[0]].scale(l, norm.Epsilon)
				continue
			}
		}
		moved[i] = len(folded)
		folded = append(folded, l)
	}
	return folded
}

// readers counts the layers that read each layer.
func readers(layers []layer) []int {
	n := make([]int, len(layers))
	for _, l := range layers {
		for _, j := range l.in {
			n[j]++
		}
	}
	return n
}

func isConv(k ops.Kind) bool {
	switch k.(type) {
	case ops.Conv2D, ops.DepthwiseConv2D:
		return true
	}
	return false
}

// scale multiplies the filters of a convolution by what the batch norm multiplies its channels by, and adds the bias.
func (l *layer) scale(norm layer, epsilon float64) {
	weight := l.params[0]
	gamma, beta := norm.param("weight"), norm.param("bias")
	mean, variance := norm.param("running_mean"), norm.param("running_var")
	filters := slices.Clone(weight.Data.([]float32))
	bias := make([]float32, len(gamma))
	size := len(filters) / len(gamma)
	for c := range gamma {
		factor := float64(gamma[c]) / math.Sqrt(float64(variance[c])+epsilon)
		bias[c] = float32(float64(beta[c]) - factor*float64(mean[c]))
		for i := range size {
			filters[c*size+i] = float32(factor * float64(filters[c*size+i]))
		}
	}
	weight.Data = filters
	l.params = []safetensors.Tensor{weight, {Name: "bias", Shape: []int{len(bias)}, Data: bias}}
}
