package cpu

import (
	"fmt"
	"slices"

	"netadjust/internal/ops"
)

// role is how an operation sees an operand.
type role int

const (
	whole role = iota // the same for all images: parameters, statistics, gradients by parameters
	image             // a feature map for each image, [batch, channels, height, width]
	row               // a row for each image, [batch, n]
)

// usage lists the roles of an operation's inputs and outputs. If an input has a batch, an output without one is a sum
// over it; an output with a batch depends, for each image, on that image alone.
type usage struct{ in, out []role }

// batched tells whether the operation works on images.
func (u usage) batched() bool {
	return slices.ContainsFunc(slices.Concat(u.in, u.out), func(r role) bool { return r != whole })
}

func usageOf(op any) (usage, error) {
	use := func(in []role, out ...role) (usage, error) { return usage{in, out}, nil }
	switch k := op.(type) {
	case ops.Conv2D, ops.DepthwiseConv2D:
		return use([]role{image, whole}, image)
	case ops.Conv2DGradInput, ops.DepthwiseConv2DGradInput:
		return use([]role{whole, image}, image)
	case ops.Conv2DGradWeights, ops.DepthwiseConv2DGradWeights:
		return use([]role{image, image}, whole)
	case ops.BatchStats, ops.BatchNormGradShift:
		return use([]role{image}, whole)
	case ops.BatchNormGradScale:
		return use([]role{image, whole, image}, whole)
	case ops.BatchNormGradInput:
		return use([]role{image, whole, whole, whole, whole, image}, image)
	case ops.AvgPool, ops.AvgPoolGrad, ops.MaxPool, ops.ChannelWindow:
		return use([]role{image}, image)
	case ops.Concat:
		return use(slices.Repeat([]role{image}, k.Maps), image)
	case ops.ReLUGrad, ops.ReLU6Grad, ops.MaxPoolGrad, backReLU:
		return use([]role{image, image}, image)
	case ops.GlobalAvgPool:
		return use([]role{image}, row)
	case ops.GlobalAvgPoolGrad:
		return use([]role{row}, image)
	case ops.ScaleChannelsGrad:
		return use([]role{image, image}, row)
	case ops.Sigmoid, ops.RowReLU:
		return use([]role{row}, row)
	case ops.SigmoidGrad, ops.RowReLUGrad:
		return use([]role{row, row}, row)
	case ops.DropMask:
		return use([]role{whole, row, whole}, row)
	case ops.Images:
		return use([]role{image, row, whole}, image)
	case ops.Linear:
		return use([]role{row, whole, whole}, row)
	case ops.MatMul:
		if k.TransposeA {
			return use([]role{row, row}, whole)
		}
		return use([]role{row, whole}, row)
	case ops.SumRows:
		return use([]role{row}, whole)
	case ops.CrossEntropy, ops.SoftCrossEntropy:
		return use([]role{row, row}, whole)
	case ops.CrossEntropyGrad, ops.SoftCrossEntropyGrad:
		return use([]role{row, row}, row)
	case ops.RunningStats:
		return use([]role{whole, whole}, whole)
	case ops.Momentum, ops.Descend:
		return use([]role{whole, whole, whole}, whole)
	case sgd:
		return use([]role{whole, whole, whole, whole}, whole, whole)
	case normalize:
		in := []role{image}
		if k.norm {
			in = append(in, whole, whole, whole)
		}
		if k.masked {
			in = append(in, row)
		}
		if k.residual {
			in = append(in, image)
		}
		return use(in, image, image)
	case convolve:
		in := []role{image, whole, whole, whole, whole}
		if k.masked {
			in = append(in, row)
		}
		if k.residual {
			in = append(in, image)
		}
		return use(in, image, image)
	case depthwise:
		return use([]role{image, whole, whole, whole, whole}, image)
	case backStats:
		in := []role{image, whole, image}
		if k.rectified {
			in = append(in, image)
		}
		if k.summed {
			in = append(in, image)
		}
		if k.masked {
			in = append(in, row)
		}
		return use(in, image, whole, whole)
	case backNorm:
		return use([]role{image, whole, whole, whole, whole, image, row}, image)
	}
	return usage{}, fmt.Errorf("the cpu device has no kernel for %v", op)
}

// instruction is an operation of a program, or several that one kernel does together.
type instruction struct {
	op      any // an ops.Kind, or one of the kinds in fuse.go
	in, out []int
}

// phase is the work between two moments at which all images must have been through: the instructions that run chunk by
// chunk of the batch, then those that have no batch. Sums over the batch are finished in between.
type phase struct {
	chunked []int // instructions, by index
	after   []int
}

// phasesOf cuts a program into phases. An instruction runs in the first phase in which all its operands are there: at
// once if instructions of the same phase give them image by image, in the next phase if they are sums over the batch.
// Batch norm is what separates phases: a forward phase normalizes, convolves, and takes statistics of the result.
// Inference has none, so there the whole network is one phase. Updates of state come after everything that reads it.
func phasesOf(values int, program []instruction) ([]phase, error) {
	ready := make([]int, values) // phase from which on a value can be read
	var phases []phase
	at := func(i int) *phase {
		for len(phases) <= i {
			phases = append(phases, phase{})
		}
		return &phases[i]
	}
	for i, s := range program {
		u, err := usageOf(s.op)
		if err != nil {
			return nil, err
		}
		first := 0
		for _, v := range s.in {
			first = max(first, ready[v])
		}
		if !u.batched() {
			if updates(s.op) {
				first = max(first, len(phases)-1)
			}
			at(first).after = append(at(first).after, i)
		} else {
			at(first).chunked = append(at(first).chunked, i)
		}
		for j, v := range s.out {
			ready[v] = first
			if u.out[j] == whole {
				ready[v] = first + 1
			}
		}
	}
	return phases, nil
}
