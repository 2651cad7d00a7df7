package kernel

import "unsafe"

// portable is the set in plain Go. It works everywhere and is the reference for the others.
var portable = &Set{
	Name:      "go",
	Channels:  Lanes,
	conv:      [][]convKernel{{convGo(1), convGo(2), convGo(3), convGo(4)}},
	wgrad:     [][]wgradKernel{{wgradGo(1), wgradGo(2), wgradGo(3), wgradGo(4)}},
	stats:     statsGo,
	apply:     [2][5]applyKernel{applyFormsGo, applyFormsGo},
	backStats: [2][2]backStatsKernel{{backStatsGo, backStatsGo}, {backStatsGo, backStatsGo}},
	backApply: backApplyGo,
	addScaled: addScaledGo,
	dot:       dotGo,
	sgd:       sgdGo,

	depthwise:     []depthwiseKernel{depthwiseGo},
	depthwiseGrad: []depthwiseGradKernel{depthwiseGradGo},
	maxPool:       maxPoolGo,
	avgPool:       avgPoolGo,
	maxPoolGrad:   maxPoolGradGo,

	peak:      peakGo,
	peakFLOPs: 8 * 2,
}

// vector and quad are values at consecutive addresses.
type (
	vector = [Lanes]float32
	quad   = [4]float32
)

// vectorAt is the vector off bytes behind p.
func vectorAt(p *float32, off int) *vector { return (*vector)(unsafe.Add(unsafe.Pointer(p), off)) }

// quadAt is the group of four values off bytes behind p.
func quadAt(p *float32, off int) *quad { return (*quad)(unsafe.Add(unsafe.Pointer(p), off)) }

// valueAt is the value off bytes behind p.
func valueAt(p *float32, off int) float32 { return *(*float32)(unsafe.Add(unsafe.Pointer(p), off)) }

// convGo returns the tile of p pixels, at most 4, and one vector. It keeps the sums of 4 pixels and 4 channels in
// registers; pixels that the tile lacks repeat the last one and are not stored.
func convGo(p int) convKernel {
	offsets := func(step, jump int) (x [4]int) {
		for i := range x {
			if j := min(i, p-1); j < (p+1)/2 {
				x[i] = j * step
			} else {
				x[i] = jump + (j-(p+1)/2)*step
			}
		}
		return x
	}
	return func(in *float32, off int, taps *int, nt, ic int, w *float32, _ int, out *float32,
		ips, ijump, ops, ojump int, bias, res *float32, rps, rjump int, low, high float32) {
		x, outs, ress := offsets(ips, ijump), offsets(ops, ojump), offsets(rps, rjump)
		list := unsafe.Slice(taps, 2*nt)
		for q := 0; q < 4*Lanes; q += 16 { // bytes
			sum := convQuad(in, off, x, list, ic, w, q)
			for i := range p {
				a := &sum[i]
				for c := range a {
					if bias != nil {
						a[c] += quadAt(bias, q)[c]
					}
					if res != nil {
						a[c] += quadAt(res, ress[i]+q)[c]
					}
					a[c] = min(max(a[c], low), high)
				}
				*quadAt(out, outs[i]+q) = *a
			}
		}
	}
}

// convQuad sums 4 pixels by 4 output channels over all taps.
func convQuad(in *float32, off int, x [4]int, taps []int, ic int, w *float32, q int) (sum [4]quad) {
	var a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3 float32
	for ; len(taps) >= 2; taps = taps[2:] {
		at, wat := off+taps[0], taps[1]+q
		for range ic {
			k := quadAt(w, wat)
			v := valueAt(in, at+x[0])
			a0 += v * k[0]
			a1 += v * k[1]
			a2 += v * k[2]
			a3 += v * k[3]
			v = valueAt(in, at+x[1])
			b0 += v * k[0]
			b1 += v * k[1]
			b2 += v * k[2]
			b3 += v * k[3]
			v = valueAt(in, at+x[2])
			c0 += v * k[0]
			c1 += v * k[1]
			c2 += v * k[2]
			c3 += v * k[3]
			v = valueAt(in, at+x[3])
			d0 += v * k[0]
			d1 += v * k[1]
			d2 += v * k[2]
			d3 += v * k[3]
			at += 4
			wat += 4 * Lanes
		}
	}
	return [4]quad{{a0, a1, a2, a3}, {b0, b1, b2, b3}, {c0, c1, c2, c3}, {d0, d1, d2, d3}}
}

