package data

import (
	"math"
	"sync"
)

// Box is a part of an image: Height x Width pixels, the first of them in row Top and column Left.
type Box struct{ Top, Left, Height, Width int }

// resizer resamples planes of bytes with a triangle filter that widens as the image shrinks, so that nothing aliases:
// columns first, then rows, each rounded to bytes, with integer weights of weightBits bits. These are the steps of
// Pillow's Image.resize with BILINEAR, and the results are its results, to the last bit, which is what torchvision
// trains on. golang.org/x/image/draw resamples as well but allocates weights and 32 bytes a pixel for each image of a
// new size, and random crops all have sizes of their own. A resizer keeps its memory.
type resizer struct {
	columns, rows axis
	between       []uint8 // a plane with its final width
	sums          []uint32
}

// resizers lends resizers to workers.
var resizers = sync.Pool{New: func() any { return new(resizer) }}

const (
	weightBits = 22
	weightHalf = 1 << (weightBits - 1)
)

// axis says how pixels along an axis are made of others: pixel i is the sum of count[i] of them from first[i] on, with
// weights from i*taps on.
type axis struct {
	from, to     int
	taps         int
	first, count []int
	weights      []uint32
	shares       []float64 // weights of one pixel, before they are rounded
}

// prepare makes the weights for to pixels out of from. Products are rounded on their own: another processor must not
// fuse them with a sum.
func (a *axis) prepare(from, to int) {
	if a.from == from && a.to == to {
		return
	}
	scale := float64(from) / float64(to)
	support := max(scale, 1)
	*a = axis{
		from: from, to: to, taps: 2*int(math.Ceil(support)) + 1,
		first: resized(a.first, to), count: resized(a.count, to), weights: a.weights, shares: a.shares,
	}
	a.weights, a.shares = resized(a.weights, to*a.taps), resized(a.shares, a.taps)
	for i := range to {
		center := float64((float64(i) + 0.5) * scale)
		first := max(int(center-support+0.5), 0)
		past := min(int(center+support+0.5), from)
		total := 0.0
		for x := first; x < past; x++ {
			share := max(1-float64(math.Abs(float64(x)-center+0.5)*(1/support)), 0)
			a.shares[x-first] = share
			total += share
		}
		a.first[i], a.count[i] = first, past-first
		for j, share := range a.shares[:past-first] {
			a.weights[i*a.taps+j] = uint32(0.5 + float64(share/total*(1<<weightBits)))
		}
	}
}

// resized returns a slice of n elements in the memory of s if they fit.
func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// resample resamples a box of planar pixels, height x width, to high x wide.
func resample(src []byte, height, width int, box Box, dst []byte, high, wide, channels int) {
	r := resizers.Get().(*resizer)
	for c := range channels {
		r.plane(src[c*height*width:], width, box, dst[c*high*wide:], high, wide)
	}
	resizers.Put(r)
}

// plane resamples a box of a plane with rows of width pixels to high x wide pixels.
func (r *resizer) plane(src []uint8, width int, box Box, dst []uint8, high, wide int) {
	r.columns.prepare(box.Width, wide)
	r.rows.prepare(box.Height, high)
	between := dst
	if box.Height != high {
		r.between = resized(r.between, box.Height*wide)
		between = r.between
	}
	for y := range box.Height {
		row := src[(box.Top+y)*width+box.Left:][:box.Width]
		if out := between[y*wide:][:wide]; box.Width == wide {
			copy(out, row)
		} else {
			r.columns.row(row, out)
		}
	}
	if box.Height != high {
		r.stack(between, dst, wide)
	}
}

// row resamples one row of pixels.
func (a *axis) row(src, dst []uint8) {
	for i := range dst {
		weights := a.weights[i*a.taps:][:a.count[i]]
		pixels := src[a.first[i]:][:len(weights)]
		sum := uint32(weightHalf)
		for j, w := range weights {
			sum += w * uint32(pixels[j])
		}
		dst[i] = uint8(sum >> weightBits)
	}
}

// stack makes rows out of weighted rows.
func (r *resizer) stack(src, dst []uint8, wide int) {
	a := &r.rows
	r.sums = resized(r.sums, wide)
	for i := range a.to {
		for x := range r.sums {
			r.sums[x] = weightHalf
		}
		for j, w := range a.weights[i*a.taps:][:a.count[i]] {
			row := src[(a.first[i]+j)*wide:][:wide]
			for x, sum := range r.sums[:len(row)] {
				r.sums[x] = sum + w*uint32(row[x])
			}
		}
		out := dst[i*wide:][:wide]
		for x, sum := range r.sums[:len(out)] {
			out[x] = uint8(sum >> weightBits)
		}
	}
}
