package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"netadjust/harness"
	"netadjust/internal/bench"
	"netadjust/internal/data"
	"netadjust/internal/device"
	"netadjust/internal/safetensors"
	"netadjust/internal/train"
)

// evaluation is what netadjust eval prints as JSON.
type evaluation struct {
	Network  string            `json:"network"`
	Channels []int             `json:"channels"`
	Dataset  string            `json:"dataset"`
	Modified bool              `json:"modified"` // the dataset is not the official one
	Images   int               `json:"images"`
	Loss     float64           `json:"loss"`
	Top1     float64           `json:"top1"`
	Top5     float64           `json:"top5"`
	Classes  []classEvaluation `json:"classes"`
	Device   device.Info       `json:"device"`
	Latency  []latency         `json:"latency"`
}

type classEvaluation struct {
	Class  int     `json:"class"`
	Name   string  `json:"name"`
	Images int     `json:"images"`
	Top1   float64 `json:"top1"`
}

// latency is the time that inference takes on a batch.
type latency struct {
	Batch  int     `json:"batch"`
	Runs   int     `json:"runs"`
	Median float64 `json:"p50_ms"`
	P90    float64 `json:"p90_ms"`
	P99    float64 `json:"p99_ms"`
}

func evalCommand(a *app, f *flags) error {
	open := f.trained()
	name := f.String("dataset", "", "dataset whose test images are used (default: that of the cell)")
	dataDir := f.data()
	images := f.Int("images", 0, "use the first so many test images (default: all)")
	batch := f.Int("batch", 128, "batch whose latency is measured beside that of one image")
	threads := f.Int("threads", 0, "threads (default: one per core)")
	seconds := f.Float64("seconds", 1, "time for each measurement of latency")
	logitsFile := f.String("logits", "", "write pixels, labels and logits of the images to this safetensors `FILE`")
	deviceName := f.device()
	f.json()
	args, err := f.parse()
	if err != nil {
		return err
	}
	if *images < 0 || *batch < 1 || *threads < 0 || !(*seconds > 0) {
		return failf(exitUsage, "--images %d, --batch %d, --threads %d and --seconds %v: none may be negative, and a batch "+
			"and some time are needed", *images, *batch, *threads, *seconds)
	}
	t, err := open(args[0])
	if err != nil {
		return err
	}
	if *name == "" {
		if t.Record == nil {
			return failf(exitUsage, "--dataset is missing: a weights file does not say what it was trained on")
		}
		*name = t.Record.Result.Dataset
	}
	dataset, test, err := testImages(t, *name, data.Dir(*dataDir), *images)
	if err != nil {
		return err
	}
	choice, err := openDevice(*deviceName)
	if err != nil {
		return err
	}
	dev, err := choice.open(*threads)
	if err != nil {
		return err
	}
	defer dev.Close()
	logits, err := logitsOf(a.ctx, dev, t.Model, test)
	if err != nil {
		return err
	}
	if *logitsFile != "" {
		if err := writeLogits(*logitsFile, test, logits); err != nil {
			return err
		}
	}
	result := newEvaluation(t, dataset, train.ScoreOf(logits, test), dev.Info())
	for _, size := range slices.Compact([]int{1, *batch}) {
		l, err := measureLatency(a.ctx, dev, t.Model, size, time.Duration(*seconds*float64(time.Second)))
		if err != nil {
			return err
		}
		result.Latency = append(result.Latency, l)
	}
	return f.print(result, func(w io.Writer) { printEvaluation(w, result) })
}

// testImages opens the test images of a dataset, which have to be what the network is made for.
func testImages(t *harness.Trained, name, dir string, count int) (*data.Dataset, *data.Images, error) {
	d, err := data.Open(name, dir)
	if err != nil {
		return nil, nil, err
	}
	n := t.Model.Network
	if got := [3]int{d.Channels, d.Height, d.Width}; got != n.Input || d.Classes != n.Classes {
		return nil, nil, fmt.Errorf("%s has images %s of %d classes, but the network is for %s of %d classes", name,
			dimensions(got[:]), d.Classes, dimensions(n.Input[:]), n.Classes)
	}
	images, err := d.Test()
	if err == nil && count > 0 {
		images, err = images.Slice(0, count)
	}
	return d, images, err
}

