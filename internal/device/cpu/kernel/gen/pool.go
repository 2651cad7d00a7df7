package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Comparison predicate "greater than", false for a NaN.
const greater = operand.U8(0x1e)

// corner is where a window, the row of it at hand and the element at hand begin.
type corner struct{ at, row, col reg.GPVirtual }

func (g *generator) corner(name string) corner { return corner{g.param(name), g.GP64(), g.GP64()} }

// window emits the loops over the kh x kw elements, group bytes behind those of the first vector, of the window at a
// corner. The distances of its rows and columns are the arguments NAMErs and NAMEcs. body gets the place of an element.
func (g *generator) window(name string, c corner, group reg.GPVirtual, body func(m operand.Mem)) {
	rows, cols := g.param("kh"), g.GP64()
	g.LEAQ(operand.Mem{Base: c.at, Index: group, Scale: 1}, c.row)
	g.Label(name + "row")
	g.MOVQ(c.row, c.col)
	g.Load(g.Param("kw"), cols)
	g.Label(name + "col")
	body(operand.Mem{Base: c.col})
	g.ADDQ(g.arg(name+"cs"), c.col)
	g.DECQ(cols)
	g.JNE(operand.LabelRef(name + "col"))
	g.ADDQ(g.arg(name+"rs"), c.row)
	g.DECQ(rows)
	g.JNE(operand.LabelRef(name + "row"))
}

// eachVector emits the loops over px pixels and, inside, over the vectors of channels that lie less than end bytes
// behind the first: group is their distance from it. After each pixel comes next.
func (g *generator) eachVector(body func(group reg.GPVirtual), next func()) {
	px, group := g.param("px"), g.GP64()
	g.Label("pixel")
	g.XORQ(group, group)
	g.Label("group")
	body(group)
	g.ADDQ(operand.Imm(uint64(g.bytes())), group)
	g.CMPQ(group, g.arg("end"))
	g.JLT(operand.LabelRef("group"))
	next()
	g.DECQ(px)
	g.JNE(operand.LabelRef("pixel"))
}

const windowArgs = ", kh int, kw int"

// cornerArgs declares the arguments of a window's operand.
func cornerArgs(name string) string {
	return ", " + name + " *float32, " + name + "rs int, " + name + "cs int, " + name + "ws int"
}

func (g *generator) pooling() {
	g.pool("maxPool", false, func(v vec, m operand.Mem) {
		// VMAXPS gives its last source if one is a NaN: only with both orders a NaN is in one of the results, and then
		// their bits together are a NaN.
		x, t := g.vector(), g.vector()
		g.load(m, x)
		for i, r := range v {
			g.VMAXPS(r, x[i], t[i])
			g.VMAXPS(x[i], r, r)
			g.or(t[i], r)
		}
	})
	g.pool("avgPool", true, func(v vec, m operand.Mem) { g.addMem(m, v) })
	g.maxPoolGrad()
}

// pool emits a poolKernel that reduces a window with add, which takes one more element. The reduction starts at zero
// and ends with a multiplication if it is a mean, else it starts with the first element.
func (g *generator) pool(name string, mean bool, add func(v vec, m operand.Mem)) {
	g.function(name, "func(px int, end int"+cornerArgs("x")+", y *float32, yps int"+windowArgs+", share float32)",
		"is a poolKernel.")
	x, y := g.corner("x"), g.param("y")
	g.eachVector(func(group reg.GPVirtual) {
		v := g.vector()
		if mean {
			g.zero(v)
		} else {
			g.load(operand.Mem{Base: x.at, Index: group, Scale: 1}, v)
		}
		g.window("x", x, group, func(m operand.Mem) { add(v, m) })
		if mean {
			share := g.broadcast("share")
			for i, r := range v {
				g.VMULPS(share[i], r, r)
			}
		}
		g.store(v, operand.Mem{Base: y, Index: group, Scale: 1})
	}, func() {
		g.ADDQ(g.arg("xws"), x.at)
		g.ADDQ(g.arg("yps"), y)
	})
	g.end()
}

// maxPoolGrad emits the gradient of maximum pooling: a first walk through a window finds the number of its first
// largest element, a second one adds the gradient to that element.
func (g *generator) maxPoolGrad() {
	g.function("maxPoolGrad",
		"func(px int, end int"+cornerArgs("x")+", d *float32, dps int"+cornerArgs("z")+windowArgs+")",
		"is a maxPoolGradKernel.")
	x, z, d := g.corner("x"), g.corner("z"), g.param("d")
	one := g.reg()
	g.VPBROADCASTD(operand.NewDataAddr(operand.NewStaticSymbol("bits"), 0), one)
	g.eachVector(func(group reg.GPVirtual) {
		best, place, number := g.vector(), g.vector(), g.vector()[:1]
		g.load(operand.Mem{Base: x.at, Index: group, Scale: 1}, best)
		g.zero(place)
		g.zero(number)
		g.window("x", x, group, func(m operand.Mem) {
			v := g.vector()
			g.load(m, v)
			for i := range v {
				g.whereGreater(v[i], best[i], number[0], place[i])
				g.VMAXPS(best[i], v[i], best[i])
			}
			g.VPADDD(one, number[0], number[0])
		})
		grad := g.vector()
		g.load(operand.Mem{Base: d, Index: group, Scale: 1}, grad)
		g.zero(number)
		g.window("z", z, group, func(m operand.Mem) {
			v := g.vector()
			g.load(m, v)
			for i := range v {
				g.addWhereEqual(place[i], number[0], grad[i], v[i])
			}
			g.store(v, m)
			g.VPADDD(one, number[0], number[0])
		})
	}, func() {
		g.ADDQ(g.arg("xws"), x.at)
		g.ADDQ(g.arg("zws"), z.at)
		g.ADDQ(g.arg("dps"), d)
	})
	g.end()
}

// or adds the bits of a to b.
func (g *generator) or(a, b reg.VecVirtual) {
	if g.avx512 {
		g.VPORD(a, b, b)
	} else {
		g.VORPS(a, b, b)
	}
}

// whereGreater copies the lanes of from to those of to where a is greater than b.
func (g *generator) whereGreater(a, b, from, to reg.VecVirtual) {
	if g.avx512 {
		k := g.K()
		g.VCMPPS(greater, b, a, k)
		g.VMOVDQA32(from, k, to)
		return
	}
	t := g.reg()
	g.VCMPPS(greater, b, a, t)
	g.VBLENDVPS(t, from, to, to)
}

// addWhereEqual adds from to those lanes of to where the integers a and b are equal.
func (g *generator) addWhereEqual(a, b, from, to reg.VecVirtual) {
	if g.avx512 {
		k := g.K()
		g.VPCMPEQD(a, b, k)
		g.VADDPS(from, to, k, to)
		return
	}
	t := g.reg()
	g.VPCMPEQD(a, b, t)
	g.VPAND(from, t, t)
	g.VADDPS(t, to, to)
}
