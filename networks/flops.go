package networks

import "slices"

// FLOPs returns the multiply-adds of one image, batch size 1, in a network of widths c. Convolutions count
// k*k * C_in * C_out * height * width of their output, convolutional shortcuts and the stem included, depthwise ones
// k*k * C * height * width, the classifier and the two linear layers of squeeze-excitation C_in * C_out. Batch norm,
// ReLU, pooling, additions, padding, gates and biases do not count. This is the convention of the paper's reference
// code, and every budget is meant in it. FLOPs never falls when a width grows.
func (n *Network) FLOPs(c []int) int64 {
	var sum int64
	for i := range n.nodes {
		sum += n.flops(&n.nodes[i], c)
	}
	return sum
}

// FLOPsWithoutStem returns FLOPs less those of the first convolution, the number in the paper's CIFAR table.
func (n *Network) FLOPsWithoutStem(c []int) int64 {
	return n.FLOPs(c) - n.flops(&n.nodes[n.stem], c)
}

// AllFLOPs returns FLOPs and what other tools count besides: for every element of the output 2 of batch norm and 1 of
// ReLU, ReLU6, sigmoid, additions and gates, for every element of its input 1 of pooling, and 1 for every bias. These are
// the rules of ptflops for modules of PyTorch. Channels that are appended, cut or concatenated, and dropout, count
// nothing.
func (n *Network) AllFLOPs(c []int) int64 {
	var sum int64
	layers := n.Layers(c)
	for _, l := range layers {
		sum += l.FLOPs
		out := volume(l.Output)
		switch l.Kind {
		case BatchNorm:
			sum += 2 * out
		case ReLU, ReLU6, Sigmoid, Add, Gate, Linear:
			sum += out
		case AvgPool, MaxPool, GlobalAvgPool:
			sum += volume(layers[l.Inputs[0]].Output)
		}
	}
	return sum
}

func volume(shape [3]int) int64 { return int64(shape[0]) * int64(shape[1]) * int64(shape[2]) }

// Params returns the number of trainable parameters: weights of convolutions and classifier, scale and shift of batch
// norm, bias of the classifier. Running statistics of batch norm do not count.
func (n *Network) Params(c []int) int64 {
	var sum int64
	for i := range n.nodes {
		sum += n.params(&n.nodes[i], c)
	}
	return sum
}

// Tie says whose width a residual stream is when several layers are equally wide and widest. There dF/dc has a kink.
type Tie int

const (
	// TieSplit shares the derivative equally among all the widest, the constant width of the stem included.
	TieSplit Tie = iota
	// TieFirst gives all of it to the first in forward order, as the reference code does for CIFAR.
	TieFirst
	// TieLast gives all of it to the last in forward order, as the reference code does for ImageNet.
	TieLast
)

// FLOPsPerChannel returns dF/dc_i for every adjustable layer: what one channel costs there and in all layers that read
// it, in all layers that share the width. F is piecewise linear in each width alone, as long as no layer both reads and
// has it, so away from ties this is exact for steps of one channel.
func (n *Network) FLOPsPerChannel(c []int, tie Tie) []float64 {
	gradient := make([]float64, len(n.start))
	for _, d := range n.nodes {
		if d.weights == 0 {
			continue
		}
		if d.kind == Depthwise {
			d.channels.addGradient(gradient, c, float64(d.perPair()), tie)
			continue
		}
		in := n.nodes[d.inputs[0]].channels
		in.addGradient(gradient, c, float64(d.perPair()*int64(d.channels.at(c))), tie)
		d.channels.addGradient(gradient, c, float64(d.perPair()*int64(in.at(c))), tie)
	}
	return gradient
}

// FLOPsBehind returns, for every adjustable layer, the FLOPs of the layers that depend on its channels: what has to be
// computed again when its output, and nothing else, changes.
func (n *Network) FLOPsBehind(c []int) []int64 {
	behind := make([]int64, len(n.start))
	for i := range behind {
		reached := make([]bool, len(n.nodes))
		for j := range n.nodes {
			d := &n.nodes[j]
			if slices.ContainsFunc(d.inputs, func(in int) bool { return reached[in] }) {
				reached[j] = true
				behind[i] += n.flops(d, c)
			}
			reached[j] = reached[j] || d.kind == Drop && d.adjustable == i
		}
	}
	return behind
}

// perPair returns the multiply-adds per pair of an input and an output channel.
func (d *node) perPair() int64 { return d.weights * int64(d.height) * int64(d.width) }

func (n *Network) flops(d *node, c []int) int64 {
	return d.perPair() * n.pairs(d, c)
}

func (n *Network) params(d *node, c []int) int64 {
	return d.weights*n.pairs(d, c) + d.perChannel*int64(d.channels.at(c))
}

// pairs returns how many pairs of an input and an output channel have weights; in a depthwise convolution each channel
// is a pair with itself.
func (n *Network) pairs(d *node, c []int) int64 {
	switch {
	case d.weights == 0:
		return 0
	case d.kind == Depthwise:
		return int64(d.channels.at(c))
	}
	return int64(n.nodes[d.inputs[0]].channels.at(c)) * int64(d.channels.at(c))
}
