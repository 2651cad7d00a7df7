package ops

import (
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// CrossEntropy is the mean over the batch of the softmax cross entropy of logits [n, k] with labels [n], in nats. With
// label smoothing the target of an image is (1-Smoothing) of its class plus Smoothing/k of every class.
type CrossEntropy struct{ Smoothing float64 }

// Inputs are logits and labels.
func (CrossEntropy) Inputs() []Operand { return []Operand{float(2), words(1)} }

// Output is one number.
func (CrossEntropy) Output() Operand { return float(0) }

// Shape checks that there is a label for each row.
func (CrossEntropy) Shape(in []tensor.Shape) (tensor.Shape, error) {
	if in[1][0] != in[0][0] {
		return nil, mismatch("number of labels", in[1][0], in[0][0])
	}
	return tensor.ScalarShape(), nil
}

// Gradient is CrossEntropyGrad. The loss is the end of its graph, so its own gradient is the constant 1.
func (k CrossEntropy) Gradient(in gorgonia.Nodes, _, _ *gorgonia.Node) (gorgonia.Nodes, error) {
	return gradients(with(CrossEntropyGrad{Smoothing: k.Smoothing}, in[0], in[1]), nil)
}

// Reference computes the mean loss.
func (k CrossEntropy) Reference(in []Array, out Array) {
	each(in[0], in[1], k.Smoothing, func(_ int, target, logProb float64) {
		if target != 0 {
			out.Data[0] -= target * logProb / float64(in[0].Shape[0])
		}
	})
}

// each visits every logit with its target probability and the logarithm of its softmax.
func each(logits, labels Array, smoothing float64, visit func(i int, target, logProb float64)) {
	k := logits.Shape[1]
	for n, label := range labels.Data {
		row := logits.Data[n*k : (n+1)*k]
		top := math.Inf(-1)
		for _, z := range row {
			top = max(top, z)
		}
		sum := 0.0
		for _, z := range row {
			sum += math.Exp(z - top)
		}
		for j, z := range row {
			target := smoothing / float64(k)
			if j == int(label) {
				target += 1 - smoothing
			}
			visit(n*k+j, target, z-top-math.Log(sum))
		}
	}
}

// CrossEntropyGrad is the gradient of CrossEntropy by the logits, (softmax - target)/n.
type CrossEntropyGrad struct {
	noGradient
	Smoothing float64
}

// Inputs are logits and labels.
func (CrossEntropyGrad) Inputs() []Operand { return []Operand{constant(2), words(1)} }

// Output is the gradient by the logits.
func (CrossEntropyGrad) Output() Operand { return constant(2) }

// Shape is that of the logits.
func (CrossEntropyGrad) Shape(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }

// Reference computes the gradient.
func (k CrossEntropyGrad) Reference(in []Array, out Array) {
	each(in[0], in[1], k.Smoothing, func(i int, target, logProb float64) {
		out.Data[i] = (math.Exp(logProb) - target) / float64(in[0].Shape[0])
	})
}
