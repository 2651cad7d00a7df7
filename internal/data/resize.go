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

// axis says how pixels along an axis are made of others: pixel i is the sum of taps of them from first[i] on, with
// weights from i*taps on.
type axis struct {
	from, to int
	taps     int
	first    []int
	weights  []uint32
	shares   []float64 // weights of one pixel, before they are rounded
}

// prepare makes the weights for to pixels out of from. Products are rounded on their own: another processor must not
// fuse them with a sum.
func (a *axis) prepare(from, to int) {
	if a.from == from && a.to == to {
		return
	}
	a.from, a.to, a.taps = from, to, 0
	scale := float64(from) / float64(to)
	support := max(scale, 1)
	// reach returns what pixel i is made of, pixels [first, past), and where its center is.
	reach := func(i int) (first, past int, center float64) {
		center = float64((float64(i) + 0.5) * scale)
		return max(int(center-support+0.5), 0), min(int(center+support+0.5), from), center
	}
	for i := range to {
		first, past, _ := reach(i)
		a.taps = max(a.taps, past-first)
	}
	a.first, a.weights, a.shares = resized(a.first, to), resized(a.weights, to*a.taps), resized(a.shares, a.taps)
	clear(a.weights)
	for i := range to {
		first, past, center := reach(i)
		shares, total := a.shares[:past-first], 0.0
		for j := range shares {
			shares[j] = max(1-float64(math.Abs(float64(first+j)-center+0.5)*(1/support)), 0)
			total += shares[j]
		}
		a.first[i] = min(first, from-a.taps) // the weights of the pixels before are 0
		weights := a.weights[i*a.taps+first-a.first[i]:]
		for j, share := range shares {
			weights[j] = uint32(0.5 + float64(share/total*(1<<weightBits)))
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

// row resamples one row of pixels. Crops that hardly shrink have two or three taps.
func (a *axis) row(src, dst []uint8) {
	switch a.taps {
	case 2:
		for i := range dst {
			w, p := a.weights[2*i:][:2], src[a.first[i]:][:2]
			dst[i] = uint8((weightHalf + w[0]*uint32(p[0]) + w[1]*uint32(p[1])) >> weightBits)
		}
	case 3:
		for i := range dst {
			w, p := a.weights[3*i:][:3], src[a.first[i]:][:3]
			dst[i] = uint8((weightHalf + w[0]*uint32(p[0]) + w[1]*uint32(p[1]) + w[2]*uint32(p[2])) >> weightBits)
		}
	default:
		for i := range dst {
			weights, pixels := a.weights[i*a.taps:][:a.taps], src[a.first[i]:][:a.taps]
			sum := uint32(weightHalf)
			for j, w := range weights {
				sum += w * uint32(pixels[j])
			}
			dst[i] = uint8(sum >> weightBits)
		}
	}
}

// stack makes rows out of weighted rows.
func (r *resizer) stack(src, dst []uint8, wide int) {
	a := &r.rows
	r.sums = resized(r.sums, wide)
	for i := range a.to {
		w := a.weights[i*a.taps:][:a.taps]
		rows := src[a.first[i]*wide:][:a.taps*wide]
		out := dst[i*wide:][:wide]
		switch a.taps {
		case 2:
			p, q := rows[:len(out)], rows[wide:][:len(out)]
			for x := range out {
				out[x] = uint8((weightHalf + w[0]*uint32(p[x]) + w[1]*uint32(q[x])) >> weightBits)
			}
		case 3:
			o, p, q := rows[:len(out)], rows[wide:][:len(out)], rows[2*wide:][:len(out)]
			for x := range out {
				out[x] = uint8((weightHalf + w[0]*uint32(o[x]) + w[1]*uint32(p[x]) + w[2]*uint32(q[x])) >> weightBits)
			}
		default:
			r.mix(rows, w, out)
		}
	}
}

// mix makes a row out of any number of weighted rows.
func (r *resizer) mix(rows []uint8, weights []uint32, out []uint8) {
	sums := r.sums[:len(out)]
	for x := range sums {
		sums[x] = weightHalf
	}
	for j, w := range weights {
		for x, pixel := range rows[j*len(out):][:len(out)] {
			sums[x] += w * uint32(pixel)
		}
	}
	for x, sum := range sums {
		out[x] = uint8(sum >> weightBits)
	}
}
