package train

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/data"
	"netadjust/internal/device/cpu"
	"netadjust/networks"
)

var mnist struct {
	once   sync.Once
	images *data.Images
	err    error
}

// side is that of the images of these tests: MNIST with every two by two pixels averaged, which is learned fast.
const side = 14

// digits returns training images [from, to) of MNIST.
func digits(t *testing.T, from, to int) *data.Images {
	t.Helper()
	mnist.once.Do(func() {
		dir := t.TempDir()
		if mnist.err = data.Get(t.Context(), "mnist", dir, t.Logf); mnist.err != nil {
			return
		}
		var d *data.Dataset
		if d, mnist.err = data.Open("mnist", dir); mnist.err == nil {
			mnist.images, mnist.err = d.Train()
		}
	})
	if mnist.err != nil {
		t.Fatal(mnist.err)
	}
	slice, err := mnist.images.Slice(from, to)
	if err != nil {
		t.Fatal(err)
	}
	small := *slice
	small.Height, small.Width, small.Pixels = side, side, nil
	for at := 0; at < len(slice.Pixels); at += 4 * side {
		top, bottom := slice.Pixels[at:at+2*side], slice.Pixels[at+2*side:]
		for i := 0; i < 2*side; i += 2 {
			sum := int(top[i]) + int(top[i+1]) + int(bottom[i]) + int(bottom[i+1])
			small.Pixels = append(small.Pixels, byte(sum/4))
		}
	}
	return &small
}

// norm is about the normalization of MNIST.
var norm = Normalization{Mean: []float64{0.1307}, Std: []float64{0.3081}}

