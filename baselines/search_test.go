package baselines

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/search"
	"netadjust/networks"
)

// modelLab stands for a lab whose networks have given tensors and gradients, and an accuracy that depends on which
// channels they keep.
type modelLab struct {
	fakeLab
	tensors  map[string][]float32
	gradient func(batch int, name string) []float32
	accuracy func(keep [][]int) float64
	tried    [][][]int
}

func (l *modelLab) Train(_ context.Context, t search.Training) (search.Trained, error) {
	l.trainings = append(l.trainings, t)
	return &model{l, firstChannels(t.Channels)}, nil
}

type model struct {
	*modelLab
	keep [][]int
}

func (m *model) Validate(context.Context) (search.Evaluation, error) {
	m.validations++
	if m.accuracy == nil {
		return search.Evaluation{}, nil
	}
	return search.Evaluation{Top1: m.accuracy(m.keep)}, nil
}

func (m *model) EvaluateDropout(context.Context, search.Images, []float64, int) (*search.Dropout, error) {
	panic("no baseline needs dropout")
}

func (m *model) Tensor(name string) []float32 { return m.tensors[name] }

func (m *model) Gradients(_ context.Context, _ string, batches int, _ any, visit func(func(string) []float32)) error {
	for b := range batches {
		visit(func(name string) []float32 { return m.gradient(b, name) })
	}
	return nil
}

func (m *model) Inherit(_ context.Context, keep [][]int, _ int) (search.Trained, error) {
	m.tried = append(m.tried, keep)
	return &model{m.modelLab, keep}, nil
}

// tensorsOf are those of a training's beginning.
func tensorsOf(t *testing.T, p search.Problem, flops float64) (map[string][]float32, []int) {
	t.Helper()
	start, err := Start{FLOPs: flops, Epochs: 1}.training(p)
	if err != nil {
		t.Fatal(err)
	}
	return training(p.Network, start.Channels), start.Channels
}

// TestScaleAndGradientSearches prunes one channel of every layer that matters least by hand: by its scale with
// Slimming; with Taylor by scale and shift times their gradients, whose signs in two batches must not cancel.
func TestScaleAndGradientSearches(t *testing.T) {
	p := problem(t)
	tensors, start := tensorsOf(t, p, 1.25)
	for i, source := range p.Network.Sources(start) {
		g, b := tensors[source.Norms[0].Name+".gamma"], tensors[source.Norms[0].Name+".beta"]
		for j := range g {
			g[j], b[j] = float32(1+j), 1
		}
		g[i%len(g)] = -0.5 // the least in size
	}
	gradient := func(batch int, name string) []float32 {
		// gamma dgamma + beta dbeta is ±gamma: what is left of the batch's sign is the size of the scale.
		out := slices.Repeat([]float32{float32(1 - 2*batch)}, len(tensors[name]))
		if name[len(name)-4:] == "beta" {
			clear(out)
		}
		return out
	}
	// All layers lose channels of scale 1/2 first, then those of 1 and more, as the budget asks.
	for name, m := range map[string]search.Method{
		"slimming": Slimming{Start: Start{FLOPs: 1.25, Epochs: 1, Inherit: true}, Penalty: 1e-4},
		"taylor":   Taylor{Start: Start{FLOPs: 1.25, Epochs: 1, Inherit: true}, Batches: 2},
	} {
		lab := &modelLab{tensors: tensors, gradient: gradient}
		out, err := m.Search(t.Context(), lab, p)
		if err != nil {
			t.Fatal(err)
		}
		if !search.WithinBudget(p.Network.FLOPs(out.Channels), p.Budget) || out.Inherited == nil {
			t.Errorf("%s: widths %v", name, out.Channels)
		}
		keep, narrower := out.Inherited.(*model).keep, 0
		for _, inner := range []int{0, 2, 4} { // first convolutions of a block, which are free to lose any channel
			if len(keep[inner]) < start[inner] && slices.Contains(keep[inner], inner) {
				t.Errorf("%s: layer %d keeps %v and not channel %d", name, inner, keep[inner], inner)
			}
			if len(keep[inner]) < start[inner] {
				narrower++
			}
			if last := keep[inner][len(keep[inner])-1]; last != start[inner]-1 {
				t.Errorf("%s: layer %d loses its best channel, keeps %v", name, inner, keep[inner])
			}
		}
		if narrower < 2 {
			t.Errorf("%s: widths %v of %v", name, out.Channels, start)
		}
	}
}

// TestRandomRatioTakesTheBest checks that candidates meet the budget, differ, keep the filters of the largest norms, and
// that the most accurate one wins.
func TestRandomRatioTakesTheBest(t *testing.T) {
	p := problem(t)
	tensors, start := tensorsOf(t, p, 2)
	for _, source := range p.Network.Sources(start) {
		w := tensors[weights(source.Convs[0])]
		for j := range w {
			w[j] = float32(1 + j*source.Width/len(w)) // later filters are larger
		}
	}
	narrowest := func(keep [][]int) float64 { return 1 / float64(len(keep[4])) }
	lab := &modelLab{tensors: tensors, accuracy: narrowest}
	m := RandomRatio{Start: Start{FLOPs: 2, Epochs: 1}, Candidates: 8, Least: 0.3, Batches: 1}
	out, err := m.Search(t.Context(), lab, p)
	if err != nil {
		t.Fatal(err)
	}
	seen, best := map[int]bool{}, start[4]
	for _, keep := range lab.tried {
		seen[len(keep[0])*100+len(keep[2])*10+len(keep[4])] = true
		best = min(best, len(keep[4]))
		var c []int
		for _, k := range keep {
			c = append(c, len(k))
		}
		if !search.WithinBudget(p.Network.FLOPs(c), p.Budget) {
			t.Errorf("candidate of widths %v", c)
		}
		for _, inner := range []int{0, 2, 4} {
			if want := firsts(start[inner])[start[inner]-len(keep[inner]):]; !slices.Equal(keep[inner], want) {
				t.Errorf("layer %d keeps %v, not the largest", inner, keep[inner])
			}
		}
	}
	if len(lab.tried) != 8 || len(seen) < 6 || out.Channels[4] != best || out.Inherited != nil {
		t.Errorf("%d of %d candidates differ; widths %v, the best has %d in layer 4", len(seen), len(lab.tried), out.Channels, best)
	}
}

