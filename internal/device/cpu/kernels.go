package cpu

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/blas"

	"netadjust/internal/device"
	"netadjust/internal/ops"
)

// kernel returns the phases that compute a step, and how much scratch memory a worker needs for them.
func (e *executable) kernel(s device.Step) (phases []phase, scratch int, err error) {
	shape := func(v int) []int { return e.program.Values[v].Shape }
	in := func(i int) []float32 { return e.floats[s.In[i]] }
	out := func() []float32 { return e.floats[s.Out] }
	batch := func(run func(from, to int)) []phase {
		n := shape(s.Out)[0]
		return []phase{{min(slots, n), func(slot int, _ []float32) { run(part(slot, n)) }}}
	}
	once := func(run func()) []phase { return []phase{{1, func(int, []float32) { run() }}} }

	switch k := s.Op.(type) {
	case ops.Conv2D:
		c := newConvolution(k, shape(s.In[0]), shape(s.In[1]), shape(s.Out))
		n := shape(s.Out)[0]
		return []phase{{min(slots, n), func(slot int, col []float32) {
			from, to := part(slot, n)
			c.forward(in(0), in(1), out(), from, to, col)
		}}}, c.scratch(), nil
	case ops.Conv2DGradInput:
		c := newConvolution(k.Conv, shape(s.Out), shape(s.In[0]), shape(s.In[1]))
		n := shape(s.Out)[0]
		return []phase{{min(slots, n), func(slot int, col []float32) {
			from, to := part(slot, n)
			c.gradInput(in(0), in(1), out(), from, to, col)
		}}}, c.scratch(), nil
	case ops.Conv2DGradWeights:
		c := newConvolution(k.Conv, shape(s.In[0]), shape(s.Out), shape(s.In[1]))
		n := shape(s.In[0])[0]
		partial := make([]float32, min(slots, n)*len(out()))
		slotOf := func(slot int) []float32 { return partial[slot*len(out()):][:len(out())] }
		return []phase{
			{min(slots, n), func(slot int, col []float32) {
				from, to := part(slot, n)
				clear(slotOf(slot))
				c.gradWeights(in(0), in(1), slotOf(slot), from, to, col)
			}},
			{1, func(int, []float32) {
				copy(out(), slotOf(0))
				for slot := 1; slot < min(slots, n); slot++ {
					add(out(), out(), slotOf(slot))
				}
			}},
		}, c.scratch(), nil

	case ops.BatchStats:
		x := shape(s.In[0])
		sums := newChannelSums(x, 2)
		return append(sums.phases(func(from, to int, sum, square []float64) {
			sumsOf(in(0), x, from, to, sum, square)
		}), once(func() {
			m := float64(x[0] * x[2] * x[3])
			for ch := range x[1] {
				mean := sums.total[0][ch] / m
				out()[ch], out()[x[1]+ch] = float32(mean), float32(max(sums.total[1][ch]/m-mean*mean, 0))
			}
		})...), 0, nil
	case ops.BatchNorm:
		x := shape(s.In[0])
		return batch(func(from, to int) {
			stats, gamma, beta := in(1), in(2), in(3)
			eachPlane(x, from, to, func(ch, at, area int) {
				inv := invStd(stats[x[1]+ch], k.Epsilon)
				scale := gamma[ch] * inv
				affine(out()[at:at+area], in(0)[at:at+area], scale, beta[ch]-scale*stats[ch])
			})
		}), 0, nil
	case ops.BatchNormGradScale:
		x := shape(s.In[0])
		sums := newChannelSums(x, 1)
		return append(sums.phases(func(from, to int, sum, _ []float64) {
			stats := in(1)
			eachPlane(x, from, to, func(ch, at, area int) {
				sum[ch] += centredDot(in(2)[at:at+area], in(0)[at:at+area], stats[ch]) * float64(invStd(stats[x[1]+ch], k.Epsilon))
			})
		}), once(func() { sums.store(out()) })...), 0, nil
	case ops.BatchNormGradShift:
		x := shape(s.In[0])
		sums := newChannelSums(x, 1)
		return append(sums.phases(func(from, to int, sum, _ []float64) {
			eachPlane(x, from, to, func(ch, at, area int) { sum[ch] += sumOf(in(0)[at : at+area]) })
		}), once(func() { sums.store(out()) })...), 0, nil
	case ops.BatchNormGradInput:
		x := shape(s.In[0])
		m := float32(x[0] * x[2] * x[3])
		return batch(func(from, to int) {
			stats, gamma, dgamma, dbeta := in(1), in(2), in(3), in(4)
			eachPlane(x, from, to, func(ch, at, area int) {
				inv := invStd(stats[x[1]+ch], k.BatchNorm.Epsilon)
				a := gamma[ch] * inv
				b, c := float32(0), float32(0)
				if !k.BatchNorm.Frozen {
					b = -a * inv * dgamma[ch] / m
					c = -a*dbeta[ch]/m - b*stats[ch]
				}
				combine(out()[at:at+area], in(5)[at:at+area], in(0)[at:at+area], a, b, c)
			})
		}), 0, nil
	case ops.RunningStats:
		return once(func() {
			c := len(out()) / 2
			for i, r := range out() {
				b := in(1)[i]
				if i >= c {
					b *= float32(k.Unbias())
				}
				out()[i] = r + float32(k.Momentum)*(b-r)
			}
		}), 0, nil

	case ops.ReLU:
		size := stride(shape(s.Out))
		return batch(func(from, to int) { relu(out()[from*size:to*size], in(0)[from*size:to*size]) }), 0, nil
	case ops.ReLUGrad:
		size := stride(shape(s.Out))
		return batch(func(from, to int) {
			reluGrad(out()[from*size:to*size], in(0)[from*size:to*size], in(1)[from*size:to*size])
		}), 0, nil
	case ops.Add:
		size := stride(shape(s.Out))
		return batch(func(from, to int) {
			add(out()[from*size:to*size], in(0)[from*size:to*size], in(1)[from*size:to*size])
		}), 0, nil

	case ops.AvgPool:
		return batch(func(from, to int) {
			avgPool(k.Window, in(0), shape(s.In[0]), out(), shape(s.Out), from, to)
		}), 0, nil
	case ops.AvgPoolGrad:
		return batch(func(from, to int) {
			avgPoolGrad(k.Window, in(0), shape(s.In[0]), out(), shape(s.Out), from, to)
		}), 0, nil
	case ops.MaxPool:
		return batch(func(from, to int) {
			maxPool(k.Window, in(0), shape(s.In[0]), shape(s.Out), from, to, func(yi, xi int) { out()[yi] = in(0)[xi] })
		}), 0, nil
	case ops.MaxPoolGrad:
		return batch(func(from, to int) {
			size := stride(shape(s.Out))
			clear(out()[from*size : to*size])
			maxPool(k.Window, in(0), shape(s.In[0]), shape(s.In[1]), from, to, func(yi, xi int) { out()[xi] += in(1)[yi] })
		}), 0, nil
	case ops.GlobalAvgPool:
		x := shape(s.In[0])
		return batch(func(from, to int) {
			eachPlane(x, from, to, func(_, at, area int) {
				out()[at/area] = float32(sumOf(in(0)[at:at+area]) / float64(area))
			})
		}), 0, nil
	case ops.GlobalAvgPoolGrad:
		return batch(func(from, to int) {
			eachPlane(shape(s.Out), from, to, func(_, at, area int) {
				fill(out()[at:at+area], in(0)[at/area]/float32(area))
			})
		}), 0, nil

	case ops.ChannelWindow:
		return batch(func(from, to int) { channelWindow(k, in(0), shape(s.In[0]), out(), from, to) }), 0, nil
	case ops.DropMask:
		return batch(func(from, to int) {
			key := [3]uint32(e.words[s.In[2]])
			for n := from; n < to; n++ {
				k.Factors(in(0)[k.Layer], e.words[s.In[1]][n], key, out()[n*k.Channels:(n+1)*k.Channels])
			}
		}), 0, nil
	case ops.ScaleChannels:
		x := shape(s.Out)
		return batch(func(from, to int) {
			eachPlane(x, from, to, func(_, at, area int) {
				affine(out()[at:at+area], in(0)[at:at+area], in(1)[at/area], 0)
			})
		}), 0, nil
	case ops.Images:
		return batch(func(from, to int) {
			images(k, e.bytes[s.In[0]], e.words[s.In[1]], in(2), out(), shape(s.Out), from, to)
		}), 0, nil

	case ops.Linear:
		return batch(func(from, to int) {
			f, c := shape(s.In[1])[1], shape(s.In[1])[0]
			for n := from; n < to; n++ {
				copy(out()[n*c:(n+1)*c], in(2))
			}
			gemm(blas.NoTrans, blas.Trans, to-from, c, f, in(0)[from*f:], f, in(1), f, 1, out()[from*c:], c)
		}), 0, nil
	case ops.MatMul:
		m, n := shape(s.Out)[0], shape(s.Out)[1]
		a := shape(s.In[0])
		return once(func() {
			if k.TransposeA {
				gemm(blas.Trans, blas.NoTrans, m, n, a[0], in(0), a[1], in(1), n, 0, out(), n)
			} else {
				gemm(blas.NoTrans, blas.NoTrans, m, n, a[1], in(0), a[1], in(1), n, 0, out(), n)
			}
		}), 0, nil
	case ops.SumRows:
		return once(func() {
			c := len(out())
			clear(out())
			for at := 0; at < len(in(0)); at += c {
				add(out(), out(), in(0)[at:at+c])
			}
		}), 0, nil

	case ops.CrossEntropy:
		return once(func() {
			x := shape(s.In[0])
			total := 0.0
			for n := range x[0] {
				softmax(in(0)[n*x[1]:(n+1)*x[1]], e.words[s.In[1]][n], k.Smoothing, func(_ int, target, logProb float64) {
					if target != 0 {
						total -= target * logProb
					}
				})
			}
			out()[0] = float32(total / float64(x[0]))
		}), 0, nil
	case ops.CrossEntropyGrad:
		return batch(func(from, to int) {
			x := shape(s.In[0])
			for n := from; n < to; n++ {
				row := out()[n*x[1] : (n+1)*x[1]]
				softmax(in(0)[n*x[1]:(n+1)*x[1]], e.words[s.In[1]][n], k.Smoothing, func(j int, target, logProb float64) {
					row[j] = float32((math.Exp(logProb) - target) / float64(x[0]))
				})
			}
		}), 0, nil
	case ops.Momentum:
		return once(func() { momentum(out(), in(1), in(2), float32(k.Momentum), float32(k.Decay)) }), 0, nil
	case ops.Descend:
		return once(func() { descend(out(), in(1), in(2)[0]) }), 0, nil
	}
	return nil, 0, fmt.Errorf("the cpu device has no kernel for %s", ops.Name(s.Op))
}

