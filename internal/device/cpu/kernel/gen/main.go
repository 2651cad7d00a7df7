// Command gen writes the assembly kernels of package kernel and their Go declarations:
//
//	go run . FOLDER
//
// puts kernels_amd64.s and kernels_amd64.go into FOLDER.
package main

import (
	"bytes"
	"fmt"
	"go/format"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
	"github.com/mmcloughlin/avo/reg"
)

// isa is an instruction set and the vectors of channels that its kernels work on: whole ones of 16, or halves of 8. A
// vector takes parts registers.
type isa struct {
	name   string
	half   string // the set of its halves, or none
	avx512 bool
	lanes  int
	parts  int
	reg    func() reg.VecVirtual

	conv  []int // conv[o-1]: most pixels of a convolution tile with o vectors of output channels
	wgrad []int // wgrad[o-1]: most input channels of a weight gradient tile with o vectors
	depth int   // most pixels of a depthwise convolution tile
	ways  int   // sums of neighbouring pixels that overlap; the same for whole vectors and halves, which sum alike
	peak  int   // independent accumulators of the throughput loop
}

// packed is the size in bytes of 16 packed weights, of which a half reads or writes 8.
const packed = 64

// bytes is the size of a vector.
func (s isa) bytes() int { return 4 * s.lanes }

// isHalf tells whether its vectors are halves.
func (s isa) isHalf() bool { return s.bytes() < packed }

// generator emits the kernels of one instruction set.
type generator struct {
	*build.Context
	isa
}

// vec is a vector of channels in registers.
type vec []reg.VecVirtual

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: gen FOLDER")
	}
	ctx := build.NewContext()
	ctx.ConstraintExpr("amd64")
	constants(ctx)
	sets := []isa{
		{"AVX512", "nil", true, 16, 1, ctx.ZMM, []int{16, 14}, []int{24, 12}, 14, 4, 16},
		{"AVX2", "avx2Half", false, 16, 2, ctx.YMM, []int{6}, []int{6}, 6, 2, 12},
		{"AVX2Half", "nil", false, 8, 1, ctx.YMM, []int{12}, []int{12}, 12, 2, 0},
	}
	for _, set := range sets {
		g := &generator{ctx, set}
		for o, most := range g.conv {
			for p := range most {
				g.convolution(p+1, o+1)
			}
		}
		for o, most := range g.wgrad {
			for i := range most {
				g.weightGradient(i+1, o+1)
			}
		}
		g.winograd()
		for p := range g.depth {
			g.depthwise(p + 1)
		}
		for n := range depthwiseTaps {
			g.depthwiseGrad(n + 1)
		}
		g.elementwise()
		g.pooling()
		if !g.isHalf() {
			g.throughput()
		}
	}
	if err := write(ctx, sets, os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

// write compiles the functions and writes both files.
func write(ctx *build.Context, sets []isa, folder string) error {
	file, err := ctx.Result()
	if err != nil {
		return err
	}
	if err := pass.Compile.Execute(file); err != nil {
		return err
	}
	cfg := printer.Config{Name: "gen", Pkg: "kernel"}
	asm, err := printer.NewGoAsm(cfg).Print(file)
	if err != nil {
		return err
	}
	stubs, err := printer.NewStubs(cfg).Print(file)
	if err != nil {
		return err
	}
	code, err := format.Source(append(stubs, tables(sets)...))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "kernels_amd64.s"), asm, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "kernels_amd64.go"), code, 0o644)
}

// tables returns Go code that lists the tile kernels by size, and the sets of all kernels.
func tables(sets []isa) []byte {
	var b bytes.Buffer
	list := func(name, suffix string, most []int) {
		fmt.Fprintf(&b, "\nvar %s%s = [][]%sKernel{\n", name, suffix, name)
		for o, n := range most {
			b.WriteString("{")
			for i := range n {
				fmt.Fprintf(&b, "%s%dx%d%s,", name, i+1, o+1, suffix)
				if i%6 == 5 && i+1 < n {
					b.WriteString("\n")
				}
			}
			b.WriteString("},\n")
		}
		b.WriteString("}\n")
	}
	row := func(name, suffix string, most int) {
		fmt.Fprintf(&b, "\nvar %s%s = []%sKernel{\n", name, suffix, name)
		for i := range most {
			fmt.Fprintf(&b, "%s%d%s,\n", name, i+1, suffix)
		}
		b.WriteString("}\n")
	}
	for _, s := range sets {
		list("conv", s.name, s.conv)
		list("wgrad", s.name, s.wgrad)
		row("depthwise", s.name, s.depth)
		row("depthwiseGrad", s.name, depthwiseTaps)
		b.WriteString(s.set())
	}
	return b.Bytes()
}

