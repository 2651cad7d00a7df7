package kernel

import "fmt"

// Geometry is the shape of a convolution: IC channels of H x W pixels become OC channels of OH x OW pixels through
// windows of KH x KW pixels, with the given stride and with Pad zeros around the input.
type Geometry struct {
	IC, OC       int
	H, W, OH, OW int
	KH, KW       int
	Stride, Pad  int
}

// Layout says how a tensor of images lies in memory: the distances, in floats, between neighbouring pixels of a row,
// between rows and between images.
type Layout struct{ Pixel, Row, Image int }

// dense tells whether rows of w pixels follow each other without a gap.
func (l Layout) dense(w int) bool { return l.Row == w*l.Pixel }

// Groups is the number of vectors that hold channels.
func Groups(channels int) int { return (channels + Lanes - 1) / Lanes }

// GradPad is the number of zero pixels that BackwardData needs in dy: after each row, and before the first row of the
// tensor. The last input pixel reaches at least as far past dy as the first one does.
func (g Geometry) GradPad() int { return max(0, (g.W-1+g.Pad)/g.Stride-(g.OW-1)) }

// check panics unless the sizes belong together.
func (g Geometry) check() {
	if min(g.IC, g.OC, g.H, g.W, g.KH, g.KW, g.Stride) < 1 || g.Pad < 0 ||
		g.OH < 1 || g.OH != (g.H+2*g.Pad-g.KH)/g.Stride+1 || g.OW < 1 || g.OW != (g.W+2*g.Pad-g.KW)/g.Stride+1 {
		panic(fmt.Sprintf("kernel: no such convolution: %+v", g))
	}
}

// check panics unless rows of w pixels with the given number of zero pixels fit.
func (l Layout) check(name string, channels, w, zeros int) {
	if l.Pixel < channels || l.Row < (w+zeros)*l.Pixel {
		panic(fmt.Sprintf("kernel: layout of %s %+v does not hold rows of %d+%d pixels of %d channels", name, l, w, zeros,
			channels))
	}
}

// ForwardSize is the number of floats of packed weights for Forward, and of a packed weight gradient.
func (g Geometry) ForwardSize() int { return Groups(g.OC) * g.KH * g.KW * g.IC * Lanes }

// BackwardSize is the number of floats of packed weights for BackwardData.
func (g Geometry) BackwardSize() int { return Groups(g.IC) * g.KH * g.KW * g.OC * Lanes }

// PackForward writes weights [OC, IC, KH, KW] as [OC/16, KH, KW, IC, 16], with zeros for the missing output channels.
func (g Geometry) PackForward(dst, w []float32) {
	dst = dst[:g.ForwardSize()]
	if g.OC%Lanes != 0 {
		clear(dst[(Groups(g.OC)-1)*g.KH*g.KW*g.IC*Lanes:])
	}
	k := g.KH * g.KW
	for oc := range g.OC {
		to := dst[oc/Lanes*k*g.IC*Lanes+oc%Lanes:]
		for ic := range g.IC {
			for t, v := range w[(oc*g.IC+ic)*k:][:k] {
				to[(t*g.IC+ic)*Lanes] = v
			}
		}
	}
}

// pointwise tells whether each output pixel is a product of one input pixel, in the same place.
func (g Geometry) pointwise() bool { return g.KH == 1 && g.KW == 1 && g.Stride == 1 && g.Pad == 0 }

// UnpackForward is the inverse of PackForward: it writes a packed weight gradient as [OC, IC, KH, KW].
func (g Geometry) UnpackForward(w, packed []float32) {
	packed = packed[:g.ForwardSize()]
	k := g.KH * g.KW
	for oc := range g.OC {
		from := packed[oc/Lanes*k*g.IC*Lanes+oc%Lanes:]
		for ic := range g.IC {
			to := w[(oc*g.IC+ic)*k:][:k]
			for t := range to {
				to[t] = from[(t*g.IC+ic)*Lanes]
			}
		}
	}
}

// PackBackward writes weights [OC, IC, KH, KW] as [IC/16, KH, KW, OC, 16] for BackwardData, with zeros for the missing
// input channels. The columns of the window are in the order of columns.
func (g Geometry) PackBackward(dst, w []float32) {
	dst = dst[:g.BackwardSize()]
	if g.IC%Lanes != 0 {
		clear(dst[(Groups(g.IC)-1)*g.KH*g.KW*g.OC*Lanes:])
	}
	k := g.KH * g.KW
	to := 0
	for phase := range g.Stride {
		for kw := g.KW - 1; kw >= 0; kw-- {
			if !reaches(kw, phase+g.Pad, g.Stride) {
				continue
			}
			for kh := range g.KH {
				for oc := range g.OC {
					from := w[oc*g.IC*k+kh*g.KW+kw:]
					for ic := range g.IC {
						dst[((ic/Lanes*k+kh*g.KW+to)*g.OC+oc)*Lanes+ic%Lanes] = from[ic*k]
					}
				}
			}
			to++
		}
	}
}

// columns lists the columns of the window through which input pixels at columns phase, phase+Stride, ... reach an
// output, in the order of the outputs from left to right.
func (g Geometry) columns(phase int) []int { return reaching(g.KW, phase+g.Pad, g.Stride) }

// rows is columns for rows.
func (g Geometry) rows(phase int) []int { return reaching(g.KH, phase+g.Pad, g.Stride) }

// reaches tells whether the pixel at place at reaches an output through element i of the window.
func reaches(i, at, stride int) bool { return (at-i)%stride == 0 }

func reaching(size, at, stride int) []int {
	var k []int
	for i := size - 1; i >= 0; i-- {
		if reaches(i, at, stride) {
			k = append(k, i)
		}
	}
	return k
}
