package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// convolution emits the tile of p pixels and o vectors of output channels. The pixels are two runs, the first of
// (p+1)/2 pixels and the second ijump bytes behind it, so that one row or two short rows fill the tile.
func (g *generator) convolution(p, o int) {
	g.function(fmt.Sprintf("conv%dx%d", p, o),
		"func(in *float32, off int, taps *int, nt int, ic int, w *float32, wob int, out *float32, "+
			"ips int, ijump int, ops int, ojump int, bias *float32, res *float32, rps int, rjump int, low float32, high float32)",
		"is a convKernel.")
	acc := make([]vec, p*o)
	for i := range acc {
		acc[i] = g.vector()
	}
	g.startSums(acc, o)
	g.tapLoop(acc, p, o)
	g.addResidual(acc, p, o)

	g.clamp(acc)
	g.eachPixel(p, o, "out", "ops", "ojump", func(i int, m operand.Mem) { g.store(acc[i], m) })
	g.end()
}

// startSums sets the sums to the bias, or to zero where there is none.
func (g *generator) startSums(acc []vec, o int) {
	bias := g.param("bias")
	g.TESTQ(bias, bias)
	g.JEQ(operand.LabelRef("nobias"))
	for i, v := range acc {
		g.load(operand.Mem{Base: bias, Disp: i % o * g.bytes()}, v)
	}
	g.JMP(operand.LabelRef("start"))
	g.Label("nobias")
	for _, v := range acc {
		g.zero(v)
	}
	g.Label("start")
}

// addResidual adds the residual, if there is one.
func (g *generator) addResidual(acc []vec, p, o int) {
	g.CMPQ(g.arg("res"), operand.Imm(0))
	g.JEQ(operand.LabelRef("nores"))
	g.eachPixel(p, o, "res", "rps", "rjump", func(i int, m operand.Mem) { g.addMem(m, acc[i]) })
	g.Label("nores")
}

// eachPixel calls f with the place of every vector of the tile in the map whose base, pixel stride and jump are given.
func (g *generator) eachPixel(p, o int, base, stride, jump string, f func(i int, m operand.Mem)) {
	at, step := g.param(base), g.param(stride)
	second := g.param(jump)
	g.ADDQ(at, second)
	for i := range p {
		if i == (p+1)/2 {
			at = second
		}
		for j := range o {
			f(i*o+j, operand.Mem{Base: at, Disp: j * g.bytes()})
		}
		g.ADDQ(step, at)
	}
}

// tapLoop adds the products of all taps and input channels.
func (g *generator) tapLoop(acc []vec, p, o int) {
	taps, nt := g.param("taps"), g.param("nt")
	g.TESTQ(nt, nt)
	g.JEQ(operand.LabelRef("done"))
	in := g.newPixels(p)
	var wob reg.GPVirtual
	if o > 1 {
		wob = g.param("wob")
	}
	w, c := g.GP64(), g.GP64()

	g.Label("tap")
	g.Load(g.Param("in"), in.bases[0])
	g.ADDQ(g.arg("off"), in.bases[0])
	g.ADDQ(operand.Mem{Base: taps}, in.bases[0])
	in.spread()
	g.Load(g.Param("w"), w)
	g.ADDQ(operand.Mem{Base: taps, Disp: 8}, w)
	g.Load(g.Param("ic"), c)

	weights := make([]vec, o)
	for i := range weights {
		weights[i] = g.vector()
	}
	x := g.reg()
	channel := func(u int) {
		for i, v := range weights {
			m := operand.Mem{Base: w, Disp: u * packed}
			if i > 0 {
				m.Index, m.Scale = wob, uint8(i)
			}
			g.load(m, v)
		}
		for i := range p {
			g.multiplyAdd(in.at(i, u*4), weights, acc[i*o:(i+1)*o], x)
		}
	}
	g.channelLoop(c, w, in, channel)
	g.ADDQ(operand.Imm(16), taps)
	g.DECQ(nt)
	g.JNE(operand.LabelRef("tap"))
	g.Label("done")
}

// channelLoop emits channel for all c channels, four at a time and then one by one. It moves the pixels of the tile and
// the weights at w on.
func (g *generator) channelLoop(c, w reg.GPVirtual, in *pixels, channel func(u int)) {
	step := func(n int) {
		g.ADDQ(operand.U32(uint32(n*packed)), w)
		for _, b := range in.bases {
			g.ADDQ(operand.Imm(uint64(n*4)), b)
		}
	}
	g.SUBQ(operand.Imm(4), c)
	g.JL(operand.LabelRef("rest"))
	g.Label("four")
	for u := range 4 {
		channel(u)
	}
	step(4)
	g.SUBQ(operand.Imm(4), c)
	g.JGE(operand.LabelRef("four"))
	g.Label("rest")
	g.ADDQ(operand.Imm(4), c)
	g.JEQ(operand.LabelRef("next"))
	g.Label("one")
	channel(0)
	step(1)
	g.DECQ(c)
	g.JNE(operand.LabelRef("one"))
	g.Label("next")
}

// multiplyAdd adds the product of the scalar at m with every vector of v to acc. One AVX-512 vector takes the scalar
// straight from memory; otherwise it is broadcast once, to x.
func (g *generator) multiplyAdd(m operand.Mem, v, acc []vec, x reg.VecVirtual) {
	if len(v) == 1 && g.avx512 {
		g.VFMADD231PS_BCST(m, v[0][0], acc[0][0])
		return
	}
	g.VBROADCASTSS(m, x)
	for i := range v {
		for j := range v[i] {
			g.VFMADD231PS(x, v[i][j], acc[i][j])
		}
	}
}

// pixels addresses the pixels of a tile by few registers: a base for every five pixels of each run, and index
// registers of one and three pixel strides, which give the pixels behind a base with the scales 1, 2 and 4.
type pixels struct {
	g         *generator
	p         int
	bases     []reg.GPVirtual
	one, many reg.GPVirtual
}

func (g *generator) newPixels(p int) *pixels {
	x := &pixels{g: g, p: p, one: g.param("ips"), many: g.GP64()}
	g.LEAQ(operand.Mem{Base: x.one, Index: x.one, Scale: 2}, x.many)
	for range x.perRun() {
		x.bases = append(x.bases, g.GP64())
	}
	if p > 1 {
		for range (p/2 + 4) / 5 {
			x.bases = append(x.bases, g.GP64())
		}
	}
	return x
}

// perRun is the number of bases of the first run.
func (x *pixels) perRun() int { return ((x.p+1)/2 + 4) / 5 }

// spread sets all bases from the first.
func (x *pixels) spread() {
	n := x.perRun()
	for i, b := range x.bases {
		switch {
		case i == 0:
		case i == n:
			x.g.Load(x.g.Param("ijump"), b)
			x.g.ADDQ(x.bases[0], b)
		default:
			x.g.LEAQ(operand.Mem{Base: x.bases[i-1], Index: x.one, Scale: 4}, b)
			x.g.ADDQ(x.one, b)
		}
	}
}

// at is the place disp bytes into pixel i.
func (x *pixels) at(i, disp int) operand.Mem {
	base := 0
	if first := (x.p + 1) / 2; i >= first {
		i -= first
		base = x.perRun()
	}
	m := operand.Mem{Base: x.bases[base+i/5], Disp: disp}
	switch i % 5 {
	case 1, 2, 4:
		m.Index, m.Scale = x.one, uint8(i%5)
	case 3:
		m.Index, m.Scale = x.many, 1
	}
	return m
}
