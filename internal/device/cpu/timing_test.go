package cpu

import (
	"testing"
	"time"

	"netadjust/internal/device"
	"netadjust/networks"
)

// TestClocks checks that clocks count every image's work once, account for all of the time, and leave nothing behind.
func TestClocks(t *testing.T) {
	const runs, batch = 3, 9
	spec := networks.Spec{Name: "resnet8", Input: [3]int{3, 8, 8}, Classes: 10}
	n, err := networks.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	behind := int64(0)
	for _, flops := range n.FLOPsBehind(n.Start()) {
		behind += flops
	}
	for _, c := range []struct {
		name  string
		o     networks.GraphOptions
		run   func(e *executable, inputs []any) error
		flops int64 // of convolutions and classifier, forward
	}{
		{"training", networks.GraphOptions{Batch: batch, Train: trained}, (*executable).Run, n.FLOPs(n.Start())},
		{"inference", networks.GraphOptions{Batch: batch}, (*executable).Run, n.FLOPs(n.Start())},
		{"dropout", networks.GraphOptions{Batch: batch, Drop: true}, func(e *executable, inputs []any) error {
			return e.RunDropped(inputs, 2)
		}, n.FLOPs(n.Start()) + 2*behind},
	} {
		p, d := programOf(t, spec, c.o)
		x, err := d.Compile(p)
		if err != nil {
			t.Fatal(err)
		}
		e, inputs := x.(*executable), zeros(p)
		run := func() {
			if err := c.run(e, inputs); err != nil {
				t.Fatal(err)
			}
		}
		run()
		var timer device.Timer = e
		start := time.Now()
		timer.StartClocks()
		for range runs {
			run()
		}
		spent := timer.StopClocks()
		wall := time.Since(start)
		run() // without clocks, or it fails for want of a place to count
		var total time.Duration
		flops := map[string]int64{}
		for _, s := range spent {
			if s.Time <= 0 {
				t.Errorf("%s: %+v", c.name, s)
			}
			total += s.Time
			flops[s.Work] = s.FLOPs
		}
		if total > 2*wall {
			t.Errorf("%s: two threads have %v in %v", c.name, total, wall)
		}
		got := flops["convolution"] + flops["classifier"]
		if c.o.Train != nil {
			got -= 2 * 640 * runs * batch // the gradients of the classifier
		}
		if want := c.flops * runs * batch; got != want {
			t.Errorf("%s: %d FLOPs, want %d", c.name, got, want)
		}
	}
}
