package device

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/ops"
)

// tensor is state of which only the identity counts.
type tensor struct{ Tensor }

func TestLifetimes(t *testing.T) {
	weights, velocity := &tensor{}, &tensor{}
	p := &Program{
		Values: []Value{
			{Name: "images"},
			{Name: "weights", State: weights},
			{Name: "velocity", State: velocity},
			{Name: "convolved"},
			{Name: "rectified"},
			{Name: "sum"},
			{Name: "never read"},
			{Name: "gradient"},
			{Name: "new velocity", State: velocity},
			{Name: "new weights", State: weights},
			{Name: "rate"},
		},
		Steps: []Step{
			0: {Op: ops.Conv2D{}, In: []int{0, 1}, Out: 3},
			1: {Op: ops.ReLU{}, In: []int{3}, Out: 4},
			2: {Op: ops.ReLU{}, In: []int{4}, Out: 6},
			3: {Op: ops.Add{}, In: []int{3, 4}, Out: 5},
			4: {Op: ops.Conv2DGradWeights{}, In: []int{0, 5}, Out: 7},
			5: {Op: ops.Momentum{}, In: []int{2, 1, 7}, Out: 8},
			6: {Op: ops.Descend{}, In: []int{1, 8, 10}, Out: 9},
		},
		Inputs:  []int{0, 10},
		Outputs: []int{4, 9},
	}
	type lifetime struct {
		Name        string
		First, Last int
	}
	var got []lifetime
	first, last := p.Lifetimes()
	for i, v := range p.Values {
		got = append(got, lifetime{v.Name, first[i], last[i]})
	}
	if diff := cmp.Diff([]lifetime{
		{"images", -1, 4},
		{"weights", -1, 6},
		{"velocity", -1, 5},
		{"convolved", 0, 3},
		{"rectified", 1, 7}, // an output, after the last read in step 3
		{"sum", 3, 4},
		{"never read", 2, 2},
		{"gradient", 4, 5},
		{"new velocity", -1, 6},
		{"new weights", -1, 7},
		{"rate", -1, 6},
	}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestValueSize(t *testing.T) {
	for _, tt := range []struct {
		shape []int
		want  int
	}{{nil, 1}, {[]int{7}, 7}, {[]int{2, 3, 4, 5}, 120}} {
		if got := (Value{Shape: tt.shape}).Size(); got != tt.want {
			t.Errorf("%v has %d elements, want %d", tt.shape, got, tt.want)
		}
	}
}
