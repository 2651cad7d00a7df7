package cpu

import (
	"netadjust/internal/ops"
)

// channels is a buffer of a number for each channel, padded with zeros to whole vectors, one buffer a slot.
func (e *executable) channels(l *layout) [][]float32 {
	b := make([][]float32, e.slots)
	for i := range b {
		b[i] = aligned(l.pitch)
	}
	return b
}

// normalize computes y = ReLU(scale x + shift + residual), with scale and shift of each channel, and of each image if
// there is a mask.
func (e *executable) normalize(s instruction, k normalize) step {
	y := s.out[0]
	lx, ly := &e.layouts[s.in[0]], &e.layouts[y]
	scales, shifts := e.channels(ly), e.channels(ly)
	maskScales, maskShifts := e.channels(ly), e.channels(ly)
	operands := s.in[1:]
	var params []int
	if k.norm {
		params, operands = operands[:3], operands[3:]
	}
	mask, residual, bits := -1, -1, -1
	if k.masked {
		mask, operands = operands[0], operands[1:]
	}
	if k.residual {
		residual = operands[0]
	}
	if len(s.out) > 1 {
		bits = s.out[1]
	}
	begin := func(slot int) {
		scale, shift := scales[slot][:lx.c], shifts[slot][:lx.c]
		if !k.norm {
			for c := range scale {
				scale[c] = 1
			}
			return
		}
		stats, gamma, beta := e.data(params[0]), e.data(params[1]), e.data(params[2])
		for c := range scale {
			scale[c] = gamma[c] * invStd(stats[lx.c+c], k.epsilon)
			shift[c] = beta[c] - scale[c]*stats[c]
		}
	}
	return step{begin: begin, run: func(w *worker, slot, from, to int) {
		for n := from; n < to; n++ {
			scale, shift := scales[slot], shifts[slot]
			if mask >= 0 {
				factors := e.at(w, mask, n)[:lx.c]
				for c, f := range factors {
					maskScales[slot][c], maskShifts[slot][c] = scale[c]*f, shift[c]*f
				}
				scale, shift = maskScales[slot], maskShifts[slot]
			}
			e.apply(w, n, s.in[0], y, residual, bits, k.rectifier, scale, shift)
		}
	}}
}

// backStats computes dz = [y > 0] (dx + dr) and the sums of dz * mask.
func (e *executable) backStats(c *compiled, s instruction, k backStats) step {
	x, stats, dx, dz := s.in[0], s.in[1], s.in[2], s.out[0]
	bits, dr, mask := -1, -1, -1
	rest := s.in[3:]
	if k.rectified {
		bits, rest = rest[0], rest[1:]
	}
	if k.summed {
		dr, rest = rest[0], rest[1:]
	}
	lx, lz := &e.layouts[x], &e.layouts[dz]
	means := e.channels(lz)
	sums := e.sums(lz.pitch, 2)
	parts := sums // of one image
	if k.masked {
		mask, parts = rest[0], e.sums(lz.pitch, 2)
	}
	c.finish.add(func() {
		shift, scale := sums.total(0), sums.total(1)
		for ch := range lx.c {
			e.data(s.out[1])[ch] = float32(scale[ch] * float64(invStd(e.data(stats)[lx.c+ch], k.epsilon)))
			e.data(s.out[2])[ch] = float32(shift[ch])
		}
	})
	return step{
		begin: func(slot int) {
			sums.begin(slot)
			copy(means[slot], e.data(stats)[:lx.c])
		},
		run: func(w *worker, slot, from, to int) {
			for n := from; n < to; n++ {
				if k.masked {
					parts.begin(slot)
				}
				e.backThrough(w, n, dx, dr, bits, x, dz, means[slot], parts.slot[slot])
				if k.masked {
					for kind, part := range parts.slot[slot] {
						for ch, f := range e.at(w, mask, n)[:lx.c] {
							sums.slot[slot][kind][ch] += float64(f) * part[ch]
						}
					}
				}
			}
		},
	}
}

// normGradInput computes dx = k1 dy + k2 x + k3 for each channel, with dy times the mask if there is one.
func (e *executable) normGradInput(s instruction, k ops.BatchNormGradInput) step {
	x, dy, dx := s.in[0], s.in[5], s.out[0]
	l := &e.layouts[x]
	k1, k2, k3 := e.channels(l), e.channels(l), e.channels(l)
	var masked [][]float32 // k1 of one image
	if len(s.in) > 6 {
		masked = e.channels(l)
	}
	m := float32(e.batch * l.h * l.w)
	begin := func(slot int) {
		stats, gamma, dgamma, dbeta := e.data(s.in[1]), e.data(s.in[2]), e.data(s.in[3]), e.data(s.in[4])
		for c := range l.c {
			inv := invStd(stats[l.c+c], k.BatchNorm.Epsilon)
			a := gamma[c] * inv
			k1[slot][c] = a
			if !k.BatchNorm.Frozen {
				b := -a * inv * dgamma[c] / m
				k2[slot][c] = b
				k3[slot][c] = -a*dbeta[c]/m - b*stats[c]
			}
		}
	}
	return step{begin: begin, run: func(w *worker, slot, from, to int) {
		for n := from; n < to; n++ {
			a := k1[slot]
			if masked != nil {
				a = masked[slot]
				for c, f := range e.at(w, s.in[6], n)[:l.c] {
					a[c] = k1[slot][c] * f
				}
			}
			e.combine(w, n, dy, x, dx, a, k2[slot], k3[slot])
		}
	}}
}

