package ops

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Window is the geometry of a pooling: Size x Size elements every Stride, with Pad elements around the images that
// count for nothing. A window that reaches over the padded images' end (where their extent is no multiple of the stride)
// takes the elements that exist.
type Window struct{ Size, Stride, Pad int }

func (k Window) shape(x tensor.Shape) (tensor.Shape, error) {
	if k.Size < 1 || k.Stride < 1 || k.Stride > k.Size || k.Pad < 0 || 2*k.Pad > k.Size {
		return nil, fmt.Errorf("window %+v: want 1 <= stride <= size and 0 <= 2 pad <= size", k)
	}
	return tensor.Shape{x[0], x[1], k.extent(x[2]), k.extent(x[3])}, nil
}

// extent rounds down where padding makes a window of its own, as ImageNet stems do (112 to 56), and up where there is
// no padding, so that no element is left out.
func (k Window) extent(in int) int {
	if k.Pad > 0 {
		return (in+2*k.Pad-k.Size)/k.Stride + 1
	}
	return (max(in-k.Size, 0)+k.Stride-1)/k.Stride + 1
}

// Bounds is the part [lo, hi) of an axis of the given extent that output position p pools.
func (k Window) Bounds(p, extent int) (lo, hi int) {
	lo = p*k.Stride - k.Pad
	return max(lo, 0), min(lo+k.Size, extent)
}

// each visits the elements of every window as indices into images and output; n is the window's number of elements.
func (k Window) each(x, y []int, visit func(xi, yi, n int)) {
	for p := range y[0] * y[1] {
		for r := range y[2] {
			for s := range y[3] {
				h0, h1 := k.Bounds(r, x[2])
				w0, w1 := k.Bounds(s, x[3])
				for h := h0; h < h1; h++ {
					for w := w0; w < w1; w++ {
						visit((p*x[2]+h)*x[3]+w, (p*y[2]+r)*y[3]+s, (h1-h0)*(w1-w0))
					}
				}
			}
		}
	}
}

// AvgPool is the mean over windows of images.
type AvgPool struct{ Window Window }

// Inputs are the images.
func (AvgPool) Inputs() []Operand { return []Operand{float(4)} }

// Output is the pooled images.
func (AvgPool) Output() Operand { return float(4) }

// Shape follows from the window.
func (k AvgPool) Shape(in []tensor.Shape) (tensor.Shape, error) { return k.Window.shape(in[0]) }

// Gradient is AvgPoolGrad.
func (k AvgPool) Gradient(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	s := in[0].Shape()
	return gradients(with(AvgPoolGrad{Window: k.Window, Height: s[2], Width: s[3]}, grad))
}

// Reference computes the means.
func (k AvgPool) Reference(in []Array, out Array) {
	k.Window.each(in[0].Shape, out.Shape, func(xi, yi, n int) { out.Data[yi] += in[0].Data[xi] / float64(n) })
}

// AvgPoolGrad spreads the gradient of a mean evenly over its window, for images of Height x Width.
type AvgPoolGrad struct {
	noGradient
	Window        Window
	Height, Width int
}

// Inputs are the output gradient.
func (AvgPoolGrad) Inputs() []Operand { return []Operand{constant(4)} }

// Output is the gradient by the images.
func (AvgPoolGrad) Output() Operand { return constant(4) }

// Shape checks that the gradient is that of the pooled images.
func (k AvgPoolGrad) Shape(in []tensor.Shape) (tensor.Shape, error) {
	x := tensor.Shape{in[0][0], in[0][1], k.Height, k.Width}
	return x, k.Window.checkGradient(x, in[0])
}

func (k Window) checkGradient(x, dy tensor.Shape) error {
	y, err := k.shape(x)
	return checkGradient(y, dy, err)
}

// Reference computes the gradient.
func (k AvgPoolGrad) Reference(in []Array, out Array) {
	k.Window.each(out.Shape, in[0].Shape, func(xi, yi, n int) { out.Data[xi] += in[0].Data[yi] / float64(n) })
}

