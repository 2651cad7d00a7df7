package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// winograd emits the stages of a convolution by F(2x2, 3x3), and the transform that its gradient by the weights needs
// besides.
func (g *generator) winograd() {
	g.winogradIn()
	g.winogradMultiply(g.conv[0])
	g.winogradOut(1)
	g.winogradOut(2)
	g.winogradGrad(1)
	g.winogradGrad(2)
}

// eachPart emits a stage once for each register of a vector of channels: the transforms need most registers for one.
func (g *generator) eachPart(emit func(part int)) {
	for i := range g.parts {
		emit(i)
	}
}

// label makes a name unique to a part.
func label(name string, part int) string { return fmt.Sprintf("%s%d", name, part) }

// fours addresses 16 vectors that lie a fixed distance apart: a base for every fourth, and two index registers.
type fours struct {
	bases     [4]reg.GPVirtual
	one, many reg.GPVirtual
}

// newFours takes the address of the first vector and the distance from arguments.
func (g *generator) newFours(base, distance string) *fours {
	x := &fours{one: g.param(distance), many: g.GP64()}
	x.bases[0] = g.param(base)
	for i := range 3 {
		x.bases[i+1] = g.GP64()
		g.LEAQ(operand.Mem{Base: x.bases[i], Index: x.one, Scale: 4}, x.bases[i+1])
	}
	g.LEAQ(operand.Mem{Base: x.one, Index: x.one, Scale: 2}, x.many)
	return x
}

// at is the place of vector 4i+j.
func (x *fours) at(i, j int) operand.Mem {
	m := operand.Mem{Base: x.bases[i]}
	switch j {
	case 1, 2:
		m.Index, m.Scale = x.one, uint8(j)
	case 3:
		m.Index, m.Scale = x.many, 1
	}
	return m
}

// winogradIn emits the transform of a row of tiles, B'dB. Neighbouring tiles share two columns, which stay in
// registers with their rows transformed.
func (g *generator) winogradIn() {
	g.function("winogradIn", "func(d0 *float32, d1 *float32, d2 *float32, d3 *float32, s0 int, s1 int, s2 int, s3 int, "+
		"cols int, v *float32, vts int, vfs int)", "is a winogradInKernel.")
	g.eachPart(func(part int) {
		var d [4]reg.GPVirtual
		for i := range d {
			d[i] = g.param(fmt.Sprint("d", i))
		}
		v, vts, cols := g.newFours("v", "vfs"), g.param("vts"), g.param("cols")
		x := g.reg()

		// column loads the next column of the tile and transforms its rows.
		column := func() [4]reg.VecVirtual {
			var c [4]reg.VecVirtual
			for i := range c {
				c[i] = g.reg()
				g.VMOVUPS(g.part(operand.Mem{Base: d[i]}, part), c[i])
				g.ADDQ(g.arg(fmt.Sprint("s", i)), d[i])
			}
			sum := g.reg()
			g.VSUBPS(c[2], c[0], c[0])
			g.VADDPS(c[1], c[2], sum)
			g.VSUBPS(c[3], c[1], c[3])
			g.VSUBPS(c[1], c[2], c[2])
			return [4]reg.VecVirtual{c[0], sum, c[2], c[3]}
		}
		store := func(i, j int) { g.VMOVUPS(x, g.part(v.at(i, j), part)) }
		first, second := column(), column()
		// third gives all of the transformed tile but its last column.
		third := func() {
			c := column()
			for i, t := range c {
				g.VSUBPS(t, first[i], x)
				store(i, 0)
				g.VADDPS(t, second[i], x)
				store(i, 1)
				g.VSUBPS(second[i], t, x)
				store(i, 2)
				g.VMOVAPS(t, first[i])
			}
		}
		g.SUBQ(operand.Imm(2), cols)
		g.JL(operand.LabelRef(label("rest", part)))
		g.Label(label("tile", part))
		third()
		for i, t := range column() {
			g.VSUBPS(t, second[i], x)
			store(i, 3)
			g.VMOVAPS(t, second[i])
		}
		for _, b := range v.bases {
			g.ADDQ(vts, b)
		}
		g.SUBQ(operand.Imm(2), cols)
		g.JGE(operand.LabelRef(label("tile", part)))
		g.Label(label("rest", part))
		g.ADDQ(operand.Imm(2), cols)
		g.JEQ(operand.LabelRef(label("end", part)))
		third()
		for i, t := range second {
			g.VMOVUPS(t, g.part(v.at(i, 3), part))
		}
		g.Label(label("end", part))
	})
	g.end()
}

