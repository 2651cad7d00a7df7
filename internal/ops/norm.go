package ops

import (
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// BatchStats gives the statistics of each channel over batch and space: images [n, c, h, w] to [2, c], the mean in row 0
// and the biased variance in row 1. BatchNorm's gradient accounts for the dependence on the images.
type BatchStats struct{ noGradient }

// Inputs are the images.
func (BatchStats) Inputs() []Operand { return []Operand{constant(4)} }

// Output is mean and variance.
func (BatchStats) Output() Operand { return constant(2) }

// Shape is [2, channels].
func (BatchStats) Shape(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{2, in[0][1]}, nil
}

// Reference computes mean and variance in two passes.
func (BatchStats) Reference(in []Array, out Array) {
	x, c := in[0], in[0].Shape[1]
	n := float64(len(x.Data) / c)
	mean, variance := out.Data[:c], out.Data[c:]
	perChannel(x.Shape, func(i, ch int) { mean[ch] += x.Data[i] / n })
	perChannel(x.Shape, func(i, ch int) { variance[ch] += (x.Data[i] - mean[ch]) * (x.Data[i] - mean[ch]) / n })
}

// perChannel visits every element of images with its channel.
func perChannel(shape []int, visit func(i, c int)) {
	area := shape[2] * shape[3]
	for i := range shape[0] * shape[1] * area {
		visit(i, i/area%shape[1])
	}
}

// BatchNorm normalises each channel: y = gamma (x - mean) / sqrt(variance + Epsilon) + beta, with images [n, c, h, w],
// statistics [2, c], gamma [c] and beta [c]. In training the statistics are BatchStats of the same images; in inference,
// where Frozen is set, they are running statistics that do not depend on the images.
type BatchNorm struct {
	Epsilon float64
	Frozen  bool
}

// Inputs are images, statistics, gamma and beta.
func (BatchNorm) Inputs() []Operand { return []Operand{float(4), constant(2), float(1), float(1)} }

// Output is the normalised images.
func (BatchNorm) Output() Operand { return float(4) }

// Shape checks that all inputs have the same channels.
func (BatchNorm) Shape(in []tensor.Shape) (tensor.Shape, error) {
	c := in[0][1]
	if want := (tensor.Shape{2, c}); !slices.Equal(in[1], want) {
		return nil, mismatch("shape of the statistics", in[1], want)
	}
	if in[2][0] != c || in[3][0] != c {
		return nil, mismatch("number of scales and shifts", []int{in[2][0], in[3][0]}, []int{c, c})
	}
	return in[0], nil
}

// Gradient gives the gradients by images, gamma and beta.
func (k BatchNorm) Gradient(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	x, stats, gamma := in[0], in[1], in[2]
	dgamma, err := Apply(BatchNormGradScale{Epsilon: k.Epsilon}, x, stats, grad)
	if err != nil {
		return nil, err
	}
	dbeta, err := Apply(BatchNormGradShift{}, grad)
	if err != nil {
		return nil, err
	}
	dx, err := Apply(BatchNormGradInput{BatchNorm: k}, x, stats, gamma, dgamma, dbeta, grad)
	return gorgonia.Nodes{dx, nil, dgamma, dbeta}, err
}

// Reference computes the normalised images.
func (k BatchNorm) Reference(in []Array, out Array) {
	x, gamma, beta := in[0], in[2], in[3]
	mean, inv := k.moments(in[1])
	perChannel(x.Shape, func(i, c int) { out.Data[i] = gamma.Data[c]*(x.Data[i]-mean[c])*inv[c] + beta.Data[c] })
}

func (k BatchNorm) moments(stats Array) (mean, inv []float64) {
	c := stats.Shape[1]
	inv = make([]float64, c)
	for i := range inv {
		inv[i] = 1 / math.Sqrt(stats.Data[c+i]+k.Epsilon)
	}
	return stats.Data[:c], inv
}

// BatchNormGradScale is the gradient of BatchNorm by gamma: the sum over batch and space of the output gradient times
// the normalised images.
type BatchNormGradScale struct {
	noGradient
	Epsilon float64
}

// Inputs are images, statistics and output gradient.
func (BatchNormGradScale) Inputs() []Operand { return []Operand{constant(4), constant(2), constant(4)} }

// Output is one number per channel.
func (BatchNormGradScale) Output() Operand { return constant(1) }

// Shape checks that images and gradient agree.
func (BatchNormGradScale) Shape(in []tensor.Shape) (tensor.Shape, error) {
	if !slices.Equal(in[2], in[0]) {
		return nil, mismatch("shape of the output gradient", in[2], in[0])
	}
	return tensor.Shape{in[0][1]}, nil
}

// Reference computes the gradient.
func (k BatchNormGradScale) Reference(in []Array, out Array) {
	x, dy := in[0], in[2]
	mean, inv := BatchNorm{Epsilon: k.Epsilon}.moments(in[1])
	perChannel(x.Shape, func(i, c int) { out.Data[c] += dy.Data[i] * (x.Data[i] - mean[c]) * inv[c] })
}

// BatchNormGradShift is the gradient of BatchNorm by beta: the sum of the output gradient over batch and space.
type BatchNormGradShift struct{ noGradient }

// Inputs are the output gradient.
func (BatchNormGradShift) Inputs() []Operand { return []Operand{constant(4)} }

// Output is one number per channel.
func (BatchNormGradShift) Output() Operand { return constant(1) }

// Shape is [channels].
func (BatchNormGradShift) Shape(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{in[0][1]}, nil
}

// Reference computes the gradient.
func (BatchNormGradShift) Reference(in []Array, out Array) {
	perChannel(in[0].Shape, func(i, c int) { out.Data[c] += in[0].Data[i] })
}

// BatchNormGradInput is the gradient of BatchNorm by its images. With m = n h w elements a channel, xhat the normalised
// images and dy the output gradient it is gamma/std (dy - dbeta/m - xhat dgamma/m), where the last two terms carry the
// dependence of the batch's statistics on the images and fall away if they are frozen.
type BatchNormGradInput struct {
	noGradient
	BatchNorm BatchNorm
}

// Inputs are images, statistics, gamma, the gradients by gamma and beta, and the output gradient.
func (BatchNormGradInput) Inputs() []Operand {
	return []Operand{constant(4), constant(2), constant(1), constant(1), constant(1), constant(4)}
}

// Output is the gradient by the images.
func (BatchNormGradInput) Output() Operand { return constant(4) }

// Shape checks that images and gradient agree.
func (BatchNormGradInput) Shape(in []tensor.Shape) (tensor.Shape, error) {
	if !slices.Equal(in[5], in[0]) {
		return nil, mismatch("shape of the output gradient", in[5], in[0])
	}
	return in[0], nil
}

// Reference computes the gradient.
func (k BatchNormGradInput) Reference(in []Array, out Array) {
	x, gamma, dgamma, dbeta, dy := in[0], in[2], in[3], in[4], in[5]
	mean, inv := k.BatchNorm.moments(in[1])
	m := float64(len(x.Data) / x.Shape[1])
	perChannel(x.Shape, func(i, c int) {
		d := dy.Data[i]
		if !k.BatchNorm.Frozen {
			d -= (dbeta.Data[c] + (x.Data[i]-mean[c])*inv[c]*dgamma.Data[c]) / m
		}
		out.Data[i] = gamma.Data[c] * inv[c] * d
	})
}

// RunningStats updates running statistics [2, c] from a batch's: running += Momentum (batch - running), where the
// batch's variance counts unbiased, that is times Count/(Count-1) with Count = n h w elements a channel.
type RunningStats struct {
	updating
	Momentum float64
	Count    int
}

// Inputs are running and batch statistics.
func (RunningStats) Inputs() []Operand { return []Operand{constant(2), constant(2)} }

// Output is the new running statistics.
func (RunningStats) Output() Operand { return constant(2) }

// Shape checks that both have the same channels.
func (RunningStats) Shape(in []tensor.Shape) (tensor.Shape, error) {
	if !slices.Equal(in[1], in[0]) {
		return nil, mismatch("shape of the batch statistics", in[1], in[0])
	}
	return in[0], nil
}

// Unbias is the factor of the variance.
func (k RunningStats) Unbias() float64 { return float64(k.Count) / float64(max(k.Count-1, 1)) }

// Reference computes the new running statistics.
func (k RunningStats) Reference(in []Array, out Array) {
	c := in[0].Shape[1]
	for i, r := range in[0].Data {
		b := in[1].Data[i]
		if i >= c {
			b *= k.Unbias()
		}
		out.Data[i] = r + k.Momentum*(b-r)
	}
}
