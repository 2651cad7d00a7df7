package gpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/data"
	"netadjust/internal/device"
	"netadjust/internal/device/cpu"
	"netadjust/internal/device/gpu/driver"
	"netadjust/internal/device/gpu/gputest"
	"netadjust/internal/rng"
	"netadjust/internal/train"
	"netadjust/networks"
)

// side is that of the images of these tests.
const side = 8

// patterns returns images of which each class has a mean of its own.
func patterns(n int) *data.Images {
	r := rand.New(rand.NewPCG(1, 2))
	im := &data.Images{Channels: 3, Height: side, Width: side}
	for i := range n {
		class := i % 10
		for range 3 * side * side {
			im.Pixels = append(im.Pixels, byte(10*class+r.IntN(150)))
		}
		im.Labels = append(im.Labels, int32(class))
	}
	return im
}

var norm = train.Normalization{Mean: []float64{0.4, 0.5, 0.6}, Std: []float64{0.2, 0.25, 0.3}}

func resnet(t *testing.T, name string) *networks.Network {
	t.Helper()
	n, err := networks.New(networks.Spec{Name: name, Width: 0.25, Input: [3]int{3, side, side}, Classes: 10})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// recipe has everything in it. At larger rates a rectifier that opens by a last bit is a loss that differs by a thousandth
// ten steps later.
func recipe(steps int) train.Recipe {
	const rate = 0.004
	return train.Recipe{
		Epochs: steps, Batch: 16, LearningRate: rate, MinLearningRate: rate, Momentum: 0.9, WeightDecay: 1e-4,
		LabelSmoothing: 0.1, CropPad: 1, Mirror: true, DropRate: 0.1,
	}
}

// trained trains a number of steps, each an epoch of its own, and returns the losses.
func trained(t *testing.T, dev device.Device, n *networks.Network, c []int, steps int) (*train.Model, []float64) {
	t.Helper()
	m, epochs, err := train.Train(t.Context(), dev, n, c, patterns(16), norm, recipe(steps),
		train.Stream{Seed: 3, Purpose: "final"}, func(int, train.Epoch) {})
	if err != nil {
		t.Fatal(err)
	}
	var losses []float64
	for _, e := range epochs {
		losses = append(losses, e.Loss)
	}
	return m, losses
}

func plainGo(t *testing.T) device.Device {
	t.Helper()
	t.Setenv(cpu.KernelsVariable, "go")
	dev, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	return dev
}

// TestTraining trains a narrow ResNet-20 on every driver. Losses are those of the plain Go kernels, and further trainings
// give the bits of the first: in memory that holds what is no number, and without any use of memory again. Other widths
// build nothing.
func TestTraining(t *testing.T) {
	n := resnet(t, "resnet20")
	const steps, few = 20, 4
	_, want := trained(t, plainGo(t), n, n.Start(), steps)
	gputest.Each(t, func(t *testing.T, d driver.Driver) {
		dev := deviceOn(t, d)
		_, got := trained(t, dev, n, n.Start(), steps)
		for i := range want {
			if !(math.Abs(got[i]-want[i]) <= 1e-3) {
				t.Errorf("step %d: loss %v, the reference has %v", i, got[i], want[i])
			}
		}
		for how, flag := range map[string]*bool{"full of what is no number": &dev.poison, "that nothing shares": &dev.apart} {
			*flag = true
			if _, again := trained(t, dev, n, n.Start(), few); !cmp.Equal(got[:few], again) {
				t.Errorf("losses %v of one training, %v of the next in memory %s", got[:few], again, how)
			}
			*flag = false
		}
		built := d.Built()
		other := n.Start()
		for i := range other {
			other[i] = 1 + (3*other[i]+5*i)%23
		}
		if trained(t, dev, n, other, 1); d.Built() != built {
			t.Errorf("a network of widths %v builds %d programs", other, d.Built()-built)
		}
	})
}

// counting is a driver that counts memory.
type counting struct {
	driver.Driver
	allocated int
}

func (c *counting) Alloc(bytes int) (driver.Chunk, error) {
	c.allocated += bytes
	return c.Driver.Alloc(bytes)
}

// TestMemory sets what a training takes beside the estimate by which cells are let on a card: twice what the graphs need.
func TestMemory(t *testing.T) {
	n := resnet(t, "resnet20")
	estimate, err := train.Memory(n, n.Start(), recipe(1))
	if err != nil {
		t.Fatal(err)
	}
	d := &counting{Driver: gputest.POCL(t)}
	trained(t, deviceOn(t, d), n, n.Start(), 1)
	taken := int64(d.allocated - page) // state takes one page
	if taken < estimate/8 || taken > 2*estimate {
		t.Errorf("a training takes %d bytes and a page; the graphs need %d", taken, estimate)
	}
}

// TestLayerDropout compares dropout in one layer after the other, in one batch that grows, with an evaluation for each:
// they give the same bits, also for images in groups. The plain Go kernels give about the same.
func TestLayerDropout(t *testing.T) {
	const repeats = 2
	n, images, key := resnet(t, "resnet8"), patterns(9), rng.NewKey(1, "drop")
	reference := plainGo(t)
	m, _ := trained(t, reference, n, n.Start(), 1)
	rates := make([]float64, len(n.Start()))
	for i := range rates {
		rates[i] = 0.1 + 0.05*float64(i)
	}
	evaluator := func(t *testing.T, dev device.Device) *train.Evaluator {
		e, err := train.NewEvaluator(dev, m, images, true)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		return e
	}
	sweep := func(t *testing.T, e *train.Evaluator) *train.LayerDropout {
		t.Helper()
		l, err := e.EvaluateLayerDropout(t.Context(), rates, key, repeats)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	want := sweep(t, evaluator(t, reference))
	gputest.Each(t, func(t *testing.T, d driver.Driver) {
		dev := deviceOn(t, d)
		e := evaluator(t, dev)
		got := sweep(t, e)
		near := func(what string, got, want train.Evaluation) {
			t.Helper()
			if !(math.Abs(got.Loss-want.Loss) <= 1e-4) {
				t.Errorf("%s: loss %v, the reference has %v", what, got.Loss, want.Loss)
			}
		}
		near("without dropout", got.Clean, want.Clean)
		for layer, rate := range rates {
			alone := make([]float64, len(rates))
			alone[layer] = rate
			for repeat := range repeats {
				what := fmt.Sprintf("layer %d, repeat %d", layer, repeat)
				single, err := e.EvaluateDropped(t.Context(), alone, key, repeat)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(single, got.Dropped[layer][repeat]); diff != "" {
					t.Errorf("%s (-alone +in the sweep):\n%s", what, diff)
				}
				near(what, got.Dropped[layer][repeat], want.Dropped[layer][repeat])
			}
		}
		// Layers whose ratios differ by more than rounding are in the same order.
		for i := range rates {
			for j := range rates {
				if ratio(want, i)-ratio(want, j) > 1e-4 && ratio(got, i) <= ratio(got, j) {
					t.Errorf("layers %d and %d: ratios %v and %v, the reference has %v and %v", i, j, ratio(got, i), ratio(got, j),
						ratio(want, i), ratio(want, j))
				}
			}
		}
		for _, limit := range []int{1, 200 << 10} {
			dev.sweep = limit
			if diff := cmp.Diff(got, sweep(t, evaluator(t, dev))); diff != "" {
				t.Errorf("in groups for %d bytes (-all images at once +in groups):\n%s", limit, diff)
			}
		}
	})
}

// ratio is by how much the loss rises with dropout in a layer.
func ratio(d *train.LayerDropout, layer int) (mean float64) {
	for _, e := range d.Dropped[layer] {
		mean += (e.Loss - d.Clean.Loss) / float64(len(d.Dropped[layer]))
	}
	return mean
}