// MaxPool is the maximum over windows of images.
type MaxPool struct{ Window Window }

// Inputs are the images.
func (MaxPool) Inputs() []Operand { return []Operand{float(4)} }

// Output is the pooled images.
func (MaxPool) Output() Operand { return float(4) }

// Shape follows from the window.
func (k MaxPool) Shape(in []tensor.Shape) (tensor.Shape, error) { return k.Window.shape(in[0]) }

// Gradient is MaxPoolGrad.
func (k MaxPool) Gradient(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	return gradients(with(MaxPoolGrad{Window: k.Window}, in[0], grad))
}

// Reference computes the maxima.
func (k MaxPool) Reference(in []Array, out Array) {
	for i := range out.Data {
		out.Data[i] = math.Inf(-1)
	}
	k.Window.each(in[0].Shape, out.Shape, func(xi, yi, _ int) { out.Data[yi] = max(out.Data[yi], in[0].Data[xi]) })
}

// MaxPoolGrad passes the gradient of a maximum to the first element of its window that attains it.
type MaxPoolGrad struct {
	noGradient
	Window Window
}

// Inputs are images and output gradient.
func (MaxPoolGrad) Inputs() []Operand { return []Operand{constant(4), constant(4)} }

// Output is the gradient by the images.
func (MaxPoolGrad) Output() Operand { return constant(4) }

// Shape checks that the gradient is that of the pooled images.
func (k MaxPoolGrad) Shape(in []tensor.Shape) (tensor.Shape, error) {
	return in[0], k.Window.checkGradient(in[0], in[1])
}

// Reference computes the gradient.
func (k MaxPoolGrad) Reference(in []Array, out Array) {
	x, dy := in[0], in[1]
	best := make([]int, len(dy.Data))
	for i := range best {
		best[i] = -1
	}
	k.Window.each(x.Shape, dy.Shape, func(xi, yi, _ int) {
		if best[yi] < 0 || x.Data[xi] > x.Data[best[yi]] {
			best[yi] = xi
		}
	})
	for yi, xi := range best {
		out.Data[xi] += dy.Data[yi]
	}
}

// GlobalAvgPool is the mean of each channel over space: [n, c, h, w] to [n, c].
type GlobalAvgPool struct{}

// Inputs are the images.
func (GlobalAvgPool) Inputs() []Operand { return []Operand{float(4)} }

// Output is one number per image and channel.
func (GlobalAvgPool) Output() Operand { return float(2) }

// Shape is [n, c].
func (GlobalAvgPool) Shape(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{in[0][0], in[0][1]}, nil
}

// Gradient is GlobalAvgPoolGrad.
func (GlobalAvgPool) Gradient(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	s := in[0].Shape()
	return gradients(with(GlobalAvgPoolGrad{Height: s[2], Width: s[3]}, grad))
}

// Reference computes the means.
func (GlobalAvgPool) Reference(in []Array, out Array) {
	area := in[0].Shape[2] * in[0].Shape[3]
	for i, x := range in[0].Data {
		out.Data[i/area] += x / float64(area)
	}
}

// GlobalAvgPoolGrad spreads the gradient of the mean evenly over Height x Width.
type GlobalAvgPoolGrad struct {
	noGradient
	Height, Width int
}

// Inputs are the output gradient.
func (GlobalAvgPoolGrad) Inputs() []Operand { return []Operand{constant(2)} }

// Output is the gradient by the images.
func (GlobalAvgPoolGrad) Output() Operand { return constant(4) }

// Shape is [n, c, Height, Width].
func (k GlobalAvgPoolGrad) Shape(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{in[0][0], in[0][1], k.Height, k.Width}, nil
}

// Reference computes the gradient.
func (k GlobalAvgPoolGrad) Reference(in []Array, out Array) {
	area := k.Height * k.Width
	for i := range out.Data {
		out.Data[i] = in[0].Data[i/area] / float64(area)
	}
}
