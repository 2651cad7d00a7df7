package ops

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"netadjust/internal/rng"
)

// ChannelWindow takes Count channels of images, from channel Offset on; channels that do not exist are zeros. It pads a
// shortcut that is narrower than its block (Offset 0) and cuts one that is wider; its gradient is the opposite window.
type ChannelWindow struct{ Offset, Count int }

// Inputs are the images.
func (ChannelWindow) Inputs() []Operand { return []Operand{float(4)} }

// Output is the images with other channels.
func (ChannelWindow) Output() Operand { return float(4) }

// Shape checks that the window meets at least one channel.
func (k ChannelWindow) Shape(in []tensor.Shape) (tensor.Shape, error) {
	c := in[0][1]
	if k.Count < 1 || k.Offset >= c || k.Offset+k.Count <= 0 {
		return nil, fmt.Errorf("%d channels from channel %d on: none of them is among the %d channels of the images",
			k.Count, k.Offset, c)
	}
	return tensor.Shape{in[0][0], k.Count, in[0][2], in[0][3]}, nil
}

// Gradient is the opposite window.
func (k ChannelWindow) Gradient(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	return gradients(with(ChannelWindow{Offset: -k.Offset, Count: in[0].Shape()[1]}, grad))
}

// Reference copies the channels.
func (k ChannelWindow) Reference(in []Array, out Array) {
	x := in[0]
	c, area := x.Shape[1], x.Shape[2]*x.Shape[3]
	for n := range x.Shape[0] {
		for j := range k.Count {
			if i := j + k.Offset; i >= 0 && i < c {
				copy(out.Data[(n*k.Count+j)*area:][:area], x.Data[(n*c+i)*area:])
			}
		}
	}
}

// Concat puts the channels of several images behind each other: Maps images [n, c_i, h, w] give [n, sum of c_i, h, w].
type Concat struct{ Maps int }

// Inputs are the images in their order.
func (k Concat) Inputs() []Operand { return slices.Repeat([]Operand{float(4)}, max(k.Maps, 0)) }

// Output is the images with all channels.
func (Concat) Output() Operand { return float(4) }

// Shape checks that the images agree in all but their channels.
func (k Concat) Shape(in []tensor.Shape) (tensor.Shape, error) {
	if k.Maps < 1 {
		return nil, fmt.Errorf("%d images: there must be one at least", k.Maps)
	}
	y := in[0].Clone()
	for i, x := range in[1:] {
		if x[0] != y[0] || !slices.Equal(x[2:], y[2:]) {
			return nil, fmt.Errorf("images %v and %v do not agree in batch, height and width (inputs 0 and %d)", in[0], x, i+1)
		}
		y[1] += x[1]
	}
	return y, nil
}

// Gradient is for each of the images the window of the output gradient that its channels have.
func (k Concat) Gradient(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	apply := make([]func() (*gorgonia.Node, error), len(in))
	offset := 0
	for i, x := range in {
		c := x.Shape()[1]
		apply[i] = with(ChannelWindow{Offset: offset, Count: c}, grad)
		offset += c
	}
	return gradients(apply...)
}

// Reference copies the channels.
func (Concat) Reference(in []Array, out Array) {
	image, at := len(out.Data)/out.Shape[0], 0
	for _, x := range in {
		size := len(x.Data) / x.Shape[0]
		for n := range x.Shape[0] {
			copy(out.Data[n*image+at:], x.Data[n*size:(n+1)*size])
		}
		at += size
	}
}

// DropMask draws the factors of channel dropout for one layer, one per image and channel: 0 with probability p, else
// 1/(1-p), where p is the layer's entry of rates [layers]. The draw for a channel is a function of the key and of the
// image's index in its dataset, so it does not depend on how images are batched. samples [n] holds those indices; key [3]
// holds a random key and the repeat. The factors have shape [n, Channels].
//
// The reference code drops in the same way: one decision per image and channel, shared over space.
type DropMask struct {
	noGradient
	Layer, Channels int
}

