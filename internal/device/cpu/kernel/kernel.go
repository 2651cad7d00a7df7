// Package kernel holds the innermost loops of the CPU engine: convolution, depthwise convolution and pooling, forward
// and backward, the elementwise passes of batch norm, and the weight update, as generated assembly for AVX-512 and
// AVX2 and as plain Go.
//
// Maps are float32 in memory order image, row, pixel, channel. Kernels work on vectors of 16 channels, and some sets
// have a second family for half a vector. The channels of a pixel are padded with zeros to whole vectors, the last of
// which may be half a one; the padding of packed weights is to 16 always. All distances between pixels, rows and images
// are given in floats and are free, so rows with zero pixels at their end, dense rows and every second pixel are all the
// same to a kernel. Memory is passed as the address of its first element: the caller owns it and answers for its size.
package kernel

import (
	"fmt"
	"strings"
	"unsafe"
)

//go:generate go run -C gen . ..

// Lanes is the number of channels in a whole vector.
const Lanes = 16

// Revision is raised with every change of the cpu device that can change a result, were it the last bit: what was
// trained before and what is trained after must not be taken for each other.
const Revision = 3

// Set is a family of kernels for one instruction set.
type Set struct {
	// Name is avx512, avx2 or go.
	Name string

	// Channels is the number of channels that its kernels take at a time: Lanes, or half of them.
	Channels int

	half *Set // the kernels for half a vector, with the same bits, or nil

	conv  [][]convKernel  // conv[o-1][p-1]: o vectors, p pixels
	wgrad [][]wgradKernel // wgrad[o-1][i-1]: o vectors, i input channels

	winogradIn       winogradInKernel // this and the next three are nil in a set without Winograd's convolution
	winogradMultiply winogradMultiplyKernel
	winogradOut      [2]winogradOutKernel // by rows of output pixels
	winogradGrad     [2]winogradGradKernel

	depthwise     []depthwiseKernel     // depthwise[p-1]: p pixels
	depthwiseGrad []depthwiseGradKernel // depthwiseGrad[n-1]: n elements of the window

	stats     statsKernel
	apply     [2][5]applyKernel     // by residual; linear, rectified without and with mask, both by ReLU6
	backStats [2][2]backStatsKernel // by residual; by mask
	backApply backApplyKernel
	addScaled addScaledKernel
	dot       dotKernel
	sgd       sgdKernel

	maxPool, avgPool poolKernel
	maxPoolGrad      maxPoolGradKernel

	peak      peakKernel
	peakFLOPs float64 // floating-point operations in a round of peak
}

