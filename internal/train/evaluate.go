package train

import (
	"context"
	"errors"
	"fmt"
	"math"

	"netadjust/internal/data"
	"netadjust/internal/device"
	"netadjust/internal/rng"
	"netadjust/internal/vm"
	"netadjust/networks"
)

// EvaluationBatch is the number of images evaluated at a time. It changes no result but for rounding in matrix products.
const EvaluationBatch = 128

// Evaluation is what a network does on images: in inference mode, without augmentation.
type Evaluation struct {
	Loss   float64 // mean cross entropy in nats, without label smoothing
	Top1   float64 // share of images whose class has the largest logit
	Images int
}

// Evaluator runs one model on one set of images, as often as wanted.
type Evaluator struct {
	images *data.Images
	drop   bool
	passes []*pass // the full batches, and what is left
	rates  []float32
	key    []uint32
}

// pass is a compiled evaluation of one batch size.
type pass struct {
	graph    *networks.Graph
	machine  *vm.Machine
	batch    *batch
	logits   []float32
	scores   []score
	from, to int // images
}

// NewEvaluator prepares the model for images on the device. Without drop it evaluates without
// channel dropout only.
func NewEvaluator(dev device.Device, m *Model, images *data.Images, drop bool) (*Evaluator, error) {
	return newEvaluator(dev, m, images, drop, 0)
}

// newEvaluator does the same for images that are padded by so many pixels, to be moved.
func newEvaluator(dev device.Device, m *Model, images *data.Images, drop bool, pad int) (*Evaluator, error) {
	state := vm.NewState(dev)
	if err := m.write(state); err != nil {
		return nil, err
	}
	e := &Evaluator{images: images, drop: drop, rates: make([]float32, len(m.Channels)), key: make([]uint32, 3)}
	full := images.Len() - images.Len()%EvaluationBatch
	for _, part := range [][3]int{{0, full, EvaluationBatch}, {full, images.Len(), images.Len() - full}} {
		if part[0] == part[1] {
			continue
		}
		p := &pass{from: part[0], to: part[1], batch: newBatch(images, part[2])}
		var err error
		if p.graph, err = m.Network.Graph(m.Channels, networks.GraphOptions{
			Batch: part[2], ImagePad: pad, Drop: drop, Estimate: m.BatchStatistics,
		}); err != nil {
			e.Close()
			return nil, err
		}
		if p.machine, err = vm.Compile(p.graph.ExprGraph, dev, state, p.graph.Logits); err != nil {
			e.Close()
			return nil, err
		}
		e.passes = append(e.passes, p)
		p.logits, p.scores = make([]float32, part[2]*m.Network.Classes), make([]score, part[2])
		more := map[string]any{networks.DropRates: e.rates, networks.DropKey: e.key}
		if err := p.batch.let(p.machine, m.Norm.scale(), more); err != nil {
			e.Close()
			return nil, err
		}
	}
	return e, nil
}

// Close frees the compiled graphs.
func (e *Evaluator) Close() {
	for _, p := range e.passes {
		p.machine.Close()
	}
}

// Evaluate runs all images through the network.
func (e *Evaluator) Evaluate(ctx context.Context) (Evaluation, error) {
	clear(e.rates)
	return e.run(ctx)
}

// EvaluateDropped does the same with channel dropout of the given rate for each adjustable layer. The masks depend on
// the key, the repeat, the layer and the image, and so not on how images are batched.
func (e *Evaluator) EvaluateDropped(ctx context.Context, rates []float64, key rng.Key, repeat int) (Evaluation, error) {
	if err := e.setDropout(rates, key); err != nil {
		return Evaluation{}, err
	}
	e.key[2] = uint32(repeat)
	return e.run(ctx)
}

func (e *Evaluator) run(ctx context.Context) (Evaluation, error) {
	var t tally
	err := e.scores(ctx, e.asTheyAre, func(s []score) { t.add(s) })
	return t.evaluation(e.images.Len()), err
}

// scores runs all images through the network as it is set, and visits the scores of each batch.
func (e *Evaluator) scores(ctx context.Context, see view, visit func([]score)) error {
	return e.each(ctx, see, func(p *pass) error {
		if err := p.machine.RunAll(); err != nil {
			return err
		}
		if err := p.machine.Read(p.graph.Logits, p.logits); err != nil {
			return err
		}
		visit(p.score())
		return nil
	})
}

// LayerDropout is an evaluation without channel dropout, and one for each adjustable layer and repeat with dropout in
// that layer alone.
type LayerDropout struct {
	Clean   Evaluation
	Dropped [][]Evaluation // by layer, then repeat
	// StdErr has for each layer the standard errors, over the images, of the mean of Dropped over the repeats less Clean.
	// Both are of the same images, so what counts is how much their differences vary. They are 0 for a single image.
	StdErr []Evaluation
}

