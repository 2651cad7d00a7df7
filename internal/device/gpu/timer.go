package gpu

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"netadjust/internal/device"
	"netadjust/internal/device/gpu/driver"
	"netadjust/internal/ops"
)

// workOf names the kind of work of an instruction, for people.
func workOf(op any) string {
	switch op.(type) {
	case ops.Images:
		return "images"
	case ops.Conv2D:
		return "convolution"
	case ops.DepthwiseConv2D:
		return "depthwise"
	case ops.Conv2DGradInput, ops.DepthwiseConv2DGradInput:
		return "data gradient"
	case ops.Conv2DGradWeights, ops.DepthwiseConv2DGradWeights:
		return "weight gradient"
	case apply:
		return "normalize"
	case ops.BatchStats:
		return "statistics"
	case sums, ops.BatchNormGradInput, ops.BatchNormGradScale, ops.BatchNormGradShift:
		return "normalize gradient"
	case ops.AvgPool, ops.AvgPoolGrad, ops.MaxPool, ops.MaxPoolGrad, ops.GlobalAvgPool, ops.GlobalAvgPoolGrad:
		return "pooling"
	case ops.Linear, ops.MatMul, ops.SumRows, ops.CrossEntropy, ops.CrossEntropyGrad, ops.SoftCrossEntropy,
		ops.SoftCrossEntropyGrad:
		return "classifier"
	case ops.RunningStats, ops.Momentum, ops.Descend, sgd:
		return "update"
	case repeat:
		return "copies"
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(fmt.Sprintf("%T", op), "ops."), "{")
	return strings.ToLower(name)
}

// clocks measure launches, by events before the first and behind each.
type clocks struct {
	start  time.Time
	events []driver.Event
	spent  map[string]device.Spent
}

// StartClocks measures the runs from now on. Each then waits for its end.
func (e *executable) StartClocks() {
	e.clocks = &clocks{start: time.Now(), spent: map[string]device.Spent{}}
}

// StopClocks returns what the device spent its time on since StartClocks, the longest first.
func (e *executable) StopClocks() []device.Spent {
	c := e.clocks
	e.clocks = nil
	waiting := device.Spent{Work: "waiting", Time: time.Since(c.start)}
	list := slices.Collect(maps.Values(c.spent))
	for _, s := range list {
		waiting.Time -= s.Time
	}
	for _, ev := range c.events {
		_ = ev.Free() // what it measured is known
	}
	list = append(list, waiting)
	slices.SortFunc(list, func(a, b device.Spent) int { return cmp.Compare(b.Time, a.Time) })
	return slices.DeleteFunc(list, func(s device.Spent) bool { return s.Time <= 0 })
}

// launch appends the launches of a plan with an event behind each, and waits for them.
func (c *clocks) launch(pl *plan) error {
	d := pl.dev.driver
	for len(c.events) <= len(pl.launches) {
		ev, err := d.NewEvent()
		if err != nil {
			return err
		}
		c.events = append(c.events, ev)
	}
	err := c.events[0].Record(driver.Compute)
	for i, l := range pl.launches {
		err = errors.Join(err, d.Launch(l), c.events[i+1].Record(driver.Compute))
	}
	if err = errors.Join(err, c.events[0].Wait()); err != nil {
		return err
	}
	for i, call := range pl.calls {
		if err := c.events[i+1].Wait(); err != nil {
			return err
		}
		spent, err := c.events[i+1].Since(c.events[i])
		if err != nil {
			return err
		}
		s := c.spent[call.work]
		c.spent[call.work] = device.Spent{Work: call.work, Time: s.Time + spent, FLOPs: s.FLOPs + call.flops}
	}
	return nil
}
