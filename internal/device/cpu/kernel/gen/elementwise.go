package main

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Comparison predicates that are true for a NaN.
const (
	notLessEqual    = operand.U8(0x16)
	notGreaterEqual = operand.U8(0x19)
)

// constants emits bits, which holds bit c in lane c, and six, one float32.
func constants(ctx *build.Context) {
	ctx.StaticGlobal("bits")
	ctx.DataAttributes(attr.RODATA | attr.NOPTR)
	for c := range 16 {
		ctx.AppendDatum(operand.U32(1 << c))
	}
	ctx.StaticGlobal("six")
	ctx.DataAttributes(attr.RODATA | attr.NOPTR)
	ctx.AppendDatum(operand.U32(math.Float32bits(6)))
}

// stream is an operand of a walk over rows of pixels: at points at the vector of the current pixel, step is the
// distance to the next, and the argument skip what is added at the end of a row. A late stream stays at the first
// pixel of a group until the group is done.
type stream struct {
	at, step reg.GPVirtual
	skip     operand.Mem
	late     bool
}

// stream returns the stream of the arguments NAME, NAMEps and NAMEskip.
func (g *generator) stream(name string) stream {
	return stream{at: g.param(name), step: g.param(name + "ps"), skip: g.arg(name + "skip")}
}

// here is the vector of the current pixel, or of the one behind it if odd.
func (s stream) here(odd bool) operand.Mem {
	if odd {
		return operand.Mem{Base: s.at, Index: s.step, Scale: 1}
	}
	return operand.Mem{Base: s.at}
}

// advance moves a stream on by one or two pixels.
func (g *generator) advance(s stream, pixels int) {
	if pixels == 2 {
		g.LEAQ(operand.Mem{Base: s.at, Index: s.step, Scale: 2}, s.at)
	} else {
		g.ADDQ(s.step, s.at)
	}
}

// walk emits the loops over rows and pixels, in groups of four pixels and then of one. The number of the pixel in its
// group tells body which accumulators to use; odd is what it passes to here. After each group of n pixels comes after,
// which moves the late streams, if there are any.
func (g *generator) walk(streams []stream, body func(u int, odd bool), after func(n int)) {
	advance := func(pixels int) {
		for _, s := range streams {
			if !s.late {
				g.advance(s, pixels)
			}
		}
	}
	rows, px := g.param("rows"), g.GP64()
	g.Label("row")
	g.Load(g.Param("px"), px)
	g.SUBQ(operand.Imm(4), px)
	g.JL(operand.LabelRef("rest"))
	g.Label("four")
	for u := range 4 {
		body(u, u%2 == 1)
		if u%2 == 1 {
			advance(2)
		}
	}
	if after != nil {
		after(4)
	}
	g.SUBQ(operand.Imm(4), px)
	g.JGE(operand.LabelRef("four"))
	g.Label("rest")
	g.ADDQ(operand.Imm(4), px)
	g.JEQ(operand.LabelRef("rowend"))
	g.Label("one")
	body(0, false)
	advance(1)
	if after != nil {
		after(1)
	}
	g.DECQ(px)
	g.JNE(operand.LabelRef("one"))
	g.Label("rowend")
	for _, s := range streams {
		g.ADDQ(s.skip, s.at)
	}
	g.DECQ(rows)
	g.JNE(operand.LabelRef("row"))
}

const (
	sizeArgs = "rows int, px int"
	maskArgs = ", m *uint8, mps int, mskip int"
)

// planeArgs declares the arguments of a stream of float32 vectors.
func planeArgs(name string) string {
	return ", " + name + " *float32, " + name + "ps int, " + name + "skip int"
}

func (g *generator) elementwise() {
	g.stats()
	for _, residual := range []bool{false, true} {
		for mode := range applyModes {
			g.apply(residual, mode)
		}
	}
	for _, dr := range []bool{false, true} {
		for _, masked := range []bool{false, true} {
			g.backStats(dr, masked)
		}
	}
	g.backApply()
	g.addScaled()
	g.dot()
	if !g.isHalf() {
		g.sgd()
	}
}

// sums is a pair of sums over pixels, kept in several registers each so that their latencies overlap.
type sums struct{ a, b [4]vec }

