package vm_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/gorgonia"

	"netadjust/internal/device"
	"netadjust/internal/ops"
	"netadjust/networks"
)

// tolerance is how far a result of a network in float32 may be from the reference in float64, relative to the largest
// element of its tensor.
const tolerance = 3e-5

func compare(t *testing.T, name string, got []float32, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s has %d elements, want %d", name, len(got), len(want))
	}
	largest, worst, at := 0., 0., 0
	for i, w := range want {
		largest = max(largest, math.Abs(w))
		if d := math.Abs(float64(got[i]) - w); !(d <= worst) {
			worst, at = d, i
		}
	}
	if !(worst <= tolerance*largest) {
		t.Errorf("%s: element %d is %v, the reference gives %v (largest %v)", name, at, got[at], want[at], largest)
	}
}

func floats(v gorgonia.Value) []float64 {
	switch d := v.Data().(type) {
	case float64:
		return []float64{d}
	case []float64:
		return d
	}
	return nil
}

// TestNetworks compares one step of training, and one inference, of whole networks with the reference: logits, loss,
// parameters, velocities and running statistics.
func TestNetworks(t *testing.T) {
	for _, s := range slices.Concat(subjects, families) {
		t.Run(s.name, func(t *testing.T) {
			p := prepare(t, s)
			p.checkStep(t, p.compile(t, 2))
		})
		t.Run(s.name+", inference", func(t *testing.T) {
			p := prepare(t, s.inference())
			got := p.compile(t, 2).run(t, 1)
			values, _ := p.reference(t)
			compare(t, "logits", got["logits"], floats(values[p.Logits]))
			for _, x := range p.net.Tensors(p.widths) {
				if !slices.Equal(got[x.Name], p.leaves[x.Name].data.([]float32)) {
					t.Errorf("%s has changed", x.Name)
				}
			}
		})
	}
}

// checkStep compares one step of training with the reference.
func (p *prepared) checkStep(t *testing.T, r *runner) {
	t.Helper()
	got := r.run(t, 1)
	values, state := p.reference(t)
	compare(t, "logits", got["logits"], floats(values[p.Logits]))
	compare(t, "loss", got["loss"], floats(values[p.Loss]))
	changed := 0
	for _, x := range p.net.Tensors(p.widths) {
		compare(t, x.Name, got[x.Name], state[x.Name])
		if x.Role != networks.Running {
			compare(t, x.Velocity(), got[x.Velocity()], state[x.Velocity()])
		}
		if !slices.Equal(got[x.Name], p.leaves[x.Name].data.([]float32)) {
			changed++
		}
	}
	if want := len(p.net.Tensors(p.widths)); changed != want {
		t.Errorf("%d tensors have changed, want all %d", changed, want)
	}
}

// TestFamilyGradients compares the gradient of a network by all of its parameters, along random directions, with central
// differences of the loss, both in float64.
func TestFamilyGradients(t *testing.T) {
	const h = 1e-9
	for _, s := range families {
		t.Run(s.name, func(t *testing.T) {
			s.options.Train = &networks.TrainOptions{}
			p := prepare(t, s)
			// With rate 1 and no momentum, a step subtracts the gradient.
			p.leaves[networks.LearningRate].reference.Data().([]float64)[0] = 1
			_, after := p.reference(t)
			for direction := range uint64(3) {
				// loss shifts all parameters along the direction; slope is the gradient times the direction.
				slope := 0.
				loss := func(by float64) float64 {
					r := rand.New(rand.NewPCG(1, direction))
					slope = 0
					for _, x := range p.net.Tensors(p.widths) {
						if x.Role == networks.Running {
							continue
						}
						w := p.leaves[x.Name].reference.Data().([]float64)
						for i, before := range p.leaves[x.Name].data.([]float32) {
							d := r.NormFloat64()
							w[i] = float64(before) + by*d
							slope += d * (float64(before) - after[x.Name][i])
						}
					}
					values, _ := p.reference(t)
					return floats(values[p.Loss])[0]
				}
				if got := (loss(h) - loss(-h)) / (2 * h); math.Abs(got-slope) > 1e-5*(1+math.Abs(slope)) {
					t.Errorf("slope along a direction is %v, central difference %v", slope, got)
				}
			}
		})
	}
}

// bits compares two results bit by bit.
func bits(t *testing.T, what string, want, got map[string][]float32) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		for i, w := range want[name] {
			if g := got[name][i]; math.Float32bits(g) != math.Float32bits(w) {
				t.Fatalf("%s: element %d of %s is %v, want %v", what, i, name, g, w)
			}
		}
	}
}

