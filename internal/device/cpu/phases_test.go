package cpu

import (
	"fmt"
	"slices"
	"testing"

	"netadjust/internal/device"
	"netadjust/internal/ops"
	"netadjust/internal/vm"
	"netadjust/networks"
)

// recorder is a device that keeps the program it is given.
type recorder struct {
	device.Device
	program *device.Program
}

func (r *recorder) Compile(p *device.Program) (device.Executable, error) {
	r.program = p
	return r.Device.Compile(p)
}

// programOf compiles a graph of a network.
func programOf(t *testing.T, spec networks.Spec, o networks.GraphOptions) (*device.Program, *Device) {
	t.Helper()
	return programOfWidths(t, spec, nil, o)
}

// programOfWidths is programOf for widths other than those that a network starts with.
func programOfWidths(t *testing.T, spec networks.Spec, c []int, o networks.GraphOptions) (*device.Program, *Device) {
	t.Helper()
	n, err := networks.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	if c == nil {
		c = n.Start()
	}
	g, err := n.Graph(c, o)
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	r := &recorder{Device: d}
	state := vm.NewState(r)
	for _, x := range n.Tensors(c) {
		names := []string{x.Name}
		if x.Role != networks.Running {
			names = append(names, x.Velocity())
		}
		for _, name := range names {
			if err := state.Add(name, x.Shape...); err != nil {
				t.Fatal(err)
			}
		}
	}
	output := g.Logits
	if o.Train != nil {
		output = g.Loss
	}
	if _, err := vm.Compile(g.ExprGraph, r, state, output); err != nil {
		t.Fatal(err)
	}
	return r.program, d
}

var trained = &networks.TrainOptions{Momentum: 0.9}

// TestPhases checks what makes phases right: every operand is there when it is read, image by image in the same phase or
// as a whole from an earlier one, and state is updated after everything that reads it.
func TestPhases(t *testing.T) {
	for _, c := range []struct {
		spec   networks.Spec
		o      networks.GraphOptions
		phases int
	}{
		// A forward phase up to the statistics of each batch norm and one up to the loss, in which the way back begins;
		// then one for each batch norm, of which the last has the stem's weight gradient; one to update the last weights.
		{networks.Spec{Name: "resnet8", Input: [3]int{3, 8, 8}}, networks.GraphOptions{Batch: 9, Train: trained}, 16},
		{networks.Spec{Name: "resnet20", Input: [3]int{3, 8, 8}}, networks.GraphOptions{Batch: 9, Train: trained}, 40},
		{networks.Spec{Name: "resnet8", Input: [3]int{3, 8, 8}}, networks.GraphOptions{Batch: 9}, 1},
		{networks.Spec{Name: "resnet18", Width: 0.125, Input: [3]int{3, 32, 32}}, networks.GraphOptions{Batch: 2, Drop: true}, 1},
	} {
		p, _ := programOf(t, c.spec, c.o)
		list, signs := fuse(p)
		values := len(p.Values) + len(signs)
		phases, err := phasesOf(values, list)
		if err != nil {
			t.Fatal(err)
		}
		if len(phases) != c.phases {
			t.Errorf("%s, training %v: %d phases, want %d", c.spec.Name, c.o.Train != nil, len(phases), c.phases)
		}
		checkPhases(t, p, list, phases)
	}
}

func checkPhases(t *testing.T, p *device.Program, list []instruction, phases []phase) {
	t.Helper()
	given := make([]int, len(p.Values)+len(list)) // 1 image by image in this phase, 2 as a whole
	for _, v := range p.Inputs {
		given[v] = 2
	}
	for v, x := range p.Values {
		if x.State != nil {
			given[v] = 2
		}
	}
	var done []int
	written := map[device.Tensor]bool{}
	for _, ph := range phases {
		for _, i := range slices.Concat(ph.chunked, ph.after) {
			s := list[i]
			u, err := usageOf(s.op)
			if err != nil {
				t.Fatal(err)
			}
			for j, v := range s.in {
				if given[v] == 0 || given[v] == 1 && u.in[j] == whole {
					t.Errorf("%T reads value %d before it is there", s.op, v)
				}
				if v < len(p.Values) && written[p.Values[v].State] && p.Values[v].State != nil && !updates(s.op) {
					t.Errorf("%T reads state %s after its update", s.op, p.Values[v].Name)
				}
			}
			for j, v := range s.out {
				if given[v] == 0 && u.out[j] != whole {
					given[v] = 1
				}
				if updates(s.op) {
					written[p.Values[v].State] = true
				}
			}
			done = append(done, i)
		}
		for _, i := range slices.Concat(ph.chunked, ph.after) {
			for _, v := range list[i].out {
				given[v] = 2
			}
		}
	}
	slices.Sort(done)
	for i := range list {
		if i >= len(done) || done[i] != i {
			t.Fatalf("instructions %v run, want each of %d once", done, len(list))
		}
	}
}

