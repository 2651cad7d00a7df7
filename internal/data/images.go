// Package data opens the labelled image sets that networks are trained on: it knows their files and checksums, gets
// them from where they are published, and decodes them into bytes.
//
// A data folder holds one folder per dataset, named like the dataset: MNIST and Fashion-MNIST as their four gzipped IDX
// files, CIFAR-10 and CIFAR-100 in their binary layout (the .bin files, or the folder that the official archive unpacks
// to). Every file is checked against the SHA-256 of its official content before anything of it is used.
//
// Training and test split are read apart. Opening a dataset and reading its training images never reads a test file;
// only [Dataset.Test] decodes one, and only [Get] reads one besides, to compare its checksum.
package data

import (
	"fmt"
	"math"
	"math/bits"
)

// Images is a set of labelled images in planar bytes. Image i of the set lies at
// Pixels[i*Channels*Height*Width:], channel after channel, each row by row, and belongs to class Labels[i].
type Images struct {
	Channels, Height, Width int

	Pixels []byte  // Len()*Channels*Height*Width bytes
	Labels []int32 // class indices, from 0

	// First is the index of the set's first image in the order of the dataset's files: image i has the stable number
	// First+i, whatever slice of its split it is reached through.
	First int
}

// Len returns the number of images.
func (im *Images) Len() int { return len(im.Labels) }

// Slice returns images from up to but excluding to, as a view: it shares pixels and labels with im. The range must hold
// at least one image and lie within the set.
func (im *Images) Slice(from, to int) (*Images, error) {
	if from < 0 || to > im.Len() || from >= to {
		return nil, fmt.Errorf("images %d to %d of %d: the range must lie within the set and hold an image",
			from, to, im.Len())
	}
	size := im.Channels * im.Height * im.Width
	view := *im
	view.Pixels = im.Pixels[from*size : to*size : to*size]
	view.Labels = im.Labels[from:to:to]
	view.First = im.First + from
	return &view, nil
}

// Statistics returns mean and population standard deviation of every channel over all images, for pixel values scaled
// from 0..255 to 0..1. Sums are exact integers, so the result does not depend on the order of the images. An empty set
// has no statistics: all are NaN.
func (im *Images) Statistics() (mean, std []float64) {
	plane := im.Height * im.Width
	mean, std = make([]float64, im.Channels), make([]float64, im.Channels)
	for c := range im.Channels {
		var sum, squares uint64
		for i := range im.Len() {
			start := (i*im.Channels + c) * plane
			for _, pixel := range im.Pixels[start : start+plane] {
				v := uint64(pixel)
				sum += v
				squares += v * v
			}
		}
		n := uint64(im.Len() * plane)
		mean[c] = float64(sum) / float64(n) / 255
		std[c] = math.Sqrt(scaledVariance(n, sum, squares)) / float64(n) / 255
	}
	return mean, std
}

// scaledVariance returns n² times the population variance of n integers with the given sum and sum of squares,
// n*squares - sum². The difference is taken in 128 bits: both terms exceed 64 for the sets in use.
func scaledVariance(n, sum, squares uint64) float64 {
	hi, lo := bits.Mul64(n, squares)
	sumHi, sumLo := bits.Mul64(sum, sum)
	lo, borrow := bits.Sub64(lo, sumLo, 0)
	hi, _ = bits.Sub64(hi, sumHi, borrow)
	return float64(hi)*0x1p64 + float64(lo)
}
