package cpu

import (
	"unsafe"

	"netadjust/internal/device/cpu/kernel"
)

// The elementwise passes over one image, a vector of channels after the other.

// plane is what a kernel sees of image n of a value from a channel on; none if v is negative or has fewer channels.
func (e *executable) plane(w *worker, v, n, channel int) kernel.Plane {
	if channel >= e.pitch(v) {
		return kernel.Plane{}
	}
	l := &e.layouts[v]
	return kernel.Plane{Data: &e.at(w, v, n)[l.first()+channel], Pixel: l.pitch, Row: l.line()}
}

// pitch is the number of channels of a pixel of a value, with padding; none if v is negative.
func (e *executable) pitch(v int) int {
	if v < 0 {
		return 0
	}
	return e.layouts[v].pitch
}

// signs is what a kernel sees of an image's signs from a channel on: for every 16 channels two bytes, pixel after pixel.
func (e *executable) signs(w *worker, v, n, channel int) kernel.Mask {
	if v < 0 {
		return kernel.Mask{}
	}
	l := &e.layouts[v]
	group, rest := channel/kernel.Lanes, channel%kernel.Lanes
	first := unsafe.Pointer(&e.at(w, v, n)[0])
	return kernel.Mask{Data: (*uint8)(unsafe.Add(first, 2*group*l.h*l.w+rest/8)), Pixel: 2, Row: 2 * l.w}
}

// apply sets y = scale x + shift + residual, rectified if asked to, and the signs of y.
func (e *executable) apply(w *worker, n, x, y, residual, bits int, r kernel.Rectifier, scale, shift []float32) {
	l := &e.layouts[y]
	for c := 0; c < l.pitch; {
		k := e.dev.kernels.At(c, l.pitch, e.pitch(x), e.pitch(residual))
		px, pr := e.plane(w, x, n, c), e.plane(w, residual, n, c)
		a, b := &scale[c], &shift[c]
		if px.Data == nil {
			px, pr, a, b = pr, px, &unscaled[0], &unshifted[0]
		}
		k.Apply(l.h, l.w, px, a, b, pr, r, e.signs(w, bits, n, c), e.plane(w, y, n, c))
		c += k.Channels
	}
}

// A vector's factors and summands that change nothing.
var unscaled, unshifted [kernel.Lanes]float32

func init() {
	for i := range unscaled {
		unscaled[i] = 1
	}
}

// backThrough sets dz = [signs] (dx + dr) and adds up dz and dz (x - mean), for the channels that x does not have
// something else.
func (e *executable) backThrough(w *worker, n, dx, dr, bits, x, dz int, mean []float32, sums [][]float64) {
	l := &e.layouts[dz]
	for c := 0; c < l.pitch; {
		k := e.dev.kernels.At(c, l.pitch, e.pitch(dx), e.pitch(dr), e.pitch(x))
		px := e.plane(w, x, n, c)
		if px.Data == nil {
			px = e.plane(w, dx, n, c)
		}
		k.BackStats(l.h, l.w, e.plane(w, dx, n, c), e.plane(w, dr, n, c), e.signs(w, bits, n, c), px,
			&mean[c], e.plane(w, dz, n, c), &sums[0][c], &sums[1][c])
		c += k.Channels
	}
}

// combine sets dx = k1 dy + k2 x + k3.
func (e *executable) combine(w *worker, n, dy, x, dx int, k1, k2, k3 []float32) {
	l := &e.layouts[dx]
	for c := 0; c < l.pitch; {
		k := e.dev.kernels.At(c, l.pitch, e.pitch(dy), e.pitch(x))
		k.BackApply(l.h, l.w, e.plane(w, dy, n, c), e.plane(w, x, n, c), &k1[c], &k2[c], &k3[c], e.plane(w, dx, n, c))
		c += k.Channels
	}
}

// addStats adds up x - ref and its square.
func (e *executable) addStats(w *worker, n, x int, ref []float32, sums [][]float64) {
	l := &e.layouts[x]
	for c := 0; c < l.pitch; {
		k := e.dev.kernels.At(c, l.pitch)
		k.Stats(l.h, l.w, e.plane(w, x, n, c), &ref[c], &sums[0][c], &sums[1][c])
		c += k.Channels
	}
}