// stride is the number of elements of one item of a batch.
func stride(shape []int) int {
	n := 1
	for _, d := range shape[1:] {
		n *= d
	}
	return n
}

// channelSums adds up numbers per channel: in each slot, then over the slots in their order.
type channelSums struct {
	batch int
	slot  [slots][2][]float64
	total [2][]float64
}

func newChannelSums(x []int, kinds int) *channelSums {
	c := &channelSums{batch: x[0]}
	for k := range kinds {
		c.total[k] = make([]float64, x[1])
		for s := range c.slot {
			c.slot[s][k] = make([]float64, x[1])
		}
	}
	return c
}

func (c *channelSums) phases(run func(from, to int, a, b []float64)) []phase {
	n := min(slots, c.batch)
	return []phase{
		{n, func(slot int, _ []float32) {
			s := &c.slot[slot]
			clear(s[0])
			clear(s[1])
			from, to := part(slot, c.batch)
			run(from, to, s[0], s[1])
		}},
		{1, func(int, []float32) {
			for k, total := range c.total {
				clear(total)
				for slot := range n {
					for ch, v := range c.slot[slot][k] {
						total[ch] += v
					}
				}
			}
		}},
	}
}

func (c *channelSums) store(out []float32) {
	for ch, v := range c.total[0] {
		out[ch] = float32(v)
	}
}

// eachPlane visits the planes of images [from, to): channel, position of the first element, number of elements.
func eachPlane(shape []int, from, to int, visit func(channel, at, area int)) {
	area := shape[2] * shape[3]
	for i := from * shape[1]; i < to*shape[1]; i++ {
		visit(i%shape[1], i*area, area)
	}
}

func invStd(variance float32, epsilon float64) float32 {
	return float32(1 / math.Sqrt(float64(variance)+epsilon))
}