func (g *generator) newSums(ways int) *sums {
	var s sums
	for i := range 4 {
		if i < ways {
			s.a[i], s.b[i] = g.vector(), g.vector()
			g.zero(s.a[i])
			g.zero(s.b[i])
		} else {
			s.a[i], s.b[i] = s.a[i%ways], s.b[i%ways]
		}
	}
	return &s
}

// addTo adds the sums to the float64 accumulators that the arguments point at.
func (g *generator) addTo(s *sums, ways int, a, b string) {
	for ; ways > 1; ways /= 2 {
		for i := range ways / 2 {
			for j := range s.a[i] {
				g.VADDPS(s.a[i+ways/2][j], s.a[i][j], s.a[i][j])
				g.VADDPS(s.b[i+ways/2][j], s.b[i][j], s.b[i][j])
			}
		}
	}
	g.addFloat64(s.a[0], g.param(a))
	g.addFloat64(s.b[0], g.param(b))
}

func (g *generator) addFloat64(v vec, to reg.GPVirtual) {
	for i, r := range v {
		for half := range 2 {
			m := operand.Mem{Base: to, Disp: (2*i + half) * g.bytes() / g.parts}
			wide := g.reg()
			if g.avx512 {
				narrow := g.YMM()
				g.VEXTRACTF64X4(operand.U8(half), r, narrow)
				g.VCVTPS2PD(narrow, wide)
			} else {
				narrow := g.XMM()
				g.VEXTRACTF128(operand.U8(half), r, narrow)
				g.VCVTPS2PD(narrow, wide)
			}
			g.VADDPD(m, wide, wide)
			g.VMOVUPD(wide, m)
		}
	}
}

func (g *generator) stats() {
	g.function("stats", "func("+sizeArgs+planeArgs("y")+", ref *float32, s1 *float64, s2 *float64)",
		"is a statsKernel.")
	y := g.stream("y")
	ref := g.vector()
	g.load(operand.Mem{Base: g.param("ref")}, ref)
	ways := g.ways
	s := g.newSums(ways)
	g.walk([]stream{y}, func(u int, odd bool) {
		for i := range ref {
			d := g.reg()
			g.VMOVUPS(g.part(y.here(odd), i), d)
			g.VSUBPS(ref[i], d, d)
			g.VADDPS(d, s.a[u][i], s.a[u][i])
			g.VFMADD231PS(d, d, s.b[u][i])
		}
	}, nil)
	g.addTo(s, ways, "s1", "s2")
	g.end()
}

// applyModes are the forms of apply: linear, rectified without and with mask, and both with the upper bound 6.
var applyModes = []struct {
	name                     string
	rectified, masked, bound bool
}{
	{"Linear", false, false, false},
	{"ReLU", true, false, false},
	{"Mask", true, true, false},
	{"ReLU6", true, false, true},
	{"Mask6", true, true, true},
}

// apply emits one form of apply.
func (g *generator) apply(residual bool, mode int) {
	form := applyModes[mode]
	name := "apply" + form.name
	if residual {
		name += "Residual"
	}
	g.function(name, "func("+sizeArgs+planeArgs("y")+planeArgs("a")+planeArgs("r")+maskArgs+
		", scale *float32, shift *float32)", "is an applyKernel.")
	y, a := g.stream("y"), g.stream("a")
	streams := []stream{y, a}
	var r, m stream
	if residual {
		r = g.stream("r")
		streams = append(streams, r)
	}
	if form.masked {
		m = g.stream("m")
		m.late = true
		streams = append(streams, m)
	}
	scale, shift := g.vector(), g.vector()
	g.load(operand.Mem{Base: g.param("scale")}, scale)
	g.load(operand.Mem{Base: g.param("shift")}, shift)
	zero := g.vector()[:1]
	g.zero(zero)
	var six reg.VecVirtual
	if form.bound {
		six = g.reg()
		g.VBROADCASTSS(operand.NewDataAddr(operand.NewStaticSymbol("six"), 0), six)
	}
	var masks [4]reg.Register
	body := func(u int, odd bool) {
		v := g.vector()
		g.load(y.here(odd), v)
		for i := range v {
			g.VFMADD213PS(shift[i], scale[i], v[i])
		}
		if residual {
			g.addMem(r.here(odd), v)
		}
		if form.masked {
			masks[u] = g.between(zero[0], six, v)
		}
		if form.rectified {
			g.relu(zero[0], v)
		}
		if form.bound {
			g.bound(six, v)
		}
		g.store(v, a.here(odd))
	}
	var after func(n int)
	if form.masked {
		// Masks are stored by fours: a store between two to a halves the rate at which those go to the second level cache.
		after = func(n int) {
			for u := range n {
				g.storeMask(masks[u], m.here(u%2 == 1))
				if u%2 == 1 || n == 1 {
					g.advance(m, min(n, 2))
				}
			}
		}
	}
	g.walk(streams, body, after)
	g.end()
}

