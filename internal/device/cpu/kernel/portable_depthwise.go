package kernel

import "unsafe"

// The plain Go kernels of depthwise convolution and pooling.

// depthwiseGo is the tile of one pixel. It keeps the sums of 8 channels in registers.
func depthwiseGo(in *float32, off int, taps *int, nt int, w *float32, wgs, end int, out *float32,
	_, _, _, _ int, bias *float32, low, high float32) {
	list := unsafe.Slice(taps, 2*nt)
	for group, weights := 0, 0; group < end; group, weights = group+4*Lanes, weights+wgs {
		for half := 0; half < 4*Lanes; half += 32 { // bytes
			var a octet
			if bias != nil {
				a = *octetAt(bias, group+half)
			}
			a = depthwiseOctet(in, off+group+half, list, w, weights+half, a)
			for c := range a {
				a[c] = min(max(a[c], low), high)
			}
			*octetAt(out, group+half) = a
		}
	}
}

// octet is 8 values at consecutive addresses.
type octet = [8]float32

func octetAt(p *float32, off int) *octet { return (*octet)(unsafe.Add(unsafe.Pointer(p), off)) }

// depthwiseOctet adds the products of 8 channels over all taps to a.
func depthwiseOctet(in *float32, at int, taps []int, w *float32, wat int, a octet) octet {
	a0, a1, a2, a3, a4, a5, a6, a7 := a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]
	for ; len(taps) >= 2; taps = taps[2:] {
		x, k := octetAt(in, at+taps[0]), octetAt(w, wat+taps[1])
		a0 += x[0] * k[0]
		a1 += x[1] * k[1]
		a2 += x[2] * k[2]
		a3 += x[3] * k[3]
		a4 += x[4] * k[4]
		a5 += x[5] * k[5]
		a6 += x[6] * k[6]
		a7 += x[7] * k[7]
	}
	return octet{a0, a1, a2, a3, a4, a5, a6, a7}
}

// depthwiseGradGo is the tile of one element of the window.
func depthwiseGradGo(x *float32, xrs, xps, _ int, d *float32, drs, dps int, dw *float32, rows, px int) {
	for half := 0; half < 4*Lanes; half += 32 { // bytes
		to := octetAt(dw, half)
		for r := range rows {
			sum := productOctet(x, r*xrs+half, xps, d, r*drs+half, dps, px)
			for c := range to {
				to[c] += sum[c]
			}
		}
	}
}

// productOctet sums the products of 8 channels over px pixels.
func productOctet(x *float32, xat, xps int, d *float32, dat, dps, px int) octet {
	var a0, a1, a2, a3, a4, a5, a6, a7 float32
	for range px {
		v, k := octetAt(x, xat), octetAt(d, dat)
		a0 += v[0] * k[0]
		a1 += v[1] * k[1]
		a2 += v[2] * k[2]
		a3 += v[3] * k[3]
		a4 += v[4] * k[4]
		a5 += v[5] * k[5]
		a6 += v[6] * k[6]
		a7 += v[7] * k[7]
		xat += xps
		dat += dps
	}
	return octet{a0, a1, a2, a3, a4, a5, a6, a7}
}

func maxPoolGo(px, end int, x *float32, xrs, xcs, xws int, y *float32, yps, kh, kw int, _ float32) {
	for p := range px {
		for group := 0; group < end; group += 4 * Lanes {
			first := p*xws + group
			v := *vectorAt(x, first)
			for i := range kh {
				for j := range kw {
					for c, u := range vectorAt(x, first+i*xrs+j*xcs) {
						v[c] = max(v[c], u)
					}
				}
			}
			*vectorAt(y, p*yps+group) = v
		}
	}
}

func avgPoolGo(px, end int, x *float32, xrs, xcs, xws int, y *float32, yps, kh, kw int, share float32) {
	for p := range px {
		for group := 0; group < end; group += 4 * Lanes {
			var v vector
			for i := range kh {
				for j := range kw {
					for c, u := range vectorAt(x, p*xws+group+i*xrs+j*xcs) {
						v[c] += u
					}
				}
			}
			for c := range v {
				v[c] *= share
			}
			*vectorAt(y, p*yps+group) = v
		}
	}
}

func maxPoolGradGo(px, end int, x *float32, xrs, xcs, xws int, d *float32, dps int,
	z *float32, zrs, zcs, zws, kh, kw int) {
	for p := range px {
		for group := 0; group < end; group += 4 * Lanes {
			first := p*xws + group
			best := *vectorAt(x, first)
			var places [Lanes]int
			for i := range kh {
				for j := range kw {
					place := i*zrs + j*zcs
					for c, v := range vectorAt(x, first+i*xrs+j*xcs) {
						if v > best[c] {
							best[c], places[c] = v, place
						}
					}
				}
			}
			for c, v := range vectorAt(d, p*dps+group) {
				vectorAt(z, p*zws+group+places[c])[c] += v
			}
		}
	}
}

func dotGo(rows, px int, x *float32, xps, xskip int, d *float32, dps, dskip int, sum *float64) {
	to := (*[Lanes]float64)(unsafe.Pointer(sum))
	for half := 0; half < 4*Lanes; half += 32 { // bytes
		var s octet
		for r := range rows {
			row := productOctet(x, r*(px*xps+xskip)+half, xps, d, r*(px*dps+dskip)+half, dps, px)
			for c := range s {
				s[c] += row[c]
			}
		}
		for c, v := range s {
			to[half/4+c] += float64(v)
		}
	}
}
