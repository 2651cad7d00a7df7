package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// depthwise emits the tile of p pixels of a depthwise convolution, two runs of pixels as in convolution. It goes
// through one vector of channels after the other.
func (g *generator) depthwise(p int) {
	g.function(fmt.Sprintf("depthwise%d", p),
		"func(in *float32, off int, taps *int, nt int, w *float32, wgs int, end int, out *float32, "+
			"ips int, ijump int, ops int, ojump int, bias *float32, low float32, high float32)",
		"is a depthwiseKernel.")
	acc := make([]vec, p)
	for i := range acc {
		acc[i] = g.vector()
	}
	w, group, in := g.param("w"), g.GP64(), g.newPixels(p)
	g.XORQ(group, group)
	inGroup := func(base reg.GPVirtual) operand.Mem { return operand.Mem{Base: base, Index: group, Scale: 1} }

	g.Label("group")
	bias := g.param("bias")
	g.TESTQ(bias, bias)
	g.JEQ(operand.LabelRef("nobias"))
	for _, v := range acc {
		g.load(inGroup(bias), v)
	}
	g.JMP(operand.LabelRef("start"))
	g.Label("nobias")
	for _, v := range acc {
		g.zero(v)
	}
	g.Label("start")
	taps, nt := g.param("taps"), g.param("nt")
	g.TESTQ(nt, nt)
	g.JEQ(operand.LabelRef("done"))
	first, jump := g.param("in"), g.param("ijump")
	g.ADDQ(g.arg("off"), first)
	g.ADDQ(group, first)

	// Loads limit this loop, so it has no more of them than it must.
	g.Label("tap")
	place, weights := g.GP64(), g.vector()
	g.MOVQ(operand.Mem{Base: taps}, place)
	for i, b := range in.bases {
		switch i {
		case 0:
			g.LEAQ(operand.Mem{Base: first, Index: place, Scale: 1}, b)
		case in.perRun():
			g.LEAQ(operand.Mem{Base: in.bases[0], Index: jump, Scale: 1}, b)
		default:
			g.LEAQ(operand.Mem{Base: in.bases[i-1], Index: in.one, Scale: 4}, b)
			g.ADDQ(in.one, b)
		}
	}
	g.MOVQ(operand.Mem{Base: taps, Disp: 8}, place)
	g.load(operand.Mem{Base: w, Index: place, Scale: 1}, weights)
	for i, v := range acc {
		for j := range v {
			g.VFMADD231PS(g.part(in.at(i, 0), j), weights[j], v[j])
		}
	}
	g.ADDQ(operand.Imm(16), taps)
	g.DECQ(nt)
	g.JNE(operand.LabelRef("tap"))

	g.Label("done")
	g.clamp(acc)
	g.eachPixel(p, 1, "out", "ops", "ojump", func(i int, m operand.Mem) {
		m.Index, m.Scale = group, 1
		g.store(acc[i], m)
	})
	g.ADDQ(g.arg("wgs"), w)
	g.ADDQ(operand.Imm(uint64(g.bytes())), group)
	g.CMPQ(group, g.arg("end"))
	g.JLT(operand.LabelRef("group"))
	g.end()
}

// depthwiseTaps is the number of elements of a window's row that a tile of the weight gradient has at most. Their
// pixels are addressed by one base and two index registers.
const depthwiseTaps = 5

// depthwiseGrad emits the tile of n neighbouring elements of a window's row of the weight gradient of a depthwise
// convolution, for one vector of channels.
func (g *generator) depthwiseGrad(n int) {
	g.function(fmt.Sprintf("depthwiseGrad%d", n),
		"func(x *float32, xrs int, xps int, xcs int, d *float32, drs int, dps int, dw *float32, rows int, px int)",
		"is a depthwiseGradKernel.")
	// Where registers are many, a second set of sums takes every other pixel, so that the latencies of the sums overlap.
	ways := g.ways / 2
	acc := make([][]vec, ways)
	dw := g.param("dw")
	for way := range acc {
		acc[way] = make([]vec, n)
		for i := range acc[way] {
			acc[way][i] = g.vector()
			if way == 0 {
				g.load(operand.Mem{Base: dw, Disp: i * packed}, acc[way][i])
			} else {
				g.zero(acc[way][i])
			}
		}
	}
	x, d, rows := g.param("x"), g.param("d"), g.param("rows")
	xps, dps, one, three := g.param("xps"), g.param("dps"), g.param("xcs"), g.GP64()
	g.LEAQ(operand.Mem{Base: one, Index: one, Scale: 2}, three)
	xPixel, dPixel, px := g.GP64(), g.GP64(), g.GP64()
	element := func(i int) operand.Mem {
		switch i {
		case 0:
			return operand.Mem{Base: xPixel}
		case 3:
			return operand.Mem{Base: xPixel, Index: three, Scale: 1}
		}
		return operand.Mem{Base: xPixel, Index: one, Scale: uint8(i)}
	}
	grad := g.vector()
	pixel := func(way int) {
		g.load(operand.Mem{Base: dPixel}, grad)
		for i, v := range acc[way] {
			for j := range v {
				g.VFMADD231PS(g.part(element(i), j), grad[j], v[j])
			}
		}
		g.ADDQ(xps, xPixel)
		g.ADDQ(dps, dPixel)
	}

	g.Label("row")
	g.MOVQ(x, xPixel)
	g.MOVQ(d, dPixel)
	g.Load(g.Param("px"), px)
	if ways > 1 {
		g.SUBQ(operand.Imm(uint64(ways)), px)
		g.JL(operand.LabelRef("rest"))
		g.Label("several")
		for way := range ways {
			pixel(way)
		}
		g.SUBQ(operand.Imm(uint64(ways)), px)
		g.JGE(operand.LabelRef("several"))
		g.Label("rest")
		g.ADDQ(operand.Imm(uint64(ways)), px)
		g.JEQ(operand.LabelRef("rowend"))
	}
	g.Label("one")
	pixel(0)
	g.DECQ(px)
	g.JNE(operand.LabelRef("one"))
	g.Label("rowend")
	g.ADDQ(g.arg("xrs"), x)
	g.ADDQ(g.arg("drs"), d)
	g.DECQ(rows)
	g.JNE(operand.LabelRef("row"))
	for i, v := range acc[0] {
		for _, other := range acc[1:] {
			for j := range v {
				g.VADDPS(other[i][j], v[j], v[j])
			}
		}
		g.store(v, operand.Mem{Base: dw, Disp: i * packed})
	}
	g.end()
}
