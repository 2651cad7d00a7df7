package networks

import (
	"math"
	"math/rand/v2"
)

// Initial draws the initial elements of a tensor of the network: scales and running variances are 1, shifts and running
// means 0, and weights are as in the reference code. Uniform in ±1/sqrt(fan-in) in networks for CIFAR and for every
// classifier, its bias included; normal with standard deviation sqrt(2/fan-out) for convolutions of networks for
// ImageNet.
func (n *Network) Initial(t Tensor, r *rand.Rand) []float32 {
	size := 1
	for _, d := range t.Shape {
		size *= d
	}
	v := make([]float32, size)
	switch t.Role {
	case Gamma:
		fill(v, 1)
	case Running:
		fill(v[t.Shape[1]:], 1)
	case Weights:
		if len(t.Shape) == 4 && n.normalWeights {
			std := math.Sqrt(2 / float64(t.Shape[0]*t.Shape[2]*t.Shape[3]))
			for i := range v {
				v[i] = float32(std * r.NormFloat64())
			}
			break
		}
		uniform(v, t.FanIn, r)
	case Bias:
		uniform(v, t.FanIn, r)
	}
	return v
}

// He draws the initial weights of a convolution from a normal distribution with standard deviation sqrt(2/fan-in): He
// et al., "Delving deep into rectifiers", ICCV 2015, equation 10.
func He(t Tensor, r *rand.Rand) []float32 {
	v := make([]float32, t.Shape[0]*t.FanIn)
	std := math.Sqrt(2 / float64(t.FanIn))
	for i := range v {
		v[i] = float32(std * r.NormFloat64())
	}
	return v
}

// LastNorms returns the names of the batch norms that end a residual branch, whose output is added to a shortcut with
// nothing but channel dropout and padding between. With scales of 0 the blocks start as identities: Goyal et al.,
// "Accurate, large minibatch SGD", 2017, section 5.1.
func (n *Network) LastNorms() []string {
	var names []string
	for _, d := range n.nodes {
		if d.kind != Add {
			continue
		}
		branch := n.nodes[d.inputs[0]]
		for branch.kind == Drop || branch.kind == Channels {
			branch = n.nodes[branch.inputs[0]]
		}
		if branch.kind == BatchNorm {
			names = append(names, branch.name)
		}
	}
	return names
}

func fill(v []float32, with float32) {
	for i := range v {
		v[i] = with
	}
}

// uniform draws from ±1/sqrt(fanIn).
func uniform(v []float32, fanIn int, r *rand.Rand) {
	bound := 1 / math.Sqrt(float64(fanIn))
	for i := range v {
		v[i] = float32(bound * (2*r.Float64() - 1))
	}
}
