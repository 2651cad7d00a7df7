package ops

import (
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// SoftCrossEntropy is the mean over the batch of the softmax cross entropy of logits [n, k] with target probabilities
// [n, k], in nats.
type SoftCrossEntropy struct{}

// Inputs are logits and target probabilities.
func (SoftCrossEntropy) Inputs() []Operand { return []Operand{float(2), constant(2)} }

// Output is one number.
func (SoftCrossEntropy) Output() Operand { return float(0) }

// Shape checks that every logit has a target.
func (SoftCrossEntropy) Shape(in []tensor.Shape) (tensor.Shape, error) {
	_, err := same(in)
	return tensor.ScalarShape(), err
}

// Gradient is SoftCrossEntropyGrad. The loss is the end of its graph, so its own gradient is the constant 1.
func (SoftCrossEntropy) Gradient(in gorgonia.Nodes, _, _ *gorgonia.Node) (gorgonia.Nodes, error) {
	return gradients(with(SoftCrossEntropyGrad{}, in[0], in[1]), nil)
}

// Reference computes the mean loss.
func (SoftCrossEntropy) Reference(in []Array, out Array) {
	n, k := in[0].Shape[0], in[0].Shape[1]
	for i := range n {
		SoftTargets(in[0].Data[i*k:(i+1)*k], in[1].Data[i*k:(i+1)*k], func(_ int, loss, _ float64) {
			out.Data[0] += loss / float64(n)
		})
	}
}

// SoftTargets visits the logits of one image with their part of the cross entropy, and its gradient by the logit.
func SoftTargets[T float32 | float64](logits, targets []T, visit func(j int, loss, gradient float64)) {
	top := math.Inf(-1)
	for _, z := range logits {
		top = max(top, float64(z))
	}
	sum, total := 0.0, 0.0
	for j, z := range logits {
		sum += math.Exp(float64(z) - top)
		total += float64(targets[j])
	}
	log := math.Log(sum)
	for j, z := range logits {
		logProb := float64(z) - top - log
		visit(j, -float64(float64(targets[j])*logProb), float64(math.Exp(logProb)*total)-float64(targets[j]))
	}
}

// SoftCrossEntropyGrad is the gradient of SoftCrossEntropy by the logits, (softmax - target)/n where targets sum up to 1.
type SoftCrossEntropyGrad struct{ noGradient }

// Inputs are logits and target probabilities.
func (SoftCrossEntropyGrad) Inputs() []Operand { return []Operand{constant(2), constant(2)} }

// Output is the gradient by the logits.
func (SoftCrossEntropyGrad) Output() Operand { return constant(2) }

// Shape is that of the logits.
func (SoftCrossEntropyGrad) Shape(in []tensor.Shape) (tensor.Shape, error) { return same(in) }

// Reference computes the gradient.
func (SoftCrossEntropyGrad) Reference(in []Array, out Array) {
	n, k := in[0].Shape[0], in[0].Shape[1]
	for i := range n {
		SoftTargets(in[0].Data[i*k:(i+1)*k], in[1].Data[i*k:(i+1)*k], func(j int, _, gradient float64) {
			out.Data[i*k+j] = gradient / float64(n)
		})
	}
}
