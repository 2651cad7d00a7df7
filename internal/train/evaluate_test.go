package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"netadjust/internal/data"
	"netadjust/internal/rng"
)

// evaluator prepares an untrained network for training images [from, to) of MNIST.
func evaluator(t *testing.T, threads, from, to int, drop bool) *Evaluator {
	t.Helper()
	return evaluatorOf(t, threads, digits(t, from, to), drop)
}

func evaluatorOf(t *testing.T, threads int, images *data.Images, drop bool) *Evaluator {
	t.Helper()
	n := network(t, "resnet8", 0.125)
	e, err := NewEvaluator(processor(t, threads), newModel(n, n.Start(), norm, Stream{1, "final"}), images, drop)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func evaluate(t *testing.T, e *Evaluator) Evaluation {
	t.Helper()
	r, err := e.Evaluate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func evaluateDropped(t *testing.T, e *Evaluator, rates []float64, key rng.Key, repeat int) Evaluation {
	t.Helper()
	r, err := e.EvaluateDropped(t.Context(), rates, key, repeat)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// together is the evaluation of the images of all parts.
func together(parts ...Evaluation) (all Evaluation) {
	for _, p := range parts {
		all.Images += p.Images
		all.Loss += p.Loss * float64(p.Images)
		all.Top1 += p.Top1 * float64(p.Images)
	}
	all.Loss /= float64(all.Images)
	all.Top1 /= float64(all.Images)
	return all
}

func checkClose(t *testing.T, name string, got, want Evaluation) {
	t.Helper()
	if math.Abs(got.Loss-want.Loss) > 1e-6 || math.Abs(got.Top1-want.Top1) > 1e-12 || got.Images != want.Images {
		t.Errorf("%s: %+v, want %+v", name, got, want)
	}
}

// TestEvaluate checks that batches do not change results: 130 images are a full batch and two.
func TestEvaluate(t *testing.T) {
	whole := evaluate(t, evaluator(t, 2, 0, 130, false))
	if whole.Images != 130 || !(whole.Loss > 0) || whole.Top1 <= 0 || whole.Top1 >= 1 {
		t.Errorf("%+v", whole)
	}
	checkClose(t, "two parts", together(
		evaluate(t, evaluator(t, 2, 0, 70, false)), evaluate(t, evaluator(t, 2, 70, 130, false))), whole)
	if got := evaluate(t, evaluator(t, 1, 0, 130, false)); got != whole {
		t.Errorf("one thread: %+v, two threads: %+v", got, whole)
	}
}

// TestEvaluateNumbers checks loss and accuracy on logits that are worked out by hand.
func TestEvaluateNumbers(t *testing.T) {
	ln3 := float32(math.Log(3))
	logits, labels := []float32{0, ln3, 5, 5, 1000, 0, 0, 1000}, []uint32{1, 0, 0, 0}
	want := -math.Log(0.75) + math.Log(2) + 0 + 1000
	got := 0.
	for i, label := range labels {
		got += crossEntropy(logits[2*i:2*i+2], label)
	}
	if math.Abs(got-want) > 1e-6 {
		t.Errorf("loss %v, want %v", got, want)
	}
	if got := countCorrect(logits, labels); got != 3 {
		t.Errorf("%d correct, want 3: of equal logits the first counts", got)
	}
	if got := countCorrect(logits[2:4], []uint32{1}); got != 0 {
		t.Error("of equal logits the second counts")
	}
}

func TestEvaluateDropped(t *testing.T) {
	e := evaluator(t, 2, 0, 140, true)
	key := rng.NewKey(1, "fur")
	plain := evaluate(t, e)
	checkClose(t, "without dropout layers", evaluate(t, evaluator(t, 2, 0, 140, false)), plain)
	if got := evaluateDropped(t, e, make([]float64, 6), key, 3); got != plain {
		t.Errorf("rates of 0 give %+v, no dropout %+v", got, plain)
	}
	seen := map[float64]string{plain.Loss: "no dropout"}
	check := func(what string, r Evaluation) {
		t.Helper()
		if seen[r.Loss] != "" {
			t.Errorf("%s has the loss of %s", what, seen[r.Loss])
		}
		seen[r.Loss] = what
	}
	rates := []float64{0.2, 0, 0.3, 0.4, 0, 0.1}
	dropped := evaluateDropped(t, e, rates, key, 0)
	check("dropout", dropped)
	check("another repeat", evaluateDropped(t, e, rates, key, 1))
	check("another key", evaluateDropped(t, e, rates, rng.NewKey(2, "fur"), 0))
	for i := range rates {
		only := make([]float64, 6)
		only[i] = 0.4
		check(fmt.Sprint("dropout in layer ", i+1), evaluateDropped(t, e, only, key, 0))
	}
	if got := evaluateDropped(t, e, rates, key, 0); got != dropped {
		t.Errorf("the same repeat gives %+v, then %+v", dropped, got)
	}
	if got := evaluate(t, e); got != plain {
		t.Errorf("after dropout the evaluation is %+v, before %+v", got, plain)
	}

	_, err := e.EvaluateDropped(t.Context(), rates[:5], key, 0)
	checkError(t, "rates", err, "5 drop rates for 6 adjustable layers")
	_, err = evaluator(t, 1, 0, 10, false).EvaluateDropped(t.Context(), rates, key, 0)
	checkError(t, "no dropout layers", err, "the evaluator was made without channel dropout")
}

// TestDropMasksFollowImages checks that the channels that an image loses do not depend on how the images are cut into
// sets and batches, but on which images they are.
func TestDropMasksFollowImages(t *testing.T) {
	rates, key := []float64{0.3, 0.2, 0.4, 0.3, 0.2, 0.5}, rng.NewKey(5, "fur")
	part := func(from, to int) Evaluation {
		return evaluateDropped(t, evaluator(t, 2, from, to, true), rates, key, 1)
	}
	whole := part(0, 200)
	checkClose(t, "two parts", together(part(0, 70), part(70, 200)), whole)

	moved := *digits(t, 0, 200)
	moved.First += 1000
	if got := evaluateDropped(t, evaluatorOf(t, 2, &moved, true), rates, key, 1); math.Abs(got.Loss-whole.Loss) < 1e-4 {
		t.Errorf("images of another place in the dataset lose the same channels: %+v and %+v", got, whole)
	}
}

func TestEvaluateCancelled(t *testing.T) {
	e := evaluator(t, 1, 0, 300, true)
	ctx := &endsAfter{t.Context(), 2}
	if _, err := e.Evaluate(ctx); !errors.Is(err, context.Canceled) || ctx.left != -1 {
		t.Errorf("error %v, %d questions to the context left", err, ctx.left)
	}
	ctx = &endsAfter{t.Context(), 0}
	if _, err := e.EvaluateDropped(ctx, make([]float64, 6), rng.Key{}, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
