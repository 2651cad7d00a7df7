package vm_test

import (
	"math"
	"slices"
	"testing"

	"netadjust/internal/device/cpu"
	"netadjust/internal/device/cpu/kernel"
	"netadjust/networks"
)

// TestNotANumberArrives puts a NaN into one element of one tensor of a network after the other. It has to arrive in the
// loss and in all logits, through everything that is merged and with every set of kernels.
func TestNotANumberArrives(t *testing.T) {
	for _, set := range kernel.Available() {
		for _, s := range []subject{subjects[1], subjects[3], subjects[4]} {
			if set.Name == "go" && s.name == "resnet18" {
				continue // slow, and nothing in it depends on the kernels
			}
			for _, s := range []subject{s, s.inference()} {
				t.Run(set.Name+", "+s.title(), func(t *testing.T) {
					t.Setenv(cpu.KernelsVariable, set.Name)
					p := prepare(t, s)
					r := p.compile(t, 2)
					check := func(what string) {
						t.Helper()
						for name, values := range r.run(t, 1) {
							if name != "logits" && name != "loss" {
								continue
							}
							for i, v := range values {
								if !math.IsNaN(float64(v)) {
									t.Fatalf("NaN in %s: element %d of %s is %v", what, i, name, v)
								}
							}
						}
					}
					for _, x := range p.net.Tensors(p.widths) {
						if x.Role == networks.Running && p.options.Train != nil || x.Layer == "classifier" {
							continue // is not read, or reaches one class
						}
						v := slices.Clone(p.leaves[x.Name].data.([]float32))
						v[len(v)/2] = float32(math.NaN())
						r.writeState(t)
						if err := r.state.Write(x.Name, v); err != nil {
							t.Fatal(err)
						}
						check(x.Name)
					}
				})
			}
		}
	}
}

func (s subject) title() string {
	if s.options.Train == nil {
		return s.name + ", inference"
	}
	return s.name
}
