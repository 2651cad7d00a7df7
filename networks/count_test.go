package networks

import (
	"math/rand/v2"
	"testing"
)

// tally counts multiply-adds and parameters layer by layer, with formulas of its own.
type tally struct{ flops, params int }

func (t *tally) conv(in, out, kernel, side int) {
	t.flops += kernel * kernel * in * out * side * side
	t.params += kernel * kernel * in * out
}

func (t *tally) depthwise(channels, kernel, side int) {
	t.flops += kernel * kernel * channels * side * side
	t.params += kernel * kernel * channels
}

func (t *tally) norm(channels int) { t.params += 2 * channels }

func (t *tally) linear(in, out int) {
	t.flops += in * out
	t.params += in*out + out
}

// half is the side of a map behind a layer of stride 2.
func half(side int) int { return (side + 1) / 2 }

// handCounts are the families but the ResNets, written down from their papers with no use of the descriptions: images
// have 3 channels and so many pixels per side, c are the widths.
var handCounts = map[string]func(t *tally, side, classes int, local bool, c []int){
	"plain20": func(t *tally, side, classes int, _ bool, c []int) {
		in := 16
		t.conv(3, in, 3, side)
		t.norm(in)
		for i, out := range c {
			if i == 6 || i == 12 {
				side = half(side)
			}
			t.conv(in, out, 3, side)
			t.norm(out)
			in = out
		}
		t.linear(in, classes)
	},
	"densenet40": func(t *tally, side, classes int, _ bool, c []int) {
		in := 24
		t.conv(3, in, 3, side)
		for i, out := range c {
			t.norm(in)
			if i == 12 || i == 25 {
				t.conv(in, out, 1, side)
				in, side = out, half(side)
				continue
			}
			t.conv(in, out, 3, side)
			in += out
		}
		t.norm(in)
		t.linear(in, classes)
	},
	"pyramidnet20": func(t *tally, side, classes int, local bool, c []int) {
		in := 16
		t.conv(3, in, 3, side)
		t.norm(in)
		for i := 0; i < 18; i += 2 {
			if i == 6 || i == 12 {
				side = half(side)
			}
			t.norm(in)
			t.conv(in, c[i], 3, side)
			t.norm(c[i])
			t.conv(c[i], c[i+1], 3, side)
			t.norm(c[i+1])
			if in = max(in, c[i+1]); local {
				in = c[i+1]
			}
		}
		t.norm(in)
		t.linear(in, classes)
	},
	"vgg16_bn": func(t *tally, side, classes int, _ bool, c []int) {
		in := 3
		for i, out := range c {
			if i == 2 || i == 4 || i == 7 || i == 10 {
				side = half(side)
			}
			t.conv(in, out, 3, side)
			t.norm(out)
			in = out
		}
		t.linear(in, classes)
	},
	"mobilenet_v2": func(t *tally, side, classes int, _ bool, c []int) {
		t.inverted(side, classes, c, side <= 64, []stage{
			{2, 3, 2, 24, false}, {3, 3, 2, 32, false}, {4, 3, 2, 64, false}, {3, 3, 1, 96, false}, {3, 3, 2, 160, false},
			{1, 3, 1, 320, false},
		})
	},
	"mnasnet_a1": func(t *tally, side, classes int, _ bool, c []int) {
		t.inverted(side, classes, c, false, []stage{
			{2, 3, 2, 24, false}, {3, 5, 2, 40, true}, {4, 3, 2, 80, false}, {2, 3, 1, 112, true}, {3, 5, 2, 160, true},
			{1, 3, 1, 320, false},
		})
	},
}

// stage is a number of inverted residuals. out is the width at which a search starts, gated tells of squeeze-excitation.
type stage struct {
	blocks, kernel, stride, out int
	gated                       bool
}

// inverted counts a network of inverted residuals. In a small one stem and second stage keep the size.
func (t *tally) inverted(side, classes int, c []int, small bool, stages []stage) {
	if !small {
		side = half(side)
	}
	t.conv(3, 32, 3, side)
	t.norm(32)
	t.depthwise(32, 3, side)
	t.norm(32)
	in, start := c[0], 16 // what a block reads, now and in the start network
	t.conv(32, in, 1, side)
	t.norm(in)
	c = c[1:]
	for s, st := range stages {
		out := c[1]
		c = append([]int{c[0]}, c[2:]...) // the inner widths of the stage, and what follows
		for b := range st.blocks {
			inner := c[b]
			t.conv(in, inner, 1, side)
			t.norm(inner)
			if b == 0 && st.stride == 2 && !(small && s == 0) {
				side = half(side)
			}
			t.depthwise(inner, st.kernel, side)
			t.norm(inner)
			if st.gated {
				t.linear(inner, start/4)
				t.linear(start/4, inner)
			}
			t.conv(inner, out, 1, side)
			t.norm(out)
			in, start = out, st.out
		}
		c = c[st.blocks:]
	}
	t.conv(in, 1280, 1, side)
	t.norm(1280)
	t.linear(1280, classes)
}

// TestCounts compares FLOPs and parameters of all families with handCounts, at the start widths and at random ones,
// narrower and wider, for images of even and odd sizes.
func TestCounts(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for name, count := range handCounts {
		for round := range 40 {
			padding := []string{PaddingMax, PaddingLocal}[round%2]
			side, classes := 1+r.IntN(80), 2+r.IntN(200)
			n := mustNew(t, Spec{Name: name, Padding: padding, Input: [3]int{3, side, side}, Classes: classes})
			c := n.Start()
			for i := range c {
				if round > 1 {
					c[i] = 1 + r.IntN(2*c[i])
				}
			}
			var want tally
			count(&want, side, classes, padding == PaddingLocal, c)
			if n.FLOPs(c) != int64(want.flops) || n.Params(c) != int64(want.params) {
				t.Fatalf("%s, %s, %d pixels, %v: %d FLOPs and %d parameters, want %+v", name, padding, side, c, n.FLOPs(c),
					n.Params(c), want)
			}
		}
	}
}
