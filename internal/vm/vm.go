// Package vm runs gorgonia graphs as static programs on a device: the graph is sorted, stripped of what no output needs,
// and compiled once; a run then executes a flat list of kernels in memory planned in advance.
package vm

import (
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"netadjust/internal/device"
	"netadjust/internal/ops"
)

// Machine is a compiled graph.
type Machine struct {
	program *device.Program
	exe     device.Executable
	inputs  []any          // what Let bound, in the program's order
	index   map[string]int // input by name
	outputs map[*gorgonia.Node]int
}

var _ gorgonia.VM = (*Machine)(nil)

// Compile prepares the part of the graph that the outputs need, and all updates of state, for the device. Nodes without
// an operation are state if their name is in state, else inputs that Let binds before every run.
func Compile(g *gorgonia.ExprGraph, dev device.Device, state *State, outputs ...*gorgonia.Node) (*Machine, error) {
	p, err := Lower(g, state, outputs)
	if err != nil {
		return nil, fmt.Errorf("compile graph: %w", err)
	}
	exe, err := dev.Compile(p)
	if err != nil {
		return nil, fmt.Errorf("compile graph: %w", err)
	}
	m := &Machine{
		program: p, exe: exe, inputs: make([]any, len(p.Inputs)),
		index: map[string]int{}, outputs: map[*gorgonia.Node]int{},
	}
	for i, v := range p.Inputs {
		m.index[p.Values[v].Name] = i
	}
	for i, n := range outputs {
		m.outputs[n] = i
	}
	return m, nil
}

// Let binds the named input: []float32, []uint8 or []uint32 with as many elements as the node, or a device.Loader for
// the []uint8 of images. The slice is read by the runs that follow, not copied. Inputs that no output needs are ignored.
func (m *Machine) Let(name string, data any) error {
	i, ok := m.index[name]
	if !ok {
		return nil
	}
	v := m.program.Values[m.program.Inputs[i]]
	var n int
	var elem ops.Element
	switch d := data.(type) {
	case []float32:
		n, elem = len(d), ops.Float
	case []uint8:
		n, elem = len(d), ops.Byte
	case []uint32:
		n, elem = len(d), ops.Word
	case device.Loader:
		n, elem = v.Size(), ops.Byte
	default:
		return fmt.Errorf("input %s: elements of type %T are not supported", name, data)
	}
	if elem != v.Elem {
		return fmt.Errorf("input %s: got %T, which is not the type of the node's elements", name, data)
	}
	if n != v.Size() {
		return fmt.Errorf("input %s: got %d elements, want %d for shape %v", name, n, v.Size(), v.Shape)
	}
	m.inputs[i] = data
	return nil
}

// RunAll executes the graph once.
func (m *Machine) RunAll() error {
	if err := m.bound(); err != nil {
		return err
	}
	return m.exe.Run(m.inputs)
}

// RunDropped executes the graph without channel dropout and with dropout in one layer after the other, see
// device.Executable.
func (m *Machine) RunDropped(repeats int) error {
	if err := m.bound(); err != nil {
		return err
	}
	return m.exe.RunDropped(m.inputs, repeats)
}

func (m *Machine) bound() error {
	for i, in := range m.inputs {
		if in == nil {
			return fmt.Errorf("run graph: input %s is not bound", m.program.Values[m.program.Inputs[i]].Name)
		}
	}
	return nil
}

// Read copies the value that the last run gave one of the outputs.
func (m *Machine) Read(output *gorgonia.Node, dst []float32) error {
	return m.ReadEarlier(output, 0, dst)
}

// Kept is of how many runs outputs can be read.
func (m *Machine) Kept() int { return m.exe.Kept() }

// ReadEarlier copies the value that a run gave one of the outputs, so many runs before the last one.
func (m *Machine) ReadEarlier(output *gorgonia.Node, ago int, dst []float32) error {
	i, ok := m.outputs[output]
	if !ok {
		return fmt.Errorf("read %v: it is not an output of the compiled graph", output)
	}
	return m.exe.Output(i, ago, dst)
}

// ReadDropped copies what a run of the last RunDropped gave one of the outputs; layer -1 is the run without dropout.
func (m *Machine) ReadDropped(output *gorgonia.Node, layer, repeat int, dst []float32) error {
	i, ok := m.outputs[output]
	if !ok {
		return fmt.Errorf("read %v: it is not an output of the compiled graph", output)
	}
	return m.exe.OutputDropped(i, layer, repeat, dst)
}

// Program is what the graph became.
func (m *Machine) Program() *device.Program { return m.program }

// Executable is what the device made of the program.
func (m *Machine) Executable() device.Executable { return m.exe }

// Reset unbinds the inputs.
func (m *Machine) Reset() { clear(m.inputs) }

// Close frees the compiled program.
func (m *Machine) Close() error { return m.exe.Close() }