// between returns a register with a bit for every channel that is above low, and below high if that is there, or a NaN.
func (g *generator) between(low, high reg.VecVirtual, v vec) reg.Register {
	if g.avx512 {
		k := g.K()
		g.VCMPPS(notLessEqual, low, v[0], k)
		if high != nil {
			below := g.K()
			g.VCMPPS(notGreaterEqual, high, v[0], below)
			g.KANDW(below, k, k)
		}
		return k
	}
	half := make([]reg.GPVirtual, len(v))
	for i, r := range v {
		t := g.reg()
		half[i] = g.GP32()
		g.VCMPPS(notLessEqual, low, r, t)
		if high != nil {
			below := g.reg()
			g.VCMPPS(notGreaterEqual, high, r, below)
			g.VANDPS(below, t, t)
		}
		g.VMOVMSKPS(t, half[i])
	}
	if len(half) == 1 {
		return half[0].As8()
	}
	g.SHLL(operand.Imm(8), half[1])
	g.ORL(half[1], half[0])
	return half[0].As16()
}

func (g *generator) storeMask(mask reg.Register, m operand.Mem) {
	switch {
	case g.avx512:
		g.KMOVW(mask, m)
	case g.isHalf():
		g.MOVB(mask, m)
	default:
		g.MOVW(mask, m)
	}
}

// keep clears the channels of v whose bit in the mask at m is clear.
func (g *generator) keep(m operand.Mem, lane []reg.VecVirtual, v vec) {
	if g.avx512 {
		k := g.K()
		g.KMOVW(m, k)
		g.VMOVAPS_Z(v[0], k, v[0])
		return
	}
	word := g.reg()
	if g.isHalf() {
		g.VPBROADCASTB(m, word)
	} else {
		g.VPBROADCASTW(m, word)
	}
	for i, r := range v {
		t := g.reg()
		g.VPAND(lane[i], word, t)
		g.VPCMPEQD(lane[i], t, t)
		g.VANDPS(t, r, r)
	}
}

func (g *generator) backStats(residual, masked bool) {
	name := "backStats"
	if masked {
		name += "Mask"
	}
	if residual {
		name += "Residual"
	}
	g.function(name, "func("+sizeArgs+planeArgs("d")+planeArgs("r")+maskArgs+planeArgs("y")+planeArgs("z")+
		", mean *float32, s1 *float64, s2 *float64)", "is a backStatsKernel.")
	d, y, z := g.stream("d"), g.stream("y"), g.stream("z")
	streams := []stream{d, y, z}
	var r, m stream
	var lane []reg.VecVirtual
	if residual {
		r = g.stream("r")
		streams = append(streams, r)
	}
	if masked {
		m = g.stream("m")
		streams = append(streams, m)
		if !g.avx512 {
			lane = g.vector()
			g.load(operand.NewDataAddr(operand.NewStaticSymbol("bits"), 0), lane)
		}
	}
	mean := g.vector()
	g.load(operand.Mem{Base: g.param("mean")}, mean)
	ways := g.ways
	s := g.newSums(ways)
	g.walk(streams, func(u int, odd bool) {
		v := g.vector()
		g.load(d.here(odd), v)
		if residual {
			g.addMem(r.here(odd), v)
		}
		if masked {
			g.keep(m.here(odd), lane, v)
		}
		g.store(v, z.here(odd))
		for i := range v {
			c := g.reg()
			g.VMOVUPS(g.part(y.here(odd), i), c)
			g.VSUBPS(mean[i], c, c)
			g.VADDPS(v[i], s.a[u][i], s.a[u][i])
			g.VFMADD231PS(c, v[i], s.b[u][i])
		}
	}, nil)
	g.addTo(s, ways, "s1", "s2")
	g.end()
}

