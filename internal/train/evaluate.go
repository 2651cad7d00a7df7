package train

import (
	"context"
	"fmt"
	"math"

	"netadjust/internal/data"
	"netadjust/internal/device"
	"netadjust/internal/rng"
	"netadjust/internal/vm"
	"netadjust/networks"
)

// evaluationBatch is the number of images evaluated at a time. It changes no result but for rounding in matrix products.
const evaluationBatch = 128

// Evaluation is what a network does on images: in inference mode, without augmentation.
type Evaluation struct {
	Loss   float64 // mean cross entropy in nats, without label smoothing
	Top1   float64 // share of images whose class has the largest logit
	Images int
}

// Evaluator runs one model on one set of images, as often as wanted.
type Evaluator struct {
	images *data.Images
	passes []*pass // the full batches, and what is left
	rates  []float32
	key    []uint32
}

// pass is a compiled evaluation of one batch size.
type pass struct {
	graph    *networks.Graph
	machine  *vm.Machine
	batch    batch
	logits   []float32
	from, to int // images
}

// NewEvaluator prepares the model for images on the device. Without drop, DropLoss cannot be used.
func NewEvaluator(dev device.Device, m *Model, images *data.Images, drop bool) (*Evaluator, error) {
	state := vm.NewState(dev)
	if err := m.write(state); err != nil {
		return nil, err
	}
	e := &Evaluator{images: images, rates: make([]float32, len(m.Channels)), key: make([]uint32, 3)}
	full := images.Len() - images.Len()%evaluationBatch
	for _, part := range [][3]int{{0, full, evaluationBatch}, {full, images.Len(), images.Len() - full}} {
		if part[0] == part[1] {
			continue
		}
		p := &pass{from: part[0], to: part[1], batch: newBatch(images, part[2])}
		var err error
		if p.graph, err = m.Network.Graph(m.Channels, networks.GraphOptions{Batch: part[2], Drop: drop}); err != nil {
			return nil, err
		}
		if p.machine, err = vm.Compile(p.graph.ExprGraph, dev, state, p.graph.Logits); err != nil {
			return nil, err
		}
		e.passes = append(e.passes, p)
		p.logits = make([]float32, part[2]*m.Network.Classes)
		more := map[string]any{networks.DropRates: e.rates, networks.DropKey: e.key}
		if err := p.batch.let(p.machine, m.Norm.scale(), more); err != nil {
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
	if len(rates) != len(e.rates) {
		return Evaluation{}, fmt.Errorf("%d drop rates for %d adjustable layers", len(rates), len(e.rates))
	}
	for i, r := range rates {
		e.rates[i] = float32(r)
	}
	copy(e.key, []uint32{key[0], key[1], uint32(repeat)})
	return e.run(ctx)
}

func (e *Evaluator) run(ctx context.Context) (Evaluation, error) {
	result := Evaluation{Images: e.images.Len()}
	var loss float64
	var correct int
	for _, p := range e.passes {
		for from := p.from; from < p.to; from += p.batch.size {
			if err := ctx.Err(); err != nil {
				return result, err
			}
			chosen := make([]int, p.batch.size)
			for i := range chosen {
				chosen[i] = from + i
			}
			p.batch.take(e.images, chosen, func(_ int, move []uint32) { clear(move) })
			if err := p.machine.RunAll(); err != nil {
				return result, err
			}
			if err := p.machine.Read(p.graph.Logits, p.logits); err != nil {
				return result, err
			}
			loss += sumCrossEntropy(p.logits, p.batch.labels)
			correct += countCorrect(p.logits, p.batch.labels)
		}
	}
	n := float64(result.Images)
	result.Loss, result.Top1 = loss/n, float64(correct)/n
	return result, nil
}

// sumCrossEntropy adds up the cross entropy of the rows of logits in float64: utilization ratios are small differences
// of such sums.
func sumCrossEntropy(logits []float32, labels []uint32) float64 {
	total, k := 0.0, len(logits)/len(labels)
	for i, label := range labels {
		row := logits[i*k : (i+1)*k]
		top := math.Inf(-1)
		for _, z := range row {
			top = max(top, float64(z))
		}
		sum := 0.0
		for _, z := range row {
			sum += math.Exp(float64(z) - top)
		}
		total += top + math.Log(sum) - float64(row[label])
	}
	return total
}