// Lower makes a program of a graph: children before parents, nothing that neither an output nor an update of state
// needs, updates last.
func Lower(g *gorgonia.ExprGraph, state *State, outputs gorgonia.Nodes) (*device.Program, error) {
	sorted, err := gorgonia.Sort(g)
	if err != nil {
		return nil, err
	}
	slices.Reverse(sorted)
	needed := map[*gorgonia.Node]bool{}
	for _, n := range outputs {
		needed[n] = true
	}
	for _, n := range slices.Backward(sorted) {
		if o, ok := n.Op().(ops.Op); ok && ops.Updates(o.Kind) {
			needed[n] = true
		}
		if needed[n] {
			for _, c := range children(g, n) {
				needed[c] = true
			}
		}
	}
	l := lowering{state: state, value: map[*gorgonia.Node]int{}}
	var updates []device.Step
	for _, n := range sorted {
		if !needed[n] {
			continue
		}
		step, isStep, err := l.node(g, n)
		switch {
		case err != nil:
			return nil, err
		case isStep && ops.Updates(step.Op):
			updates = append(updates, step)
		case isStep:
			l.p.Steps = append(l.p.Steps, step)
		}
	}
	if err := checkUpdates(&l.p, updates); err != nil {
		return nil, err
	}
	l.p.Steps = append(l.p.Steps, updates...)
	for _, n := range outputs {
		v, ok := l.value[n]
		if !ok {
			return nil, fmt.Errorf("output %v is not a node of the graph", n)
		}
		l.p.Outputs = append(l.p.Outputs, v)
	}
	return &l.p, nil
}

type lowering struct {
	p     device.Program
	state *State
	value map[*gorgonia.Node]int
}

// node adds the value of a node, and gives the step that computes it if it has an operation.
func (l *lowering) node(g *gorgonia.ExprGraph, n *gorgonia.Node) (step device.Step, isStep bool, err error) {
	v := device.Value{Name: n.Name(), Shape: slices.Clone(n.Shape())}
	if v.Elem, err = element(n); err != nil {
		return step, false, err
	}
	kind, err := kindOf(n)
	if err != nil {
		return step, false, err
	}
	if kind == nil {
		if t := l.state.Tensor(n.Name()); t != nil {
			if !slices.Equal(t.Shape(), v.Shape) {
				return step, false, fmt.Errorf("state %s has shape %v, the graph's node has %v", n.Name(), t.Shape(), v.Shape)
			}
			v.State = t
		} else {
			l.p.Inputs = append(l.p.Inputs, len(l.p.Values))
		}
		l.add(n, v)
		return step, false, nil
	}
	step.Op = kind
	for _, c := range children(g, n) {
		step.In = append(step.In, l.value[c])
	}
	if ops.Updates(kind) {
		if v.State = l.p.Values[step.In[0]].State; v.State == nil {
			return step, false, fmt.Errorf("%s updates %s, which is not state", ops.Name(kind), l.p.Values[step.In[0]].Name)
		}
	}
	step.Out = l.add(n, v)
	return step, true, nil
}

func (l *lowering) add(n *gorgonia.Node, v device.Value) int {
	l.value[n] = len(l.p.Values)
	l.p.Values = append(l.p.Values, v)
	return l.value[n]
}

// kindOf returns the operation of a node, nil for a leaf. Where a value is used twice, gorgonia.Grad sums the gradients
// with an addition of its own, which is told by its name.
func kindOf(n *gorgonia.Node) (ops.Kind, error) {
	switch o := n.Op().(type) {
	case nil:
		return nil, nil
	case ops.Op:
		return o.Kind, nil
	default:
		if o.String() == "+ false" && n.Dims() == 4 {
			return ops.Add{}, nil
		}
		return nil, fmt.Errorf("operation %v of node %v is not one that devices know", o, n)
	}
}

func element(n *gorgonia.Node) (ops.Element, error) {
	switch n.Dtype() {
	case tensor.Float32:
		return ops.Float, nil
	case tensor.Uint8:
		return ops.Byte, nil
	case tensor.Uint32:
		return ops.Word, nil
	}
	return 0, fmt.Errorf("node %v has elements of type %v; devices compute in float32", n, n.Dtype())
}

// children returns the operands of a node in argument order.
func children(g *gorgonia.ExprGraph, n *gorgonia.Node) gorgonia.Nodes {
	var c gorgonia.Nodes
	for it := g.From(n.ID()); it.Next(); {
		c = append(c, it.Node().(*gorgonia.Node))
	}
	return c
}

// checkUpdates makes sure that updates can all come last: no other step reads what they give, each state is updated
// once, and no later update reads a state that an earlier one has replaced.
func checkUpdates(p *device.Program, updates []device.Step) error {
	updated := map[device.Tensor]bool{}
	given := map[int]bool{}
	for _, u := range updates {
		for _, v := range u.In {
			if t := p.Values[v].State; t != nil && updated[t] && !given[v] {
				return fmt.Errorf("%s reads or updates %s after another update replaced it", ops.Name(u.Op), p.Values[v].Name)
			}
		}
		updated[p.Values[u.In[0]].State] = true
		given[u.Out] = true
	}
	for _, s := range p.Steps {
		if slices.ContainsFunc(s.In, func(v int) bool { return given[v] }) {
			return errors.New("an operation needs state that this run updates; read it in the next run")
		}
	}
	return nil
}
