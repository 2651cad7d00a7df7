package networks

// node is a layer in the description of a network: its channel count is a function of the width vector.
type node struct {
	name                string
	kind                Kind
	inputs              []int // indices of the nodes it reads
	channels            dim   // of the output
	height, width       int   // of the output
	kernel, stride, pad int
	weights             int64 // parameters per pair of an input and an output channel, used once per output pixel
	perChannel          int64 // further parameters per output channel, whose use is not counted
	flat                bool  // a row of one number per channel, not a map
	adjustable          int   // see Layer
}

// next returns a node that reads the given ones and has the output shape of the first of them.
func (n *Network) next(name string, kind Kind, inputs ...int) node {
	in := n.nodes[inputs[0]]
	return node{
		name: name, kind: kind, inputs: inputs,
		channels: in.channels, height: in.height, width: in.width, flat: in.flat,
		adjustable: -1,
	}
}

// add appends a node and returns its index.
func (n *Network) add(d node) int {
	n.nodes = append(n.nodes, d)
	return len(n.nodes) - 1
}

func (n *Network) image() int {
	c, h, w := n.Input[0], n.Input[1], n.Input[2]
	return n.add(node{name: "input", kind: Input, channels: constant(c), height: h, width: w, adjustable: -1})
}

// plain appends a layer without parameters that keeps the shape of the first node it reads.
func (n *Network) plain(name string, kind Kind, inputs ...int) int {
	return n.add(n.next(name, kind, inputs...))
}

// conv appends a convolution with an odd kernel, padded so that its output size is ceil(input size / stride).
func (n *Network) conv(name string, in int, channels dim, kernel, stride int) int {
	d := n.next(name, Conv, in)
	d.channels = channels
	d.weights = int64(kernel * kernel)
	d.slide(kernel, stride)
	return n.add(d)
}

// depthwise appends a convolution of every channel by itself, with the padding of conv.
func (n *Network) depthwise(name string, in, kernel, stride int) int {
	d := n.next(name, Depthwise, in)
	d.weights = int64(kernel * kernel)
	d.slide(kernel, stride)
	return n.add(d)
}

func (n *Network) batchNorm(name string, in int) int {
	d := n.next(name, BatchNorm, in)
	d.perChannel = 2
	return n.add(d)
}

// drop appends the channel dropout of an adjustable layer, whose channels arrive at in.
func (n *Network) drop(name string, in int, layer free) int {
	d := n.next(name, Drop, in)
	d.adjustable = int(layer)
	return n.add(d)
}

// pool appends average or maximum pooling that divides height and width by the stride, rounding up.
func (n *Network) pool(name string, kind Kind, in, kernel, stride int) int {
	d := n.next(name, kind, in)
	d.slide(kernel, stride)
	return n.add(d)
}

// fit gives in the wanted number of channels.
func (n *Network) fit(name string, in int, channels dim) int {
	d := n.next(name, Channels, in)
	d.channels = channels
	return n.add(d)
}

// concat appends the channels of two nodes behind each other.
func (n *Network) concat(name string, a, b int) int {
	d := n.next(name, Concat, a, b)
	d.channels = sum{d.channels, n.nodes[b].channels}
	return n.add(d)
}

func (n *Network) globalPool(name string, in int) int {
	d := n.next(name, GlobalAvgPool, in)
	d.height, d.width, d.flat = 1, 1, true
	return n.add(d)
}

func (n *Network) linear(name string, in int, channels dim) int {
	d := n.next(name, Linear, in)
	d.channels = channels
	d.weights, d.perChannel = 1, 1
	return n.add(d)
}

// slide makes d a window that slides over its input and fits ceil(size / stride) times into height and width. An odd
// kernel reaches over every border by half of its size; an even one, which is as large as the stride, by none.
func (d *node) slide(kernel, stride int) {
	d.kernel, d.stride = kernel, stride
	if kernel%2 == 1 {
		d.pad = kernel / 2
	}
	d.height = (d.height + stride - 1) / stride
	d.width = (d.width + stride - 1) / stride
}
