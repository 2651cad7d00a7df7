package train

import (
	"context"
	"fmt"
	"math"
	"slices"

	"netadjust/internal/data"
	"netadjust/internal/device"
	"netadjust/internal/rng"
	"netadjust/internal/vm"
	"netadjust/networks"
)

// Epoch is what one pass over the training images gave. Loss and accuracy are of the images as they were trained on,
// before the step that they caused.
type Epoch struct {
	LearningRate float64
	Loss         float64 // mean cross entropy, with label smoothing if the recipe has it
	Top1         float64 // share of images whose class has the largest logit
}

// Diverged is the error of a training whose loss is no number any more.
type Diverged struct {
	Epoch, Step  int // counted from 0
	LearningRate float64
	Loss         float64
}

func (d *Diverged) Error() string {
	return fmt.Sprintf("training diverged: loss %v in epoch %d, step %d, at learning rate %.4g; try a lower learning rate",
		d.Loss, d.Epoch+1, d.Step+1, d.LearningRate)
}

// Train trains the network with widths c from scratch and returns it with a report of every epoch, which progress also
// gets as it comes. It ends early with the context's error if that is done, and with *Diverged if the loss is not finite.
func Train(ctx context.Context, dev device.Device, n *networks.Network, c []int, images *data.Images, norm Normalization,
	r Recipe, stream Stream, progress func(epoch int, e Epoch)) (*Model, []Epoch, error) {
	return Resume(ctx, dev, n, c, images, norm, r, stream, nil, progress)
}

// Resume is Train with checkpoints: it goes on from the last one, if there is one, and gives the same numbers as without
// an interruption. Epochs that were complete then are reported in the result but not to progress. The checkpoints stay.
func Resume(ctx context.Context, dev device.Device, n *networks.Network, c []int, images *data.Images, norm Normalization,
	r Recipe, stream Stream, keep *Checkpoints, progress func(epoch int, e Epoch)) (*Model, []Epoch, error) {
	model := newModel(n, c, norm, stream)
	model.initialize(r, stream)
	epochs, err := Continue(ctx, dev, model, images, r, stream, keep, progress)
	return model, epochs, err
}

// Continue trains a network from where it is, with velocities of zero, and otherwise as Resume does.
func Continue(ctx context.Context, dev device.Device, model *Model, images *data.Images, r Recipe, stream Stream,
	keep *Checkpoints, progress func(epoch int, e Epoch)) ([]Epoch, error) {
	if images.Len() < r.Batch {
		return nil, fmt.Errorf("train %s: %d images are less than a batch of %d", model.Network.Name, images.Len(), r.Batch)
	}
	t, err := newTrainer(dev, model, images, r)
	if err != nil {
		return nil, err
	}
	defer t.close()
	if keep != nil {
		t.keep = keep
		if t.at, err = keep.restore(t.state); err != nil {
			return nil, err
		}
	}
	if r.Hook != nil && t.at.Step > 0 {
		if err := r.Hook.Resume(t.state); err != nil {
			return nil, err
		}
	}
	for e := len(t.at.Epochs); e < r.Epochs; e++ {
		if r.Hook != nil && t.at.Step == 0 {
			if err := r.Hook.Epoch(e, t.state); err != nil {
				return nil, err
			}
		}
		report, err := t.epoch(ctx, stream, e)
		if err != nil {
			return nil, err
		}
		t.at = position{Epochs: append(t.at.Epochs, report)}
		t.checkpoint(ctx, true)
		progress(e, report)
	}
	if r.Hook != nil {
		if err := r.Hook.Epoch(r.Epochs, t.state); err != nil {
			return nil, err
		}
	}
	return t.at.Epochs, model.read(t.state)
}

