// Package kernel holds the innermost loops of the CPU engine: convolution forward and backward, the elementwise passes
// of batch norm and the weight update, as generated assembly for AVX-512 and AVX2 and as plain Go.
//
// Maps are float32 in memory order image, row, pixel, channel. The channels of a pixel are padded to a multiple of 16
// with zeros, and every kernel works on vectors of 16 channels. All distances between pixels, rows and images are given
// in floats and are free, so rows with zero pixels at their end, dense rows and every second pixel are all the same to
// a kernel. Memory is passed as the address of its first element: the caller owns it and answers for its size.
package kernel

import (
	"fmt"
	"strings"
	"unsafe"
)

//go:generate go run -C gen . ..

// Lanes is the number of channels in a vector.
const Lanes = 16

// Set is a family of kernels for one instruction set.
type Set struct {
	// Name is avx512, avx2 or go.
	Name string

	conv  [][]convKernel  // conv[o-1][p-1]: o vectors, p pixels
	wgrad [][]wgradKernel // wgrad[o-1][i-1]: o vectors, i input channels

	stats     statsKernel
	apply     [2][3]applyKernel     // by residual; linear, rectified, rectified with mask
	backStats [2][2]backStatsKernel // by residual; by mask
	backApply backApplyKernel
	addScaled addScaledKernel
	sgd       sgdKernel

	peak      peakKernel
	peakFLOPs float64 // floating-point operations in a round of peak
}

// The types of the kernels. Distances are in bytes. Names that end in ps are distances between pixels; a walk over
// rows of px pixels adds the matching skip to its address at the end of a row.
type (
	// convKernel computes p pixels i of o vectors j of output channels, where p and o are those of its name:
	//
	//	out[i, j] = relu(bias[j] + res[i, j] + sum of in[i + off + taps[2t], c] * w[taps[2t+1], c, j])
	//
	// over nt taps t and ic channels c. The first (p+1)/2 pixels lie ips apart from in on, the others ips apart from
	// in + ijump on; out and res likewise. The weights of a channel are a vector; those of the second vector of output
	// channels lie wob behind those of the first. bias and res may be nil, relu is 0 or 1, nt may be 0.
	convKernel func(in *float32, off int, taps *int, nt, ic int, w *float32, wob int, out *float32,
		ips, ijump, ops, ojump int, bias, res *float32, rps, rjump, relu int)

	// wgradKernel adds x[pixel, i] * d[pixel, j] over images, rows and pixels to dw[i, j], for the n channels i and o
	// vectors j of its name; wob is the distance between the vectors j in dw.
	wgradKernel func(x, d, dw *float32, wob, images, rows, px, xis, xrs, xps, dis, drs, dps int)

	// statsKernel adds the sums of y-ref and (y-ref)^2 to s1 and s2.
	statsKernel func(rows, px int, y *float32, yps, yskip int, ref *float32, s1, s2 *float64)

	// applyKernel sets a to y*scale + shift, plus r if it takes a residual, rectified if it is a rectified one; then m
	// gets the bits of the channels that pass.
	applyKernel func(rows, px int, y *float32, yps, yskip int, a *float32, aps, askip int, r *float32, rps, rskip int,
		m *uint16, mps, mskip int, scale, shift *float32)

	// backStatsKernel sets z to d, plus r if it takes a residual, where the bit in m is set if it takes a mask, and to
	// zero elsewhere; it adds the sums of z and z*(y-mean) to s1 and s2.
	backStatsKernel func(rows, px int, d *float32, dps, dskip int, r *float32, rps, rskip int, m *uint16, mps, mskip int,
		y *float32, yps, yskip int, z *float32, zps, zskip int, mean *float32, s1, s2 *float64)

	// backApplyKernel sets d to k1*z + k2*y + k3.
	backApplyKernel func(rows, px int, z *float32, zps, zskip int, y *float32, yps, yskip int,
		d *float32, dps, dskip int, k1, k2, k3 *float32)

	// addScaledKernel adds alpha*s to d.
	addScaledKernel func(rows, px int, d *float32, dps, dskip int, s *float32, sps, sskip int, alpha float32)

	// sgdKernel sets v to momentum*v + dw + decay*w and then w to w - lr*v, in n vectors of 16.
	sgdKernel func(n int, w, v, dw *float32, lr, momentum, decay float32)

	// peakKernel does n rounds of independent multiply-adds on registers.
	peakKernel func(n int)
)

// sets lists the sets that this processor runs, best first.
var sets = append(native(), portable)

// Best returns the fastest set that this processor runs.
func Best() *Set { return sets[0] }

// Available returns the sets that this processor runs, best first. The last is always the plain Go one.
func Available() []*Set { return sets }

// ByName returns the set of the given name. It is an error if there is none or if this processor cannot run it.
func ByName(name string) (*Set, error) {
	have := make([]string, len(sets))
	for i, s := range sets {
		if s.Name == name {
			return s, nil
		}
		have[i] = s.Name
	}
	return nil, fmt.Errorf("this processor runs no kernels named %q; it runs %s", name, strings.Join(have, ", "))
}

// at is the address n floats behind p.
func at(p *float32, n int) *float32 { return (*float32)(unsafe.Add(unsafe.Pointer(p), n*4)) }