// set returns Go code that makes a Set of the kernels. One of halves has neither what works on arrays that have no
// channels nor what measures.
func (s isa) set() string {
	variable := strings.ToLower(s.name[:3]) + s.name[3:]
	text := `
var VARIABLE = &Set{
	Name:     "NAME",
	Channels: LANES,
	half:     HALF,

	conv:  convISA,
	wgrad: wgradISA,

	winogradIn:       winogradInISA,
	winogradMultiply: winogradMultiplyISA,
	winogradOut:      [2]winogradOutKernel{winogradOut1ISA, winogradOut2ISA},
	winogradGrad:     [2]winogradGradKernel{winogradGrad1ISA, winogradGrad2ISA},

	stats: statsISA,
	apply: [2][5]applyKernel{
		{applyLinearISA, applyReLUISA, applyMaskISA, applyReLU6ISA, applyMask6ISA},
		{applyLinearResidualISA, applyReLUResidualISA, applyMaskResidualISA, applyReLU6ResidualISA, applyMask6ResidualISA},
	},
	backStats: [2][2]backStatsKernel{
		{backStatsISA, backStatsMaskISA},
		{backStatsResidualISA, backStatsMaskResidualISA},
	},
	backApply: backApplyISA,
	addScaled: addScaledISA,
	dot:       dotISA,

	depthwise:     depthwiseISA,
	depthwiseGrad: depthwiseGradISA,
	maxPool:       maxPoolISA,
	avgPool:       avgPoolISA,
	maxPoolGrad:   maxPoolGradISA,
`
	if !s.isHalf() {
		text += `
	sgd:       sgdISA,
	peak:      peakISA,
	peakFLOPs: FLOPS,
`
	}
	return strings.NewReplacer("VARIABLE", variable, "NAME", strings.ToLower(s.name), "LANES", fmt.Sprint(s.lanes),
		"HALF", s.half, "ISA", s.name, "FLOPS", fmt.Sprint(2*s.peak*s.lanes/s.parts)).Replace(text) + "}\n"
}

// function starts a kernel.
func (g *generator) function(name, signature, doc string) {
	g.Function(name + g.name)
	g.Pragma("noescape")
	g.Attributes(attr.NOSPLIT)
	g.SignatureExpr(signature)
	g.Doc(name + g.name + " " + doc)
}

// end finishes a kernel.
func (g *generator) end() {
	g.VZEROUPPER()
	g.RET()
}

// param loads an integer or pointer argument.
func (g *generator) param(name string) reg.GPVirtual {
	r := g.GP64()
	g.Load(g.Param(name), r)
	return r
}

// arg is the place of an argument in memory.
func (g *generator) arg(name string) operand.Mem {
	b, err := g.Param(name).Resolve()
	if err != nil {
		log.Fatal(err)
	}
	return b.Addr
}

// vector allocates a vector.
func (g *generator) vector() vec {
	v := make(vec, g.parts)
	for i := range v {
		v[i] = g.reg()
	}
	return v
}

// part is the i-th register's share of the vector at m.
func (g *generator) part(m operand.Mem, i int) operand.Mem {
	m.Disp += i * g.bytes() / g.parts
	return m
}

func (g *generator) zero(v vec) {
	for _, r := range v {
		if g.avx512 {
			g.VPXORD(r, r, r)
		} else {
			g.VXORPS(r, r, r)
		}
	}
}

func (g *generator) load(m operand.Mem, v vec) {
	for i, r := range v {
		g.VMOVUPS(g.part(m, i), r)
	}
}

func (g *generator) store(v vec, m operand.Mem) {
	for i, r := range v {
		g.VMOVUPS(r, g.part(m, i))
	}
}

// addMem adds the vector at m to v.
func (g *generator) addMem(m operand.Mem, v vec) {
	for i, r := range v {
		g.VADDPS(g.part(m, i), r, r)
	}
}

// relu clears what is not above zero in v; a NaN stays, because VMAXPS returns its last source when one is a NaN.
func (g *generator) relu(zero reg.VecVirtual, v vec) {
	for _, r := range v {
		g.VMAXPS(r, zero, r)
	}
}

// bound lowers to high what is above it in v; a NaN stays, as in relu.
func (g *generator) bound(high reg.VecVirtual, v vec) {
	for _, r := range v {
		g.VMINPS(r, high, r)
	}
}

// clamp brings vectors between the arguments low and high.
func (g *generator) clamp(vectors []vec) {
	low, high := g.broadcast("low")[0], g.broadcast("high")[0]
	for _, v := range vectors {
		g.relu(low, v)
		g.bound(high, v)
	}
}

// broadcast fills a vector with one float32 argument.
func (g *generator) broadcast(name string) vec {
	r := g.reg()
	g.VBROADCASTSS(g.arg(name), r)
	v := make(vec, g.parts)
	for i := range v {
		v[i] = r
	}
	return v
}
