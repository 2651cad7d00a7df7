package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
)

// weightGradient emits the tile of n input channels and o vectors of output channels.
func (g *generator) weightGradient(n, o int) {
	g.function(fmt.Sprintf("wgrad%dx%d", n, o),
		"func(x *float32, d *float32, dw *float32, wob int, images int, rows int, px int, "+
			"xis int, xrs int, xps int, dis int, drs int, dps int)",
		"is a wgradKernel.")
	dw := g.param("dw")
	place := func(i int) operand.Mem { return operand.Mem{Base: dw, Disp: i / o * packed} }
	if o == 2 {
		second := g.param("wob")
		g.ADDQ(dw, second)
		place = func(i int) operand.Mem {
			if i%o == 1 {
				return operand.Mem{Base: second, Disp: i / o * packed}
			}
			return operand.Mem{Base: dw, Disp: i / o * packed}
		}
	}
	acc := make([]vec, n*o)
	for i := range acc {
		acc[i] = g.vector()
		g.load(place(i), acc[i])
	}
	x, d := g.param("x"), g.param("d")
	xps, dps := g.param("xps"), g.param("dps")
	images, rows, px := g.param("images"), g.GP64(), g.GP64()
	xRow, dRow, xPixel, dPixel := g.GP64(), g.GP64(), g.GP64(), g.GP64()
	grad := make([]vec, o)
	for i := range grad {
		grad[i] = g.vector()
	}
	scalar := g.reg()

	g.Label("image")
	g.MOVQ(x, xRow)
	g.MOVQ(d, dRow)
	g.Load(g.Param("rows"), rows)
	g.Label("row")
	g.MOVQ(xRow, xPixel)
	g.MOVQ(dRow, dPixel)
	g.Load(g.Param("px"), px)
	g.Label("pixel")
	for i, v := range grad {
		g.load(operand.Mem{Base: dPixel, Disp: i * g.bytes()}, v)
	}
	for i := range n {
		g.multiplyAdd(operand.Mem{Base: xPixel, Disp: i * 4}, grad, acc[i*o:(i+1)*o], scalar)
	}
	g.ADDQ(xps, xPixel)
	g.ADDQ(dps, dPixel)
	g.DECQ(px)
	g.JNE(operand.LabelRef("pixel"))
	g.ADDQ(g.arg("xrs"), xRow)
	g.ADDQ(g.arg("drs"), dRow)
	g.DECQ(rows)
	g.JNE(operand.LabelRef("row"))
	g.ADDQ(g.arg("xis"), x)
	g.ADDQ(g.arg("dis"), d)
	g.DECQ(images)
	g.JNE(operand.LabelRef("image"))
	for i, v := range acc {
		g.store(v, place(i))
	}
	g.end()
}

// throughput emits a loop of n rounds of independent multiply-adds on registers, one on each accumulator.
func (g *generator) throughput() {
	g.function("peak", "func(n int)", "is a peakKernel.")
	n := g.param("n")
	acc := make([]vec, g.peak)
	for i := range acc {
		acc[i] = g.vector()[:1]
		g.zero(acc[i])
	}
	x := g.vector()[:1]
	g.zero(x)
	g.Label("round")
	for _, v := range acc {
		g.VFMADD231PS(x[0], x[0], v[0])
	}
	g.DECQ(n)
	g.JNE(operand.LabelRef("round"))
	g.end()
}