// Inputs are rates, samples and key.
func (DropMask) Inputs() []Operand { return []Operand{constant(1), words(1), words(1)} }

// Output is the factors.
func (DropMask) Output() Operand { return constant(2) }

// Shape checks that the layer has a rate.
func (k DropMask) Shape(in []tensor.Shape) (tensor.Shape, error) {
	if k.Layer < 0 || k.Layer >= in[0][0] || k.Channels < 1 {
		return nil, fmt.Errorf("layer %d with %d channels: there are rates for %d layers", k.Layer, k.Channels, in[0][0])
	}
	if in[2][0] != 3 {
		return nil, mismatch("length of the key", in[2][0], 3)
	}
	return tensor.Shape{in[1][0], k.Channels}, nil
}

// Factors writes the factors of one image.
func (k DropMask) Factors(rate float32, sample uint32, key [3]uint32, out []float32) {
	var words [4]uint32
	for c := range out {
		if c%4 == 0 {
			words = rng.Philox(rng.Key{key[0], key[1]}, [4]uint32{sample, uint32(k.Layer), key[2], uint32(c / 4)})
		}
		switch {
		case rate <= 0:
			out[c] = 1
		case rng.Unit(words[c%4]) < rate:
			out[c] = 0
		default:
			out[c] = 1 / (1 - rate)
		}
	}
}

// Reference draws the factors.
func (k DropMask) Reference(in []Array, out Array) {
	key := [3]uint32{uint32(in[2].Data[0]), uint32(in[2].Data[1]), uint32(in[2].Data[2])}
	factors := make([]float32, k.Channels)
	for n, sample := range in[1].Data {
		k.Factors(float32(in[0].Data[k.Layer]), uint32(sample), key, factors)
		for c, f := range factors {
			out.Data[n*k.Channels+c] = float64(f)
		}
	}
}

// ScaleChannels multiplies images [n, c, h, w] by factors [n, c]: those of a DropMask, or those that squeeze-excitation
// computes from the images themselves.
type ScaleChannels struct{}

// Inputs are images and factors.
func (ScaleChannels) Inputs() []Operand { return []Operand{float(4), float(2)} }

// Output is the scaled images.
func (ScaleChannels) Output() Operand { return float(4) }

// Shape checks that there is a factor for each image and channel.
func (ScaleChannels) Shape(in []tensor.Shape) (tensor.Shape, error) {
	if want := in[0][:2]; !slices.Equal(in[1], want) {
		return nil, mismatch("shape of the factors", in[1], want)
	}
	return in[0], nil
}

// Gradient is the same scaling of the output gradient for the images, and ScaleChannelsGrad for the factors.
func (k ScaleChannels) Gradient(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	return gradients(with(k, grad, in[1]), with(ScaleChannelsGrad{}, in[0], grad))
}

// Reference computes the products.
func (ScaleChannels) Reference(in []Array, out Array) {
	area := in[0].Shape[2] * in[0].Shape[3]
	for i, x := range in[0].Data {
		out.Data[i] = x * in[1].Data[i/area]
	}
}

// ScaleChannelsGrad is the gradient of ScaleChannels by the factors: the sum over space of the images times the output
// gradient, [n, c].
type ScaleChannelsGrad struct{ noGradient }

// Inputs are images and output gradient.
func (ScaleChannelsGrad) Inputs() []Operand { return []Operand{constant(4), constant(4)} }

// Output is the gradient by the factors.
func (ScaleChannelsGrad) Output() Operand { return constant(2) }

// Shape checks that images and gradient agree.
func (ScaleChannelsGrad) Shape(in []tensor.Shape) (tensor.Shape, error) {
	s, err := same(in)
	if err != nil {
		return nil, err
	}
	return tensor.Shape{s[0], s[1]}, nil
}

// Reference computes the sums.
func (ScaleChannelsGrad) Reference(in []Array, out Array) {
	area := in[0].Shape[2] * in[0].Shape[3]
	for i, x := range in[0].Data {
		out.Data[i/area] += x * in[1].Data[i]
	}
}
