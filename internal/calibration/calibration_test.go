package calibration

import (
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	var c Clock
	if c.Seconds() != 0 {
		t.Errorf("%g s before the first run", c.Seconds())
	}
	c.Tick()
	first := c.Seconds()
	if first <= 0 || c.runs != 1 {
		t.Errorf("%d runs of %g s after the first tick", c.runs, first)
	}
	if c.Tick(); c.runs != 1 {
		t.Error("it has run twice in a row")
	}
	c.last = c.last.Add(-2 * time.Second)
	if c.Tick(); c.runs != 2 {
		t.Error("it has not run again after two seconds")
	}
	if c.Reset(); c.Seconds() != 0 || c.runs != 0 {
		t.Error("a reset keeps what was measured")
	}
}

// The product is right, so the kernel does the work that it is timed for.
func TestMultiply(t *testing.T) {
	var c Clock
	c.fill()
	c.multiply()
	const i, j = 5, 11
	var want float32
	for k := range side {
		want += c.a[i*side+k] * c.b[k*side+j]
	}
	if got := c.c[i*side+j]; got != want {
		t.Errorf("element (%d, %d) is %g, want %g", i, j, got, want)
	}
}

func TestTickAllocatesNothing(t *testing.T) {
	c := new(Clock)
	if n := testing.AllocsPerRun(10, func() {
		c.last = time.Time{}
		c.Tick()
	}); n > 0 {
		t.Errorf("%g allocations", n)
	}
}

func BenchmarkKernel(b *testing.B) {
	c := new(Clock)
	for b.Loop() {
		c.multiply()
	}
}
