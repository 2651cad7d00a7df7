package harness

import (
	"netadjust/results"
)

// A backward pass computes two products where a forward pass computes one: the gradients by inputs and by weights.
const trainingPasses = 3

// trained adds the cost of training a network of the given FLOPs on so many images, counted once per epoch.
func trained(c *results.Cost, flops int64, images int) {
	c.ForwardImages += int64(images)
	c.BackwardImages += int64(images)
	c.FLOPs += trainingPasses * flops * int64(images)
}

// evaluated adds the cost of evaluating it.
func evaluated(c *results.Cost, flops int64, images int) {
	c.ForwardImages += int64(images)
	c.FLOPs += flops * int64(images)
}