// EvaluateLayerDropout evaluates with dropout in one layer after the other, at its rate, in one pass over the images.
// The results are those of EvaluateDropped with all other rates zero, to the last bit, for about half of its cost: what
// lies before the dropped layer is not computed again.
func (e *Evaluator) EvaluateLayerDropout(ctx context.Context, rates []float64, key rng.Key, repeats int) (
	*LayerDropout, error) {
	if err := e.setDropout(rates, key); err != nil {
		return nil, err
	}
	var clean tally
	dropped, rises := make([][]tally, len(rates)), make([]rise, len(rates))
	for i := range dropped {
		dropped[i] = make([]tally, repeats)
	}
	without, change := make([]score, EvaluationBatch), make([]score, EvaluationBatch)
	err := e.each(ctx, e.asTheyAre, func(p *pass) error {
		if err := p.machine.RunDropped(repeats); err != nil {
			return err
		}
		if err := p.machine.ReadDropped(p.graph.Logits, -1, 0, p.logits); err != nil {
			return err
		}
		clean.add(p.score())
		without = without[:copy(without[:cap(without)], p.scores)]
		for layer := range dropped {
			change = change[:len(without)]
			clear(change)
			for repeat := range repeats {
				if err := p.machine.ReadDropped(p.graph.Logits, layer, repeat, p.logits); err != nil {
					return err
				}
				dropped[layer][repeat].add(p.score())
				for i, with := range p.scores {
					change[i].add(with, without[i], repeats)
				}
			}
			rises[layer].add(change)
		}
		return nil
	})
	n := e.images.Len()
	result := &LayerDropout{Clean: clean.evaluation(n), Dropped: make([][]Evaluation, len(rates))}
	for i := range dropped {
		result.StdErr = append(result.StdErr, rises[i].stdErr(n))
		for _, t := range dropped[i] {
			result.Dropped[i] = append(result.Dropped[i], t.evaluation(n))
		}
	}
	return result, err
}

func (e *Evaluator) setDropout(rates []float64, key rng.Key) error {
	if !e.drop {
		return errors.New("the evaluator was made without channel dropout")
	}
	if len(rates) != len(e.rates) {
		return fmt.Errorf("%d drop rates for %d adjustable layers", len(rates), len(e.rates))
	}
	for i, r := range rates {
		e.rates[i] = float32(r)
	}
	e.key[0], e.key[1] = key[0], key[1]
	return nil
}

// view chooses what is seen of an image, see batch.take.
type view = func(image int, move []uint32) data.Box

// asTheyAre shows all of an image, in its place.
func (e *Evaluator) asTheyAre(image int, move []uint32) data.Box {
	clear(move)
	return e.images.Center(image)
}

// each fills in the inputs of every batch and lets run do the rest.
func (e *Evaluator) each(ctx context.Context, see view, run func(p *pass) error) error {
	order := make([]int, e.images.Len())
	for i := range order {
		order[i] = i
	}
	ready, stop := ahead(e.images, order, EvaluationBatch)
	defer stop()
	for _, p := range e.passes {
		for from := p.from; from < p.to; from += p.batch.size {
			if err := await(ctx, ready); err != nil {
				return err
			}
			p.batch.take(order[from:from+p.batch.size], see)
			if err := run(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// score is what a network does on one image: its cross entropy, and 1 if it is right, else 0.
type score struct{ loss, correct float64 }

// score returns the scores of the images of the batch that the logits are of.
func (p *pass) score() []score {
	k := len(p.logits) / len(p.scores)
	for i, label := range p.batch.labels {
		row := p.logits[i*k : (i+1)*k]
		p.scores[i] = score{crossEntropy(row, label), float64(countCorrect(row, p.batch.labels[i:i+1]))}
	}
	return p.scores
}

// add adds an image's share of the mean change over so many repeats.
func (s *score) add(with, without score, repeats int) {
	s.loss += (with.loss - without.loss) / float64(repeats)
	s.correct += (with.correct - without.correct) / float64(repeats)
}

// tally adds up the scores of batches.
type tally score

func (t *tally) add(scores []score) {
	var batch score
	for _, s := range scores {
		batch.loss += s.loss
		batch.correct += s.correct
	}
	t.loss += batch.loss
	t.correct += batch.correct
}

func (t *tally) evaluation(images int) Evaluation {
	n := float64(images)
	return Evaluation{Loss: t.loss / n, Top1: t.correct / n, Images: images}
}

// rise adds up by how much scores change, and the squares of these differences.
type rise struct{ sum, squares score }

func (r *rise) add(changes []score) {
	for _, c := range changes {
		r.sum.loss += c.loss
		r.sum.correct += c.correct
		r.squares.loss += float64(c.loss * c.loss)
		r.squares.correct += float64(c.correct * c.correct)
	}
}

// stdErr returns the standard errors of the mean differences of n images.
func (r *rise) stdErr(n int) Evaluation {
	of := func(sum, squares float64) float64 {
		if n < 2 {
			return 0
		}
		spread := squares - float64(sum*sum)/float64(n)
		return math.Sqrt(max(spread, 0) / float64(n-1) / float64(n))
	}
	return Evaluation{
		Loss: of(r.sum.loss, r.squares.loss), Top1: of(r.sum.correct, r.squares.correct), Images: n,
	}
}

// crossEntropy returns the cross entropy of logits in float64: utilization ratios are small differences of its means.
func crossEntropy(logits []float32, label uint32) float64 {
	top := math.Inf(-1)
	for _, z := range logits {
		top = max(top, float64(z))
	}
	sum := 0.0
	for _, z := range logits {
		sum += math.Exp(float64(z) - top)
	}
	return top + math.Log(sum) - float64(logits[label])
}