func (g *generator) backApply() {
	g.function("backApply", "func("+sizeArgs+planeArgs("z")+planeArgs("y")+planeArgs("d")+
		", k1 *float32, k2 *float32, k3 *float32)", "is a backApplyKernel.")
	z, y, d := g.stream("z"), g.stream("y"), g.stream("d")
	k1, k2, k3 := g.vector(), g.vector(), g.vector()
	g.load(operand.Mem{Base: g.param("k1")}, k1)
	g.load(operand.Mem{Base: g.param("k2")}, k2)
	g.load(operand.Mem{Base: g.param("k3")}, k3)
	g.walk([]stream{z, y, d}, func(_ int, odd bool) {
		v := g.vector()
		g.load(y.here(odd), v)
		for i := range v {
			g.VFMADD213PS(k3[i], k2[i], v[i])
			g.VFMADD231PS(g.part(z.here(odd), i), k1[i], v[i])
		}
		g.store(v, d.here(odd))
	}, nil)
	g.end()
}

func (g *generator) dot() {
	g.function("dot", "func("+sizeArgs+planeArgs("x")+planeArgs("d")+", sum *float64)", "is a dotKernel.")
	x, d := g.stream("x"), g.stream("d")
	var acc [4]vec
	for i := range acc {
		acc[i] = g.vector()
		g.zero(acc[i])
	}
	g.walk([]stream{x, d}, func(u int, odd bool) {
		v := g.vector()
		g.load(x.here(odd), v)
		for i := range v {
			g.VFMADD231PS(g.part(d.here(odd), i), v[i], acc[u][i])
		}
	}, nil)
	for i := range acc[0] {
		g.VADDPS(acc[1][i], acc[0][i], acc[0][i])
		g.VADDPS(acc[3][i], acc[2][i], acc[2][i])
		g.VADDPS(acc[2][i], acc[0][i], acc[0][i])
	}
	g.addFloat64(acc[0], g.param("sum"))
	g.end()
}

func (g *generator) addScaled() {
	g.function("addScaled", "func("+sizeArgs+planeArgs("d")+planeArgs("s")+", alpha float32)",
		"is an addScaledKernel.")
	d, s := g.stream("d"), g.stream("s")
	alpha := g.broadcast("alpha")
	g.walk([]stream{d, s}, func(_ int, odd bool) {
		v := g.vector()
		g.load(d.here(odd), v)
		for i := range v {
			g.VFMADD231PS(g.part(s.here(odd), i), alpha[i], v[i])
		}
		g.store(v, d.here(odd))
	}, nil)
	g.end()
}

func (g *generator) sgd() {
	g.function("sgd", "func(n int, w *float32, v *float32, dw *float32, lr float32, momentum float32, decay float32)",
		"is an sgdKernel.")
	n, w, v, dw := g.param("n"), g.param("w"), g.param("v"), g.param("dw")
	lr, momentum, decay := g.broadcast("lr"), g.broadcast("momentum"), g.broadcast("decay")
	weight, speed := g.vector(), g.vector()
	g.Label("loop")
	g.load(operand.Mem{Base: w}, weight)
	g.load(operand.Mem{Base: dw}, speed)
	for i := range speed {
		g.VFMADD231PS(weight[i], decay[i], speed[i])
		g.VFMADD231PS(g.part(operand.Mem{Base: v}, i), momentum[i], speed[i])
		g.VFNMADD231PS(speed[i], lr[i], weight[i])
	}
	g.store(speed, operand.Mem{Base: v})
	g.store(weight, operand.Mem{Base: w})
	for _, p := range []reg.GPVirtual{w, v, dw} {
		g.ADDQ(operand.Imm(64), p)
	}
	g.DECQ(n)
	g.JNE(operand.LabelRef("loop"))
	g.end()
}
