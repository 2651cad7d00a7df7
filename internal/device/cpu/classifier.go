package cpu

import (
	"fmt"
	"math"

	"netadjust/internal/ops"
)

// classifier returns the steps that work on rows. They are a thousandth of a network's work, so plain loops do.
func (e *executable) classifier(c *compiled, s instruction) (step, error) {
	out := s.out[0]
	switch k := s.op.(type) {
	case ops.Linear:
		features := e.shape(s.in[1])[1]
		return eachImage(func(w *worker, n int) {
			x, weights, bias, y := e.at(w, s.in[0], n)[:features], e.data(s.in[1]), e.data(s.in[2]), e.at(w, out, n)
			for j, b := range bias {
				y[j] = b + dot(x, weights[j*features:(j+1)*features])
			}
		}), nil
	case ops.MatMul:
		columns := e.shape(s.in[1])[1]
		if !k.TransposeA {
			return eachImage(func(w *worker, n int) {
				a, b, y := e.at(w, s.in[0], n)[:e.shape(s.in[0])[1]], e.data(s.in[1]), e.at(w, out, n)[:columns]
				clear(y)
				for i, v := range a {
					addScaled(y, b[i*columns:(i+1)*columns], v)
				}
			}), nil
		}
		return e.sumRows(c, out, func(w *worker, n int, sum []float32) {
			a, b := e.at(w, s.in[0], n)[:e.shape(s.in[0])[1]], e.at(w, s.in[1], n)[:columns]
			for i, v := range a {
				addScaled(sum[i*columns:(i+1)*columns], b, v)
			}
		}), nil
	case ops.SumRows:
		return e.sumRows(c, out, func(w *worker, n int, sum []float32) {
			addScaled(sum, e.at(w, s.in[0], n)[:len(sum)], 1)
		}), nil
	case ops.CrossEntropy:
		classes := e.shape(s.in[0])[1]
		sums := e.sums(1, 1)
		c.finish.add(func() { e.data(out)[0] = float32(sums.total(0)[0] / float64(e.batch)) })
		return step{begin: sums.begin, run: func(w *worker, slot, from, to int) {
			for n := from; n < to; n++ {
				softmax(e.at(w, s.in[0], n)[:classes], e.words[s.in[1]][n], k.Smoothing, func(_ int, target, logProb float64) {
					if target != 0 {
						sums.slot[slot][0][0] -= target * logProb
					}
				})
			}
		}}, nil
	case ops.CrossEntropyGrad:
		classes := e.shape(s.in[0])[1]
		return eachImage(func(w *worker, n int) {
			y := e.at(w, out, n)
			softmax(e.at(w, s.in[0], n)[:classes], e.words[s.in[1]][n], k.Smoothing, func(j int, target, logProb float64) {
				y[j] = float32((math.Exp(logProb) - target) / float64(e.batch))
			})
		}), nil
	case ops.SoftCrossEntropy:
		classes := e.shape(s.in[0])[1]
		sums := e.sums(1, 1)
		c.finish.add(func() { e.data(out)[0] = float32(sums.total(0)[0] / float64(e.batch)) })
		return step{begin: sums.begin, run: func(w *worker, slot, from, to int) {
			for n := from; n < to; n++ {
				ops.SoftTargets(e.at(w, s.in[0], n)[:classes], e.at(w, s.in[1], n)[:classes], func(_ int, loss, _ float64) {
					sums.slot[slot][0][0] += loss
				})
			}
		}}, nil
	case ops.SoftCrossEntropyGrad:
		classes := e.shape(s.in[0])[1]
		return eachImage(func(w *worker, n int) {
			y := e.at(w, out, n)
			ops.SoftTargets(e.at(w, s.in[0], n)[:classes], e.at(w, s.in[1], n)[:classes], func(j int, _, gradient float64) {
				y[j] = float32(gradient / float64(e.batch))
			})
		}), nil
	}
	return step{}, fmt.Errorf("the cpu device has no kernel for %v", s.op)
}

// sumRows sums up something over the images, in each slot and then over the slots.
func (e *executable) sumRows(c *compiled, out int, add func(w *worker, n int, sum []float32)) step {
	sums := make([][]float32, e.slots)
	for i := range sums {
		sums[i] = make([]float32, e.program.Values[out].Size())
	}
	c.finish.add(func() {
		total := e.data(out)[:len(sums[0])]
		clear(total)
		for _, s := range sums {
			addScaled(total, s, 1)
		}
	})
	return step{begin: func(slot int) { clear(sums[slot]) }, run: func(w *worker, slot, from, to int) {
		for n := from; n < to; n++ {
			add(w, n, sums[slot])
		}
	}}
}

func dot(x, y []float32) float32 {
	y = y[:len(x)]
	var s [4]float32
	for len(x) >= 4 && len(y) >= 4 {
		s[0] += x[0] * y[0]
		s[1] += x[1] * y[1]
		s[2] += x[2] * y[2]
		s[3] += x[3] * y[3]
		x, y = x[4:], y[4:]
	}
	for i, v := range x {
		s[0] += v * y[i]
	}
	return s[0] + s[1] + s[2] + s[3]
}

// addScaled adds f x to y.
func addScaled(y, x []float32, f float32) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] += f * v
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