func logitsOf(ctx context.Context, dev device.Device, m *train.Model, images *data.Images) ([]float32, error) {
	e, err := train.NewEvaluator(dev, m, images, false)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	return e.Logits(ctx)
}

// writeLogits writes what another runtime can be compared with: its input and the output that it should have.
func writeLogits(path string, images *data.Images, logits []float32) error {
	n := images.Len()
	labels := make([]uint32, n)
	for i, label := range images.Labels {
		labels[i] = uint32(label)
	}
	size := images.Channels * images.Height * images.Width
	pixels := make([]uint8, n*size)
	for i := range n {
		seen := pixels[i*size : (i+1)*size]
		copy(seen, images.Load(i, images.Center(i), seen))
	}
	f := safetensors.File{Tensors: []safetensors.Tensor{
		{Name: "logits", Shape: []int{n, len(logits) / n}, Data: logits},
		{Name: "labels", Shape: []int{n}, Data: labels},
		{Name: "pixels", Shape: []int{n, images.Channels, images.Height, images.Width}, Data: pixels},
	}}
	return f.Write(path)
}

func newEvaluation(t *harness.Trained, d *data.Dataset, s train.Score, info device.Info) evaluation {
	e := evaluation{
		Network: t.Model.Network.Name, Channels: t.Model.Channels, Dataset: d.Name, Modified: d.Modified,
		Images: s.Images, Loss: s.Loss, Top1: s.Top1, Top5: s.Top5, Device: info,
	}
	for i, c := range s.Classes {
		e.Classes = append(e.Classes, classEvaluation{i, d.ClassName(i), c.Images, c.Top1})
	}
	return e
}

func measureLatency(ctx context.Context, dev device.Device, m *train.Model, batch int, duration time.Duration) (
	latency, error) {
	times, err := bench.Latencies(ctx, dev, m.Network, m.Channels, batch, duration)
	if err != nil {
		return latency{}, err
	}
	// The percentile p is the shortest time that a share of at least p of the runs did not exceed.
	at := func(p float64) float64 {
		i := int(math.Ceil(p*float64(len(times)))) - 1
		return float64(times[i]) / float64(time.Millisecond)
	}
	return latency{Batch: batch, Runs: len(times), Median: at(0.5), P90: at(0.9), P99: at(0.99)}, nil
}

func printEvaluation(w io.Writer, e evaluation) {
	note := ""
	if e.Modified {
		note = ", not the official files"
	}
	fmt.Fprintf(w, "%s with widths %v\n%d test images of %s%s\n\n", e.Network, e.Channels, e.Images, e.Dataset, note)
	fmt.Fprintf(w, "top-1 %6.2f %%\ntop-5 %6.2f %%\nloss  %8.4f\n\n", 100*e.Top1, 100*e.Top5, e.Loss)
	width := len("class")
	for _, c := range e.Classes {
		width = max(width, len(c.Name))
	}
	fmt.Fprintf(w, "%*s %8s %9s\n", width, "class", "images", "top-1")
	for _, c := range e.Classes {
		if c.Images > 0 {
			fmt.Fprintf(w, "%*s %8d %7.2f %%\n", width, c.Name, c.Images, 100*c.Top1)
		}
	}
	fmt.Fprintf(w, "\nlatency in ms, %s (%s), %d threads\n", e.Device.Name, e.Device.Kernels, e.Device.Threads)
	fmt.Fprintf(w, "%5s %8s %9s %9s %9s\n", "batch", "runs", "p50", "p90", "p99")
	for _, l := range e.Latency {
		fmt.Fprintf(w, "%5d %8d %9.3f %9.3f %9.3f\n", l.Batch, l.Runs, l.Median, l.P90, l.P99)
	}
}
