package train

import (
	"errors"
	"testing"
	"time"

	"netadjust/internal/data"
	"netadjust/internal/device"
	"netadjust/internal/rng"
	"netadjust/networks"
)

// BenchmarkImages measures what the images of a training cost, for every dataset that is in $NETADJUST_DATA:
//
//	load/s/core    images that one core gets ready for a network, read and augmented
//	train/s/core   images that one core trains ResNet-20 on, or ResNet-18 if they are large
//	%images        share of the steps that goes to loading, moving and normalizing images
//	%waiting       share of the time in which no step can run because its images are not there yet
//
// An operation is a step.
func BenchmarkImages(b *testing.B) {
	measured := 0
	for _, info := range data.List(data.Dir("")) {
		d, err := data.Open(info.Name, data.Dir(""))
		if err != nil {
			continue
		}
		measured++
		b.Run(info.Name, func(b *testing.B) { benchmarkImages(b, d) })
	}
	if measured == 0 {
		b.Skip("there is no dataset in NETADJUST_DATA")
	}
}

func benchmarkImages(b *testing.B, d *data.Dataset) {
	images, err := d.Train()
	if err != nil {
		b.Fatal(err)
	}
	norm, err := NormalizationOf(images)
	if err != nil {
		b.Fatal(err)
	}
	spec := networks.Spec{Name: "resnet20", Input: [3]int{d.Channels, d.Height, d.Width}, Classes: d.Classes}
	r := Recipe{Batch: 128, LearningRate: 0.01, Momentum: 0.9, CropPad: 4, Mirror: true}
	if d.Height > 64 {
		spec.Name, r.Batch, r.CropPad = "resnet18", 32, 0
	}
	r.ResizedCrop = d.HeldOut > 0
	r.Batch = min(r.Batch, images.Len())
	n, err := networks.New(spec)
	if err != nil {
		b.Fatal(err)
	}
	dev := processor(b, 0)
	t, err := newTrainer(dev, newModel(n, n.Start(), norm, Stream{1, "bench"}), images, r)
	if err != nil {
		b.Fatal(err)
	}
	defer t.close()
	s := t.steps[r.Batch]
	s.rate[0] = 0.01
	key := rng.NewKey(1, "bench")
	see := func(i int, move []uint32) data.Box { return r.see(key, images, i, move) }
	whole := Stream{1, "bench"}.order(0, images.Len())
	whole = whole[:len(whole)-len(whole)%r.Batch]

	// Loading alone, on this goroutine.
	buffer, fetched := make([]byte, d.Channels*d.Height*d.Width), []byte(nil)
	loaded, start := 0, time.Now()
	for order := whole; time.Since(start) < time.Second; loaded += r.Batch {
		if fetched, err = images.Fetch(order[:r.Batch], fetched); err != nil {
			b.Fatal(err)
		}
		s.batch.take(order[:r.Batch], see)
		for i := range r.Batch {
			s.batch.Load(i, buffer)
		}
		if order = order[r.Batch:]; len(order) == 0 {
			order = whole
		}
	}
	perCore := float64(loaded) / time.Since(start).Seconds()

	timer := s.machine.Executable().(device.Timer)
	timer.StartClocks()
	var waiting time.Duration
	order := whole[:0]
	var ready <-chan error
	stop := func() {}
	steps, start := 0, time.Now()
	for b.Loop() {
		if len(order) == 0 {
			stop()
			order = whole
			ready, stop = ahead(images, order, r.Batch)
		}
		before := time.Now()
		if err := await(b.Context(), ready); err != nil {
			b.Fatal(err)
		}
		waiting += time.Since(before)
		s.batch.take(order[:r.Batch], see)
		order = order[r.Batch:]
		if err := errors.Join(s.machine.RunAll(), s.machine.Read(s.graph.Logits, s.logits)); err != nil {
			b.Fatal(err)
		}
		steps++
	}
	took := time.Since(start)
	stop()
	var total, onImages time.Duration
	for _, spent := range timer.StopClocks() {
		total += spent.Time
		if spent.Work == "images" {
			onImages = spent.Time
		}
	}
	b.ReportMetric(perCore, "load/s/core")
	b.ReportMetric(float64(steps*r.Batch)/took.Seconds()/float64(dev.Info().Threads), "train/s/core")
	b.ReportMetric(100*onImages.Seconds()/total.Seconds(), "%images")
	b.ReportMetric(100*waiting.Seconds()/took.Seconds(), "%waiting")
	b.Logf("%s, batches of %d", n.Name, r.Batch)
}