// batchStats sums up x - ref and its square, where ref is the channel's value in the first pixel of the slot: a mean far
// from zero costs no precision.
func (e *executable) batchStats(c *compiled, s instruction) step {
	x := s.in[0]
	l := &e.layouts[x]
	refs := e.channels(l)
	sums := e.sums(l.pitch, 2)
	area := float64(l.h * l.w)
	c.finish.add(func() {
		out := e.data(s.out[0])
		for ch := range l.c {
			// Slots have references of their own, so their means and deviations are merged one after the other.
			var n, mean, m2 float64
			for slot := range e.slots {
				from, to := part(slot, e.slots, e.batch)
				k := float64(to-from) * area
				s1, s2 := sums.slot[slot][0][ch], sums.slot[slot][1][ch]
				delta := float64(refs[slot][ch]) + s1/k - mean
				m2 += s2 - s1*s1/k + delta*delta*n*k/(n+k)
				mean += delta * k / (n + k)
				n += k
			}
			out[ch], out[l.c+ch] = float32(mean), float32(max(m2/n, 0))
		}
	})
	return step{
		begin: sums.begin,
		run: func(w *worker, slot, from, to int) {
			if first, _ := part(slot, e.slots, e.batch); from == first {
				copy(refs[slot], e.at(w, x, from)[l.first():][:l.pitch])
			}
			for n := from; n < to; n++ {
				e.addStats(w, n, x, refs[slot], sums.slot[slot])
			}
		},
	}
}

// normGradient is the gradient of a batch norm by gamma alone, where nothing gives it on the way.
func (e *executable) normGradient(c *compiled, s instruction, epsilon float64) step {
	x, stats, dy := s.in[0], s.in[1], s.in[2]
	lx, ly := &e.layouts[x], &e.layouts[dy]
	sums := e.sums(lx.pitch, 1)
	c.finish.add(func() {
		for ch, v := range sums.total(0)[:lx.c] {
			e.data(s.out[0])[ch] = float32(v * float64(invStd(e.data(stats)[lx.c+ch], epsilon)))
		}
	})
	return step{
		begin: sums.begin,
		run: func(w *worker, slot, from, to int) {
			mean := e.data(stats)[:lx.c]
			for n := from; n < to; n++ {
				xs, ds, sum := e.at(w, x, n), e.at(w, dy, n), sums.slot[slot][0]
				lx.eachPixel(ly, func(at, atOther, _ int) {
					for ch, m := range mean {
						sum[ch] += float64(ds[atOther+ch]) * float64(xs[at+ch]-m)
					}
				})
			}
		},
	}
}

// shiftGradient is the gradient by beta alone.
func (e *executable) shiftGradient(c *compiled, s instruction) step {
	dy := s.in[0]
	l := &e.layouts[dy]
	sums := e.sums(l.pitch, 1)
	c.finish.add(func() {
		for ch, v := range sums.total(0)[:l.c] {
			e.data(s.out[0])[ch] = float32(v)
		}
	})
	return step{
		begin: sums.begin,
		run: func(w *worker, slot, from, to int) {
			for n := from; n < to; n++ {
				l.sum(e.at(w, dy, n), sums.slot[slot][0])
			}
		},
	}
}

// slotSums holds sums over the images of each slot.
type slotSums struct {
	slot   [][][]float64 // by slot, kind, element
	totals [][]float64   // by kind, element
}

func (e *executable) sums(elements, kinds int) *slotSums {
	s := &slotSums{slot: make([][][]float64, e.slots)}
	for range kinds {
		s.totals = append(s.totals, allocate[float64](elements))
	}
	for i := range s.slot {
		for range kinds {
			s.slot[i] = append(s.slot[i], allocate[float64](elements))
		}
	}
	return s
}

func (s *slotSums) begin(slot int) {
	for _, k := range s.slot[slot] {
		clear(k)
	}
}

// total adds up the slots in their order.
func (s *slotSums) total(kind int) []float64 {
	total := s.totals[kind]
	clear(total)
	for _, slot := range s.slot {
		for i, v := range slot[kind] {
			total[i] += v
		}
	}
	return total
}
