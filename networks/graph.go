package networks

import (
	"fmt"
	"sync"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"netadjust/internal/ops"
)

// Names of a graph's inputs.
const (
	Pixels       = "pixels"        // uint8 [batch, channels, height, width]
	Moves        = "moves"         // uint32 [batch, 3], see ops.Images
	Scale        = "scale"         // float32 [2, channels], see ops.Images
	Labels       = "labels"        // uint32 [batch], training only
	Targets      = "targets"       // float32 [batch, classes], probabilities, in training with soft targets
	LearningRate = "learning_rate" // float32 [1], training only
	DropRates    = "drop_rates"    // float32 [adjustable layers], with channel dropout only
	Samples      = "samples"       // uint32 [batch], see ops.DropMask, with channel dropout only
	DropKey      = "drop_key"      // uint32 [3], see ops.DropMask, with channel dropout only
)

const (
	bnEpsilon  = 1e-5 // added to the variance
	bnMomentum = 0.1  // weight of a batch in the running statistics
)

// GraphOptions choose the graph of a network.
type GraphOptions struct {
	Batch    int
	ImagePad int  // zero padding of the images, for crops
	Drop     bool // with the channel dropout layers
	Estimate bool // update running statistics, as a training step does, and nothing else
	Train    *TrainOptions
}

// TrainOptions are the constants of a training step: stochastic gradient descent with momentum and weight decay on all
// parameters, or with NoBiasDecay on weights alone: not on biases and on scales and shifts of batch norm.
type TrainOptions struct {
	LabelSmoothing, Momentum, WeightDecay float64
	NoBiasDecay                           bool
	Soft                                  bool // Targets instead of Labels
}

// Graph is a network for a batch of images. Its leaves are the inputs named above and the state that Tensors lists.
type Graph struct {
	*gorgonia.ExprGraph
	Logits *gorgonia.Node // [batch, classes]
	Loss   *gorgonia.Node // mean cross entropy of the batch; nil without training
}

// Tensor is a piece of a network's state.
type Tensor struct {
	Name  string
	Shape []int
	Layer string // the layer that it belongs to
	Role  Role
	FanIn int // of weights and biases: inputs that an output of the layer sums up
}

// Role is what a tensor is to its layer.
type Role string

// The roles of tensors. All but Running are parameters, and in training each has a velocity.
const (
	Weights Role = "weights" // [out, in, kernel, kernel] or [out, in]
	Bias    Role = "bias"    // [out]
	Gamma   Role = "gamma"   // scale of a batch norm, [channels]
	Beta    Role = "beta"    // shift of a batch norm, [channels]
	Running Role = "running" // mean and variance of a batch norm, [2, channels]
)

// Velocity is the name of the velocity of a parameter.
func (t Tensor) Velocity() string { return t.Name + ".velocity" }

// Tensors lists the state of the network with widths c, parameters and running statistics, in forward order.
func (n *Network) Tensors(c []int) []Tensor {
	var list []Tensor
	layers := n.Layers(c)
	for _, l := range layers {
		if l.Kind == Input {
			continue
		}
		in, out := layers[l.Inputs[0]].Output[0], l.Output[0]
		if l.Kind == Depthwise {
			in = 1
		}
		fanIn := in * max(l.Kernel*l.Kernel, 1)
		add := func(r Role, shape ...int) {
			list = append(list, Tensor{Name: l.Name + "." + string(r), Shape: shape, Layer: l.Name, Role: r, FanIn: fanIn})
		}
		switch l.Kind {
		case Conv, Depthwise:
			add(Weights, out, in, l.Kernel, l.Kernel)
		case BatchNorm:
			add(Gamma, out)
			add(Beta, out)
			add(Running, 2, out)
		case Linear:
			add(Weights, out, in)
			add(Bias, out)
		}
	}
	return list
}

// building guards gorgonia, whose graphs share constants.
var building sync.Mutex

// Graph builds the network with widths c. With o.Train it is a training step: forward, backward, and the update of
// parameters and running statistics as operations that overwrite their state. Without, batch norm uses the running
// statistics.
func (n *Network) Graph(c []int, o GraphOptions) (*Graph, error) {
	if err := n.Check(c); err != nil {
		return nil, err
	}
	if o.Batch < 1 {
		return nil, fmt.Errorf("%s: batch of %d images", n.Name, o.Batch)
	}
	building.Lock()
	defer building.Unlock()
	b := builder{options: o, g: gorgonia.NewGraph(), params: map[string]*gorgonia.Node{}}
	b.out = &Graph{ExprGraph: b.g}
	for _, t := range n.Tensors(c) {
		b.params[t.Name] = b.leaf(tensor.Float32, t.Name, t.Shape...)
		if t.Role != Running {
			b.trainable = append(b.trainable, t)
		}
	}
	var values []*gorgonia.Node
	for _, l := range n.Layers(c) {
		in := make([]*gorgonia.Node, len(l.Inputs))
		for i, j := range l.Inputs {
			in[i] = values[j]
		}
		values = append(values, b.layer(l, in, len(c)))
	}
	b.out.Logits = values[len(values)-1]
	if o.Train != nil {
		b.train()
	}
	if b.err != nil {
		return nil, fmt.Errorf("%s: %w", n.Name, b.err)
	}
	return b.out, nil
}