// winogradMultiply emits the products of transformed tiles, p at a time, and transformed weights.
func (g *generator) winogradMultiply(p int) {
	g.function("winogradMultiply", "func(v *float32, ips int, ijump int, vbs int, vfs int, blocks int, u *float32, "+
		"uskip int, ic int, groups int, m *float32, mskip int)", "is a winogradMultiplyKernel.")
	tiles := g.newPixels(p)
	u, m, w, first, v := g.param("u"), g.param("m"), g.GP64(), g.param("v"), g.GP64()
	acc := make([]vec, p)
	for i := range acc {
		acc[i] = g.vector()
	}
	weights, x := []vec{g.vector()}, g.reg()
	group, block, frequency, c := g.GP64(), g.GP64(), g.GP64(), g.GP64()

	g.MOVQ(operand.U32(16), frequency)
	g.Label("frequency")
	g.Load(g.Param("groups"), group)
	g.Label("group")
	g.MOVQ(first, v)
	g.Load(g.Param("blocks"), block)
	g.Label("block")
	g.MOVQ(v, tiles.bases[0])
	tiles.spread()
	g.ADDQ(g.arg("vbs"), v)
	g.MOVQ(u, w)
	for _, a := range acc {
		g.zero(a)
	}
	g.Load(g.Param("ic"), c)
	channel := func(i int) {
		g.load(operand.Mem{Base: w, Disp: i * packed}, weights[0])
		for t := range p {
			g.multiplyAdd(tiles.at(t, i*4), weights, acc[t:t+1], x)
		}
	}
	g.channelLoop(c, w, tiles, channel)
	for t, a := range acc {
		g.store(a, operand.Mem{Base: m, Disp: t * g.bytes()})
	}
	g.ADDQ(operand.U32(uint32(p*g.bytes())), m)
	g.DECQ(block)
	g.JNE(operand.LabelRef("block"))
	g.MOVQ(w, u)
	g.DECQ(group)
	g.JNE(operand.LabelRef("group"))
	g.ADDQ(g.arg("vfs"), first)
	g.ADDQ(g.arg("uskip"), u)
	g.ADDQ(g.arg("mskip"), m)
	g.DECQ(frequency)
	g.JNE(operand.LabelRef("frequency"))
	g.end()
}

// winogradOut emits the transform of a row of tiles to one or two rows of output pixels, A'mA, with what a convolution
// does to its sums.
func (g *generator) winogradOut(rows int) {
	g.function(fmt.Sprint("winogradOut", rows), "func(m *float32, mts int, mfs int, cols int, out *float32, ops int, ors int, "+
		"bias *float32, res *float32, rps int, rrs int, low float32, high float32)", "is a winogradOutKernel.")
	g.eachPart(func(part int) {
		m, cols := g.newFours("m", "mfs"), g.param("cols")
		out, ops := g.param("out"), g.param("ops")
		res, rps := g.param("res"), g.param("rps")
		below, resBelow := g.param("ors"), g.param("rrs")
		g.ADDQ(out, below)
		g.ADDQ(res, resBelow)
		places, residuals := []reg.GPVirtual{out, below}[:rows], []reg.GPVirtual{res, resBelow}[:rows]
		bias, low, high := g.reg(), g.broadcast("low")[0], g.broadcast("high")[0]
		at := g.GP64()
		g.Load(g.Param("bias"), at)
		g.VMOVUPS(g.part(operand.Mem{Base: at}, part), bias)

		// tile gives width columns of output.
		tile := func(width int, done string) {
			y := g.inverse(m, part, rows, width)
			g.TESTQ(res, res)
			g.JEQ(operand.LabelRef(done))
			for r, row := range y {
				for i, v := range row {
					g.VADDPS(g.part(neighbour(residuals[r], rps, i), part), v, v)
				}
			}
			g.Label(done)
			for r, row := range y {
				for i, v := range row {
					g.VADDPS(bias, v, v)
					g.relu(low, vec{v})
					g.bound(high, vec{v})
					g.VMOVUPS(v, g.part(neighbour(places[r], ops, i), part))
				}
			}
		}
		g.SUBQ(operand.Imm(2), cols)
		g.JL(operand.LabelRef(label("rest", part)))
		g.Label(label("tile", part))
		tile(2, label("sum", part))
		for _, b := range m.bases {
			g.ADDQ(g.arg("mts"), b)
		}
		for r := range rows {
			g.LEAQ(operand.Mem{Base: places[r], Index: ops, Scale: 2}, places[r])
			g.LEAQ(operand.Mem{Base: residuals[r], Index: rps, Scale: 2}, residuals[r])
		}
		g.SUBQ(operand.Imm(2), cols)
		g.JGE(operand.LabelRef(label("tile", part)))
		g.Label(label("rest", part))
		g.ADDQ(operand.Imm(2), cols)
		g.JEQ(operand.LabelRef(label("end", part)))
		tile(1, label("lastsum", part))
		g.Label(label("end", part))
	})
	g.end()
}

