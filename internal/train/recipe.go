// Package train trains a network on a device and evaluates it.
package train

import (
	"fmt"
	"math"

	"netadjust/internal/data"
	"netadjust/internal/rng"
	"netadjust/networks"
)

// Recipe decides how a network is trained: stochastic gradient descent with momentum and weight decay on all parameters.
type Recipe struct {
	Epochs          int
	Batch           int // images a step; the last step of an epoch takes what is left
	LearningRate    float64
	MinLearningRate float64
	Momentum        float64
	WeightDecay     float64
	LabelSmoothing  float64
	CropPad         int  // images are padded by so many black pixels on each side and cropped at random; 0: not
	Mirror          bool // images are mirrored with probability 1/2

	// What follows is left out of the JSON where it is not used, so that trainings keep the keys under which they were
	// stored before.

	WarmupEpochs       int     `json:",omitempty"`
	WarmupLearningRate float64 `json:",omitempty"` // of the first epoch of a warm-up
	DropRate           float64 `json:",omitempty"` // of channel dropout while training
	DropGrowsWithEpoch bool    `json:",omitempty"` // from none in the first epoch
	DropGrowsWithDepth bool    `json:",omitempty"` // up to DropRate in the last layer
	HeInit             bool    `json:",omitempty"` // convolutions start with weights of networks.He
	ZeroGamma          bool    `json:",omitempty"` // the norms of networks.LastNorms start with scales of 0
	NoBiasDecay        bool    `json:",omitempty"` // weight decay on weights alone, see networks.TrainOptions
	ResizedCrop        bool    `json:",omitempty"` // a random part of an image is scaled to its size, see resizedCrop

	Hook      networks.Hook       `json:",omitempty"` // takes part in the training
	Slimmable *networks.Slimmable `json:",omitempty"` // trains narrower networks as well
}

// LearningRateAt returns the learning rate of epoch t = 0, 1, …, constant within the epoch: the cosine
//
//	min + (start - min) (1 + cos(pi t / Epochs)) / 2
//
// The reference code's schedule starts at t = 0, so the first epoch has the full rate and the minimum is not reached. A
// warm-up replaces the first WarmupEpochs values, as in the reference code; after it the cosine is where it would be
// without:
//
//	start t / WarmupEpochs + WarmupLearningRate
func (r Recipe) LearningRateAt(t int) float64 {
	if t < r.WarmupEpochs {
		return r.LearningRate*float64(t)/float64(r.WarmupEpochs) + r.WarmupLearningRate
	}
	return r.MinLearningRate +
		(r.LearningRate-r.MinLearningRate)*(1+math.Cos(math.Pi*float64(t)/float64(r.Epochs)))/2
}

// DropRateAt returns the rate of channel dropout of an adjustable layer, 0, 1, …, layers - 1 in forward order, in epoch
// t = 0, 1, …:
//
//	DropRate (t / Epochs) ((layer + 1) / layers)
//
// each factor only if the rate grows with it. As in the reference code a rate that grows with the epoch starts at none
// and does not reach its end.
func (r Recipe) DropRateAt(t, layer, layers int) float64 {
	rate := r.DropRate
	if r.DropGrowsWithEpoch {
		rate *= float64(t) / float64(r.Epochs)
	}
	if r.DropGrowsWithDepth {
		rate *= float64(layer+1) / float64(layers)
	}
	return rate
}

// Stream names the random numbers of a training: its seed, and which of the trainings with that seed it is. Initial
// weights, order, augmentation and dropout depend on nothing else, so trainings that are to be compared share a stream.
type Stream struct {
	Seed    uint64
	Purpose string // such as final, or update 2
}

func (s Stream) purpose(what string) string { return s.Purpose + "/" + what }

// order is the order in which an epoch takes n images.
func (s Stream) order(epoch, n int) []int {
	return rng.New(s.Seed, s.purpose("order"), uint64(epoch)).Perm(n)
}

// see draws what an epoch shows of image i: the box that is resampled, and how that is moved.
func (r Recipe) see(key rng.Key, images *data.Images, i int, move []uint32) data.Box {
	r.move(key, images.First+i, move)
	if !r.ResizedCrop {
		return images.Center(i)
	}
	height, width := images.Size(i)
	return resizedCrop(key, images.First+i, height, width)
}

// move draws the crop and mirror of an image, see ops.Images.
func (r Recipe) move(key rng.Key, image int, out []uint32) {
	words := rng.Philox(key, [4]uint32{uint32(image)})
	span := uint64(2*r.CropPad + 1)
	out[0] = uint32(uint64(words[0]) * span >> 32)
	out[1] = uint32(uint64(words[1]) * span >> 32)
	out[2] = 0
	if r.Mirror {
		out[2] = words[2] >> 31
	}
}

// Normalization makes pixels a network's input: (pixel/255 - mean) / std, by channel.
type Normalization struct{ Mean, Std []float64 }

// NormalizationOf takes mean and standard deviation of the pixels of images.
func NormalizationOf(images *data.Images) (Normalization, error) {
	mean, std := images.Statistics()
	for c, s := range std {
		if s == 0 {
			return Normalization{}, fmt.Errorf("channel %d has the same value in every pixel of %d images", c, images.Len())
		}
	}
	return Normalization{mean, std}, nil
}

// scale returns the factors and summands of ops.Images.
func (n Normalization) scale() []float32 {
	c := len(n.Mean)
	s := make([]float32, 2*c)
	for i := range c {
		s[i] = float32(1 / (255 * n.Std[i]))
		s[c+i] = float32(-n.Mean[i] / n.Std[i])
	}
	return s
}
