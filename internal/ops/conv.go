package ops

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Conv2D is the two-dimensional convolution (cross correlation, as in the field) with zero padding and no bias:
// images [n, c, h, w] with weights [o, c, kh, kw] give [n, o, (h+2 pad-kh)/stride+1, (w+2 pad-kw)/stride+1].
type Conv2D struct{ Stride, Pad int }

// Inputs are images and weights.
func (Conv2D) Inputs() []Operand { return []Operand{float(4), float(4)} }

// Output is the convolved images.
func (Conv2D) Output() Operand { return float(4) }

// Shape checks that the channels agree and that the window fits.
func (k Conv2D) Shape(in []tensor.Shape) (tensor.Shape, error) {
	x, w := in[0], in[1]
	if k.Stride < 1 || k.Pad < 0 {
		return nil, fmt.Errorf("stride %d and padding %d: stride must be positive, padding not negative", k.Stride, k.Pad)
	}
	if x[1] != w[1] {
		return nil, fmt.Errorf("images %v have %d channels, weights %v expect %d", x, x[1], w, w[1])
	}
	if x[2]+2*k.Pad < w[2] || x[3]+2*k.Pad < w[3] {
		return nil, fmt.Errorf("window %dx%d is larger than images %v with padding %d", w[2], w[3], x, k.Pad)
	}
	return tensor.Shape{x[0], w[0], k.extent(x[2], w[2]), k.extent(x[3], w[3])}, nil
}

func (k Conv2D) extent(in, window int) int { return (in+2*k.Pad-window)/k.Stride + 1 }

// Gradient gives the gradients by images and weights.
func (k Conv2D) Gradient(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	x, w := in[0], in[1]
	return gradients(
		with(Conv2DGradInput{Conv: k, Height: x.Shape()[2], Width: x.Shape()[3]}, w, grad),
		with(Conv2DGradWeights{Conv: k, Height: w.Shape()[2], Width: w.Shape()[3]}, x, grad))
}

// Reference computes the convolution.
func (k Conv2D) Reference(in []Array, out Array) {
	x, w := in[0], in[1]
	k.each(x.Shape, w.Shape, out.Shape, func(xi, wi, yi int) { out.Data[yi] += x.Data[xi] * w.Data[wi] })
}

// each visits every product of the convolution as indices into images, weights and output.
func (k Conv2D) each(x, w, y []int, visit func(xi, wi, yi int)) {
	for n := range y[0] {
		for o := range y[1] {
			for r := range y[2] {
				for s := range y[3] {
					yi := ((n*y[1]+o)*y[2]+r)*y[3] + s
					for c := range x[1] {
						for u := range w[2] {
							for v := range w[3] {
								h, q := r*k.Stride+u-k.Pad, s*k.Stride+v-k.Pad
								if h < 0 || h >= x[2] || q < 0 || q >= x[3] {
									continue
								}
								visit(((n*x[1]+c)*x[2]+h)*x[3]+q, ((o*w[1]+c)*w[2]+u)*w[3]+v, yi)
							}
						}
					}
				}
			}
		}
	}
}

// Conv2DGradInput is the gradient of a convolution by its images of Height x Width: weights [o, c, kh, kw] and output
// gradient [n, o, ...] give [n, c, Height, Width].
type Conv2DGradInput struct {
	noGradient
	Conv          Conv2D
	Height, Width int
}

// Inputs are weights and output gradient.
func (Conv2DGradInput) Inputs() []Operand { return []Operand{constant(4), constant(4)} }

// Output is the gradient by the images.
func (Conv2DGradInput) Output() Operand { return float(4) }

// Shape checks that the gradient is that of the convolution's output.
func (k Conv2DGradInput) Shape(in []tensor.Shape) (tensor.Shape, error) {
	w, dy := in[0], in[1]
	x := tensor.Shape{dy[0], w[1], k.Height, k.Width}
	return x, k.Conv.checkGradient(x, w, dy)
}

func (k Conv2D) checkGradient(x, w, dy tensor.Shape) error {
	y, err := k.Shape([]tensor.Shape{x, w})
	return checkGradient(y, dy, err)
}

// checkGradient checks that dy has the shape y of an output, unless that has an error already.
func checkGradient(y, dy tensor.Shape, err error) error {
	if err == nil && !slices.Equal(y, dy) {
		err = mismatch("output gradient", dy, y)
	}
	return err
}

// Reference computes the gradient by the images.
func (k Conv2DGradInput) Reference(in []Array, out Array) {
	w, dy := in[0], in[1]
	k.Conv.each(out.Shape, w.Shape, dy.Shape, func(xi, wi, yi int) { out.Data[xi] += dy.Data[yi] * w.Data[wi] })
}

// Conv2DGradWeights is the gradient of a convolution by its weights with windows of Height x Width: images [n, c, ...]
// and output gradient [n, o, ...] give [o, c, Height, Width].
type Conv2DGradWeights struct {
	noGradient
	Conv          Conv2D
	Height, Width int
}

// Inputs are images and output gradient.
func (Conv2DGradWeights) Inputs() []Operand { return []Operand{constant(4), constant(4)} }

// Output is the gradient by the weights.
func (Conv2DGradWeights) Output() Operand { return float(4) }

// Shape checks that the gradient is that of the convolution's output.
func (k Conv2DGradWeights) Shape(in []tensor.Shape) (tensor.Shape, error) {
	x, dy := in[0], in[1]
	w := tensor.Shape{dy[1], x[1], k.Height, k.Width}
	return w, k.Conv.checkGradient(x, w, dy)
}

// Reference computes the gradient by the weights.
func (k Conv2DGradWeights) Reference(in []Array, out Array) {
	x, dy := in[0], in[1]
	k.Conv.each(x.Shape, out.Shape, dy.Shape, func(xi, wi, yi int) { out.Data[wi] += dy.Data[yi] * x.Data[xi] })
}
