package ops

import (
	"fmt"
	"slices"

	"gorgonia.org/tensor"
)

// Images turns pixels [n, c, h, w] into a network's input: image i is shifted and mirrored as its row of moves [n, 3]
// says, and a pixel p of channel c becomes scale[0][c] p + scale[1][c]. A row of moves is (down, right, mirror): the
// image is padded by Pad black pixels on each side, cropped to its own size from (down, right) on, and mirrored
// left to right if the third is 1; (Pad, Pad, 0) leaves it as it is.
type Images struct {
	noGradient
	Pad int
}

// Inputs are pixels, moves and scale.
func (Images) Inputs() []Operand {
	return []Operand{{Dims: 4, Element: Byte}, words(2), constant(2)}
}

// Output is the images.
func (Images) Output() Operand { return constant(4) }

// Shape checks moves and scale.
func (k Images) Shape(in []tensor.Shape) (tensor.Shape, error) {
	if want := (tensor.Shape{in[0][0], 3}); !slices.Equal(in[1], want) {
		return nil, mismatch("shape of the moves", in[1], want)
	}
	if want := (tensor.Shape{2, in[0][1]}); !slices.Equal(in[2], want) {
		return nil, mismatch("shape of the scale", in[2], want)
	}
	if k.Pad < 0 {
		return nil, fmt.Errorf("padding %d is negative", k.Pad)
	}
	return in[0], nil
}

// Reference moves and scales the pixels.
func (k Images) Reference(in []Array, out Array) {
	x, moves, scale := in[0], in[1], in[2]
	c, h, w := x.Shape[1], x.Shape[2], x.Shape[3]
	for i := range out.Data {
		n, ch, row, col := i/(c*h*w), i/(h*w)%c, i/w%h, i%w
		move := moves.Data[3*n:]
		if move[2] == 1 {
			col = w - 1 - col
		}
		row, col = row+int(move[0])-k.Pad, col+int(move[1])-k.Pad
		pixel := 0.0
		if row >= 0 && row < h && col >= 0 && col < w {
			pixel = x.Data[((n*c+ch)*h+row)*w+col]
		}
		out.Data[i] = scale.Data[ch]*pixel + scale.Data[c+ch]
	}
}
