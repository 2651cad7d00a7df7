package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// DepthwiseConv2D convolves every channel with a window of its own: images [n, c, h, w] with weights [c, 1, kh, kw]
// give [n, c, (h+2 pad-kh)/stride+1, (w+2 pad-kw)/stride+1]. There is no bias.
type DepthwiseConv2D struct{ Stride, Pad int }

// Inputs are images and weights.
func (DepthwiseConv2D) Inputs() []Operand { return []Operand{float(4), float(4)} }

// Output is the convolved images.
func (DepthwiseConv2D) Output() Operand { return float(4) }

// Shape checks that there is a window for each channel and that it fits.
func (k DepthwiseConv2D) Shape(in []tensor.Shape) (tensor.Shape, error) {
	x, w := in[0], in[1]
	if w[0] != x[1] || w[1] != 1 {
		return nil, fmt.Errorf("images %v have %d channels, want weights [%d 1 height width], got %v", x, x[1], x[1], w)
	}
	y, err := Conv2D(k).Shape([]tensor.Shape{{x[0], 1, x[2], x[3]}, w})
	if err == nil {
		y[1] = x[1]
	}
	return y, err
}

// Gradient gives the gradients by images and weights.
func (k DepthwiseConv2D) Gradient(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	x, w := in[0], in[1]
	return gradients(
		with(DepthwiseConv2DGradInput{Conv: k, Height: x.Shape()[2], Width: x.Shape()[3]}, w, grad),
		with(DepthwiseConv2DGradWeights{Conv: k, Height: w.Shape()[2], Width: w.Shape()[3]}, x, grad))
}

// Reference computes the convolution.
func (k DepthwiseConv2D) Reference(in []Array, out Array) {
	x, w := in[0], in[1]
	k.each(x.Shape, w.Shape, out.Shape, func(xi, wi, yi int) { out.Data[yi] += x.Data[xi] * w.Data[wi] })
}

// each visits every product of the convolution as indices into images, weights and output.
func (k DepthwiseConv2D) each(x, w, y []int, visit func(xi, wi, yi int)) {
	plane := func(s []int) []int { return []int{1, 1, s[2], s[3]} }
	for p := range x[0] * x[1] {
		xAt, wAt, yAt := p*x[2]*x[3], p%x[1]*w[2]*w[3], p*y[2]*y[3]
		Conv2D(k).each(plane(x), plane(w), plane(y), func(xi, wi, yi int) { visit(xAt+xi, wAt+wi, yAt+yi) })
	}
}

func (k DepthwiseConv2D) checkGradient(x, w, dy tensor.Shape) error {
	y, err := k.Shape([]tensor.Shape{x, w})
	return checkGradient(y, dy, err)
}

// DepthwiseConv2DGradInput is the gradient of a depthwise convolution by its images of Height x Width: weights
// [c, 1, kh, kw] and output gradient [n, c, ...] give [n, c, Height, Width].
type DepthwiseConv2DGradInput struct {
	noGradient
	Conv          DepthwiseConv2D
	Height, Width int
}

// Inputs are weights and output gradient.
func (DepthwiseConv2DGradInput) Inputs() []Operand { return []Operand{constant(4), constant(4)} }

// Output is the gradient by the images.
func (DepthwiseConv2DGradInput) Output() Operand { return constant(4) }

// Shape checks that the gradient is that of the convolution's output.
func (k DepthwiseConv2DGradInput) Shape(in []tensor.Shape) (tensor.Shape, error) {
	w, dy := in[0], in[1]
	x := tensor.Shape{dy[0], dy[1], k.Height, k.Width}
	return x, k.Conv.checkGradient(x, w, dy)
}

// Reference computes the gradient by the images.
func (k DepthwiseConv2DGradInput) Reference(in []Array, out Array) {
	w, dy := in[0], in[1]
	k.Conv.each(out.Shape, w.Shape, dy.Shape, func(xi, wi, yi int) { out.Data[xi] += dy.Data[yi] * w.Data[wi] })
}

// DepthwiseConv2DGradWeights is the gradient of a depthwise convolution by its weights with windows of Height x Width:
// images [n, c, ...] and output gradient [n, c, ...] give [c, 1, Height, Width].
type DepthwiseConv2DGradWeights struct {
	noGradient
	Conv          DepthwiseConv2D
	Height, Width int
}

// Inputs are images and output gradient.
func (DepthwiseConv2DGradWeights) Inputs() []Operand { return []Operand{constant(4), constant(4)} }

// Output is the gradient by the weights.
func (DepthwiseConv2DGradWeights) Output() Operand { return constant(4) }

// Shape checks that the gradient is that of the convolution's output.
func (k DepthwiseConv2DGradWeights) Shape(in []tensor.Shape) (tensor.Shape, error) {
	x, dy := in[0], in[1]
	w := tensor.Shape{x[1], 1, k.Height, k.Width}
	return w, k.Conv.checkGradient(x, w, dy)
}

// Reference computes the gradient by the weights.
func (k DepthwiseConv2DGradWeights) Reference(in []Array, out Array) {
	x, dy := in[0], in[1]
	k.Conv.each(x.Shape, out.Shape, dy.Shape, func(xi, wi, yi int) { out.Data[wi] += dy.Data[yi] * x.Data[xi] })
}
