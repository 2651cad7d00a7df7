package networks

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"netadjust/internal/ops"
)

// Flow returns the synaptic flow R of a network with widths c, and for each of its weights w the saliency |w dR/dw|, by
// tensor. R is the sum of the logits for an image of ones when all weights have their absolute values and everything
// else is linear: batch norm, rectifiers and gates pass on what they get, and there are no biases (Tanaka et al.,
// "Pruning neural networks without any data by iteratively conserving synaptic flow", NeurIPS 2020). It is computed in
// float64, because R overflows float32 in deep networks.
func (n *Network) Flow(c []int, weights func(name string) []float32) (r float64, saliency map[string][]float64, err error) {
	building.Lock()
	defer building.Unlock()
	b := builder{options: GraphOptions{Batch: 1}, g: gorgonia.NewGraph(), params: map[string]*gorgonia.Node{}}
	known := ops.Values{}
	leaf := func(name string, shape []int, element func(i int) float64) *gorgonia.Node {
		node := b.leaf(tensor.Float64, name, shape...)
		t := tensor.New(tensor.WithShape(shape...), tensor.Of(tensor.Float64))
		data := t.Data().([]float64)
		for i := range data {
			data[i] = element(i)
		}
		known[node] = t
		return node
	}
	one := func(int) float64 { return 1 }
	var wrt gorgonia.Nodes
	for _, t := range n.Tensors(c) {
		switch t.Role {
		case Weights:
			w := weights(t.Name)
			b.params[t.Name] = leaf(t.Name, t.Shape, func(i int) float64 { return math.Abs(float64(w[i])) })
			wrt = append(wrt, b.params[t.Name])
		case Bias:
			b.params[t.Name] = leaf(t.Name, t.Shape, func(int) float64 { return 0 })
		}
	}
	var values []*gorgonia.Node
	for _, l := range n.Layers(c) {
		in := make([]*gorgonia.Node, len(l.Inputs))
		for i, j := range l.Inputs {
			in[i] = values[j]
		}
		switch l.Kind {
		case Input:
			values = append(values, leaf(l.Name, []int{1, l.Output[0], l.Output[1], l.Output[2]}, one))
		case BatchNorm, ReLU, ReLU6, Sigmoid, Gate, Drop:
			values = append(values, in[0])
		default:
			values = append(values, b.layer(l, in, len(c)))
		}
	}
	if b.err != nil {
		return 0, nil, fmt.Errorf("%s: %w", n.Name, b.err)
	}
	logits := values[len(values)-1]
	ones := leaf("ones", logits.Shape(), one)
	// What gates are computed from has no part in R.
	var used gorgonia.Nodes
	reached := reachable(b.g, logits)
	for _, w := range wrt {
		if reached[w] {
			used = append(used, w)
		}
	}
	grads, err := gorgonia.Backpropagate(gorgonia.Nodes{logits}, gorgonia.Nodes{ones}, used)
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", n.Name, err)
	}
	if err := ops.Evaluate(b.g, known); err != nil {
		return 0, nil, fmt.Errorf("%s: %w", n.Name, err)
	}
	for _, z := range known[logits].Data().([]float64) {
		r += z
	}
	saliency = map[string][]float64{}
	for i, w := range used {
		s := known[grads[i]].Data().([]float64)
		for j, v := range known[w].Data().([]float64) {
			s[j] *= v
		}
		saliency[w.Name()] = s
	}
	for _, w := range wrt {
		if !reached[w] {
			saliency[w.Name()] = make([]float64, w.Shape().TotalSize())
		}
	}
	return r, saliency, nil
}

// reachable tells which nodes a node is computed from.
func reachable(g *gorgonia.ExprGraph, from *gorgonia.Node) map[*gorgonia.Node]bool {
	seen := map[*gorgonia.Node]bool{from: true}
	stack := gorgonia.Nodes{from}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for it := g.From(n.ID()); it.Next(); {
			if child := it.Node().(*gorgonia.Node); !seen[child] {
				seen[child] = true
				stack = append(stack, child)
			}
		}
	}
	return seen
}
