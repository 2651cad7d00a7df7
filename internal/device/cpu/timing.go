package cpu

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"netadjust/internal/device"
	"netadjust/internal/device/cpu/kernel"
	"netadjust/internal/ops"
)

// work is what clocks tell apart.
type work int

const (
	onImages work = iota
	onConvolution
	onDataGradient
	onWeightGradient
	onNormalize
	onStatistics
	onNormGradient
	onPooling
	onDropout
	onClassifier
	onPacking // weights for convolutions, and feature maps that are handed in
	onSumming // over the slots
	onUpdate
	onOther
	onWaiting // for other workers, and all that has no clock
	works
)

var workNames = [works]string{
	"images", "convolution", "data gradient", "weight gradient", "normalize", "statistics", "normalize gradient",
	"pooling", "dropout", "classifier", "packing", "summing", "update", "other", "waiting",
}

// kindOf names an instruction, for people, and gives its kind of work.
func kindOf(op any) (string, work) {
	switch k := op.(type) {
	case ops.Images:
		return "images", onImages
	case ops.Conv2D:
		return "convolution", onConvolution
	case convolve:
		return "convolution+normalize" + suffix(k.masked, "+mask") + suffix(k.residual, "+add") +
			rectified(k.rectifier), onConvolution
	case ops.DepthwiseConv2D:
		return "depthwise convolution", onConvolution
	case depthwise:
		return "depthwise convolution+normalize" + rectified(k.rectifier), onConvolution
	case ops.DepthwiseConv2DGradInput:
		return "depthwise data gradient", onDataGradient
	case ops.DepthwiseConv2DGradWeights:
		return "depthwise weight gradient", onWeightGradient
	case ops.Conv2DGradInput:
		return "data gradient", onDataGradient
	case ops.Conv2DGradWeights:
		return "weight gradient", onWeightGradient
	case normalize:
		name := suffix(k.norm, "+normalize") + suffix(k.masked, "+mask") + suffix(k.residual, "+add") +
			rectified(k.rectifier)
		return name[1:], onNormalize
	case ops.BatchStats:
		return "statistics", onStatistics
	case backStats:
		return suffix(k.summed, "add+") + suffix(k.rectified, "relu gradient+") + "normalize sums", onNormGradient
	case ops.BatchNormGradInput, backNorm:
		return "normalize gradient", onNormGradient
	case backReLU, ops.ReLUGrad, ops.ReLU6Grad:
		return "relu gradient", onNormGradient
	case ops.BatchNormGradScale, ops.BatchNormGradShift:
		return "normalize sums", onNormGradient
	case ops.AvgPool, ops.MaxPool, ops.GlobalAvgPool:
		return "pooling", onPooling
	case ops.AvgPoolGrad, ops.MaxPoolGrad, ops.GlobalAvgPoolGrad:
		return "pooling gradient", onPooling
	case ops.ChannelWindow:
		return "channel window", onOther
	case ops.Concat:
		return "concat", onOther
	case ops.ScaleChannelsGrad:
		return "channel scale gradient", onOther
	case ops.Sigmoid, ops.RowReLU:
		return "row function", onClassifier
	case ops.SigmoidGrad, ops.RowReLUGrad:
		return "row function gradient", onClassifier
	case ops.DropMask:
		return "dropout mask", onDropout
	case ops.Linear:
		return "linear", onClassifier
	case ops.MatMul, ops.SumRows:
		return "linear gradient", onClassifier
	case ops.CrossEntropy, ops.SoftCrossEntropy:
		return "loss", onClassifier
	case ops.CrossEntropyGrad, ops.SoftCrossEntropyGrad:
		return "loss gradient", onClassifier
	case ops.RunningStats:
		return "running statistics", onUpdate
	case sgd, ops.Momentum, ops.Descend:
		return "gradient descent", onUpdate
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", op), "ops."), onOther
}

// rectified names what a pass rectifies by.
func rectified(r kernel.Rectifier) string {
	return suffix(r == kernel.ReLU, "+relu") + suffix(r == kernel.ReLU6, "+relu6")
}

// suffix is a part of a name that is there or not.
func suffix(is bool, text string) string {
	if is {
		return text
	}
	return ""
}

// clocks measure an executable. Every piece of work is wrapped in a clock when they start and unwrapped when they stop,
// so that runs without them know nothing of it.
type clocks struct {
	start   time.Time
	prepare tasks // without clocks
	phases  []compiled
	rows    [][works]device.Spent // by slot, or by worker for tasks: no two workers share a row
}

// StartClocks measures the runs from now on.
func (e *executable) StartClocks() {
	c := &clocks{
		prepare: e.prepare, phases: slices.Clone(e.phases),
		rows: make([][works]device.Spent, max(e.slots, e.dev.pool.threads)),
	}
	e.clocks = c
	c.tasks(&e.prepare, onPacking)
	for i := range e.phases {
		ph := &e.phases[i]
		ph.steps = slices.Clone(ph.steps)
		for j, instruction := range ph.plan.chunked {
			s := e.list[instruction]
			_, kind := kindOf(s.op)
			ph.steps[j] = c.step(ph.steps[j], kind, s.in[0], e.flops(s))
		}
		c.tasks(&ph.finish, onSumming)
		c.tasks(&ph.after, onUpdate)
	}
	if e.sweep != nil {
		e.sweep.StartClocks()
	}
	c.start = time.Now()
}

// StopClocks returns what the runs since StartClocks spent their time on.
func (e *executable) StopClocks() []device.Spent {
	c := e.clocks
	e.clocks = nil
	var total [works]device.Spent
	total[onWaiting].Time = time.Since(c.start) * time.Duration(e.dev.pool.threads)
	e.prepare = c.prepare
	copy(e.phases, c.phases)
	if e.sweep != nil && e.sweep.clocks != nil {
		c.rows = append(c.rows, e.sweep.clocks.rows...)
		e.sweep.StopClocks()
	}
	for _, row := range c.rows {
		for k, s := range row {
			total[k].Time += s.Time
			total[k].FLOPs += s.FLOPs
			total[onWaiting].Time -= s.Time
		}
	}
	for k := range total {
		total[k].Work = workNames[k]
	}
	return slices.DeleteFunc(total[:], func(s device.Spent) bool { return s.Time <= 0 })
}

// step is s with a clock. It has no multiply-adds to do in a variation of a sweep that leaves the operand x as it is.
func (c *clocks) step(s step, k work, x int, flops int64) step {
	run, begin := s.run, s.begin
	s.run = func(w *worker, slot, from, to int) {
		start := time.Now()
		run(w, slot, from, to)
		spent := &c.rows[slot][k]
		spent.Time += time.Since(start)
		if w.changed == nil || w.changed[x] {
			spent.FLOPs += flops * int64(to-from)
		}
	}
	if begin != nil {
		s.begin = func(slot int) {
			start := time.Now()
			begin(slot)
			c.rows[slot][k].Time += time.Since(start)
		}
	}
	return s
}

// tasks puts a clock on each of them.
func (c *clocks) tasks(t *tasks, k work) {
	do := t.do
	if do == nil {
		return
	}
	t.do = func(i, worker int) {
		start := time.Now()
		do(i, worker)
		c.rows[worker][k].Time += time.Since(start)
	}
}
