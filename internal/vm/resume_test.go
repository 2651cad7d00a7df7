package vm_test

import (
	"fmt"
	"testing"

	"netadjust/internal/device/cpu"
	"netadjust/internal/device/cpu/kernel"
)

// TestResume stops after two steps, takes the state to a new device with another number of threads, and goes on there:
// two more steps give the bits of four in one go.
func TestResume(t *testing.T) {
	for _, set := range kernel.Available() {
		for _, s := range subjects {
			if set.Name == "go" && s.name == "resnet18" {
				continue // slow, and nothing in it depends on the kernels
			}
			t.Run(fmt.Sprint(set.Name, ", ", s.name), func(t *testing.T) {
				t.Setenv(cpu.KernelsVariable, set.Name)
				p := prepare(t, s)
				want := p.compile(t, 1).run(t, 4)
				half := p.compile(t, 1).run(t, 2)
				for _, threads := range []int{2, 4, 8} {
					r := p.compile(t, threads)
					for _, name := range r.state.Names() {
						if err := r.state.Write(name, half[name]); err != nil {
							t.Fatal(err)
						}
					}
					bits(t, fmt.Sprintf("%d threads", threads), want, r.run(t, 2))
				}
			})
		}
	}
}
