package networks

// Kind is what a layer does.
type Kind string

// The kinds of layers.
const (
	Input         Kind = "input"         // the image; always the first layer
	Conv          Kind = "conv"          // convolution with square kernel, zero padding and no bias
	BatchNorm     Kind = "batchnorm"     // with one scale and one shift per channel
	ReLU          Kind = "relu"          // max(x, 0)
	Drop          Kind = "drop"          // channel dropout: one decision per image and channel
	AvgPool       Kind = "avgpool"       // output size rounded up; windows at the border average the pixels that exist
	MaxPool       Kind = "maxpool"       // padding never is the maximum
	Channels      Kind = "channels"      // appends zero channels or keeps only the first channels
	Add           Kind = "add"           // sum of two inputs of equal shape
	GlobalAvgPool Kind = "globalavgpool" // mean over height and width
	Linear        Kind = "linear"        // fully connected, with bias
)

// Layer is a layer of a network with given widths.
type Layer struct {
	Name   string `json:"name"`
	Kind   Kind   `json:"kind"`
	Inputs []int  `json:"inputs"` // indices of the layers it reads, all before it; none for Input
	Output [3]int `json:"output"` // channels, height, width
	Kernel int    `json:"kernel"` // side of the window of Conv, AvgPool and MaxPool, 0 for others
	Stride int    `json:"stride"` // step of that window
	Pad    int    `json:"pad"`    // pixels of padding on every side
	FLOPs  int64  `json:"flops"`  // multiply-adds for one image
	Params int64  `json:"params"` // trainable parameters
	// Adjustable is the position in the width vector of the width that is chosen for this Conv, or of the layer whose
	// channels this Drop zeroes. It is -1 for all others, convolutional shortcuts included: their width follows.
	Adjustable int `json:"adjustable"`
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
		})
	}
	return layers
}