// The types of the kernels. Distances are in bytes. Names that end in ps are distances between pixels; a walk over
// rows of px pixels adds the matching skip to its address at the end of a row.
type (
	// convKernel computes p pixels i of o vectors j of output channels, where p and o are those of its name:
	//
	//	out[i, j] = min(max(bias[j] + res[i, j] + sum of in[i + off + taps[2t], c] * w[taps[2t+1], c, j], low), high)
	//
	// over nt taps t and ic channels c. The first (p+1)/2 pixels lie ips apart from in on, the others ips apart from
	// in + ijump on; out and res likewise. The weights of a channel are a vector; those of the second vector of output
	// channels lie wob behind those of the first. bias and res may be nil, nt may be 0.
	convKernel func(in *float32, off int, taps *int, nt, ic int, w *float32, wob int, out *float32,
		ips, ijump, ops, ojump int, bias, res *float32, rps, rjump int, low, high float32)

	// wgradKernel adds x[pixel, i] * d[pixel, j] over images, rows and pixels to dw[i, j], for the n channels i and o
	// vectors j of its name; wob is the distance between the vectors j in dw.
	wgradKernel func(x, d, dw *float32, wob, images, rows, px, xis, xrs, xps, dis, drs, dps int)

	// winogradInKernel sets v to the transforms B'dB of a row of overlapping tiles d of 4x4 pixels. The rows of pixels
	// begin at d0 to d3 and their pixels are s0 to s3 apart. cols is the number of columns behind the first two: two for
	// each tile; if it is odd, the last tile has zeros for a fourth column. The tiles of v are vts apart, the
	// frequencies vfs.
	winogradInKernel func(d0, d1, d2, d3 *float32, s0, s1, s2, s3, cols int, v *float32, vts, vfs int)

	// winogradMultiplyKernel sets m[f, j, t] to the sum of v[f, t, c] * u[f, j, c] over ic channels c, for 16
	// frequencies f, groups vectors j and blocks of as many tiles t as the widest convKernel of one vector has pixels.
	// Tiles lie ips apart, in two runs ijump apart like the pixels of a convKernel, blocks vbs and frequencies vfs
	// apart. u and m are dense but for uskip and mskip between the frequencies.
	winogradMultiplyKernel func(v *float32, ips, ijump, vbs, vfs, blocks int, u *float32, uskip, ic, groups int,
		m *float32, mskip int)

	// winogradOutKernel sets out to min(max(A'mA + bias + res, low), high) for a row of tiles of as many rows of pixels as its
	// name tells, which are ors apart, and cols columns. The tiles of m are mts apart, the frequencies mfs. res may be
	// nil; then its distances rps and rrs must be 0.
	winogradOutKernel func(m *float32, mts, mfs, cols int, out *float32, ops, ors int, bias, res *float32, rps, rrs int,
		low, high float32)

	// winogradGradKernel sets m to AdA' for a row of tiles d of as many rows of pixels as its name tells, which are drs
	// apart, and cols columns; pixels that a tile lacks are zeros. The tiles of m are mts apart, the frequencies mfs.
	winogradGradKernel func(d *float32, dps, drs, cols int, m *float32, mts, mfs int)

	// depthwiseKernel computes p pixels i, where p is that of its name, of the vectors of channels j that lie less than
	// end bytes behind the first:
	//
	//	out[i, j] = min(max(bias[j] + sum of in[i + off + taps[2t], j] * w[taps[2t+1], j], low), high)
	//
	// over nt taps t. The runs of pixels are those of a convKernel. The weights of a vector lie wgs behind those of the
	// one before it. bias may be nil, nt may be 0.
	depthwiseKernel func(in *float32, off int, taps *int, nt int, w *float32, wgs, end int, out *float32,
		ips, ijump, ops, ojump int, bias *float32, low, high float32)

	// depthwiseGradKernel adds x[pixel + i*xcs, j] * d[pixel, j] over rows and pixels to dw[i, j], for the elements i of
	// its name and a vector j.
	depthwiseGradKernel func(x *float32, xrs, xps, xcs int, d *float32, drs, dps int, dw *float32, rows, px int)

	// poolKernel sets px pixels of y to the maximum, or to share times the sum, over windows of kh x kw pixels of x, for
	// the vectors of channels that lie less than end bytes behind the first. Windows begin xws apart, their rows and
	// columns lie xrs and xcs apart.
	poolKernel func(px, end int, x *float32, xrs, xcs, xws int, y *float32, yps, kh, kw int, share float32)

	// maxPoolGradKernel adds px pixels of d to the first largest elements of windows of z: those of the windows of x.
	maxPoolGradKernel func(px, end int, x *float32, xrs, xcs, xws int, d *float32, dps int,
		z *float32, zrs, zcs, zws, kh, kw int)

	// statsKernel adds the sums of y-ref and (y-ref)^2 to s1 and s2.
	statsKernel func(rows, px int, y *float32, yps, yskip int, ref *float32, s1, s2 *float64)

	// applyKernel sets a to y*scale + shift, plus r if it takes a residual, rectified if it is a rectified one; then m
	// gets the bits of the channels that pass.
	applyKernel func(rows, px int, y *float32, yps, yskip int, a *float32, aps, askip int, r *float32, rps, rskip int,
		m *uint8, mps, mskip int, scale, shift *float32)

	// backStatsKernel sets z to d, plus r if it takes a residual, where the bit in m is set if it takes a mask, and to
	// zero elsewhere; it adds the sums of z and z*(y-mean) to s1 and s2.
	backStatsKernel func(rows, px int, d *float32, dps, dskip int, r *float32, rps, rskip int, m *uint8, mps, mskip int,
		y *float32, yps, yskip int, z *float32, zps, zskip int, mean *float32, s1, s2 *float64)

	// backApplyKernel sets d to k1*z + k2*y + k3.
	backApplyKernel func(rows, px int, z *float32, zps, zskip int, y *float32, yps, yskip int,
		d *float32, dps, dskip int, k1, k2, k3 *float32)

	// addScaledKernel adds alpha*s to d.
	addScaledKernel func(rows, px int, d *float32, dps, dskip int, s *float32, sps, sskip int, alpha float32)

	// dotKernel adds the sums of x*d to sum.
	dotKernel func(rows, px int, x *float32, xps, xskip int, d *float32, dps, dskip int, sum *float64)

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

// Pad is the number of channels that a pixel of a map has with its padding.
func (s *Set) Pad(channels int) int {
	unit := s.Channels
	if s.half != nil {
		unit = s.half.Channels
	}
	return (channels + unit - 1) / unit * unit
}

// At returns the kernels that go on at a channel of maps that have so many channels, with their padding, or have ended
// before: those for half a vector where a whole one would reach over the end of a map or has been begun.
func (s *Set) At(channel int, maps ...int) *Set {
	if s.half == nil {
		return s
	}
	if channel%Lanes != 0 {
		return s.half
	}
	for _, m := range maps {
		if channel < m && m < channel+Lanes {
			return s.half
		}
	}
	return s
}

// stretch returns the kernels for as many of the channels from one on as there are some for at once, and how many: the
// whole vectors first, and half a one at last.
func (s *Set) stretch(from, to int) (*Set, int) {
	if n := (to - from) / s.Channels * s.Channels; n > 0 {
		return s, n
	}
	return s.half, to - from
}

// at is the address n floats behind p.
func at(p *float32, n int) *float32 { return (*float32)(unsafe.Add(unsafe.Pointer(p), n*4)) }