// trainer holds what the steps of one training share.
type trainer struct {
	recipe Recipe
	images *data.Images
	scale  []float32
	state  *vm.State
	steps  map[int]*step // by batch size: the full one, and what is left at the end of an epoch
	// Inputs of channel dropout, the same for all steps of an epoch. Without dropout the steps do not have them.
	dropRates []float32
	dropKey   []uint32
	slim      *slim // of a slimmable training

	at     position
	unread []unread     // steps that the device may not have done yet, the oldest first; they are beyond the position
	keep   *Checkpoints // nil: none
}

// unread is a step whose results have not been read.
type unread struct {
	*step
	labels       []uint32
	epoch        int
	learningRate float64
}

// step is a compiled training step with its input buffers.
type step struct {
	graph   *networks.Graph
	machine *vm.Machine
	batch   *batch
	rate    []float32
	logits  []float32
}

func newTrainer(dev device.Device, m *Model, images *data.Images, r Recipe) (*trainer, error) {
	t := &trainer{
		recipe: r, images: images, scale: m.Norm.scale(), state: vm.NewState(dev), steps: map[int]*step{},
		dropRates: make([]float32, len(m.Channels)), dropKey: make([]uint32, 3),
	}
	if err := m.write(t.state); err != nil {
		return nil, err
	}
	for _, p := range m.Network.Tensors(m.Channels) {
		if p.Role == networks.Running {
			continue
		}
		if err := t.state.Add(p.Velocity(), p.Shape...); err != nil {
			return nil, err
		}
	}
	if r.Slimmable != nil {
		t.slim = newSlim(dev, m, *r.Slimmable, r.Batch)
	}
	for _, size := range []int{r.Batch, images.Len() % r.Batch} {
		if size == 0 || t.steps[size] != nil {
			continue
		}
		s, err := t.compile(dev, m, size)
		if err != nil {
			t.close()
			return nil, err
		}
		t.steps[size] = s
	}
	return t, nil
}

func (t *trainer) compile(dev device.Device, m *Model, size int) (*step, error) {
	r := t.recipe
	g, err := m.Network.Graph(m.Channels, networks.GraphOptions{
		Batch: size, ImagePad: r.CropPad, Drop: r.DropRate > 0,
		Train: &networks.TrainOptions{
			LabelSmoothing: r.LabelSmoothing, Momentum: r.Momentum, WeightDecay: r.WeightDecay, NoBiasDecay: r.NoBiasDecay,
		},
	})
	if err != nil {
		return nil, err
	}
	machine, err := vm.Compile(g.ExprGraph, dev, t.state, g.Loss, g.Logits)
	if err != nil {
		return nil, err
	}
	s := &step{
		graph: g, machine: machine, batch: newBatch(t.images, size), rate: make([]float32, 1),
		logits: make([]float32, size*m.Network.Classes),
	}
	return s, s.batch.let(machine, t.scale, map[string]any{
		networks.LearningRate: s.rate, networks.DropRates: t.dropRates, networks.DropKey: t.dropKey,
	})
}

func (t *trainer) close() {
	if t.slim != nil {
		t.slim.close()
	}
	for _, s := range t.steps {
		s.machine.Close()
	}
}

// due tells whether a checkpoint is, or whether the training is told to stop.
func (t *trainer) due(ctx context.Context, epochEnded bool) bool {
	return t.keep != nil && (t.keep.due(epochEnded) || ctx.Err() != nil)
}

// checkpoint writes a checkpoint if one is due.
func (t *trainer) checkpoint(ctx context.Context, epochEnded bool) {
	if t.due(ctx, epochEnded) {
		t.keep.save(ctx, t.state, t.at)
	}
}

