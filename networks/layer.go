package networks

// Kind is what a layer does.
type Kind string

// The kinds of layers. Behind a GlobalAvgPool or Linear a value is a row of one number per channel, on which only
// Linear, ReLU, Sigmoid, and Gate as its second input, work; in front of it is a map.
const (
	Input         Kind = "input"         // the image; always the first layer
	Conv          Kind = "conv"          // convolution with square kernel, zero padding and no bias
	Depthwise     Kind = "depthwise"     // the same on every channel by itself
	BatchNorm     Kind = "batchnorm"     // with one scale and one shift per channel
	ReLU          Kind = "relu"          // max(x, 0)
	ReLU6         Kind = "relu6"         // min(max(x, 0), 6)
	Sigmoid       Kind = "sigmoid"       // 1 / (1 + exp(-x))
	Drop          Kind = "drop"          // channel dropout: one decision per image and channel
	AvgPool       Kind = "avgpool"       // output size rounded up; windows at the border average the pixels that exist
	MaxPool       Kind = "maxpool"       // padding never is the maximum
	Channels      Kind = "channels"      // appends zero channels or keeps only the first channels
	Add           Kind = "add"           // sum of two inputs of equal shape
	Concat        Kind = "concat"        // channels of the first input, then those of the second
	Gate          Kind = "gate"          // channels of the first input, multiplied by the second's numbers
	GlobalAvgPool Kind = "globalavgpool" // mean over height and width
	Linear        Kind = "linear"        // fully connected, with bias
)

// Layer is a layer of a network with given widths.
type Layer struct {
	Name   string `json:"name"`
	Kind   Kind   `json:"kind"`
	Inputs []int  `json:"inputs"` // indices of the layers it reads, all before it; none for Input
	Output [3]int `json:"output"` // channels, height, width
	Kernel int    `json:"kernel"` // side of the window of Conv, Depthwise, AvgPool and MaxPool, 0 for others
	Stride int    `json:"stride"` // step of that window
	Pad    int    `json:"pad"`    // pixels of padding on every side
	FLOPs  int64  `json:"flops"`  // multiply-adds for one image
	Params int64  `json:"params"` // trainable parameters
	// Adjustable is the position in the width vector of the width that is chosen for this Conv, or of the width whose
	// channels this Drop zeroes. Layers that share a width have the same. It is -1 for all others, among them those whose
	// width follows that of another layer: convolutional shortcuts, depthwise convolutions and gates.
	Adjustable int `json:"adjustable"`
	// Tied names the layer whose width this layer with weights must have, the first one with that adjustable width.
	Tied string `json:"tied,omitempty"`
}

// Layers returns the layers in forward order; the last one gives the logits. Channels layers that would change nothing
// are left out, so the number of layers depends on c.
func (n *Network) Layers(c []int) []Layer {
	var layers []Layer
	position := make([]int, len(n.nodes)) // where the output of each node is found in layers
	for i, d := range n.nodes {
		channels := d.channels.at(c)
		if d.kind == Channels && channels == n.nodes[d.inputs[0]].channels.at(c) {
			position[i] = position[d.inputs[0]]
			continue
		}
		inputs := make([]int, len(d.inputs))
		for j, in := range d.inputs {
			inputs[j] = position[in]
		}
		position[i] = len(layers)
		layers = append(layers, Layer{
			Name:       d.name,
			Kind:       d.kind,
			Inputs:     inputs,
			Output:     [3]int{channels, d.height, d.width},
			Kernel:     d.kernel,
			Stride:     d.stride,
			Pad:        d.pad,
			FLOPs:      n.flops(&d, c),
			Params:     n.params(&d, c),
			Adjustable: d.adjustable,
			Tied:       n.tied(&d),
		})
	}
	return layers
}

func (n *Network) tied(d *node) string {
	if width, ok := d.channels.(free); ok && d.weights > 0 && n.adjustable[width] != d.name {
		return n.adjustable[width]
	}
	return ""
}
