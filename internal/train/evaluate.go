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

// EvaluationBatch is the number of images evaluated at a time, and of those whose scores are added up first.
const EvaluationBatch = 128

// pieceFLOPs is about what dropout in one layer after the other may take of a core without a checkpoint in between, for
// each repeat: some seconds.
const pieceFLOPs = 2e11

// Evaluation is what a network does on images: in inference mode, without augmentation.
type Evaluation struct {
	Loss   float64 // mean cross entropy in nats, without label smoothing
	Top1   float64 // share of images whose class has the largest logit
	Images int
}

// Evaluator runs one model on one set of images, as often as wanted.
type Evaluator struct {
	Keep   *Partial // of the one evaluation that it is made for; nil: none
	images *data.Images
	drop   bool
	size   int     // of the full batches
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
	size := EvaluationBatch
	if drop {
		size = pieceOf(dev.Info(), m)
	}
	return newEvaluator(dev, m, images, drop, size, 0)
}

// newEvaluator does the same for so many images at a time, which are padded by so many pixels, to be moved.
func newEvaluator(dev device.Device, m *Model, images *data.Images, drop bool, size, pad int) (*Evaluator, error) {
	state := vm.NewState(dev)
	if err := m.write(state); err != nil {
		return nil, err
	}
	e := &Evaluator{
		images: images, drop: drop, size: size, rates: make([]float32, len(m.Channels)), key: make([]uint32, 3),
	}
	full := images.Len() - images.Len()%size
	for _, part := range [][3]int{{0, full, size}, {full, images.Len(), images.Len() - full}} {
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

// pieceOf is the number of images that a device sends through a network with dropout in one layer after the other at a
// time. On a processor there are fewer where the network is large: that takes long, and changes no bit.
func pieceOf(info device.Info, m *Model) int {
	size := EvaluationBatch
	if info.Name != "cpu" {
		return size
	}
	flops := m.Network.FLOPs(m.Channels)
	for _, behind := range m.Network.FLOPsBehind(m.Channels) {
		flops += behind
	}
	for size > 1 && float64(size)*float64(flops) > pieceFLOPs*float64(info.Threads) {
		size /= 2
	}
	return size
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
	var s sums
	if err := e.Keep.Restore(&s); err != nil {
		return Evaluation{}, err
	}
	if !e.goesOn(s.Images) {
		s = sums{}
	}
	err := e.scores(ctx, s.Images, e.asTheyAre, &s, s.add)
	return s.Clean.evaluation(e.images.Len()), err
}

// sums are what an evaluation has come to after its first images.
type sums struct {
	Images  int
	Clean   tally
	Dropped [][]tally // by layer, then repeat
	Rises   []rise    // by layer
}

func newSums(layers, repeats int) sums {
	s := sums{Dropped: make([][]tally, layers), Rises: make([]rise, layers)}
	for i := range s.Dropped {
		s.Dropped[i] = make([]tally, repeats)
	}
	return s
}

// add adds the scores of the next images without dropout, and so ends what is done with them.
func (s *sums) add(scores []score) {
	s.Clean.add(scores, s.Images)
	s.Images += len(scores)
}

// scores runs all images but so many of the first ones through the network as it is set, and visits the scores of each
// batch. It keeps the sums between two batches.
func (e *Evaluator) scores(ctx context.Context, done int, see view, sums any, visit func([]score)) error {
	return e.each(ctx, done, see, sums, func(p *pass) error {
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
// The results are those of EvaluateDropped with all other rates zero, but for the rounding of device.RunDropped, for
// about half of its cost: what lies before the dropped layer is not computed again.
func (e *Evaluator) EvaluateLayerDropout(ctx context.Context, rates []float64, key rng.Key, repeats int) (
	*LayerDropout, error) {
	if err := e.setDropout(rates, key); err != nil {
		return nil, err
	}
	s := newSums(len(rates), repeats)
	if err := e.Keep.Restore(&s); err != nil {
		return nil, err
	}
	if !e.goesOn(s.Images) {
		s = newSums(len(rates), repeats)
	}
	without, change := make([]score, e.size), make([]score, e.size)
	err := e.each(ctx, s.Images, e.asTheyAre, &s, func(p *pass) error {
		if err := p.machine.RunDropped(repeats); err != nil {
			return err
		}
		if err := p.machine.ReadDropped(p.graph.Logits, -1, 0, p.logits); err != nil {
			return err
		}
		without = without[:copy(without[:cap(without)], p.score())]
		for layer := range s.Dropped {
			change = change[:len(without)]
			clear(change)
			for repeat := range repeats {
				if err := p.machine.ReadDropped(p.graph.Logits, layer, repeat, p.logits); err != nil {
					return err
				}
				s.Dropped[layer][repeat].add(p.score(), s.Images)
				for i, with := range p.scores {
					change[i].add(with, without[i], repeats)
				}
			}
			s.Rises[layer].add(change)
		}
		s.add(without)
		return nil
	})
	n := e.images.Len()
	result := &LayerDropout{Clean: s.Clean.evaluation(n), Dropped: make([][]Evaluation, len(rates))}
	for i := range s.Dropped {
		result.StdErr = append(result.StdErr, s.Rises[i].stdErr(n))
		for _, t := range s.Dropped[i] {
			result.Dropped[i] = append(result.Dropped[i], t.evaluation(n))
		}
	}
	return result, err
}

// goesOn tells whether an evaluation can go on behind so many images: not within a batch, where an earlier process may
// have stopped that had other threads and so took fewer images at a time.
func (e *Evaluator) goesOn(done int) bool { return done%e.size == 0 || done == e.images.Len() }

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

// each fills in the inputs of every batch behind the first images, of which so many are done, and lets run do the rest. It
// keeps the sums between two batches.
func (e *Evaluator) each(ctx context.Context, done int, see view, sums any, run func(p *pass) error) error {
	order := make([]int, e.images.Len())
	for i := range order {
		order[i] = i
	}
	ready, stop := ahead(e.images, order[done:], e.size)
	defer stop()
	for _, p := range e.passes {
		for from := max(p.from, done); from < p.to; from += p.batch.size {
			e.Keep.Keep(ctx, sums)
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
type score struct{ Loss, Correct float64 }

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
	s.Loss += (with.Loss - without.Loss) / float64(repeats)
	s.Correct += (with.Correct - without.Correct) / float64(repeats)
}

// tally adds up scores: first those of EvaluationBatch images, then these sums. So it does not matter how many images come
// at a time.
type tally struct{ Sum, Group score }

// add adds the scores of the images that follow on so many. None of them may be in another group than the first.
func (t *tally) add(scores []score, done int) {
	if done%EvaluationBatch == 0 {
		t.Sum, t.Group = t.total(), score{}
	}
	for _, s := range scores {
		t.Group.Loss += s.Loss
		t.Group.Correct += s.Correct
	}
}

func (t *tally) total() score {
	return score{t.Sum.Loss + t.Group.Loss, t.Sum.Correct + t.Group.Correct}
}

func (t *tally) evaluation(images int) Evaluation {
	sum, n := t.total(), float64(images)
	return Evaluation{Loss: sum.Loss / n, Top1: sum.Correct / n, Images: images}
}

// rise adds up by how much scores change, and the squares of these differences.
type rise struct{ Sum, Squares score }

func (r *rise) add(changes []score) {
	for _, c := range changes {
		r.Sum.Loss += c.Loss
		r.Sum.Correct += c.Correct
		r.Squares.Loss += float64(c.Loss * c.Loss)
		r.Squares.Correct += float64(c.Correct * c.Correct)
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
		Loss: of(r.Sum.Loss, r.Squares.Loss), Top1: of(r.Sum.Correct, r.Squares.Correct), Images: n,
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