// neighbour is the pixel at p, or the one behind it.
func neighbour(p, distance reg.GPVirtual, i int) operand.Mem {
	if i == 0 {
		return operand.Mem{Base: p}
	}
	return operand.Mem{Base: p, Index: distance, Scale: 1}
}

// inverse emits the transform of one tile, down each column and then along the rows, to some rows and columns of
// output.
func (g *generator) inverse(m *fours, part, rows, width int) [][]reg.VecVirtual {
	y := make([][]reg.VecVirtual, rows)
	for j := range width + 2 {
		for r, t := range g.inverseColumn(m, part, j, rows) {
			if j == 0 {
				y[r] = append(y[r], t)
				continue
			}
			if j < 3 {
				g.VADDPS(t, y[r][0], y[r][0])
			}
			switch {
			case width == 1:
			case j == 1:
				y[r] = append(y[r], t)
			default:
				g.VSUBPS(t, y[r][1], y[r][1])
			}
		}
	}
	return y
}

// inverseColumn emits the sums down column j.
func (g *generator) inverseColumn(m *fours, part, j, rows int) []reg.VecVirtual {
	one, two := g.reg(), g.reg()
	g.VMOVUPS(g.part(m.at(1, j), part), one)
	g.VMOVUPS(g.part(m.at(2, j), part), two)
	sum := g.reg()
	g.VADDPS(one, two, sum)
	g.VADDPS(g.part(m.at(0, j), part), sum, sum)
	if rows == 1 {
		return []reg.VecVirtual{sum}
	}
	g.VSUBPS(two, one, one)
	g.VSUBPS(g.part(m.at(3, j), part), one, one)
	return []reg.VecVirtual{sum, one}
}

// winogradGrad emits the transform of a row of tiles of one or two rows of pixels, A d A'.
func (g *generator) winogradGrad(rows int) {
	g.function(fmt.Sprint("winogradGrad", rows),
		"func(d *float32, dps int, drs int, cols int, m *float32, mts int, mfs int)", "is a winogradGradKernel.")
	g.eachPart(func(part int) {
		m, mts := g.newFours("m", "mfs"), g.param("mts")
		d, dps, below, cols := g.param("d"), g.param("dps"), g.param("drs"), g.param("cols")
		g.ADDQ(d, below)
		places := []reg.GPVirtual{d, below}[:rows]
		zero := g.reg()
		g.zero(vec{zero})
		// spread gives x, x+y, x-y, -y.
		spread := func(x, y reg.VecVirtual) [4]reg.VecVirtual {
			sum, difference, minus := g.reg(), g.reg(), g.reg()
			g.VADDPS(x, y, sum)
			g.VSUBPS(y, x, difference)
			g.VSUBPS(y, zero, minus)
			return [4]reg.VecVirtual{x, sum, difference, minus}
		}
		column := func(i int) [4]reg.VecVirtual {
			var x [2]reg.VecVirtual
			for r, p := range places {
				x[r] = g.reg()
				g.VMOVUPS(g.part(neighbour(p, dps, i), part), x[r])
			}
			if rows == 1 {
				return [4]reg.VecVirtual{x[0], x[0], x[0], zero}
			}
			return spread(x[0], x[1])
		}
		store := func(v [4]reg.VecVirtual, i int) {
			for j, r := range v {
				g.VMOVUPS(r, g.part(m.at(i, j), part))
			}
		}
		g.SUBQ(operand.Imm(2), cols)
		g.JL(operand.LabelRef(label("rest", part)))
		g.Label(label("tile", part))
		first, second := column(0), column(1)
		for i := range first {
			store(spread(first[i], second[i]), i)
		}
		for _, b := range m.bases {
			g.ADDQ(mts, b)
		}
		for _, p := range places {
			g.LEAQ(operand.Mem{Base: p, Index: dps, Scale: 2}, p)
		}
		g.SUBQ(operand.Imm(2), cols)
		g.JGE(operand.LabelRef(label("tile", part)))
		g.Label(label("rest", part))
		g.ADDQ(operand.Imm(2), cols)
		g.JEQ(operand.LabelRef(label("end", part)))
		for i, x := range column(0) {
			store([4]reg.VecVirtual{x, x, x, zero}, i)
		}
		g.Label(label("end", part))
	})
	g.end()
}
