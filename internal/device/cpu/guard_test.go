//go:build guard && (linux || darwin)

package cpu

import (
	"math"
	"runtime/debug"
	"strings"
	"testing"
	"unsafe"

	"netadjust/internal/ops"
	"netadjust/networks"
)

// fails runs f and returns what it panics with, an access to an inaccessible page included.
func fails(f func()) (failure any) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { failure = recover() }()
	f()
	return nil
}

// past is the element n places behind the first one of a slice, whatever its length.
func past(b []float32, n int) *float32 {
	return (*float32)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), 4*n))
}

func TestBuffersEndAtGuards(t *testing.T) {
	var e executable
	for _, n := range []int{1, 15, 16, 1000, pageSize / 4, pageSize/4 + 1} {
		b := allocate[float32](n)
		for _, v := range b {
			if v != 0 {
				t.Fatalf("%d floats: a new buffer holds %v", n, v)
			}
		}
		var read float32
		if failure := fails(func() { read = *past(b, n) }); failure == nil {
			t.Errorf("%d floats: a read behind the buffer gives %v, want a fault", n, read)
		}
		if failure := fails(func() { *past(b, n) = 1 }); failure == nil {
			t.Errorf("%d floats: nothing noticed a write behind the buffer", n)
		}
		if a := aligned(n); uintptr(unsafe.Pointer(&a[0]))%64 != 0 || len(a) != n {
			t.Errorf("aligned(%d) has %d floats at %p", n, len(a), &a[0])
		}
		before := past(b, -1)
		if *before == *before {
			t.Errorf("%d floats: %v lies before the buffer, want a NaN", n, *before)
		}
		e.checkCanaries()
		*before = 1
		failure, _ := fails(e.checkCanaries).(string)
		if want := "1 was written 1 floats before a buffer"; !strings.Contains(failure, want) ||
			!strings.Contains(failure, "TestBuffersEndAtGuards") {
			t.Errorf("%d floats: the check of a write before the buffer says %q", n, failure)
		}
		*before = canary
	}
}

// TestUnwrittenIsNaN leaves out one step of a forward pass after the other: what comes out is a NaN then, where without
// guards it depends on what memory held before.
func TestUnwrittenIsNaN(t *testing.T) {
	for _, o := range []networks.GraphOptions{{Batch: 9, Train: trained}, {Batch: 9, Drop: true}} {
		p, d := programOf(t, networks.Spec{Name: "resnet8", Input: [3]int{3, 8, 8}, Classes: 10}, o)
		e, err := d.compile(p, false)
		if err != nil {
			t.Fatal(err)
		}
		output := func() float64 {
			for _, v := range p.Values { // a training step with NaNs leaves NaNs
				if v.State == nil {
					continue
				}
				if err := v.State.Write(make([]float32, v.Size())); err != nil {
					t.Fatal(err)
				}
			}
			if err := e.Run(zeros(p)); err != nil {
				t.Fatal(err)
			}
			out := make([]float32, p.Values[p.Outputs[0]].Size())
			if err := e.Output(0, 0, out); err != nil {
				t.Fatal(err)
			}
			return float64(out[0])
		}
		left := 0
		for i := range e.phases {
			ph := &e.phases[i]
			for j, list := range ph.plan.chunked {
				op := e.list[list].op
				switch op.(type) {
				case ops.Images, ops.Conv2D, convolve, normalize, ops.DropMask, ops.AvgPool, ops.GlobalAvgPool, ops.Linear:
				default:
					continue
				}
				run := ph.steps[j].run
				ph.steps[j].run = func(*worker, int, int, int) {}
				if v := output(); !math.IsNaN(v) {
					t.Errorf("training %v: %v comes out without step %d of phase %d, %T", o.Train != nil, v, j, i, op)
				}
				ph.steps[j].run = run
				left++
			}
		}
		if v := output(); math.IsNaN(v) || left < 15 {
			t.Errorf("training %v: %v comes out of the whole network; %d steps were left out", o.Train != nil, v, left)
		}
	}
}
