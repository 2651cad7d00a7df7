// Package calibration measures how fast the machine is at the moment, with a computation that stays as it is, so that
// times from different machines and hours can be divided by it.
package calibration

import "time"

// side is that of the matrices of the kernel: three of them fit into the second-level cache of any processor.
const side = 96

// interval is the time between two measurements, which take about a hundredth of it.
const interval = time.Second / 5

// Clock times the kernel again and again while something else is measured.
type Clock struct {
	a, b, c [side * side]float32
	last    time.Time
	total   time.Duration
	runs    int
}

// Reset forgets what was measured.
func (c *Clock) Reset() { *c = Clock{} }

// Tick runs the kernel if a fifth of a second has passed since it last did. Called between the steps of a training, it
// sees the machine as they do.
func (c *Clock) Tick() {
	start := time.Now()
	if start.Sub(c.last) < interval {
		return
	}
	if c.runs == 0 {
		c.fill()
		c.multiply() // the first run meets cold caches
		start = time.Now()
	}
	c.multiply()
	c.last = time.Now()
	c.total += c.last.Sub(start)
	c.runs++
}

// Seconds returns the mean time of the kernel, 0 if it has not run.
func (c *Clock) Seconds() float64 {
	if c.runs == 0 {
		return 0
	}
	return c.total.Seconds() / float64(c.runs)
}

func (c *Clock) fill() {
	for i := range c.a {
		c.a[i], c.b[i] = float32(i%7)-3, float32(i%5)-2
	}
}

// multiply adds a times b to c. It must never change: figures of different versions are compared by it.
func (c *Clock) multiply() {
	for i := range side {
		row := c.c[i*side : (i+1)*side]
		for k := range side {
			v := c.a[i*side+k]
			for j, w := range c.b[k*side : (k+1)*side] {
				row[j] += v * w
			}
		}
	}
}
