package vm_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"netadjust/internal/device/cpu"
	"netadjust/internal/device/cpu/kernel"
	"netadjust/internal/ops"
)

// randomBlocks builds a network of 2 to 9 random operations, each on the map that the one before gave, and some on an
// earlier one besides: values that are needed several times, and neighbours that no known network has.
func randomBlocks(t *testing.T, seed uint64) *blocks {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 6))
	b := &blocks{t: t, g: gorgonia.NewGraph(), r: r, training: r.IntN(3) > 0, values: ops.Values{}}
	const most = 3000 // elements of a map
	batch, channels := 1+r.IntN(9), 1+r.IntN(40)
	height := 1 + r.IntN(min(20, most/(batch*channels)))
	width := 1 + r.IntN(min(20, most/(batch*channels*height)))
	layers := 2 + r.IntN(8)
	b.rates = b.leaf("rates", func() float64 { return dropped }, layers)
	b.samples, b.key = b.words("samples", batch), b.words("key", 3)
	maps := gorgonia.Nodes{b.leaf("images", r.NormFloat64, batch, channels, height, width)}
	for i := range layers {
		maps = append(maps, b.random(i, maps))
	}
	logits := b.linear("classifier", b.apply(ops.GlobalAvgPool{}, maps[len(maps)-1]), 2+r.IntN(9))
	b.classify(logits)
	return b
}

// random applies an operation to the last map.
func (b *blocks) random(layer int, maps gorgonia.Nodes) *gorgonia.Node {
	name := fmt.Sprint("layer", layer)
	x := maps[len(maps)-1]
	s := x.Shape()
	alike := func(dims ...int) gorgonia.Nodes { // earlier maps that agree in these dimensions
		return slices.DeleteFunc(slices.Clone(maps[:len(maps)-1]), func(n *gorgonia.Node) bool {
			return slices.ContainsFunc(dims, func(d int) bool { return n.Shape()[d] != s[d] })
		})
	}
	kernel := []int{1, 3, 5}[b.r.IntN(3)]
	stride := 1 + b.r.IntN(2)*b.r.IntN(2)
	switch b.r.IntN(14) {
	case 0, 1:
		channels := s[1]
		if b.r.IntN(2) == 0 {
			channels = 1 + b.r.IntN(40)
		}
		fanIn := float64(s[1] * kernel * kernel)
		return b.apply(ops.Conv2D{Stride: stride, Pad: kernel / 2}, x,
			b.param(name, 1/math.Sqrt(fanIn), 0, channels, s[1], kernel, kernel))
	case 2:
		return b.depthwise(name, x, kernel, stride)
	case 3, 4:
		return b.norm(name, x)
	case 5, 6:
		return b.apply(ops.ReLU{}, x)
	case 7:
		return b.apply(ops.ReLU6{}, x)
	case 8:
		return b.drop(x, layer)
	case 9:
		return b.squeeze(name, x, 1+b.r.IntN(9))
	case 10:
		return b.apply(ops.MaxPool{Window: ops.Window{Size: kernel, Stride: min(stride, kernel), Pad: kernel / 2}}, x)
	case 11:
		return b.apply(ops.AvgPool{Window: ops.Window{Size: 2, Stride: 2}}, x)
	case 12:
		if others := alike(2, 3); len(others) > 0 && s[1] <= 40 {
			return b.apply(ops.Concat{Maps: 2}, x, others[b.r.IntN(len(others))])
		}
		return b.apply(ops.ChannelWindow{Count: max(1, s[1]+b.r.IntN(7)-3)}, x)
	default:
		if others := alike(1, 2, 3); len(others) > 0 {
			return b.apply(ops.Add{}, others[b.r.IntN(len(others))], x)
		}
		return b.norm(name, x)
	}
}

// edge tells whether an operation that the gradient jumps at stands within a few times the rounding errors of such a
// place: where a rectifier begins or ends, or where two elements compete for a maximum.
func (b *blocks) edge(exact, rounded ops.Values) bool {
	for _, n := range b.g.AllNodes() {
		o, ok := n.Op().(ops.Op)
		if !ok {
			continue
		}
		var distances []float64
		x := b.operand(n)
		v := floats(exact[x])
		switch k := o.Kind.(type) {
		case ops.ReLU, ops.RowReLU:
			for _, e := range v {
				distances = append(distances, math.Abs(e))
			}
		case ops.ReLU6:
			for _, e := range v {
				distances = append(distances, math.Abs(e), math.Abs(e-6))
			}
		case ops.MaxPool:
			distances = leads(k.Window, x.Shape(), n.Shape(), v)
		default:
			continue
		}
		var largest, rounding float64
		for i, e := range v {
			largest = max(largest, math.Abs(e))
			rounding = max(rounding, math.Abs(e-float64(rounded[x].Data().([]float32)[i])))
		}
		for _, d := range distances {
			if d != 0 && d < 30*max(rounding, 1e-7*largest) { // a distance of exactly 0 is one of any arithmetic
				return true
			}
		}
	}
	return false
}