// read reads the results of steps until no more than so many are unread.
func (t *trainer) read(most int) error {
	for len(t.unread) > most {
		u, ago := t.unread[0], 0
		for _, later := range t.unread[1:] {
			if later.step == u.step {
				ago++
			}
		}
		var l [1]float32
		if err := u.machine.ReadEarlier(u.graph.Loss, ago, l[:]); err != nil {
			return err
		}
		if err := u.machine.ReadEarlier(u.graph.Logits, ago, u.logits); err != nil {
			return err
		}
		if v := float64(l[0]); math.IsNaN(v) || math.IsInf(v, 0) {
			return &Diverged{Epoch: u.epoch, Step: t.at.Step, LearningRate: u.learningRate, Loss: v}
		}
		t.unread = t.unread[1:]
		t.at.Step++
		t.at.Loss += float64(l[0]) * float64(len(u.labels))
		t.at.Correct += countCorrect(u.logits, u.labels)
		t.watch(u.epoch)
	}
	return nil
}

// watch tells of a step.
func (t *trainer) watch(epoch int) {
	if t.keep == nil || t.keep.Watch == nil {
		return
	}
	images := min(t.at.Step*t.recipe.Batch, t.images.Len())
	n := float64(images)
	t.keep.Watch(Progress{Epoch: epoch, Images: images, Loss: t.at.Loss / n, Top1: float64(t.at.Correct) / n})
}

// epoch trains on every image once, on those that the position says are left.
func (t *trainer) epoch(ctx context.Context, stream Stream, e int) (Epoch, error) {
	report := Epoch{LearningRate: t.recipe.LearningRateAt(e)}
	t.setDropout(stream, e)
	key := rng.NewKey(stream.Seed, stream.purpose("augment"), uint64(e))
	see := func(image int, move []uint32) data.Box { return t.recipe.see(key, t.images, image, move) }
	order := stream.order(e, t.images.Len())
	order = order[min(t.at.Step*t.recipe.Batch, len(order)):]
	ready, stop := ahead(t.images, order, t.recipe.Batch)
	defer stop()
	for len(order) > 0 {
		if err := await(ctx, ready); err != nil {
			return report, err
		}
		s := t.steps[min(t.recipe.Batch, len(order))]
		s.batch.take(order[:s.batch.size], see)
		order = order[s.batch.size:]
		s.rate[0] = float32(report.LearningRate)
		if err := s.machine.RunAll(); err != nil {
			return report, err
		}
		t.unread = append(t.unread, unread{s, slices.Clone(s.batch.labels), e, report.LearningRate})
		most := s.machine.Kept() - 1
		if len(order) == 0 || t.slim != nil || t.recipe.Hook != nil || t.due(ctx, false) {
			most = 0
		}
		if err := t.read(most); err != nil {
			return report, err
		}
		if t.slim != nil {
			if err := t.slim.step(t.state, s, t.scale, t.recipe.CropPad, stream, e, t.at.Step-1); err != nil {
				return report, err
			}
		}
		if t.recipe.Hook != nil {
			if err := t.recipe.Hook.Step(t.state, report.LearningRate); err != nil {
				return report, err
			}
		}
		if len(t.unread) == 0 {
			t.checkpoint(ctx, false)
		}
	}
	n := float64(t.images.Len())
	report.Loss, report.Top1 = t.at.Loss/n, float64(t.at.Correct)/n
	return report, nil
}

// setDropout sets the drop rates and masks of an epoch. It takes every image once, so the masks of its steps differ.
func (t *trainer) setDropout(stream Stream, e int) {
	for i := range t.dropRates {
		t.dropRates[i] = float32(t.recipe.DropRateAt(e, i, len(t.dropRates)))
	}
	key := rng.NewKey(stream.Seed, stream.purpose("drop"), uint64(e))
	copy(t.dropKey, key[:])
}

// countCorrect counts the rows whose label has the largest logit; of equal ones the first counts.
func countCorrect(logits []float32, labels []uint32) int {
	correct, k := 0, len(logits)/len(labels)
	for i, label := range labels {
		row := logits[i*k : (i+1)*k]
		best := 0
		for j, z := range row {
			if z > row[best] {
				best = j
			}
		}
		if best == int(label) {
			correct++
		}
	}
	return correct
}