func network(t *testing.T, name string, width float64) *networks.Network {
	t.Helper()
	n, err := networks.New(networks.Spec{Name: name, Width: width, Input: [3]int{1, side, side}, Classes: 10})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func processor(t testing.TB, threads int) *cpu.Device {
	t.Helper()
	dev, err := cpu.New(threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	return dev
}

func checkError(t *testing.T, name string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: error %v, want one with %q", name, err, want)
	}
}

func quiet(int, Epoch) {}

// short is a recipe for tests that need a training but not what it learns.
var short = Recipe{
	Epochs: 2, Batch: 16, LearningRate: 0.05, Momentum: 0.9, WeightDecay: 1e-4, LabelSmoothing: 0.1,
	CropPad: 2, Mirror: true,
}

func TestTrainLearns(t *testing.T) {
	n := network(t, "resnet8", 0.25)
	r := Recipe{Epochs: 3, Batch: 16, LearningRate: 0.1, MinLearningRate: 0.01, Momentum: 0.9, CropPad: 1}
	var seen []Epoch
	_, epochs, err := Train(t.Context(), processor(t, 2), n, n.Start(), digits(t, 0, 400), norm, r, Stream{1, "final"},
		func(e int, report Epoch) {
			if e != len(seen) {
				t.Errorf("epoch %d is reported after %d others", e, len(seen))
			}
			seen = append(seen, report)
		})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(epochs, seen); diff != "" || len(epochs) != 3 {
		t.Errorf("%d epochs; returned and reported differ (-returned +reported):\n%s", len(epochs), diff)
	}
	// A guess among ten classes has loss ln 10 = 2.3 and accuracy 0.1.
	first, last := epochs[0], epochs[2]
	if first.LearningRate != 0.1 || last.Loss > 0.8*first.Loss || last.Loss > 1.8 || last.Top1 < 0.4 {
		t.Errorf("epochs %+v", epochs)
	}
}

// weightsFile trains the smallest network and returns the file of its weights.
func weightsFile(t *testing.T, threads int, r Recipe, images *data.Images, stream Stream) []byte {
	t.Helper()
	n := network(t, "resnet8", 0.125)
	m, _, err := Train(t.Context(), processor(t, threads), n, n.Start(), images, norm, r, stream, quiet)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "weights.safetensors")
	if err := m.Save(path, nil); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// TestTrainRepeats checks that a training repeats to the last bit, with any number of threads, and that all that it
// should depend on changes it.
func TestTrainRepeats(t *testing.T) {
	images := digits(t, 0, 50)
	stream := Stream{7, "final"}
	want := weightsFile(t, 1, short, images, stream)
	for _, threads := range []int{1, 2, 3} {
		if !bytes.Equal(weightsFile(t, threads, short, images, stream), want) {
			t.Errorf("%d threads give other weights than one", threads)
		}
	}
	changed := func(f func(r *Recipe)) []byte {
		r := short
		f(&r)
		return weightsFile(t, 2, r, images, stream)
	}
	elsewhere := *images
	elsewhere.First += 1000
	for what, file := range map[string][]byte{
		"place in the dataset": weightsFile(t, 2, short, &elsewhere, stream),
		"seed":                 weightsFile(t, 2, short, images, Stream{8, "final"}),
		"purpose":              weightsFile(t, 2, short, images, Stream{7, "start"}),
		"images":               weightsFile(t, 2, short, digits(t, 50, 100), stream),
		"batch":                changed(func(r *Recipe) { r.Batch = 25 }),
		"learning rate":        changed(func(r *Recipe) { r.LearningRate = 0.04 }),
		"momentum":             changed(func(r *Recipe) { r.Momentum = 0.8 }),
		"weight decay":         changed(func(r *Recipe) { r.WeightDecay = 0 }),
		"label smoothing":      changed(func(r *Recipe) { r.LabelSmoothing = 0 }),
		"crops":                changed(func(r *Recipe) { r.CropPad = 0 }),
		"mirror":               changed(func(r *Recipe) { r.Mirror = false }),
	} {
		if bytes.Equal(file, want) {
			t.Errorf("another value of %s gives the same weights", what)
		}
	}
}

// TestTrainWithDropout checks that a training with channel dropout repeats to the last bit, with any number of threads,
// and that every part of its schedule changes it.
func TestTrainWithDropout(t *testing.T) {
	images := digits(t, 0, 50)
	stream := Stream{7, "final"}
	dropped := short
	dropped.DropRate, dropped.DropGrowsWithEpoch, dropped.DropGrowsWithDepth = 0.3, true, true
	want := weightsFile(t, 1, dropped, images, stream)
	for _, threads := range []int{1, 2, 3} {
		if !bytes.Equal(weightsFile(t, threads, dropped, images, stream), want) {
			t.Errorf("%d threads give other weights than one", threads)
		}
	}
	for what, change := range map[string]func(r *Recipe){
		"no dropout":            func(r *Recipe) { r.DropRate = 0 },
		"another rate":          func(r *Recipe) { r.DropRate = 0.2 },
		"no growth with epochs": func(r *Recipe) { r.DropGrowsWithEpoch = false },
		"no growth with depth":  func(r *Recipe) { r.DropGrowsWithDepth = false },
	} {
		r := dropped
		change(&r)
		if bytes.Equal(weightsFile(t, 2, r, images, stream), want) {
			t.Errorf("%s gives the same weights", what)
		}
	}
}

// TestDropoutOfEpochs checks what the graph gets: with learning rate 0 and all images in one batch, epochs differ by
// their masks alone, an epoch without dropout has the loss of a graph without it, and one with dropout is worse.
func TestDropoutOfEpochs(t *testing.T) {
	n := network(t, "resnet8", 0.125)
	images := digits(t, 0, 64)
	losses := func(rate float64, grows bool) (losses []float64) {
		r := Recipe{Epochs: 3, Batch: 64, Momentum: 0.9, DropRate: rate, DropGrowsWithEpoch: grows}
		_, epochs, err := Train(t.Context(), processor(t, 2), n, n.Start(), images, norm, r, Stream{1, "final"}, quiet)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range epochs {
			losses = append(losses, e.Loss)
		}
		return losses
	}
	const rounding = 1e-4 // from the order of the images
	near := func(a, b float64) bool { return math.Abs(a-b) < rounding }
	none, even, growing := losses(0, false), losses(0.5, false), losses(0.5, true)
	if !near(none[0], none[1]) || !near(none[0], none[2]) {
		t.Fatalf("without dropout epochs have losses %v", none)
	}
	if near(even[0], even[1]) || near(even[0], even[2]) || near(even[0], none[0]) {
		t.Errorf("losses %v with dropout: its masks do not change with the epoch, or drop nothing (%v)", even, none[0])
	}
	if !near(growing[0], none[0]) || near(growing[1], none[0]) {
		t.Errorf("losses %v with growing dropout, %v without: want the first epoch to have none", growing, none[0])
	}
}

// TestInitialWeights checks that initial weights depend on the stream and the name of their tensor alone, so that
// networks with other widths share those whose shape they share.
func TestInitialWeights(t *testing.T) {
	n := network(t, "resnet8", 0.25)
	m := newModel(n, n.Start(), norm, Stream{1, "final"})
	wider := newModel(n, []int{4, 4, 9, 8, 16, 16}, norm, Stream{1, "final"})
	const conv1, conv2 = "stage1.block1.conv1.weights", "stage1.block1.conv2.weights"
	if !slices.Equal(m.Tensor(conv1), wider.Tensor(conv1)) {
		t.Error("a wider layer elsewhere changes initial weights")
	}
	if slices.Equal(m.Tensor(conv1), m.Tensor(conv2)) {
		t.Error("two layers of one shape have the same weights")
	}
	for what, other := range map[string]Stream{"seed": {2, "final"}, "purpose": {1, "start"}} {
		if slices.Equal(m.Tensor(conv1), newModel(n, n.Start(), norm, other).Tensor(conv1)) {
			t.Errorf("another %s gives the same weights", what)
		}
	}
}

// TestLastBatch checks that the images that are left at the end of an epoch are trained on: another image in the last
// place gives other weights.
func TestLastBatch(t *testing.T) {
	r, stream := short, Stream{7, "final"}
	r.Epochs, r.Momentum, r.WeightDecay = 1, 0, 0
	images := digits(t, 0, 50)
	last := stream.order(0, 50)[49]
	other := *images
	other.Pixels = slices.Clone(images.Pixels)
	copy(other.Pixels[last*side*side:], digits(t, 50, 51).Pixels)
	if bytes.Equal(weightsFile(t, 2, r, images, stream), weightsFile(t, 2, r, &other, stream)) {
		t.Error("the last image of 50 with batches of 16 changes nothing")
	}
}

// TestEpochReport checks that loss and accuracy of an epoch are means over images, whatever the size of their batch.
// With learning rate 0 its batches can be run again.
func TestEpochReport(t *testing.T) {
	n := network(t, "resnet8", 0.125)
	images := digits(t, 0, 50)
	r, stream := short, Stream{7, "final"}
	r.LearningRate, r.CropPad, r.Mirror = 0, 0, false
	tr, err := newTrainer(processor(t, 2), newModel(n, n.Start(), norm, stream), images, r)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.close()
	got, err := tr.epoch(t.Context(), stream, 0)
	if err != nil {
		t.Fatal(err)
	}
	var want Epoch
	for chosen := range slices.Chunk(stream.order(0, 50), 16) {
		s := tr.steps[len(chosen)]
		s.batch.take(chosen, func(i int, move []uint32) data.Box { clear(move); return images.Center(i) })
		var loss [1]float32
		if err := errors.Join(s.machine.RunAll(), s.machine.Read(s.graph.Loss, loss[:]),
			s.machine.Read(s.graph.Logits, s.logits)); err != nil {
			t.Fatal(err)
		}
		want.Loss += float64(loss[0]) * float64(len(chosen))
		want.Top1 += float64(countCorrect(s.logits, s.batch.labels))
	}
	want.Loss, want.Top1 = want.Loss/50, want.Top1/50
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDiverged(t *testing.T) {
	n := network(t, "resnet8", 0.125)
	r := short
	r.LearningRate = 1e30
	_, _, err := Train(t.Context(), processor(t, 2), n, n.Start(), digits(t, 0, 50), norm, r, Stream{1, "final"}, quiet)
	d, ok := errors.AsType[*Diverged](err)
	if !ok {
		t.Fatalf("error %v, want *Diverged", err)
	}
	if d.Epoch != 0 || d.Step != 1 || d.LearningRate != 1e30 || d.Loss-d.Loss == 0 {
		t.Errorf("%+v, want a loss that is not finite in epoch 0, step 1, at learning rate 1e30", d)
	}
	checkError(t, "text", err, "in epoch 1, step 2, at learning rate 1e+30; try a lower learning rate")
}

func TestTooFewImages(t *testing.T) {
	n := network(t, "resnet8", 0.125)
	images := digits(t, 0, 15)
	_, _, err := Train(t.Context(), processor(t, 1), n, n.Start(), images, norm, short, Stream{1, "final"}, quiet)
	checkError(t, "15 images", err, "train resnet8: 15 images are less than a batch of 16")
}

// endsAfter is done when its error has been asked for a number of times.
type endsAfter struct {
	context.Context
	left int
}

func (c *endsAfter) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestTrainCancelled checks that a training ends before the next step once its context is done.
func TestTrainCancelled(t *testing.T) {
	n := network(t, "resnet8", 0.125)
	dev, images := processor(t, 2), digits(t, 0, 50)
	for _, steps := range []int{0, 1, 5} { // of four an epoch
		ctx := &endsAfter{t.Context(), steps}
		epochs := 0
		_, _, err := Train(ctx, dev, n, n.Start(), images, norm, short, Stream{1, "final"}, func(int, Epoch) { epochs++ })
		if !errors.Is(err, context.Canceled) || epochs != steps/4 || ctx.left != -1 {
			t.Errorf("cancelled after %d steps: error %v, %d epochs, %d questions left", steps, err, epochs, ctx.left)
		}
	}
}

// TestInitialize checks what the recipe changes of a new network, and that it changes nothing else.
func TestInitialize(t *testing.T) {
	n, stream := network(t, "resnet8", 0.25), Stream{1, "final"}
	const conv, gamma = "stage2.block1.conv2.weights", "stage2.block1.bn2.gamma"
	plain := newModel(n, n.Start(), norm, stream)
	for _, tt := range []struct {
		recipe  Recipe
		changed func(x networks.Tensor) bool
	}{
		{Recipe{}, func(networks.Tensor) bool { return false }},
		{Recipe{HeInit: true}, func(x networks.Tensor) bool { return len(x.Shape) == 4 }},
		{Recipe{ZeroGamma: true}, func(x networks.Tensor) bool { return strings.HasSuffix(x.Name, "block1.bn2.gamma") }},
	} {
		m := newModel(n, n.Start(), norm, stream)
		m.initialize(tt.recipe, stream)
		for _, x := range n.Tensors(n.Start()) {
			if got := !slices.Equal(m.Tensor(x.Name), plain.Tensor(x.Name)); got != tt.changed(x) {
				t.Errorf("%+v: %s has changed: %v", tt.recipe, x.Name, got)
			}
		}
		if tt.recipe.ZeroGamma && slices.Max(m.Tensor(gamma)) != 0 {
			t.Errorf("scales %v, want 0", m.Tensor(gamma))
		}
		again := newModel(n, n.Start(), norm, stream)
		again.initialize(tt.recipe, stream)
		if !slices.Equal(m.Tensor(conv), again.Tensor(conv)) {
			t.Errorf("%+v: the same stream gives other weights", tt.recipe)
		}
	}
}
