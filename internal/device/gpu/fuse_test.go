package gpu

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/device"
	"netadjust/internal/ops"
)

var unexported = cmp.Exporter(func(reflect.Type) bool { return true })

// TestFuse looks at what becomes of the usual sequences.
func TestFuse(t *testing.T) {
	p := &device.Program{
		Values: make([]device.Value, 20),
		Steps: []device.Step{
			{Op: ops.Conv2D{}, In: []int{0, 1}, Out: 2},
			{Op: ops.BatchNorm{Epsilon: 1}, In: []int{2, 3, 4, 5}, Out: 6},
			{Op: ops.DropMask{}, In: []int{7, 8, 9}, Out: 10},
			{Op: ops.ScaleChannels{}, In: []int{6, 10}, Out: 11},
			{Op: ops.Add{}, In: []int{0, 11}, Out: 12},
			{Op: ops.ReLU{}, In: []int{12}, Out: 13},
			{Op: ops.Add{}, In: []int{14, 15}, Out: 16},
			{Op: ops.ReLUGrad{}, In: []int{13, 16}, Out: 17},
			{Op: ops.BatchNormGradScale{Epsilon: 1}, In: []int{2, 3, 17}, Out: 18},
			{Op: ops.BatchNormGradShift{}, In: []int{17}, Out: 19},
		},
		Outputs: []int{13},
	}
	want := []instruction{
		{ops.Conv2D{}, []int{0, 1}, []int{2}},
		{ops.DropMask{}, []int{7, 8, 9}, []int{10}},
		{apply{normed: true, epsilon: 1, factored: true, added: true, rectified: true}, []int{2, 3, 4, 5, 10, 0}, []int{13}},
		{sums{centred: true, epsilon: 1, added: true, rectified: true}, []int{2, 3, 14, 15, 13}, []int{18, 19, 17}},
	}
	if diff := cmp.Diff(want, fuse(p), unexported); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	p.Outputs = append(p.Outputs, 12, 16) // what is read elsewhere stays
	want = []instruction{
		want[0], want[1],
		{apply{normed: true, epsilon: 1, factored: true, added: true}, []int{2, 3, 4, 5, 10, 0}, []int{12}},
		{apply{rectified: true}, []int{12}, []int{13}},
		{apply{added: true}, []int{14, 15}, []int{16}},
		{sums{centred: true, epsilon: 1, rectified: true}, []int{2, 3, 16, 13}, []int{18, 19, 17}},
	}
	if diff := cmp.Diff(want, fuse(p), unexported); diff != "" {
		t.Errorf("with more outputs (-want +got):\n%s", diff)
	}
}