// TestRepeat checks that several steps give the same bits in a new machine, with any number of threads, and where an
// earlier run has left its values, or not-a-number everywhere, in memory.
func TestRepeat(t *testing.T) {
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			const steps = 4
			p := prepare(t, s)
			first := p.compile(t, 1)
			want := first.run(t, steps)
			for _, name := range []string{"logits", "loss"} {
				for _, v := range want[name] {
					if math.IsNaN(float64(v)) {
						t.Fatalf("%s is %v", name, want[name])
					}
				}
			}
			for _, threads := range []int{2, 3, 8} {
				bits(t, fmt.Sprintf("%d threads", threads), want, p.compile(t, threads).run(t, steps))
			}
			first.writeState(t)
			bits(t, "run again", want, first.run(t, steps))

			nan := slices.Repeat([]float32{float32(math.NaN())}, 2*p.spec.Input[0])
			if err := first.machine.Let(networks.Scale, nan); err != nil {
				t.Fatal(err)
			}
			if loss := first.run(t, 1)["loss"][0]; !math.IsNaN(float64(loss)) {
				t.Fatalf("loss is %v with images that are no numbers", loss)
			}
			first.writeState(t)
			first.letAll(t)
			bits(t, "run after one with no numbers", want, first.run(t, steps))
		})
	}
}

// TestProgram checks what is left of a training graph: no gradient by the images, which the graph has and nothing
// needs, and every update, at the end.
func TestProgram(t *testing.T) {
	p := prepare(t, subjects[0])
	m := p.compile(t, 1).machine
	convs, inGraph, inProgram := 0, 0, 0
	for _, n := range p.AllNodes() {
		if o, ok := n.Op().(ops.Op); ok {
			switch o.Kind.(type) {
			case ops.Conv2D:
				convs++
			case ops.Conv2DGradInput:
				inGraph++
			}
		}
	}
	updates := 0
	for _, s := range m.Program().Steps {
		if _, ok := s.Op.(ops.Conv2DGradInput); ok {
			inProgram++
			if shape := m.Program().Values[s.Out].Shape; slices.Equal(shape, p.leaves[networks.Pixels].node.Shape()) {
				t.Error("the gradient by the images is computed")
			}
		}
		if ops.Updates(s.Op) {
			updates++
		} else if updates > 0 {
			t.Fatalf("%s comes after an update", ops.Name(s.Op))
		}
	}
	if diff := cmp.Diff([]int{7, 7, 6}, []int{convs, inGraph, inProgram}); diff != "" {
		t.Errorf("convolutions, gradients by their input in the graph and in the program (-want +got):\n%s", diff)
	}
	// Seven convolutions with batch norm have seven weights, scales, shifts and running statistics; the classifier has
	// weights and bias. Parameters need two updates, statistics one.
	if want := 2*(3*7+2) + 7; updates != want {
		t.Errorf("%d updates, want %d", updates, want)
	}
	for _, s := range prepare(t, subjects[1].inference()).compile(t, 1).machine.Program().Steps {
		switch s.Op.(type) {
		case ops.Images, ops.Conv2D, ops.BatchNorm, ops.ReLU, ops.DropMask, ops.ScaleChannels, ops.AvgPool,
			ops.ChannelWindow, ops.Add, ops.GlobalAvgPool, ops.Linear:
		default:
			t.Errorf("inference computes %s", ops.Name(s.Op))
		}
	}
}

// TestMemory checks that values share memory: those of an inference need a few layers' worth whatever the depth, those
// of a training step clearly less than their sum.
func TestMemory(t *testing.T) {
	train := subject{
		spec:    networks.Spec{Name: "resnet20", Width: 0.5, Input: small, Classes: 10},
		options: networks.GraphOptions{Batch: 8, Train: step},
	}
	for _, tt := range []struct {
		subject
		share float64
	}{{train, 0.4}, {train.inference(), 0.1}} {
		p := prepare(t, tt.subject).compile(t, 1).machine.Program()
		first, last := p.Lifetimes()
		var blocks []device.Block
		sum := 0
		for i, v := range p.Values {
			if first[i] >= 0 {
				blocks = append(blocks, device.Block{Size: v.Size(), First: first[i], Last: last[i]})
				sum += v.Size()
			}
		}
		_, total := device.PlanArena(blocks)
		if float64(total) > tt.share*float64(sum) {
			t.Errorf("%d steps need memory for %d of %d elements, want at most %v of them", len(p.Steps), total, sum, tt.share)
		}
	}
}
