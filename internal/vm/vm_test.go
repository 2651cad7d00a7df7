package vm_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"netadjust/internal/device/cpu"
	"netadjust/internal/ops"
	"netadjust/internal/vm"
	"netadjust/networks"
)

func checkError(t *testing.T, name string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: error %v, want one with %q", name, err, want)
	}
}

type loader struct{}

func (loader) Load(int, []uint8) []uint8 { return nil }

// TestLet checks that inputs that do not fit are refused, and that what was bound before stays.
func TestLet(t *testing.T) {
	r := prepare(t, subjects[0]).compile(t, 1)
	want := r.run(t, 1)
	for _, tt := range []struct {
		input string
		data  any
		want  string
	}{
		{networks.Pixels, []float32{1}, "input pixels: got []float32, which is not the type of the node's elements"},
		{networks.Labels, []uint8{1}, "input labels: got []uint8, which is not the type of the node's elements"},
		{networks.Scale, []uint32{1}, "input scale: got []uint32, which is not the type of the node's elements"},
		{networks.Scale, []float64{1}, "input scale: elements of type []float64 are not supported"},
		{networks.Scale, nil, "input scale: elements of type <nil> are not supported"},
		{networks.Scale, make([]float32, 5), "input scale: got 5 elements, want 6 for shape [2 3]"},
		{networks.Labels, loader{}, "input labels: got vm_test.loader, which is not the type of the node's elements"},
		{networks.Labels, make([]uint32, 10), "input labels: got 10 elements, want 9 for shape [9]"},
	} {
		checkError(t, tt.input, r.machine.Let(tt.input, tt.data), tt.want)
	}
	if err := r.machine.Let("nothing", []float64{1}); err != nil {
		t.Errorf("an input that the graph does not have: %v", err)
	}
	r.writeState(t)
	bits(t, "run after wrong inputs", want, r.run(t, 1))
}

func TestUnbound(t *testing.T) {
	r := prepare(t, subjects[0].inference()).compile(t, 1)
	r.machine.Reset()
	for _, name := range []string{networks.Pixels, networks.Moves} {
		checkError(t, "run", r.machine.RunAll(), "run graph: input "+name+" is not bound")
		if err := r.machine.Let(name, r.leaves[name].data); err != nil {
			t.Fatal(err)
		}
	}
	checkError(t, "run", r.machine.RunAll(), "run graph: input scale is not bound")
}

func TestRead(t *testing.T) {
	r := prepare(t, subjects[0]).compile(t, 1)
	r.run(t, 1)
	checkError(t, "length", r.machine.Read(r.Logits, make([]float32, 89)),
		"room for 89 elements, want 90 for shape [9 10]")
	other := r.leaves["stem.conv.weights"].node
	checkError(t, "no output", r.machine.Read(other, make([]float32, 108)),
		"read stem.conv.weights :: Tensor-4 float32: it is not an output of the compiled graph")
}

func TestState(t *testing.T) {
	dev, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	s := vm.NewState(dev)
	if err := s.Add("weights", 2, 3); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Read("weights"); err != nil || len(got) != 6 || got[5] != 0 {
		t.Errorf("new state is %v, error %v", got, err)
	}
	checkError(t, "twice", s.Add("weights", 2, 3), "state weights is there already")
	checkError(t, "length", s.Write("weights", make([]float32, 5)),
		"state weights: got 5 elements, want 6 for shape [2 3]")
	checkError(t, "unknown", s.Write("bias", nil), "there is no state bias")
	_, err = s.Read("bias")
	checkError(t, "unknown", err, "there is no state bias")
}

// scene is a graph under construction with state w [2, 3], v [2, 3] and rate [1].
type scene struct {
	t *testing.T
	*gorgonia.ExprGraph
	w, v, rate *gorgonia.Node
}

func (s *scene) leaf(of tensor.Dtype, name string, shape ...int) *gorgonia.Node {
	return gorgonia.NewTensor(s.ExprGraph, of, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name))
}

