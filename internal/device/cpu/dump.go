package cpu

import (
	"fmt"
	"slices"
	"strings"

	"netadjust/internal/device"
	"netadjust/internal/ops"
)

// Plan describes a compiled program as it runs.
type Plan struct {
	Batch      int         `json:"batch"`
	StateBytes int64       `json:"state_bytes"` // parameters and the like, which outlive a run
	ArenaBytes int64       `json:"arena_bytes"` // for all values that are needed beyond their phase, by lifetimes
	ChunkBytes int64       `json:"chunk_bytes"` // for all other values, in each worker
	Phases     []PhasePlan `json:"phases"`
}

// PhasePlan is the work between two moments at which all images must have been through. Workers take chunks of the
// batch through all of Chunked. Sums over the batch are finished when the last chunk is; then comes After.
type PhasePlan struct {
	Images  int               `json:"images"` // in a chunk
	Chunked []InstructionPlan `json:"chunked"`
	After   []InstructionPlan `json:"after"` // what has no batch
}

// InstructionPlan is one pass over the data, of one operation or of several that are fused.
type InstructionPlan struct {
	Name  string      `json:"name"`
	Layer string      `json:"layer,omitempty"` // the first one whose parameters it reads, or gives the gradient of
	In    []ValuePlan `json:"in"`
	Out   []ValuePlan `json:"out"`
	FLOPs int64       `json:"flops,omitempty"` // multiply-adds for one image, of shapes without padding
}

// ValuePlan is an operand.
type ValuePlan struct {
	Name     string `json:"name"`
	Shape    []int  `json:"shape"`
	PerImage bool   `json:"per_image"` // the shape is that of one image
	Place    Place  `json:"place"`
	Updates  string `json:"updates,omitempty"` // the state that it changes at the end
	Bytes    int64  `json:"bytes,omitempty"`   // in the arena or the chunk's buffer
}

// Place is where a value lies.
type Place string

// The places. What is in a chunk never exists for the whole batch.
const (
	InState Place = "state"
	InInput Place = "input"
	InArena Place = "arena"
	InChunk Place = "chunk"
)

// PlanOf describes a program that a Device of this package has compiled.
func PlanOf(x device.Executable) (*Plan, error) {
	e, ok := x.(*executable)
	if !ok {
		return nil, fmt.Errorf("a %T has no phases to describe; only the cpu device's programs have", x)
	}
	p := &Plan{Batch: e.batch, ArenaBytes: bytes(e.arena), ChunkBytes: bytes(len(e.workers[0].local))}
	counted := map[device.Tensor]bool{}
	for _, v := range e.program.Values {
		if v.State != nil && !counted[v.State] {
			counted[v.State] = true
			p.StateBytes += bytes(v.Size())
		}
	}
	for i := range e.phases {
		ph := &e.phases[i]
		p.Phases = append(p.Phases, PhasePlan{
			Images: ph.chunk, Chunked: e.describe(ph, ph.plan.chunked), After: e.describe(ph, ph.plan.after),
		})
	}
	return p, nil
}

// bytes is the memory of n floats.
func bytes(n int) int64 { return 4 * int64(n) }

func (e *executable) describe(ph *compiled, list []int) []InstructionPlan {
	plans := []InstructionPlan{}
	for _, i := range list {
		s := e.list[i]
		d := InstructionPlan{FLOPs: e.flops(s)}
		d.Name, _ = kindOf(s.op)
		for _, v := range s.in {
			d.In = append(d.In, e.valuePlan(ph, v))
		}
		for _, v := range s.out {
			x := e.valuePlan(ph, v)
			x.Updates = e.updates(v)
			d.Out = append(d.Out, x)
		}
		for _, v := range slices.Concat(d.In, d.Out) {
			state := v.Updates
			if v.Place == InState {
				state = v.Name
			}
			if at := strings.LastIndexByte(state, '.'); at >= 0 && d.Layer == "" {
				d.Layer = state[:at]
			}
		}
		plans = append(plans, d)
	}
	return plans
}

func (e *executable) valuePlan(ph *compiled, v int) ValuePlan {
	l, p := &e.layouts[v], &e.places[v]
	d := ValuePlan{Name: fmt.Sprintf("%%%d", v), PerImage: l.role != whole, Place: InArena, Bytes: bytes(l.size)}
	if v >= len(e.program.Values) {
		d.Name = fmt.Sprintf("signs%d", v)
	}
	switch l.role {
	case image:
		d.Shape = []int{l.c, l.h, l.w}
	case row:
		d.Shape = []int{l.c}
	default:
		d.Shape = slices.Clone(e.shape(v))
	}
	switch {
	case v < len(e.program.Values) && e.program.Values[v].State != nil:
		d.Name, d.Place, d.Bytes = e.stateName(v), InState, 0
	case slices.Contains(e.program.Inputs, v):
		d.Name, d.Place, d.Bytes = e.program.Values[v].Name, InInput, 0
	case p.local:
		d.Place = InChunk
		d.Bytes *= int64(ph.chunk)
	case l.role != whole:
		d.Bytes *= int64(e.batch)
	}
	return d
}

// updates is the name of the state that an instruction changes by v: the last that it writes. It is empty if there is
// none, and for what that instruction writes itself.
func (e *executable) updates(v int) string {
	for _, s := range e.list {
		if last := s.out[len(s.out)-1]; updates(s.op) && last != v && slices.Contains(s.in, v) {
			return e.stateName(last)
		}
	}
	return ""
}

// stateName is the name of the state that v is, or what it was called before the update that gives v.
func (e *executable) stateName(v int) string {
	state := e.program.Values[v].State
	first := slices.IndexFunc(e.program.Values, func(x device.Value) bool { return x.State == state })
	return e.program.Values[first].Name
}

// flops counts the multiply-adds of an instruction for one image, by the rule of networks.Network.FLOPs.
func (e *executable) flops(s instruction) int64 {
	size := func(v int) int64 { return int64(e.program.Values[v].Size()) }
	pixels := func(v int) int64 { return int64(e.layouts[v].h * e.layouts[v].w) }
	switch k := s.op.(type) {
	case ops.Conv2D, convolve, ops.DepthwiseConv2D, depthwise:
		return size(s.in[1]) * pixels(s.out[0])
	case ops.Conv2DGradInput, ops.DepthwiseConv2DGradInput:
		return size(s.in[0]) * pixels(s.in[1])
	case ops.Conv2DGradWeights, ops.DepthwiseConv2DGradWeights:
		return size(s.out[0]) * pixels(s.in[1])
	case ops.Linear:
		return size(s.in[1])
	case ops.MatMul:
		if k.TransposeA {
			return size(s.out[0])
		}
		return size(s.in[1])
	}
	return 0
}
