package trial

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"netadjust/internal/data"
	"netadjust/internal/device"
	"netadjust/internal/device/gpu"
	"netadjust/internal/device/gpu/driver"
	"netadjust/internal/rng"
	"netadjust/internal/train"
	"netadjust/networks"
)

// size is that of a training: a card is given more than a processor in its place.
type size struct {
	network       string
	width         float64
	side, batch   int // of the images
	steps, repeat int // of the loss curve, and of the training that is repeated
}

func (l *layer) size() size {
	if l.card.Processor {
		return size{"resnet8", 0.25, 8, 16, 20, 30}
	}
	return size{"resnet20", 1, 32, 128, 20, 100}
}

func (s size) build() (*networks.Network, error) {
	return networks.New(networks.Spec{Name: s.network, Width: s.width, Input: [3]int{3, s.side, s.side}, Classes: 10})
}

// images returns images of which each class has a mean of its own.
func (s size) images(n int) *data.Images {
	r := rand.New(rand.NewPCG(1, 2))
	im := &data.Images{Channels: 3, Height: s.side, Width: s.side}
	for i := range n {
		class := i % 10
		for range 3 * s.side * s.side {
			im.Pixels = append(im.Pixels, byte(10*class+r.IntN(150)))
		}
		im.Labels = append(im.Labels, int32(class))
	}
	return im
}

// train trains from scratch, every step an epoch of its own, and returns the losses.
func (s size) train(ctx context.Context, dev device.Device, n *networks.Network, c []int, r train.Recipe) (
	*train.Model, []float64, error) {
	images := s.images(s.batch)
	norm, err := train.NormalizationOf(images)
	if err != nil {
		return nil, nil, err
	}
	r.Batch = s.batch
	m, epochs, err := train.Train(ctx, dev, n, c, images, norm, r, train.Stream{Seed: 3, Purpose: "final"},
		func(int, train.Epoch) {})
	var losses []float64
	for _, e := range epochs {
		losses = append(losses, e.Loss)
	}
	return m, losses, err
}

// usual is a recipe with everything in it.
func usual(steps int) train.Recipe {
	return train.Recipe{
		Epochs: steps, LearningRate: 0.05, MinLearningRate: 0.05, Momentum: 0.9, WeightDecay: 1e-4, LabelSmoothing: 0.1,
		CropPad: 1, Mirror: true, DropRate: 0.1,
	}
}

// Training is what trainings on the device and on the processor have in common.
type Training struct {
	Losses      []float64 `json:"losses"`
	Reference   []float64 `json:"reference_losses"` // of the processor
	Gradient    float64   `json:"gradient_error"`   // the worst tensor's, relative to its largest element
	GradientOf  string    `json:"gradient_of"`      // that tensor
	Repeated    int       `json:"repeated_steps"`   // with the same bits
	Built       int       `json:"built"`            // programs for other widths
	WidthsTried []int     `json:"other_widths"`
}

const (
	lossTolerance     = 1e-3 // of a loss in a curve of few steps
	gradientTolerance = 1e-3
)

// training compares losses and gradients with the processor's, repeats a training bit by bit, and counts what other
// widths compile.
func (l *layer) training(ctx context.Context) (any, error) {
	return l.on(func(dev *gpu.Device, d driver.Driver) (any, error) {
		s := l.size()
		var t Training
		n, err := s.build()
		if err != nil {
			return nil, err
		}
		processor, err := reference()
		if err != nil {
			return nil, err
		}
		defer processor.Close()
		var first, second *train.Model
		var losses, again []float64
		if err = s.gradients(ctx, dev, processor, n, &t); err == nil {
			_, t.Reference, err = s.train(ctx, processor, n, n.Start(), usual(s.steps))
		}
		if err == nil {
			first, losses, err = s.train(ctx, dev, n, n.Start(), usual(s.repeat))
		}
		if err == nil {
			t.Losses = losses[:s.steps]
			second, again, err = s.train(ctx, dev, n, n.Start(), usual(s.repeat))
		}
		if err != nil {
			return t, err
		}
		var wrong []error
		for i, want := range t.Reference {
			if !(math.Abs(t.Losses[i]-want) <= lossTolerance) {
				wrong = append(wrong, fmt.Errorf("step %d: loss %v, the processor has %v", i, t.Losses[i], want))
				break
			}
		}
		if t.Gradient > gradientTolerance {
			wrong = append(wrong, fmt.Errorf("the gradient by %s is %.1e beside the processor's", t.GradientOf, t.Gradient))
		}
		same := slices.Equal(losses, again)
		for _, p := range n.Tensors(n.Start()) {
			same = same && slices.Equal(first.Tensor(p.Name), second.Tensor(p.Name))
		}
		if t.Repeated = s.repeat; !same {
			wrong = append(wrong, fmt.Errorf("the same training twice, of %d steps, gives other bits", s.repeat))
		}
		before := d.Built()
		t.WidthsTried = n.Start()
		for i := range t.WidthsTried {
			t.WidthsTried[i] = 1 + (3*t.WidthsTried[i]+5*i)%70
		}
		_, _, err = s.train(ctx, dev, n, t.WidthsTried, usual(1))
		if t.Built = d.Built() - before; t.Built > 0 {
			wrong = append(wrong, fmt.Errorf("other widths have compiled %d programs", t.Built))
		}
		return t, errors.Join(append(wrong, err)...)
	})
}

