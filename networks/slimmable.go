package networks

import "math"

// Slimmable makes a training one of all narrower networks as well, which share its parameters: each layer's first
// channels (Yu and Huang, "Universally slimmable networks and improved training techniques", ICCV 2019). Every step of
// the network is followed by one of the sum of the gradients of the narrowest network and of some random ones, on the
// same images, with the probabilities that the network has just given them as targets. Batch norm uses the statistics of
// each batch; the running ones are those of the whole network.
type Slimmable struct {
	Steps  int // a layer of c channels can have round(c k / Steps), k = Least, …, Steps
	Least  int
	Random int // random networks in each step
}

// Widths returns the widths when the layers take the given numbers of steps, at least one channel each.
func (s Slimmable) Widths(c, steps []int) []int {
	widths := make([]int, len(c))
	for i := range c {
		widths[i] = max(1, int(math.RoundToEven(float64(c[i]*steps[i])/float64(s.Steps))))
	}
	return widths
}
