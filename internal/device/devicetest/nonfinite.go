package devicetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"netadjust/internal/device"
	"netadjust/internal/ops"
)

// nonFinite are the numbers that no operation may make ordinary ones of, unless its definition does.
var nonFinite = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}

// RunNonFinite checks that what is not finite in any input of an operation arrives wherever the reference has it. All
// else is as in the reference, see spreadsFurther.
func RunNonFinite(t *testing.T, open func(threads int) (device.Device, error)) {
	const most = 4000 // elements of an operand: where they lie is what counts here
	for _, o := range Operations() {
		if o.Larger(most) {
			continue
		}
		t.Run(o.String(), func(t *testing.T) {
			r := rand.New(rand.NewPCG(6, 7))
			in := o.inputs(r)
			for i := range in {
				d, ok := in[i].Data().([]float32)
				if _, images := o.Kind.(ops.Images); !ok || images { // a black pixel need not be multiplied by the scale
					continue
				}
				for _, v := range nonFinite {
					at := r.IntN(len(d))
					old := d[at]
					d[at] = v
					compareNonFinite(t, fmt.Sprintf("%v in element %d of input %d", v, at, i), o.Kind,
						onDevice(t, open, 2, o, in), floats(reference(t, o, in)))
					d[at] = old
				}
			}
		})
	}
}

func compareNonFinite(t *testing.T, what string, k ops.Kind, got, want []float32) {
	t.Helper()
	scale := 0.
	for _, w := range want {
		if finite(w) {
			scale = max(scale, math.Abs(float64(w)))
		}
	}
	for i, w := range want {
		switch g := got[i]; {
		case !finite(w):
			if finite(g) {
				t.Fatalf("%s: element %d is %v, the reference gives %v", what, i, g, w)
			}
		case !finite(g) && spreadsFurther(k):
		case !(math.Abs(float64(g)-float64(w)) <= tolerance*(scale+0.1)):
			t.Fatalf("%s: element %d is %v, the reference gives %v (largest %v)", what, i, g, w, scale)
		}
	}
}

func finite(v float32) bool { return v-v == 0 }

// spreadsFurther tells whether an operation may multiply what is not finite by zeros that the reference leaves out: the
// padding of convolutions, and pixels that share their sums, or the factor of x where statistics are constants.
func spreadsFurther(k ops.Kind) bool {
	switch k := k.(type) {
	case ops.Conv2D, ops.Conv2DGradInput, ops.Conv2DGradWeights, ops.DepthwiseConv2D, ops.DepthwiseConv2DGradInput,
		ops.DepthwiseConv2DGradWeights:
		return true
	case ops.BatchNormGradInput:
		return k.BatchNorm.Frozen
	}
	return false
}
