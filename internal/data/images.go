// Package data opens the labelled image sets that networks are trained on: it knows their files and checksums, gets
// them from where they are published, and decodes them into bytes.
//
// A data folder holds one folder per dataset, named like the dataset: MNIST and Fashion-MNIST as their four gzipped IDX
// files, CIFAR-10 and CIFAR-100 in their binary layout (the .bin files, or the folder that the official archive unpacks
// to). Every file is checked against the SHA-256 of its official content before anything of it is used. Any other set
// of images is one file there, NAME.pack, which [Pack] makes of a folder of JPEG and PNG files.
//
// Training and test split are read apart. Opening a dataset and reading its training images never reads a test file;
// only [Dataset.Test] decodes one, and only [Get] and [Verify] read one besides, to compare its checksum. Of a pack
// that holds for the test images in it.
package data

import (
	"fmt"
	"math"
	"math/bits"
)

// Images is a set of labelled images in planar bytes: channel after channel, each row by row. Image i belongs to class
// Labels[i].
type Images struct {
	Channels, Height, Width int // of an image as networks see it

	// Pixels holds Len()*Channels*Height*Width bytes, image after image. It is nil for the images of a pack, which have
	// sizes of their own.
	Pixels []byte
	Labels []int32 // class indices, from 0

	// First is the index of the set's first image in the order of the dataset's files: image i has the stable number
	// First+i, whatever slice of its split it is reached through.
	First int

	packed *packed
}

// Len returns the number of images.
func (im *Images) Len() int { return len(im.Labels) }

// Count returns how many images each class has.
func (im *Images) Count(classes int) []int {
	count := make([]int, classes)
	for _, label := range im.Labels {
		count[label]++
	}
	return count
}

// bytes is the size of an image as networks see it.
func (im *Images) bytes() int { return im.Channels * im.Height * im.Width }

// Slice returns images from up to but excluding to, as a view: it shares pixels and labels with im. The range must hold
// at least one image and lie within the set.
func (im *Images) Slice(from, to int) (*Images, error) {
	if from < 0 || to > im.Len() || from >= to {
		return nil, fmt.Errorf("images %d to %d of %d: the range must lie within the set and hold an image",
			from, to, im.Len())
	}
	view := *im
	if im.packed != nil {
		view.packed = im.packed.slice(from, to)
	} else {
		view.Pixels = im.Pixels[from*im.bytes() : to*im.bytes() : to*im.bytes()]
	}
	view.Labels = im.Labels[from:to:to]
	view.First = im.First + from
	return &view, nil
}

// Size returns the size in pixels in which image i is stored.
func (im *Images) Size(i int) (height, width int) {
	if im.packed != nil {
		e := &im.packed.entries[i]
		return int(e.Height), int(e.Width)
	}
	return im.Height, im.Width
}

// Center returns what is seen of image i where nothing is random: all of it, and of a pack's image the box in its
// middle that would be Height x Width pixels large if the image had the short side that the pack was made for.
func (im *Images) Center(i int) Box {
	h, w := im.Size(i)
	if im.packed == nil {
		return Box{Height: h, Width: w}
	}
	short := float64(min(h, w)) / float64(im.packed.side)
	box := Box{Height: centered(im.Height, short, h), Width: centered(im.Width, short, w)}
	box.Top, box.Left = (h-box.Height)/2, (w-box.Width)/2
	return box
}

// centered scales the side of a box and keeps it within one to all pixels.
func centered(side int, scale float64, all int) int {
	return min(max(int(math.RoundToEven(float64(side)*scale)), 1), all)
}

// Load returns a box of image i, resampled to Channels x Height x Width bytes: in buffer, which has as many, or where
// they lie if nothing has to be resampled. Workers may call it at the same time.
func (im *Images) Load(i int, box Box, buffer []byte) []byte {
	h, w := im.Size(i)
	pixels := im.pixels(i)
	if h == im.Height && w == im.Width && box == (Box{Height: h, Width: w}) {
		return pixels
	}
	resample(pixels, h, w, box, buffer, im.Height, im.Width, im.Channels)
	return buffer
}

// pixels returns image i as it is stored.
func (im *Images) pixels(i int) []byte {
	if im.packed != nil {
		return im.packed.pixels(i)
	}
	return im.Pixels[i*im.bytes() : (i+1)*im.bytes()]
}

// Fetch makes sure that images can be loaded without waiting: those of a pack are read from its file into the system's
// memory and compared with their checksums. It reads into buffer, which it returns grown to what it needed.
func (im *Images) Fetch(images []int, buffer []byte) ([]byte, error) {
	if im.packed == nil {
		return buffer, nil
	}
	for _, i := range images {
		var err error
		if buffer, err = im.packed.fetch(i, buffer); err != nil {
			return buffer, err
		}
	}
	return buffer, nil
}

// Statistics returns mean and population standard deviation of every channel over all images as they are stored, for
// pixel values scaled from 0..255 to 0..1. Sums are exact integers, so the result does not depend on the order of the
// images. An empty set has no statistics: all are NaN.
func (im *Images) Statistics() (mean, std []float64) {
	totals := make([]moments, im.Channels)
	for i := range im.Len() {
		if im.packed != nil {
			for c := range totals {
				totals[c].add(im.packed.entries[i].moments(c))
			}
			continue
		}
		for c, plane := range planes(im.pixels(i), im.Channels) {
			totals[c].add(momentsOf(plane))
		}
	}
	mean, std = make([]float64, im.Channels), make([]float64, im.Channels)
	for c, m := range totals {
		mean[c], std[c] = m.statistics()
	}
	return mean, std
}

// planes cuts the bytes of an image into its channels.
func planes(pixels []byte, channels int) func(yield func(int, []byte) bool) {
	return func(yield func(int, []byte) bool) {
		size := len(pixels) / channels
		for c := range channels {
			if !yield(c, pixels[c*size:(c+1)*size]) {
				return
			}
		}
	}
}

// moments are the number of some bytes, their sum, and that of their squares.
type moments struct{ n, sum, squares uint64 }

func momentsOf(plane []byte) moments {
	m := moments{n: uint64(len(plane))}
	for _, pixel := range plane {
		v := uint64(pixel)
		m.sum += v
		m.squares += v * v
	}
	return m
}

func (m *moments) add(other moments) {
	m.n += other.n
	m.sum += other.sum
	m.squares += other.squares
}

// statistics returns mean and population standard deviation, of bytes scaled to 0..1.
func (m moments) statistics() (mean, std float64) {
	n := float64(m.n)
	return float64(m.sum) / n / 255, math.Sqrt(scaledVariance(m.n, m.sum, m.squares)) / n / 255
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
