package gpu

import (
	"testing"

	"netadjust/internal/device"
	"netadjust/internal/device/gpu/driver"
	"netadjust/internal/device/gpu/gputest"
	"netadjust/internal/ops"
)

// TestManyRuns appends runs without a wait, as a training does, on inputs that change at once, and reads what each gave as
// late as that is possible. No run may see the inputs of another, and no result may be overwritten too early.
func TestManyRuns(t *testing.T) {
	const n, runs = 3000, 100
	gputest.Each(t, func(t *testing.T, d driver.Driver) {
		dev := deviceOn(t, d)
		shape := []int{1, 1, 1, n}
		e, err := dev.Compile(&device.Program{
			Values: []device.Value{{Name: "x", Shape: shape}, {Name: "y", Shape: shape}},
			Steps:  []device.Step{{Op: ops.ReLU{}, In: []int{0}, Out: 1}}, Inputs: []int{0}, Outputs: []int{1},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		x, y := make([]float32, n), make([]float32, n)
		behind := e.Kept() - 1
		if behind < 1 {
			t.Fatalf("the results of %d runs are kept, want more than that of the last", e.Kept())
		}
		for run := range runs + behind {
			if run < runs {
				for i := range x {
					x[i] = float32(run*n + i)
				}
				if err := e.Run([]any{x}); err != nil {
					t.Fatal(err)
				}
			}
			if run < behind {
				continue
			}
			ago := min(run, runs-1) - (run - behind)
			if err := e.Output(0, ago, y); err != nil {
				t.Fatal(err)
			}
			for i, got := range y {
				if want := float32((run-behind)*n + i); got != want {
					t.Fatalf("run %d, element %d: %v, want %v", run-behind, i, got, want)
				}
			}
		}
		if err := e.Output(0, e.Kept(), y); err == nil {
			t.Error("the results of a run are there that is too long ago")
		}
	})
}
