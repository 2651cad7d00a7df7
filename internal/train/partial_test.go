package train

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/rng"
)

// measurement is one that can be interrupted. It says how often it asks its context whether to go on.
type measurement struct {
	name string
	run  func(ctx context.Context, keep *Partial) (any, error)
	asks int
}

// measurements are of 300 images, or of batches of them.
func measurements(t *testing.T) []measurement {
	n, images := network(t, "resnet8", 0.125), digits(t, 0, 300)
	dev, rates, key := processor(t, 2), []float64{0.3, 0.2, 0.4, 0.3, 0.2, 0.5}, rng.NewKey(7, "test")
	fresh := func() *Model { return newModel(n, n.Start(), norm, Stream{1, "final"}) }
	evaluator := func(drop bool, keep *Partial) *Evaluator {
		e, err := newEvaluator(dev, fresh(), images, drop, 64, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		e.Keep = keep
		return e
	}
	batches := func(keep *Partial) Batches {
		return Batches{images, Recipe{Batch: 60, CropPad: 2}, Stream{1, "look"}, 8, keep}
	}
	return []measurement{
		{"evaluation", func(ctx context.Context, keep *Partial) (any, error) {
			return evaluator(false, keep).Evaluate(ctx)
		}, 10},
		{"dropout", func(ctx context.Context, keep *Partial) (any, error) {
			return evaluator(true, keep).EvaluateLayerDropout(ctx, rates, key, 2)
		}, 10},
		{"redrawn", func(ctx context.Context, keep *Partial) (any, error) {
			return EvaluateRedrawn(ctx, dev, fresh(), images, Recipe{CropPad: 4}, Stream{1, "look"}, rates, key, 2, keep)
		}, 78},
		{"gradients", func(ctx context.Context, keep *Partial) (any, error) {
			var sums [2]float64
			err := fresh().Gradients(ctx, dev, batches(keep), &sums, func(gradient func(string) []float32) {
				sums[0] += float64(gradient("stem.bn.gamma")[0])
				sums[1] += float64(gradient("stem.bn.beta")[1])
			})
			return sums, err
		}, 17},
		{"statistics", func(ctx context.Context, keep *Partial) (any, error) {
			m := fresh()
			err := m.Reestimate(ctx, dev, batches(keep))
			return m.tensors, err
		}, 17},
	}
}

// TestPartial interrupts measurements again and again. What they give has to be what they give without, to the last
// bit, and none of it may be computed twice.
func TestPartial(t *testing.T) {
	for _, m := range measurements(t) {
		want, err := m.run(t.Context(), nil)
		if err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
		keep := func() *Partial {
			return &Partial{
				Path: filepath.Join(t.TempDir(), "new", "partial"), Of: m.name,
				Pace: Pace{Every: 1 << 40, Warn: func(err error) { t.Error(err) }},
			}
		}
		whole := &patience{t.Context(), 1 << 20}
		if got, err := m.run(whole, keep()); err != nil || cmp.Diff(want, got) != "" || 1<<20-whole.left != m.asks {
			t.Errorf("%s: %v, %d questions, %+v, want %+v", m.name, err, 1<<20-whole.left, got, want)
		}
		k := keep()
		for lives, asked := 1, 0; ; lives++ {
			again := *k
			ctx := &patience{t.Context(), 4} // each life asks twice for each of two pieces, and is told to stop at the third
			got, err := m.run(ctx, &again)
			if errors.Is(err, context.Canceled) {
				asked += 4
				if asked > m.asks {
					t.Fatalf("%s: %d questions and no end", m.name, asked)
				}
				continue
			}
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%s: %v (-uninterrupted +after %d interruptions):\n%s", m.name, err, lives-1, diff)
			}
			if lives < m.asks/4 {
				t.Errorf("%s: only %d lives", m.name, lives)
			}
			break
		}
		if err := k.Remove(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(k.Path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

// TestPartialOfOtherBatches goes on with other numbers of images at a time than those before the interruption, as a
// process with another number of threads does.
func TestPartialOfOtherBatches(t *testing.T) {
	n, images := network(t, "resnet8", 0.125), digits(t, 0, 300)
	dev, rates, key := processor(t, 2), []float64{0.3, 0.2, 0.4, 0.3, 0.2, 0.5}, rng.NewKey(7, "test")
	evaluate := func(ctx context.Context, size int, keep *Partial) (*LayerDropout, error) {
		e, err := newEvaluator(dev, newModel(n, n.Start(), norm, Stream{1, "final"}), images, true, size, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		e.Keep = keep
		return e.EvaluateLayerDropout(ctx, rates, key, 2)
	}
	want, err := evaluate(t.Context(), 64, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, sizes := range [][2]int{{32, 64}, {64, 32}, {4, 128}} {
		for pieces := 1; pieces*sizes[0] < 300; pieces += 4 {
			keep := Partial{
				Path: filepath.Join(t.TempDir(), "partial"), Of: "dropout",
				Pace: Pace{Every: 1 << 40, Warn: func(err error) { t.Error(err) }},
			}
			if _, err := evaluate(&patience{t.Context(), 2 * pieces}, sizes[0], &keep); !errors.Is(err, context.Canceled) {
				t.Fatalf("%d images at a time: error %v", sizes[0], err)
			}
			got, err := evaluate(t.Context(), sizes[1], &keep)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%d pieces of %d images, then of %d: %v (-uninterrupted +interrupted):\n%s", pieces, sizes[0], sizes[1], err, diff)
			}
		}
	}
}

// Sums that are damaged, or of another measurement, do not count.
func TestPartialOfAnother(t *testing.T) {
	var warned []string
	keep := Partial{
		Path: filepath.Join(t.TempDir(), "partial"), Of: "this",
		Pace: Pace{Every: 1, Warn: func(err error) { warned = append(warned, err.Error()) }},
	}
	restored := func(of string) (sums [2]float64) {
		t.Helper()
		again := keep
		again.Of = of
		if err := again.Restore(&sums); err != nil {
			t.Fatal(err)
		}
		return sums
	}
	sums := [2]float64{1. / 3, 1e-300}
	keep.Keep(t.Context(), &sums)
	if got := restored("this"); got != sums {
		t.Errorf("%v, want %v", got, sums)
	}
	if got := restored("that"); got != [2]float64{} || warned != nil {
		t.Errorf("%v of another measurement, warnings %q", got, warned)
	}
	if err := os.Truncate(keep.Path, 100); err != nil {
		t.Fatal(err)
	}
	if got := restored("this"); got != [2]float64{} || len(warned) != 1 ||
		!strings.Contains(warned[0], "set aside as partial.damaged-1") {
		t.Errorf("%v of a damaged file, warnings %q", got, warned)
	}
	keep.Path = filepath.Join(keep.Path+".damaged-1", "in a file")
	if keep.Keep(t.Context(), &sums); len(warned) != 2 || !strings.Contains(warned[1], "no checkpoint: ") {
		t.Errorf("warnings %q", warned)
	}
}