// wgradGo returns the tile of n input channels, at most 4, and one vector, in the manner of convGo.
func wgradGo(n int) wgradKernel {
	return func(x, d, dw *float32, _, images, rows, px, xis, xrs, xps, dis, drs, dps int) {
		for q := 0; q < 4*Lanes; q += 16 { // bytes
			for i := range images {
				for r := range rows {
					sum := wgradQuad(x, d, i*xis+r*xrs, i*dis+r*drs+q, px, xps, dps, n)
					for j := range n {
						to := quadAt(dw, j*4*Lanes+q)
						for c := range to {
							to[c] += sum[j][c]
						}
					}
				}
			}
		}
	}
}

// wgradQuad sums n input channels by 4 output channels over px pixels.
func wgradQuad(x, d *float32, xat, dat, px, xps, dps, n int) (sum [4]quad) {
	var a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3 float32
	o1, o2, o3 := 4*min(1, n-1), 4*min(2, n-1), 4*min(3, n-1)
	for range px {
		k := quadAt(d, dat)
		v := valueAt(x, xat)
		a0 += v * k[0]
		a1 += v * k[1]
		a2 += v * k[2]
		a3 += v * k[3]
		v = valueAt(x, xat+o1)
		b0 += v * k[0]
		b1 += v * k[1]
		b2 += v * k[2]
		b3 += v * k[3]
		v = valueAt(x, xat+o2)
		c0 += v * k[0]
		c1 += v * k[1]
		c2 += v * k[2]
		c3 += v * k[3]
		v = valueAt(x, xat+o3)
		d0 += v * k[0]
		d1 += v * k[1]
		d2 += v * k[2]
		d3 += v * k[3]
		xat += xps
		dat += dps
	}
	return [4]quad{{a0, a1, a2, a3}, {b0, b1, b2, b3}, {c0, c1, c2, c3}, {d0, d1, d2, d3}}
}

func statsGo(rows, px int, y *float32, yps, yskip int, ref *float32, s1, s2 *float64) {
	mean := vectorAt(ref, 0)
	var a, b vector
	yat := 0
	for range rows {
		for range px {
			for c, v := range vectorAt(y, yat) {
				v -= mean[c]
				a[c] += v
				b[c] += v * v
			}
			yat += yps
		}
		yat += yskip
	}
	addSums(s1, s2, &a, &b)
}

// addSums adds float32 sums to float64 ones.
func addSums(s1, s2 *float64, a, b *vector) {
	t1, t2 := (*[Lanes]float64)(unsafe.Pointer(s1)), (*[Lanes]float64)(unsafe.Pointer(s2))
	for c := range a {
		t1[c] += float64(a[c])
		t2[c] += float64(b[c])
	}
}

var applyFormsGo = [5]applyKernel{
	applyGo(Linear, false), applyGo(ReLU, false), applyGo(ReLU, true), applyGo(ReLU6, false), applyGo(ReLU6, true),
}