func (s *scene) apply(k ops.Kind, in ...*gorgonia.Node) *gorgonia.Node {
	s.t.Helper()
	n, err := ops.Apply(k, in...)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// TestCompile checks graphs that cannot become programs, and near relatives that can.
func TestCompile(t *testing.T) {
	descend := ops.Descend{Dims: 2}
	for _, tt := range []struct {
		name  string
		build func(s *scene) (outputs gorgonia.Nodes)
		want  string // in the error; none if empty
	}{
		{"momentum, then descent", func(s *scene) gorgonia.Nodes {
			v := s.apply(ops.Momentum{Dims: 2}, s.v, s.w, s.leaf(tensor.Float32, "gradient", 2, 3))
			return gorgonia.Nodes{s.apply(descend, s.w, v, s.rate)}
		}, ""},
		{"read, then descent", func(s *scene) gorgonia.Nodes {
			read := s.apply(ops.SumRows{}, s.w)
			s.apply(descend, s.w, s.v, s.rate)
			return gorgonia.Nodes{read}
		}, ""},
		{"two updates of one state", func(s *scene) gorgonia.Nodes {
			s.apply(descend, s.w, s.v, s.rate)
			s.apply(descend, s.w, s.leaf(tensor.Float32, "other", 2, 3), s.rate)
			return nil
		}, "compile graph: Descend{Dims:2} reads or updates w after another update replaced it"},
		{"update needs state that another replaces", func(s *scene) gorgonia.Nodes {
			s.apply(descend, s.w, s.v, s.rate)
			s.apply(descend, s.v, s.w, s.rate)
			return nil
		}, "after another update replaced it"},
		{"result of an update is needed", func(s *scene) gorgonia.Nodes {
			return gorgonia.Nodes{s.apply(ops.SumRows{}, s.apply(descend, s.w, s.v, s.rate))}
		}, "compile graph: an operation needs state that this run updates; read it in the next run"},
		{"update of an input", func(s *scene) gorgonia.Nodes {
			s.apply(descend, s.leaf(tensor.Float32, "input", 2, 3), s.v, s.rate)
			return nil
		}, "compile graph: Descend{Dims:2} updates input, which is not state"},
		{"state of another shape", func(s *scene) gorgonia.Nodes {
			return gorgonia.Nodes{s.apply(ops.SumRows{}, s.leaf(tensor.Float32, "odd", 2, 3))}
		}, "compile graph: state odd has shape [3 2], the graph's node has [2 3]"},
		{"unknown operation", func(s *scene) gorgonia.Nodes {
			n, err := gorgonia.Tanh(s.w)
			if err != nil {
				s.t.Fatal(err)
			}
			return gorgonia.Nodes{n}
		}, "compile graph: operation tanh of node "},
		{"unknown operation that nothing needs", func(s *scene) gorgonia.Nodes {
			if _, err := gorgonia.Tanh(s.w); err != nil {
				s.t.Fatal(err)
			}
			return gorgonia.Nodes{s.apply(ops.SumRows{}, s.w)}
		}, ""},
		{"float64", func(s *scene) gorgonia.Nodes {
			return gorgonia.Nodes{s.apply(ops.SumRows{}, s.leaf(tensor.Float64, "wide", 2, 3))}
		}, "compile graph: node wide :: Matrix float64 has elements of type float64; devices compute in float32"},
		{"output of another graph", func(s *scene) gorgonia.Nodes {
			other := &scene{t: s.t, ExprGraph: gorgonia.NewGraph()}
			return gorgonia.Nodes{other.leaf(tensor.Float32, "elsewhere", 2, 3)}
		}, "compile graph: output elsewhere :: Matrix float32 is not a node of the graph"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dev, err := cpu.New(1)
			if err != nil {
				t.Fatal(err)
			}
			defer dev.Close()
			state := vm.NewState(dev)
			for name, shape := range map[string][]int{"w": {2, 3}, "v": {2, 3}, "odd": {3, 2}} {
				if err := state.Add(name, shape...); err != nil {
					t.Fatal(err)
				}
			}
			s := &scene{t: t, ExprGraph: gorgonia.NewGraph()}
			s.w, s.v = s.leaf(tensor.Float32, "w", 2, 3), s.leaf(tensor.Float32, "v", 2, 3)
			s.rate = s.leaf(tensor.Float32, "rate", 1)
			m, err := vm.Compile(s.ExprGraph, dev, state, tt.build(s)...)
			if tt.want != "" {
				checkError(t, "compile", err, tt.want)
			} else if err != nil {
				t.Error(err)
			} else if err := m.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSharedState checks that machines with the same state see each other's updates: what a training step leaves is
// what inference uses.
func TestSharedState(t *testing.T) {
	training := prepare(t, subjects[0]).compile(t, 2)
	p := prepare(t, subjects[0].inference())
	shared, alone := p.on(t, training.dev, training.state), p.compile(t, 2)
	logits := func(r *runner) map[string][]float32 { return map[string][]float32{"logits": r.run(t, 1)["logits"]} }
	before := logits(alone)
	bits(t, "before a training step", before, logits(shared))
	state := training.run(t, 1)
	for _, name := range alone.state.Names() {
		if err := alone.state.Write(name, state[name]); err != nil {
			t.Fatal(err)
		}
	}
	after := logits(alone)
	if cmp.Equal(before, after) {
		t.Fatal("a training step changed nothing")
	}
	bits(t, "after a training step", after, logits(shared))
}