// TestFuse checks that the patterns of a training step are found: nothing that stands between convolutions is left as a
// pass of its own.
func TestFuse(t *testing.T) {
	p, _ := programOf(t, networks.Spec{Name: "resnet20", Input: [3]int{3, 8, 8}}, networks.GraphOptions{Batch: 9, Train: trained})
	list, signs := fuse(p)
	count := map[string]int{}
	for _, s := range list {
		count[fmt.Sprintf("%T", s.op)]++
	}
	for kind, want := range map[string]int{
		"cpu.normalize": 19, // stem and 18 in blocks, with sums and ReLUs
		"cpu.backStats": 19, "cpu.sgd": 3*19 + 2, "ops.BatchNorm": 0, "ops.Add": 0, "ops.ReLU": 0, "ops.ReLUGrad": 0,
		"ops.BatchNormGradScale": 0, "ops.Momentum": 0,
	} {
		if count[kind] != want {
			t.Errorf("%d of %s, want %d (%v)", count[kind], kind, want, count)
		}
	}
	if len(signs) != 18 {
		t.Errorf("signs of %d values, want those of 18 ReLUs", len(signs))
	}

	for _, drop := range []bool{false, true} {
		p, _ = programOf(t, networks.Spec{Name: "resnet20", Input: [3]int{3, 8, 8}}, networks.GraphOptions{Batch: 9, Drop: drop})
		list, _ = fuse(p)
		for _, s := range list {
			switch s.op.(type) {
			case normalize, ops.Conv2D:
				t.Errorf("%T in inference, dropout %v, want it merged with a convolution", s.op, drop)
			}
		}
	}
}

// TestFuseSearchedWidths checks the same for widths that a search gives, where residual streams are wider than what is
// added to them or the other way round, with and without channel dropout: what is left are the gradients of padded
// shortcuts that come from a pooling or from the stem, which has no ReLU.
func TestFuseSearchedWidths(t *testing.T) {
	widths := []int{6, 17, 6, 12, 9, 20, 26, 23, 28, 24, 29, 29, 78, 66, 93, 97, 112, 90}
	for _, drop := range []bool{false, true} {
		p, _ := programOfWidths(t, networks.Spec{Name: "resnet20", Input: [3]int{3, 8, 8}}, widths,
			networks.GraphOptions{Batch: 9, Drop: drop, Train: trained})
		list, _ := fuse(p)
		count := map[string]int{}
		for _, s := range list {
			count[fmt.Sprintf("%T", s.op)]++
		}
		want := map[string]int{
			"cpu.normalize": 19, "cpu.backStats": 19, "ops.BatchNormGradScale": 0, "ops.BatchNormGradShift": 0,
			"ops.ChannelWindow": 3, "cpu.backReLU": 0, "cpu.backNorm": 0, "ops.BatchNormGradInput": 19,
		}
		if drop {
			want["cpu.backNorm"], want["ops.BatchNormGradInput"] = 18, 1
		}
		for kind, n := range want {
			if count[kind] != n {
				t.Errorf("dropout %v: %d of %s, want %d (%v)", drop, count[kind], kind, n, count)
			}
		}
	}
}

// TestNoAllocations checks that a step, once compiled, allocates nothing.
func TestNoAllocations(t *testing.T) {
	for _, o := range []networks.GraphOptions{{Batch: 9, Train: trained}, {Batch: 9}} {
		p, d := programOf(t, networks.Spec{Name: "resnet8", Input: [3]int{3, 8, 8}, Classes: 10}, o)
		e, err := d.Compile(p)
		if err != nil {
			t.Fatal(err)
		}
		inputs := zeros(p)
		if n := testing.AllocsPerRun(5, func() {
			if err := e.Run(inputs); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("training %v: %v allocations a step", o.Train != nil, n)
		}
	}
}

// zeros are inputs of a program.
func zeros(p *device.Program) []any {
	inputs := make([]any, len(p.Inputs))
	for i, v := range p.Inputs {
		n := p.Values[v].Size()
		switch p.Values[v].Elem {
		case ops.Float:
			inputs[i] = make([]float32, n)
		case ops.Byte:
			inputs[i] = make([]uint8, n)
		case ops.Word:
			inputs[i] = make([]uint32, n)
		}
	}
	return inputs
}

// TestChunk checks how many images inference takes at a time: few where maps are large, but some where weights are larger, unless
// all values of a chunk have to be kept.
func TestChunk(t *testing.T) {
	for _, c := range []struct {
		spec networks.Spec
		keep bool
		want int
	}{
		{networks.Spec{Name: "resnet20"}, false, 3},
		{networks.Spec{Name: "resnet18", Input: [3]int{3, 112, 112}}, false, heavyImages},
		{networks.Spec{Name: "resnet18", Input: [3]int{3, 112, 112}}, true, 1},
		{networks.Spec{Name: "mobilenet_v2", Input: [3]int{3, 224, 224}}, false, 1},
	} {
		p, d := programOf(t, c.spec, networks.GraphOptions{Batch: 64})
		e, err := d.compile(p, c.keep)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.phases[0].chunk; got != c.want {
			t.Errorf("%s, values kept %v: %d images in a chunk, want %d", c.spec.Name, c.keep, got, c.want)
		}
	}
}
