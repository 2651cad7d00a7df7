package train

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/gonum/stat"

	"netadjust/internal/device/cpu"
	"netadjust/internal/device/cpu/kernel"
	"netadjust/internal/rng"
	"netadjust/networks"
)

// TestEvaluateLayerDropout compares the pass over all layers with one evaluation after the other: equal to the last bit
// where all biases are 0, and else but for rounding, for every set of kernels, both padding rules, odd widths, networks
// with projected shortcuts, and all families, some of whose layers share a width; and for any number of images at a
// time.
func TestEvaluateLayerDropout(t *testing.T) {
	images := digits(t, 0, 131) // a full batch and a part of one
	key := rng.NewKey(7, "test")
	const repeats = 2
	for _, set := range kernel.Available() {
		for _, spec := range []networks.Spec{
			{Name: "resnet8", Width: 0.25}, {Name: "resnet8", Width: 0.3, Padding: networks.PaddingLocal},
			{Name: "resnet18", Width: 0.0625}, {Name: "densenet10", Width: 0.25}, {Name: "vgg16_bn", Width: 0.03125},
			{Name: "pyramidnet20", Width: 0.25}, {Name: "mobilenet_v2", Width: 0.0625}, {Name: "mnasnet_a1", Width: 0.17},
		} {
			if set.Name == "go" && spec.Name != "resnet8" {
				continue // slow, and nothing in it depends on the kernels
			}
			t.Run(fmt.Sprint(set.Name, " ", spec.Name, " ", spec.Padding), func(t *testing.T) {
				t.Setenv(cpu.KernelsVariable, set.Name)
				spec.Input, spec.Classes = [3]int{1, images.Height, images.Width}, 10
				n, err := networks.New(spec)
				if err != nil {
					t.Fatal(err)
				}
				c := n.Start()
				rates := make([]float64, len(c))
				for i := range c {
					c[i] += i % 3
					rates[i] = 0.1 + 0.03*float64(i)
				}
				m := newModel(n, c, norm, Stream{1, "final"})
				e, err := NewEvaluator(processor(t, 2), m, images, true)
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				got, err := e.EvaluateLayerDropout(t.Context(), rates, key, repeats)
				if err != nil {
					t.Fatal(err)
				}
				pieces, err := newEvaluator(processor(t, 2), m, images, true, 4, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer pieces.Close()
				again, err := pieces.EvaluateLayerDropout(t.Context(), rates, key, repeats)
				if diff := cmp.Diff(got, again); diff != "" || err != nil {
					t.Errorf("%v (-128 images at a time +4):\n%s", err, diff)
				}
				if want := evaluate(t, e); got.Clean != want {
					t.Errorf("without dropout %+v, want %+v", got.Clean, want)
				}
				for i := range rates {
					only := make([]float64, len(rates))
					only[i] = rates[i]
					for r := range repeats {
						if want := evaluateDropped(t, e, only, key, r); got.Dropped[i][r] != want || want == got.Clean {
							t.Errorf("layer %d, repeat %d: %+v, one by one %+v, without dropout %+v", i, r, got.Dropped[i][r], want,
								got.Clean)
						}
					}
				}

				biased := randomized(t, spec, c)
				biased.Norm = norm
				with, err := NewEvaluator(processor(t, 2), biased, images, true)
				if err != nil {
					t.Fatal(err)
				}
				defer with.Close()
				if got, err = with.EvaluateLayerDropout(t.Context(), rates, key, repeats); err != nil {
					t.Fatal(err)
				}
				last := len(rates) - 1
				only := make([]float64, len(rates))
				only[0] = rates[0] // all but one layer lie behind it
				want := evaluateDropped(t, with, only, key, 1)
				if off := math.Abs(got.Dropped[0][1].Loss - want.Loss); !(off <= 1e-5*want.Loss) || got.Dropped[last][1] == got.Clean {
					t.Errorf("with biases: %+v, alone %+v, without dropout %+v", got.Dropped[0][1], want, got.Clean)
				}
			})
		}
	}
}

// TestLayerDropoutStdErr checks the standard errors against evaluations of one image at a time.
func TestLayerDropoutStdErr(t *testing.T) {
	const images, repeats = 12, 2
	rates, key := []float64{0.3, 0.2, 0.4, 0.3, 0.2, 0.5}, rng.NewKey(7, "test")
	of := func(from, to int) *LayerDropout {
		d, err := evaluator(t, 1, from, to, true).EvaluateLayerDropout(t.Context(), rates, key, repeats)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	var single []*LayerDropout
	for i := range images {
		single = append(single, of(i, i+1))
		if diff := cmp.Diff(slices.Repeat([]Evaluation{{Images: 1}}, len(rates)), single[i].StdErr); diff != "" {
			t.Errorf("image %d alone (-want +got):\n%s", i, diff)
		}
	}
	for layer, got := range of(0, images).StdErr {
		var loss, top1 []float64
		for _, d := range single {
			l, c := -d.Clean.Loss, -d.Clean.Top1
			for _, e := range d.Dropped[layer] {
				l, c = l+e.Loss/repeats, c+e.Top1/repeats
			}
			loss, top1 = append(loss, l), append(top1, c)
		}
		want := Evaluation{
			Loss: stat.StdErr(stat.StdDev(loss, nil), images), Top1: stat.StdErr(stat.StdDev(top1, nil), images), Images: images,
		}
		if checkClose(t, fmt.Sprint("layer ", layer), got, want); got.Loss == 0 {
			t.Errorf("layer %d: standard error of 0", layer)
		}
	}
}
