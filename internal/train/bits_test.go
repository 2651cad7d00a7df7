package train

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/device/cpu"
	"netadjust/internal/device/cpu/kernel"
	"netadjust/internal/rng"
)

// outcome is all that a training leads to.
type outcome struct {
	Epochs  []Epoch
	Tensors map[string][]float32
	Tested  Evaluation
	Dropped *LayerDropout
}

// TestBitsOfWorkers trains and evaluates with 1 to 8 workers and every set of kernels. With the same kernels all
// numbers are equal to the last bit, and so are those of weights that were saved and loaded. The last batches, of 2 and
// of 3 images, leave most workers without work.
func TestBitsOfWorkers(t *testing.T) {
	n := network(t, "resnet8", 0.25)
	widths := []int{3, 7, 11, 5, 9, 13}
	training, held := digits(t, 0, 50), digits(t, 50, 50+EvaluationBatch+3)
	rates, key := []float64{0.3, 0.2, 0.4, 0.3, 0.2, 0.5}, rng.NewKey(7, "test")
	for _, set := range kernel.Available() {
		t.Run(set.Name, func(t *testing.T) {
			t.Setenv(cpu.KernelsVariable, set.Name)
			evaluateAll := func(threads int, m *Model) (Evaluation, *LayerDropout) {
				e, err := NewEvaluator(processor(t, threads), m, held, true)
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				d, err := e.EvaluateLayerDropout(t.Context(), rates, key, 2)
				if err != nil {
					t.Fatal(err)
				}
				return evaluate(t, e), d
			}
			of := func(threads int) (*Model, outcome) {
				m, epochs, err := Train(t.Context(), processor(t, threads), n, widths, training, norm, short,
					Stream{7, "final"}, quiet)
				if err != nil {
					t.Fatal(err)
				}
				o := outcome{Epochs: epochs, Tensors: m.tensors}
				o.Tested, o.Dropped = evaluateAll(threads, m)
				return m, o
			}
			m, want := of(1)
			for _, threads := range []int{2, 4, 8} {
				if _, got := of(threads); !cmp.Equal(got, want) {
					t.Errorf("%d threads differ from one (-one +%d):\n%s", threads, threads, cmp.Diff(want, got))
				}
			}

			path := filepath.Join(t.TempDir(), "weights.safetensors")
			if err := m.Save(path, nil); err != nil {
				t.Fatal(err)
			}
			loaded, err := Load(path, n, widths, norm)
			if err != nil {
				t.Fatal(err)
			}
			got := outcome{Epochs: want.Epochs, Tensors: loaded.tensors}
			got.Tested, got.Dropped = evaluateAll(4, loaded)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("saved and loaded weights differ (-saved +loaded):\n%s", diff)
			}
		})
	}
}