func applyGo(rect Rectifier, masked bool) applyKernel {
	return func(rows, px int, y *float32, yps, yskip int, a *float32, aps, askip int, r *float32, rps, rskip int,
		m *uint8, mps, mskip int, scale, shift *float32) {
		k, b := vectorAt(scale, 0), vectorAt(shift, 0)
		yat, aat, rat, mat := 0, 0, 0, 0
		for range rows {
			for range px {
				v := *vectorAt(y, yat)
				for c := range v {
					v[c] = v[c]*k[c] + b[c]
				}
				if r != nil {
					for c, u := range vectorAt(r, rat) {
						v[c] += u
					}
				}
				if rect != Linear {
					var bits uint16
					for c := range v {
						switch {
						case v[c] <= 0:
							v[c] = 0
						case rect == ReLU6 && v[c] >= 6:
							v[c] = 6
						default:
							bits |= 1 << c
						}
					}
					if masked {
						*(*uint16)(unsafe.Add(unsafe.Pointer(m), mat)) = bits
					}
				}
				*vectorAt(a, aat) = v
				yat += yps
				aat += aps
				rat += rps
				mat += mps
			}
			yat += yskip
			aat += askip
			rat += rskip
			mat += mskip
		}
	}
}

func backStatsGo(rows, px int, d *float32, dps, dskip int, r *float32, rps, rskip int, m *uint8, mps, mskip int,
	y *float32, yps, yskip int, z *float32, zps, zskip int, mean *float32, s1, s2 *float64) {
	mu := vectorAt(mean, 0)
	var s, t vector
	dat, rat, mat, yat, zat := 0, 0, 0, 0, 0
	for range rows {
		for range px {
			v := *vectorAt(d, dat)
			if r != nil {
				for c, u := range vectorAt(r, rat) {
					v[c] += u
				}
			}
			if m != nil {
				bits := *(*uint16)(unsafe.Add(unsafe.Pointer(m), mat))
				for c := range v {
					if bits>>c&1 == 0 {
						v[c] = 0
					}
				}
			}
			u := vectorAt(y, yat)
			for c, v := range v {
				s[c] += v
				t[c] += v * (u[c] - mu[c])
			}
			*vectorAt(z, zat) = v
			dat += dps
			rat += rps
			mat += mps
			yat += yps
			zat += zps
		}
		dat += dskip
		rat += rskip
		mat += mskip
		yat += yskip
		zat += zskip
	}
	addSums(s1, s2, &s, &t)
}

func backApplyGo(rows, px int, z *float32, zps, zskip int, y *float32, yps, yskip int,
	d *float32, dps, dskip int, k1, k2, k3 *float32) {
	f, g, h := vectorAt(k1, 0), vectorAt(k2, 0), vectorAt(k3, 0)
	zat, yat, dat := 0, 0, 0
	for range rows {
		for range px {
			v, u, to := vectorAt(z, zat), vectorAt(y, yat), vectorAt(d, dat)
			for c := range to {
				to[c] = f[c]*v[c] + (g[c]*u[c] + h[c])
			}
			zat += zps
			yat += yps
			dat += dps
		}
		zat += zskip
		yat += yskip
		dat += dskip
	}
}

func addScaledGo(rows, px int, d *float32, dps, dskip int, s *float32, sps, sskip int, alpha float32) {
	dat, sat := 0, 0
	for range rows {
		for range px {
			to := vectorAt(d, dat)
			for c, v := range vectorAt(s, sat) {
				to[c] += alpha * v
			}
			dat += dps
			sat += sps
		}
		dat += dskip
		sat += sskip
	}
}

func sgdGo(n int, w, v, dw *float32, lr, momentum, decay float32) {
	weights, speeds, grads := unsafe.Slice(w, n*Lanes), unsafe.Slice(v, n*Lanes), unsafe.Slice(dw, n*Lanes)
	for i, g := range grads {
		speeds[i] = momentum*speeds[i] + (decay*weights[i] + g)
		weights[i] -= lr * speeds[i]
	}
}

// peakSink keeps the compiler from dropping the loop of peakGo.
var peakSink float32

func peakGo(n int) {
	x, y := float32(0.5), peakSink
	var a, b, c, d, e, f, g, h float32
	for range n {
		a = a*x + y
		b = b*x + y
		c = c*x + y
		d = d*x + y
		e = e*x + y
		f = f*x + y
		g = g*x + y
		h = h*x + y
	}
	peakSink = a + b + c + d + e + f + g + h
}