// builder adds nodes to a graph and keeps the first error.
type builder struct {
	options   GraphOptions
	g         *gorgonia.ExprGraph
	out       *Graph
	params    map[string]*gorgonia.Node
	trainable []Tensor
	err       error
}

func (b *builder) leaf(of tensor.Dtype, name string, shape ...int) *gorgonia.Node {
	for _, n := range b.g.ByName(name) {
		return n
	}
	return gorgonia.NewTensor(b.g, of, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name))
}

func (b *builder) apply(k ops.Kind, in ...*gorgonia.Node) *gorgonia.Node {
	if b.err != nil {
		return nil
	}
	n, err := ops.Apply(k, in...)
	b.err = err
	return n
}

// layer adds one layer and returns its output.
func (b *builder) layer(l Layer, in []*gorgonia.Node, adjustable int) *gorgonia.Node {
	if b.err != nil {
		return nil
	}
	param := func(r Role) *gorgonia.Node { return b.params[l.Name+"."+string(r)] }
	window := ops.Window{Size: l.Kernel, Stride: l.Stride, Pad: l.Pad}
	switch l.Kind {
	case Input:
		return b.apply(ops.Images{Pad: b.options.ImagePad},
			b.leaf(tensor.Uint8, Pixels, b.options.Batch, l.Output[0], l.Output[1], l.Output[2]),
			b.leaf(tensor.Uint32, Moves, b.options.Batch, 3),
			b.leaf(tensor.Float32, Scale, 2, l.Output[0]))
	case Conv:
		return b.apply(ops.Conv2D{Stride: l.Stride, Pad: l.Pad}, in[0], param(Weights))
	case Depthwise:
		return b.apply(ops.DepthwiseConv2D{Stride: l.Stride, Pad: l.Pad}, in[0], param(Weights))
	case BatchNorm:
		stats := param(Running)
		training := b.options.Train != nil || b.options.Estimate
		if training {
			running := stats
			stats = b.apply(ops.BatchStats{}, in[0])
			count := b.options.Batch * l.Output[1] * l.Output[2]
			b.apply(ops.RunningStats{Momentum: bnMomentum, Count: count}, running, stats)
		}
		k := ops.BatchNorm{Epsilon: bnEpsilon, Frozen: !training}
		return b.apply(k, in[0], stats, param(Gamma), param(Beta))
	case ReLU:
		if in[0].Dims() == 2 {
			return b.apply(ops.RowReLU{}, in[0])
		}
		return b.apply(ops.ReLU{}, in[0])
	case ReLU6:
		return b.apply(ops.ReLU6{}, in[0])
	case Sigmoid:
		return b.apply(ops.Sigmoid{}, in[0])
	case Drop:
		if !b.options.Drop {
			return in[0]
		}
		mask := b.apply(ops.DropMask{Layer: l.Adjustable, Channels: l.Output[0]},
			b.leaf(tensor.Float32, DropRates, adjustable),
			b.leaf(tensor.Uint32, Samples, b.options.Batch),
			b.leaf(tensor.Uint32, DropKey, 3))
		return b.apply(ops.ScaleChannels{}, in[0], mask)
	case AvgPool:
		return b.apply(ops.AvgPool{Window: window}, in[0])
	case MaxPool:
		return b.apply(ops.MaxPool{Window: window}, in[0])
	case Channels:
		return b.apply(ops.ChannelWindow{Count: l.Output[0]}, in[0])
	case Add:
		return b.apply(ops.Add{}, in[0], in[1])
	case Concat:
		return b.apply(ops.Concat{Maps: len(in)}, in...)
	case Gate:
		return b.apply(ops.ScaleChannels{}, in[0], in[1])
	case GlobalAvgPool:
		return b.apply(ops.GlobalAvgPool{}, in[0])
	case Linear:
		return b.apply(ops.Linear{}, in[0], param(Weights), param(Bias))
	}
	b.err = fmt.Errorf("layer %s: no operation for kind %q", l.Name, l.Kind)
	return nil
}

// train adds loss, gradients and updates.
func (b *builder) train() {
	o := b.options.Train
	if o.Soft {
		targets := b.leaf(tensor.Float32, Targets, b.out.Logits.Shape()...)
		b.out.Loss = b.apply(ops.SoftCrossEntropy{}, b.out.Logits, targets)
	} else {
		b.out.Loss = b.apply(ops.CrossEntropy{Smoothing: o.LabelSmoothing}, b.out.Logits,
			b.leaf(tensor.Uint32, Labels, b.options.Batch))
	}
	if b.err != nil {
		return
	}
	var wrt gorgonia.Nodes
	for _, t := range b.trainable {
		wrt = append(wrt, b.params[t.Name])
	}
	grads, err := gorgonia.Grad(b.out.Loss, wrt...)
	if err != nil {
		b.err = err
		return
	}
	rate := b.leaf(tensor.Float32, LearningRate, 1)
	for i, t := range b.trainable {
		dims := len(t.Shape)
		velocity := b.leaf(tensor.Float32, t.Velocity(), t.Shape...)
		decay := o.WeightDecay
		if o.NoBiasDecay && t.Role != Weights {
			decay = 0
		}
		v := b.apply(ops.Momentum{Dims: dims, Momentum: o.Momentum, Decay: decay}, velocity, wrt[i], grads[i])
		b.apply(ops.Descend{Dims: dims}, wrt[i], v, rate)
	}
}
