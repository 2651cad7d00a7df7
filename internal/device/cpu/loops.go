package cpu

import (
	"math"

	"netadjust/internal/ops"
)

// sumsOf adds sum and sum of squares of each channel of images [from, to). The squares are taken in float64, so that a
// mean far from zero costs no precision.
func sumsOf(x []float32, shape []int, from, to int, sum, square []float64) {
	eachPlane(shape, from, to, func(ch, at, area int) {
		var s0, s1, q0, q1 float64
		plane := x[at : at+area]
		for len(plane) >= 2 {
			a, b := float64(plane[0]), float64(plane[1])
			s0, s1 = s0+a, s1+b
			q0, q1 = q0+a*a, q1+b*b
			plane = plane[2:]
		}
		for _, v := range plane {
			s0, q0 = s0+float64(v), q0+float64(v)*float64(v)
		}
		sum[ch] += s0 + s1
		square[ch] += q0 + q1
	})
}

func sumOf(x []float32) float64 {
	var s0, s1 float64
	for len(x) >= 2 {
		s0, s1 = s0+float64(x[0]), s1+float64(x[1])
		x = x[2:]
	}
	for _, v := range x {
		s0 += float64(v)
	}
	return s0 + s1
}

// centredDot is the sum of dy (x - mean).
func centredDot(dy, x []float32, mean float32) float64 {
	var s0, s1 float64
	x = x[:len(dy)]
	for len(dy) >= 2 && len(x) >= 2 {
		s0 += float64(dy[0]) * float64(x[0]-mean)
		s1 += float64(dy[1]) * float64(x[1]-mean)
		dy, x = dy[2:], x[2:]
	}
	for i, d := range dy {
		s0 += float64(d) * float64(x[i]-mean)
	}
	return s0 + s1
}

// affine computes out = scale x + shift.
func affine(out, x []float32, scale, shift float32) {
	out = out[:len(x)]
	for i, v := range x {
		out[i] = scale*v + shift
	}
}

// combine computes out = a x + b y + c.
func combine(out, x, y []float32, a, b, c float32) {
	out, y = out[:len(x)], y[:len(x)]
	for i, v := range x {
		out[i] = a*v + b*y[i] + c
	}
}

func add(out, x, y []float32) {
	out, y = out[:len(x)], y[:len(x)]
	for i, v := range x {
		out[i] = v + y[i]
	}
}

func fill(out []float32, v float32) {
	for i := range out {
		out[i] = v
	}
}

func relu(out, x []float32) {
	out = out[:len(x)]
	for i, v := range x {
		if v < 0 {
			v = 0
		}
		out[i] = v
	}
}

func reluGrad(out, y, dy []float32) {
	out, y = out[:len(dy)], y[:len(dy)]
	for i, d := range dy {
		if y[i] == 0 {
			d = 0
		}
		out[i] = d
	}
}

// momentum computes v = mu v + g + decay w.
func momentum(v, w, g []float32, mu, decay float32) {
	w, g = w[:len(v)], g[:len(v)]
	for i, x := range v {
		v[i] = mu*x + g[i] + decay*w[i]
	}
}

// descend computes w = w - rate v.
func descend(w, v []float32, rate float32) {
	v = v[:len(w)]
	for i, x := range w {
		w[i] = x - rate*v[i]
	}
}

func avgPool(k ops.Window, x []float32, xs []int, y []float32, ys []int, from, to int) {
	eachWindow(k, xs, ys, from, to, func(yi, x0, rows, cols int) {
		sum := float32(0)
		for r := range rows {
			for _, v := range x[x0+r*xs[3]:][:cols] {
				sum += v
			}
		}
		y[yi] = sum / float32(rows*cols)
	})
}

func avgPoolGrad(k ops.Window, dy []float32, ys []int, dx []float32, xs []int, from, to int) {
	size := stride(xs)
	clear(dx[from*size : to*size])
	eachWindow(k, xs, ys, from, to, func(yi, x0, rows, cols int) {
		d := dy[yi] / float32(rows*cols)
		for r := range rows {
			row := dx[x0+r*xs[3]:][:cols]
			for i := range row {
				row[i] += d
			}
		}
	})
}

// maxPool visits every output with the first element of its window that attains the maximum.
func maxPool(k ops.Window, x []float32, xs, ys []int, from, to int, visit func(yi, xi int)) {
	eachWindow(k, xs, ys, from, to, func(yi, x0, rows, cols int) {
		best := x0
		for r := range rows {
			for i := x0 + r*xs[3]; i < x0+r*xs[3]+cols; i++ {
				if v := x[i]; v > x[best] || v != v {
					best = i
				}
			}
		}
		visit(yi, best)
	})
}

// eachWindow visits the windows of images [from, to): index of the output, of the window's first element, and its extent.
func eachWindow(k ops.Window, xs, ys []int, from, to int, visit func(yi, x0, rows, cols int)) {
	yi := from * stride(ys)
	for p := from * xs[1]; p < to*xs[1]; p++ {
		for r := range ys[2] {
			h0, h1 := k.Bounds(r, xs[2])
			for s := range ys[3] {
				w0, w1 := k.Bounds(s, xs[3])
				visit(yi, (p*xs[2]+h0)*xs[3]+w0, h1-h0, w1-w0)
				yi++
			}
		}
	}
}

func channelWindow(k ops.ChannelWindow, x []float32, xs []int, y []float32, from, to int) {
	area := xs[2] * xs[3]
	for n := from; n < to; n++ {
		for j := range k.Count {
			dst := y[(n*k.Count+j)*area:][:area]
			if i := j + k.Offset; i >= 0 && i < xs[1] {
				copy(dst, x[(n*xs[1]+i)*area:])
			} else {
				clear(dst)
			}
		}
	}
}

func images(k ops.Images, pixels []uint8, moves []uint32, scale, y []float32, shape []int, from, to int) {
	c, h, w := shape[1], shape[2], shape[3]
	for n := from; n < to; n++ {
		down, right, mirror := int(moves[3*n])-k.Pad, int(moves[3*n+1])-k.Pad, moves[3*n+2] == 1
		for ch := range c {
			a, b := scale[ch], scale[c+ch]
			plane := pixels[(n*c+ch)*h*w:][:h*w]
			out := y[(n*c+ch)*h*w:][:h*w]
			for r := range h {
				row := out[r*w : (r+1)*w]
				fill(row, b)
				if src := r + down; src >= 0 && src < h {
					for col := max(0, -right); col < min(w, w-right); col++ {
						row[col] += a * float32(plane[src*w+col+right])
					}
				}
				if mirror {
					for i, j := 0, w-1; i < j; i, j = i+1, j-1 {
						row[i], row[j] = row[j], row[i]
					}
				}
			}
		}
	}
}

// softmax visits the logits of one image with their target probability and the logarithm of their softmax, in float64.
func softmax(logits []float32, label uint32, smoothing float64, visit func(j int, target, logProb float64)) {
	top := math.Inf(-1)
	for _, z := range logits {
		top = max(top, float64(z))
	}
	sum := 0.0
	for _, z := range logits {
		sum += math.Exp(float64(z) - top)
	}
	log := math.Log(sum)
	for j, z := range logits {
		target := smoothing / float64(len(logits))
		if j == int(label) {
			target += 1 - smoothing
		}
		visit(j, target, float64(z)-top-log)
	}
}