// TestRandomRatioAddsUp checks that channels that are added to each other are ranked by the norms of all their filters:
// in the stream of the last two stages one layer says the opposite of the other, more strongly.
func TestRandomRatioAddsUp(t *testing.T) {
	p := problem(t)
	tensors, start := tensorsOf(t, p, 2)
	sources := p.Network.Sources(start)
	slope := func(layer int, by float32) {
		w := tensors[weights(sources[layer].Convs[0])]
		for i := range w {
			w[i] = 100 + by*float32(i*sources[layer].Width/len(w))
		}
	}
	slope(3, 1)
	slope(5, -2)
	lab := &modelLab{tensors: tensors}
	if _, err := (RandomRatio{Start: Start{FLOPs: 2, Epochs: 1}, Candidates: 8, Least: 0.3, Batches: 1}).
		Search(t.Context(), lab, p); err != nil {
		t.Fatal(err)
	}
	narrower := 0
	for _, keep := range lab.tried {
		if !slices.Equal(keep[3], firsts(len(keep[3]))) {
			t.Errorf("the second stage keeps %v of %d", keep[3], start[3])
		}
		if len(keep[3]) < start[3] {
			narrower++
		}
	}
	if narrower < 4 {
		t.Errorf("%d of 8 candidates lose channels there", narrower)
	}
}

func firsts(n int) []int { return firstChannels([]int{n})[0] }

// TestAutoSlimTakesWhatHurtsLeast slims a network whose accuracy falls with the channels of all layers but one, which
// comes down to its least width before another one loses anything.
func TestAutoSlimTakesWhatHurtsLeast(t *testing.T) {
	p := problem(t)
	const idle = 4
	lab := &modelLab{accuracy: func(keep [][]int) (sum float64) {
		for i, k := range keep {
			if i != idle {
				sum += float64(len(k)) / 1000
			}
		}
		return sum
	}}
	out, err := AutoSlim{Start: Start{FLOPs: 1.5, Epochs: 3}, Steps: 6, Random: 2}.Search(t.Context(), lab, p)
	if err != nil {
		t.Fatal(err)
	}
	training := lab.trainings[0]
	if diff := cmp.Diff(&networks.Slimmable{Steps: 6, Least: 1, Random: 2}, training.Slimmable); diff != "" {
		t.Errorf("training (-want +got):\n%s", diff)
	}
	if !search.WithinBudget(p.Network.FLOPs(out.Channels), p.Budget) {
		t.Errorf("widths %v", out.Channels)
	}
	least := training.Slimmable.Widths(training.Channels, []int{1, 1, 1, 1, 1, 1})[idle]
	for _, keep := range lab.tried {
		narrower := 0 // layers that have lost a step, besides the one that is tried
		for layer := range keep {
			if layer != idle && len(keep[layer]) < training.Channels[layer] {
				narrower++
			}
		}
		if len(keep[idle]) > least && narrower > 1 {
			t.Fatalf("other layers lose channels while layer %d has more than %d: %v", idle, least, keep)
		}
	}
	if out.Channels[idle] >= training.Channels[idle]/2 {
		t.Errorf("layer %d, which does nothing, ends with %d channels", idle, out.Channels[idle])
	}
	again, err := AutoSlim{Start: Start{FLOPs: 1.5, Epochs: 3}, Steps: 6, Random: 2}.Search(t.Context(), lab, p)
	if err != nil || !slices.Equal(again.Channels, out.Channels) {
		t.Errorf("slimmed again: %v, %v", again, err)
	}
}

// TestLayersOfOneChannel checks pruning from scratch on a network with layers that have a single channel: they stay.
func TestLayersOfOneChannel(t *testing.T) {
	net := network(t, networks.Spec{Name: "resnet8", Width: 0.125, Classes: 10})
	c := []int{1, 6, 1, 9, 20, 1}
	scores := [][]float64{{0}, {1, 2, 3, 4, 5, 6}, {0}, {9, 8, 7, 6, 5, 4, 3, 2, 1}, make([]float64, 20), {0}}
	p := search.Pruning{Network: net, Budget: net.FLOPs([]int{1, 6, 1, 9, 5, 1}), Minimum: []int{1, 1, 1, 1, 1, 1}}
	keep, err := p.Prune(c, search.Singles(search.NormalizeByMean(scores)))
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range []int{0, 2, 5} {
		if !slices.Equal(keep[layer], []int{0}) {
			t.Errorf("layer %d keeps %v", layer, keep[layer])
		}
	}
	if len(keep[1]) != 6 || len(keep[3]) != 9 || len(keep[4]) != 5 {
		t.Errorf("kept %v; the filters of zeros are all in layer 4", keep)
	}
}
