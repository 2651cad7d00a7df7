package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// canary is a NaN: what reads it by mistake gets a NaN, and what writes over it is found out.
var canary = math.Float32frombits(0x7fc0dead)

const guard = 64

// buffer is memory between guards. All of it holds canaries at first.
type buffer struct{ all, data []float32 }

func newBuffer(n int) *buffer {
	b := &buffer{all: make([]float32, n+2*guard)}
	for i := range b.all {
		b.all[i] = canary
	}
	b.data = b.all[guard : guard+n]
	return b
}

// untouched fails the test if a canary has changed anywhere but at the indices of data that written holds for.
func (b *buffer) untouched(t *testing.T, what string, written func(i int) bool) {
	t.Helper()
	for i, v := range b.all {
		i -= guard
		inside := i >= 0 && i < len(b.data) && written(i)
		if !inside && math.Float32bits(v) != math.Float32bits(canary) {
			t.Fatalf("%s: value %d of %d was overwritten with %v", what, i, len(b.data), v)
		}
	}
}

// tensor is a batch of images in a buffer, with a gap of some pixels at the end of each row and before the first.
type tensor struct {
	n, h, w, c int
	gap        int
	layout     Layout
	*buffer
}

// newTensor returns a tensor of canaries whose pixels take the given number of floats.
func newTensor(n, h, w, c, pixel, gap int) *tensor {
	row := (w + gap) * pixel
	return &tensor{n, h, w, c, gap, Layout{pixel, row, h * row}, newBuffer(gap*pixel + n*h*row)}
}

func (x *tensor) index(n, r, p, c int) int {
	return x.gap*x.layout.Pixel + n*x.layout.Image + r*x.layout.Row + p*x.layout.Pixel + c
}

// first is the address of the first pixel.
func (x *tensor) first() *float32 { return &x.data[x.index(0, 0, 0, 0)] }

// each calls f for every value.
func (x *tensor) each(f func(n, r, p, c int, v *float32)) {
	for n := range x.n {
		for r := range x.h {
			for p := range x.w {
				for c := range x.c {
					f(n, r, p, c, &x.data[x.index(n, r, p, c)])
				}
			}
		}
	}
}

// randomize fills the channels with random values and the gaps with zeros. Canaries stay in the padding channels.
func (x *tensor) randomize(r *rand.Rand) *tensor {
	for i := range x.data {
		if !x.inPixel(i) {
			x.data[i] = 0
		}
	}
	x.each(func(_, _, _, _ int, v *float32) { *v = float32(r.NormFloat64()) })
	return x
}

// inPixel tells whether index i of the buffer belongs to a pixel rather than a gap.
func (x *tensor) inPixel(i int) bool {
	i -= x.gap * x.layout.Pixel
	return i >= 0 && i%x.layout.Row/x.layout.Pixel < x.w
}

// padded returns a copy with as many channels as the set pads them to, canaries in those that pad.
func (x *tensor) padded(s *Set) *tensor {
	p := newTensor(x.n, x.h, x.w, x.c, s.Pad(x.c), x.gap)
	for i := range p.data {
		if !p.inPixel(i) {
			p.data[i] = 0
		}
	}
	p.each(func(n, r, q, c int, v *float32) { *v = x.data[x.index(n, r, q, c)] })
	return p
}

func randomSlice(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

// aligned returns n zeros that start at a multiple of 64 bytes.
func aligned(n int) []float32 {
	v := make([]float32, n+16)
	skip := 0
	for uintptr(unsafe.Pointer(&v[skip]))%64 != 0 {
		skip++
	}
	return v[skip : skip+n]
}

// eachFamily runs a test on every set that this processor has, and on their kernels for half a vector.
func eachFamily(t *testing.T, f func(t *testing.T, s *Set)) {
	eachSet(t, func(t *testing.T, s *Set) {
		f(t, s)
		if s.half != nil {
			t.Run("half", func(t *testing.T) { f(t, s.half) })
		}
	})
}

// eachSet runs a test on every set that this processor has.
func eachSet(t *testing.T, f func(t *testing.T, s *Set)) {
	for _, s := range Available() {
		t.Run(s.Name, func(t *testing.T) { f(t, s) })
	}
}