// gradients compares the gradients of the first step: what parameters lose in a step at a learning rate of 1.
func (s size) gradients(ctx context.Context, dev, processor device.Device, n *networks.Network, t *Training) error {
	plain := train.Recipe{Epochs: 1}
	start, _, err := s.train(ctx, processor, n, n.Start(), plain)
	if err != nil {
		return err
	}
	plain.LearningRate, plain.MinLearningRate = 1, 1
	want, _, err := s.train(ctx, processor, n, n.Start(), plain)
	if err != nil {
		return err
	}
	got, _, err := s.train(ctx, dev, n, n.Start(), plain)
	if err != nil {
		return err
	}
	for _, p := range n.Tensors(n.Start()) {
		if p.Role == networks.Running {
			continue
		}
		largest, worst := 0., 0.
		was, is := start.Tensor(p.Name), got.Tensor(p.Name)
		for i, w := range want.Tensor(p.Name) {
			largest = max(largest, math.Abs(float64(was[i]-w)))
			worst = max(worst, apart(float64(is[i]), float64(w)))
		}
		e := worst / (largest + 1e-3)
		if !(e < math.MaxFloat64) {
			e = math.MaxFloat64
		}
		if e > t.Gradient {
			t.Gradient, t.GradientOf = e, p.Name
		}
	}
	return nil
}

// apart is how far a is from b: as far as a number of JSON can say if one of them is none.
func apart(a, b float64) float64 {
	if d := math.Abs(a - b); d < math.MaxFloat64 {
		return d
	}
	return math.MaxFloat64
}

// Ratios compares utilization ratios.
type Ratios struct {
	Loss      float64   `json:"loss_error"` // the worst of all evaluations
	FUR       []float64 `json:"fur"`        // by layer
	Reference []float64 `json:"reference_fur"`
}

const (
	evaluationTolerance = 1e-4 // of a loss from one checkpoint
	repeats             = 5
	evaluated           = 3 // batches of images
)

// ratios measures the utilization ratios of a network that the processor has trained, on both: losses, and the order of
// all layers whose ratios differ by more than rounding.
func (l *layer) ratios(ctx context.Context) (any, error) {
	return l.on(func(dev *gpu.Device, _ driver.Driver) (any, error) {
		s := l.size()
		n, err := s.build()
		if err != nil {
			return nil, err
		}
		processor, err := reference()
		if err != nil {
			return nil, err
		}
		defer processor.Close()
		m, _, err := s.train(ctx, processor, n, n.Start(), usual(s.steps))
		if err != nil {
			return nil, err
		}
		images := s.images(evaluated*s.batch + 1)
		want, err := layerDropout(ctx, processor, m, images)
		if err != nil {
			return nil, err
		}
		got, err := layerDropout(ctx, dev, m, images)
		if err != nil {
			return nil, err
		}
		r := Ratios{Loss: apart(got.Clean.Loss, want.Clean.Loss), FUR: furOf(got), Reference: furOf(want)}
		for i := range want.Dropped {
			for j, e := range want.Dropped[i] {
				r.Loss = max(r.Loss, apart(got.Dropped[i][j].Loss, e.Loss))
			}
		}
		if !(r.Loss <= evaluationTolerance) {
			return r, fmt.Errorf("a loss differs by %.1e from the processor's", r.Loss)
		}
		return r, sameOrder(r.FUR, r.Reference, evaluationTolerance)
	})
}

func layerDropout(ctx context.Context, dev device.Device, m *train.Model, images *data.Images) (*train.LayerDropout, error) {
	e, err := train.NewEvaluator(dev, m, images, true)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	rates := make([]float64, len(m.Channels))
	for i := range rates {
		rates[i] = 0.2
	}
	return e.EvaluateLayerDropout(ctx, rates, rng.NewKey(1, "drop"), repeats)
}

// furOf returns by how much the loss rises with dropout in each layer.
func furOf(d *train.LayerDropout) []float64 {
	list := make([]float64, len(d.Dropped))
	for i, runs := range d.Dropped {
		for _, e := range runs {
			list[i] += (e.Loss - d.Clean.Loss) / float64(len(runs))
		}
	}
	return list
}

// sameOrder returns an error if two layers whose ratios differ by more than the tolerance are in another order.
func sameOrder(got, want []float64, tolerance float64) error {
	for i := range want {
		for j := range want {
			if want[i]-want[j] > tolerance && got[i] <= got[j] {
				return fmt.Errorf("layers %d and %d have ratios %v and %v, on the processor %v and %v: another order", i, j,
					got[i], got[j], want[i], want[j])
			}
		}
	}
	return nil
}
