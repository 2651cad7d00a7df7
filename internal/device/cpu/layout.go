package cpu

import (
	"netadjust/internal/device"
	"netadjust/internal/device/cpu/kernel"
	"netadjust/internal/ops"
)

// layout is where the elements of one value lie. Values without a batch, and rows, are as in their shape. A feature map
// is [height][width][channels], each pixel's channels padded with zeros to what kernels work on at a time. If
// convolutions read it, each row of pixels ends with margin zero pixels and the first begins with as many, so that a
// window that reaches over the left or right border reads zeros: the end of a row is the left border of the next.
type layout struct {
	role    role
	h, w, c int // of a feature map; a row has c
	pitch   int // floats from a pixel to the next
	margin  int // zero pixels
	size    int // floats of one image, or of the whole value
}

// first is the place of the first pixel of an image.
func (l *layout) first() int { return l.margin * l.pitch }

// line is the number of floats from a row of pixels to the next.
func (l *layout) line() int { return (l.w + l.margin) * l.pitch }

// signs is the number of floats that hold a bit for each element of an image: two bytes a pixel for up to 16 channels.
func (l *layout) signs() int { return (kernel.Groups(l.pitch)*l.h*l.w + 1) / 2 }

// layouts chooses the layout of every value, signs included, and returns the batch size. pad is how many channels a
// pixel has with its padding.
func layouts(p *device.Program, list []instruction, signs []int,
	pad func(channels int) int) (all []layout, batch int, err error) {
	all = make([]layout, len(p.Values)+len(signs))
	shapes := make([][]int, 0, len(all))
	for _, v := range p.Values {
		shapes = append(shapes, v.Shape)
	}
	for _, v := range signs {
		shapes = append(shapes, p.Values[v].Shape)
	}
	exact := make([]bool, len(all)) // pixels that only convolutions read, one channel after the other: no padding
	for _, s := range list {
		u, err := usageOf(s.op)
		if err != nil {
			return nil, 0, err
		}
		see := func(v int, r role) {
			if r != whole {
				all[v].role, batch = r, shapes[v][0]
			}
		}
		for i, v := range s.in {
			see(v, u.in[i])
			switch s.op.(type) {
			case ops.Conv2D, convolve, ops.Conv2DGradWeights:
			default:
				exact[v] = false
			}
		}
		for i, v := range s.out {
			see(v, u.out[i])
		}
		switch k := s.op.(type) {
		case ops.Images:
			exact[s.out[0]] = true
		case ops.Conv2D:
			all[s.in[0]].need(k.Pad)
		case convolve:
			all[s.in[0]].need(k.conv.Pad)
		case ops.DepthwiseConv2D:
			all[s.in[0]].need(k.Pad)
		case depthwise:
			all[s.in[0]].need(k.conv.Pad)
		case ops.DepthwiseConv2DGradInput:
			all[s.in[1]].need(geometry(ops.Conv2D(k.Conv), shapes[s.out[0]], shapes[s.in[0]], shapes[s.in[1]]).GradPad())
		case ops.DepthwiseConv2DGradWeights:
			all[s.in[0]].need(k.Conv.Pad)
		case ops.Conv2DGradInput:
			all[s.in[1]].need(geometry(k.Conv, shapes[s.out[0]], shapes[s.in[0]], shapes[s.in[1]]).GradPad())
		case ops.Conv2DGradWeights:
			all[s.in[0]].need(k.Conv.Pad)
		}
	}
	for i := range all {
		l, shape := &all[i], shapes[i]
		switch l.role {
		case image:
			l.c, l.h, l.w = shape[1], shape[2], shape[3]
			l.pitch = pad(l.c)
			if exact[i] {
				l.pitch = l.c
			}
			l.size = align(l.first() + l.h*l.line())
			if i >= len(p.Values) {
				l.size = align(l.signs())
			}
		default:
			l.size = 1
			for d, extent := range shape {
				if l.role == whole || d > 0 {
					l.size *= extent
				}
			}
			l.c = l.size
		}
	}
	return all, batch, nil
}

func (l *layout) need(margin int) { l.margin = max(l.margin, margin) }

// load copies one image from [channels][height][width], with zeros everywhere else.
func (l *layout) load(src, dst []float32) {
	clear(dst[:l.size])
	for c := range l.c {
		for y := range l.h {
			for x := range l.w {
				dst[l.first()+y*l.line()+x*l.pitch+c] = src[(c*l.h+y)*l.w+x]
			}
		}
	}
}

// unload copies one image to [channels][height][width].
func (l *layout) unload(src, dst []float32) {
	for c := range l.c {
		for y := range l.h {
			for x := range l.w {
				dst[(c*l.h+y)*l.w+x] = src[l.first()+y*l.line()+x*l.pitch+c]
			}
		}
	}
}

// clearMargin zeroes the margins of an image, which the arena's former tenants have left dirty.
func (l *layout) clearMargin(data []float32) {
	if l.margin == 0 {
		return
	}
	width := l.margin * l.pitch
	clear(data[:width])
	for y := range l.h {
		at := l.first() + y*l.line() + l.w*l.pitch
		clear(data[at : at+width])
	}
}
