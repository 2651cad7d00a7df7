package cpu

import (
	"unsafe"

	"netadjust/internal/device/cpu/kernel"
)

// The elementwise passes over one image, a vector of channels after the other.

// plane is what a kernel sees of a group of 16 channels of image n of a value; none if v is negative or has fewer groups.
func (e *executable) plane(w *worker, v, n, group int) kernel.Plane {
	if v < 0 || group >= e.layouts[v].groups() {
		return kernel.Plane{}
	}
	l := &e.layouts[v]
	return kernel.Plane{Data: &e.at(w, v, n)[l.first()+group*lanes], Pixel: l.pitch, Row: l.line()}
}

// signs is the part of an image's signs that belongs to a group of channels: words of 16 bits, pixel after pixel.
func (e *executable) signs(w *worker, v, n, group int) kernel.Mask {
	if v < 0 {
		return kernel.Mask{}
	}
	l := &e.layouts[v]
	area := l.h * l.w
	words := (*uint16)(unsafe.Pointer(&e.at(w, v, n)[0]))
	return kernel.Mask{Data: (*uint16)(unsafe.Add(unsafe.Pointer(words), 2*group*area)), Pixel: 1, Row: l.w}
}

// apply sets y = scale x + shift + residual, rectified if asked to, and the signs of y.
func (e *executable) apply(w *worker, n, x, y, residual, bits int, r kernel.Rectifier, scale, shift []float32) {
	l := &e.layouts[y]
	for g := range l.groups() {
		px, pr := e.plane(w, x, n, g), e.plane(w, residual, n, g)
		a, b := &scale[g*lanes], &shift[g*lanes]
		if px.Data == nil {
			px, pr, a, b = pr, px, &unscaled[0], &unshifted[0]
		}
		e.dev.kernels.Apply(l.h, l.w, px, a, b, pr, r, e.signs(w, bits, n, g), e.plane(w, y, n, g))
	}
}

// A vector's factors and summands that change nothing.
var unscaled, unshifted [lanes]float32

func init() {
	for i := range unscaled {
		unscaled[i] = 1
	}
}

// backThrough sets dz = [signs] (dx + dr) and adds up dz and dz (x - mean), for the channels that x does not have
// something else.
func (e *executable) backThrough(w *worker, n, dx, dr, bits, x, dz int, mean []float32, sums [][]float64) {
	l := &e.layouts[dz]
	for g := range l.groups() {
		px := e.plane(w, x, n, g)
		if px.Data == nil {
			px = e.plane(w, dx, n, g)
		}
		e.dev.kernels.BackStats(l.h, l.w, e.plane(w, dx, n, g), e.plane(w, dr, n, g), e.signs(w, bits, n, g), px,
			&mean[g*lanes], e.plane(w, dz, n, g), &sums[0][g*lanes], &sums[1][g*lanes])
	}
}

// combine sets dx = k1 dy + k2 x + k3.
func (e *executable) combine(w *worker, n, dy, x, dx int, k1, k2, k3 []float32) {
	l := &e.layouts[dx]
	for g := range l.groups() {
		at := g * lanes
		e.dev.kernels.BackApply(l.h, l.w, e.plane(w, dy, n, g), e.plane(w, x, n, g), &k1[at], &k2[at], &k3[at],
			e.plane(w, dx, n, g))
	}
}

// addStats adds up x - ref and its square.
func (e *executable) addStats(w *worker, n, x int, ref []float32, sums [][]float64) {
	l := &e.layouts[x]
	for g := range l.groups() {
		at := g * lanes
		e.dev.kernels.Stats(l.h, l.w, e.plane(w, x, n, g), &ref[at], &sums[0][at], &sums[1][at])
	}
}