func (b *blocks) operand(n *gorgonia.Node) *gorgonia.Node {
	it := b.g.From(n.ID())
	it.Next()
	return it.Node().(*gorgonia.Node)
}

// leads lists by how much the maximum of each window exceeds the next element.
func leads(k ops.Window, x, y tensor.Shape, v []float64) []float64 {
	var list []float64
	for p := range y[0] * y[1] {
		for r := range y[2] {
			for s := range y[3] {
				h0, h1 := k.Bounds(r, x[2])
				w0, w1 := k.Bounds(s, x[3])
				first, second := math.Inf(-1), math.Inf(-1)
				for h := h0; h < h1; h++ {
					for w := w0; w < w1; w++ {
						e := v[(p*x[2]+h)*x[3]+w]
						first, second = max(first, e), max(second, min(first, e))
					}
				}
				list = append(list, first-second)
			}
		}
	}
	return list
}

// rounded evaluates the graph with the result of every operation rounded to float32.
func (b *blocks) rounded() ops.Values {
	b.t.Helper()
	known := ops.Values{}
	for n, v := range b.values {
		known[n] = v
		if wide, ok := v.Data().([]float64); ok {
			narrow := make([]float32, len(wide))
			for i, e := range wide {
				narrow[i] = float32(e)
			}
			known[n] = tensor.New(tensor.WithShape(v.Shape()...), tensor.WithBacking(narrow))
		}
	}
	if err := ops.Evaluate(b.g, known); err != nil {
		b.t.Fatal(err)
	}
	return known
}

// checkDropped compares dropout layer by layer with runs in which all other rates are zero, bit by bit.
func (b *blocks) checkDropped(what string) {
	b.t.Helper()
	const repeats = 2
	m := b.compile(2)
	if err := m.RunDropped(repeats); err != nil {
		b.t.Fatal(err)
	}
	rates, key := b.values[b.rates].Data().([]float64), b.values[b.key].Data().([]uint32)
	all, third := slices.Clone(rates), key[2]
	for _, n := range b.g.AllNodes() {
		o, _ := n.Op().(ops.Op)
		k, ok := o.Kind.(ops.DropMask)
		if !ok {
			continue
		}
		for repeat := range repeats {
			clear(rates)
			rates[k.Layer], key[2] = dropped, uint32(repeat)
			got := make([]float32, b.outputs[0].Shape().TotalSize())
			if err := m.ReadDropped(b.outputs[0], k.Layer, repeat, got); err != nil {
				b.t.Fatal(err)
			}
			bits(b.t, fmt.Sprintf("%s, layer %d, repeat %d", what, k.Layer, repeat), b.run(1),
				map[string][]float32{"logits": got})
		}
	}
	copy(rates, all)
	key[2] = third
}

// checkRandom compares a random network with the reference in float64. The measure is what rounding alone does to the
// reference: the device, which also sums in float32, may be off by 30 times as much.
func checkRandom(t *testing.T, seed uint64) {
	b := randomBlocks(t, seed)
	exact, rounded := b.reference(), b.rounded()
	outputs := b.outputs
	if b.training && b.edge(exact, rounded) {
		outputs = outputs[:2]
	}
	var scale float64 // of the logits: gradients may be zero but for rounding
	for _, v := range floats(exact[b.outputs[0]]) {
		scale = math.Hypot(scale, v)
	}
	for _, set := range kernel.Available() {
		t.Setenv(cpu.KernelsVariable, set.Name)
		got := b.run(3)
		bits(t, set.Name+", one thread", got, b.run(1))
		if !b.training {
			b.checkDropped(set.Name)
		}
		for i, n := range outputs {
			want := floats(exact[n])
			approximate := make([]float64, len(want))
			switch d := rounded[n].Data().(type) {
			case float32:
				approximate[0] = float64(d)
			case []float32:
				for j, e := range d {
					approximate[j] = float64(e)
				}
			}
			var norm, rounding, off float64
			for j, w := range want {
				norm = math.Hypot(norm, w)
				rounding = math.Hypot(rounding, approximate[j]-w)
				off = math.Hypot(off, float64(got[b.name(i)][j])-w)
			}
			if !(off <= 30*(rounding+1e-7*norm+1e-8*scale)) {
				t.Errorf("%s: %s is off by %.3g, rounding the reference changes it by %.3g of %.3g", set.Name, b.name(i), off,
					rounding, norm)
			}
		}
	}
}

// FuzzNetworks checks random networks with every set of kernels.
func FuzzNetworks(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed)
	}
	f.Fuzz(checkRandom)
}
