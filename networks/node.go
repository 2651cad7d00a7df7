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
	adjustable          int   // see Layer
}

// next returns a node that reads the given ones and has the output shape of the first of them.
func (n *Network) next(name string, kind Kind, inputs ...int) node {
	in := n.nodes[inputs[0]]
	return node{
		name: name, kind: kind, inputs: inputs,
		channels: in.channels, height: in.height, width: in.width,
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

// conv appends a convolution with an odd kernel, padded so that its output size is ceil(input size / stride).
func (n *Network) conv(name string, in int, channels dim, kernel, stride int) int {
	d := n.next(name, Conv, in)
	d.channels = channels
	d.weights = int64(kernel * kernel)
	d.slide(kernel, stride, kernel/2)
	return n.add(d)
}

// adjustableConv appends a convolution whose width is the next one of the width vector.
func (n *Network) adjustableConv(name string, in, start, kernel, stride int) int {
	i := len(n.start)
	n.start = append(n.start, start)
	n.adjustable = append(n.adjustable, name)
	conv := n.conv(name, in, free(i), kernel, stride)
	n.nodes[conv].adjustable = i
	return conv
}

func (n *Network) batchNorm(name string, in int) int {
	d := n.next(name, BatchNorm, in)
	d.perChannel = 2
	return n.add(d)
}

func (n *Network) relu(name string, in int) int { return n.add(n.next(name, ReLU, in)) }

// drop appends the channel dropout of the adjustable layer whose channels arrive at in.
func (n *Network) drop(name string, in int) int {
	d := n.next(name, Drop, in)
	d.adjustable = int(d.channels.(free))
	return n.add(d)
}

// avgPool appends 2x2 average pooling that halves height and width, rounding up.
func (n *Network) avgPool(name string, in int) int {
	d := n.next(name, AvgPool, in)
	d.slide(2, 2, 0)
	return n.add(d)
}

// maxPool appends 3x3 maximum pooling that halves height and width, rounding up.
func (n *Network) maxPool(name string, in int) int {
	d := n.next(name, MaxPool, in)
	d.slide(3, 2, 1)
	return n.add(d)
}

// fit gives in the wanted number of channels.
func (n *Network) fit(name string, in int, channels dim) int {
	d := n.next(name, Channels, in)
	d.channels = channels
	return n.add(d)
}

// sum appends the addition of two nodes of equal shape.
func (n *Network) sum(name string, a, b int) int { return n.add(n.next(name, Add, a, b)) }

// classify appends global average pooling and the classifier.
func (n *Network) classify(in int) {
	d := n.next("pool", GlobalAvgPool, in)
	d.height, d.width = 1, 1
	d = n.next("classifier", Linear, n.add(d))
	d.channels = constant(n.Classes)
	d.weights, d.perChannel = 1, 1
	n.add(d)
}

// slide makes d a window that slides over its input and fits ceil(size / stride) times into height and width.
func (d *node) slide(kernel, stride, pad int) {
	d.kernel, d.stride, d.pad = kernel, stride, pad
	d.height = (d.height + stride - 1) / stride
	d.width = (d.width + stride - 1) / stride
}
