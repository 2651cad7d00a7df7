package baselines

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"netadjust/internal/search"
	"netadjust/networks"
)

// hashed makes the numbers of importance.py.
func hashed(seed, n int) []float32 {
	w := make([]float32, n)
	for i := range w {
		word := uint32((uint64(uint32(uint64(i)*2654435761)) + uint64(seed)*40503) * 2246822519)
		w[i] = float32(word>>12)/(1<<20) - 0.5
	}
	return w
}

var close = cmpopts.EquateApprox(1e-9, 0)

// TestImportance compares scores with those of an independent implementation, see testdata/importance.py.
func TestImportance(t *testing.T) {
	text, err := os.ReadFile("testdata/importance.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Filters struct{ L1, L2, Distances []float64 }
		Gate    struct {
			Gamma, Beta, Scores []float64
			Gradients           []struct{ Gamma, Beta []float64 }
		}
		Flow struct {
			Widths []int
			R      float64
			Scores map[string][]float64
		}
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	w := hashed(1, 6*4*9)
	for _, tt := range []struct {
		name      string
		got, want []float64
	}{
		{"L1", l1Norms(w, 6), want.Filters.L1}, {"L2", l2Norms(w, 6), want.Filters.L2},
		{"distances", distances(w, 6), want.Filters.Distances},
	} {
		if diff := cmp.Diff(tt.want, tt.got, close); diff != "" {
			t.Errorf("%s (-PyTorch +here):\n%s", tt.name, diff)
		}
	}

	scores := make([]float64, 5)
	for _, g := range want.Gate.Gradients {
		of := func(gamma, beta []float64) func(string) []float32 {
			return func(name string) []float32 {
				if strings.HasSuffix(name, "gamma") {
					return narrow(gamma)
				}
				return narrow(beta)
			}
		}
		for j, d := range gateGradient(of(want.Gate.Gamma, want.Gate.Beta), of(g.Gamma, g.Beta), "bn") {
			scores[j] += d * d / 3
		}
	}
	if diff := cmp.Diff(want.Gate.Scores, scores, cmpopts.EquateApprox(1e-4, 0)); diff != "" {
		t.Errorf("Taylor (-PyTorch +here):\n%s", diff)
	}

	n := network(t, networks.Spec{Name: "resnet8", Width: 0.125, Input: [3]int{3, 8, 8}, Classes: 10})
	seed, weights := 20, map[string][]float32{}
	for _, x := range n.Tensors(want.Flow.Widths) {
		size := 1
		for _, d := range x.Shape {
			size *= d
		}
		if x.Role != networks.Weights {
			continue
		}
		if seed++; x.Layer == "classifier" {
			seed = 40
		}
		weights[x.Name] = hashed(seed, size)
	}
	r, saliency, err := n.Flow(want.Flow.Widths, func(name string) []float32 { return weights[name] })
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(r/want.Flow.R-1) > 1e-12 {
		t.Errorf("R is %v, PyTorch has %v", r, want.Flow.R)
	}
	for i, source := range n.Sources(want.Flow.Widths) {
		units := search.Singles(rows(want.Flow.Widths))
		score(units, n.Sources(want.Flow.Widths), saliency)
		var got []float64
		for _, u := range units {
			if u.Channels[0].Layer == i {
				got = append(got, u.Score)
			}
		}
		if diff := cmp.Diff(want.Flow.Scores[source.Convs[0]], got, close); diff != "" {
			t.Errorf("flow of %s (-PyTorch +here):\n%s", source.Convs[0], diff)
		}
	}
}

func narrow(v []float64) []float32 {
	w := make([]float32, len(v))
	for i, x := range v {
		w[i] = float32(x)
	}
	return w
}

// reference reads a part of importance.json.
func reference(t *testing.T, part string, into any) {
	t.Helper()
	text, err := os.ReadFile("testdata/importance.json")
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &parts); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(parts[part], into); err != nil {
		t.Fatalf("%s: %v", part, err)
	}
}

// plain is the network without additions that importance.py has, whose FLOPs it counts itself.
func plain(t *testing.T) *networks.Network {
	return network(t, networks.Spec{Name: "plain8", Width: 0.25, Input: [3]int{3, 8, 8}, Classes: 10})
}

// TestSlimmingSteps compares scales that slimming's hook corrects after each step of the loss with those of PyTorch's
// SGD, which has the penalty in its gradients.
func TestSlimmingSteps(t *testing.T) {
	var want struct {
		Rate, Penalty float64
		Gradients     [][]float64
		Scales        []float64
	}
	reference(t, "slimming", &want)
	p := problem(t)
	hook, err := Slimming{Start: start, Penalty: want.Penalty}.hook(p)
	if err != nil {
		t.Fatal(err)
	}
	const name = "stage1.block1.bn1.gamma"
	s := training(p.Network, widthsOf(hook.sources))
	if err := hook.Epoch(0, s); err != nil {
		t.Fatal(err)
	}
	scales, velocities := s[name], s[name+".velocity"]
	clear(velocities)
	scales[4] = -0.5
	for _, gradients := range want.Gradients {
		for j, g := range gradients {
			velocities[j] = 0.9*velocities[j] + float32(g) + 3e-4*scales[j]
			scales[j] -= float32(want.Rate) * velocities[j]
		}
		if err := hook.Step(s, want.Rate); err != nil {
			t.Fatal(err)
		}
		scales, velocities = s[name], s[name+".velocity"]
	}
	if diff := cmp.Diff(narrow(want.Scales), scales[:5], cmpopts.EquateApprox(1e-5, 0)); diff != "" {
		t.Errorf("scales (-PyTorch +here):\n%s", diff)
	}
}

// TestMorphNetGradient compares what MorphNet's hook adds to a step with the gradient of the paper's regularizer.
func TestMorphNetGradient(t *testing.T) {
	var want struct{ Scales, Gradients [][]float64 }
	reference(t, "morphnet", &want)
	p := search.Problem{Network: plain(t)}
	p.Budget = p.Network.FLOPs(p.Network.Start())
	training, err := MorphNet{Epochs: 1, Penalty: float64(p.Budget)}.training(p)
	if err != nil {
		t.Fatal(err)
	}
	s := stateOf{}
	for _, x := range p.Network.Tensors(training.Channels) {
		s[x.Name] = make([]float32, x.Shape[0])
		s[x.Velocity()] = make([]float32, x.Shape[0])
	}
	for i, source := range p.Network.Sources(training.Channels) {
		s[gamma(source.Norms[0])] = narrow(want.Scales[i])
	}
	if err := training.Hook.Step(s, 0); err != nil {
		t.Fatal(err)
	}
	for i, source := range p.Network.Sources(training.Channels) {
		got := s[gamma(source.Norms[0])+".velocity"]
		if diff := cmp.Diff(narrow(want.Gradients[i]), got, cmpopts.EquateApprox(1e-6, 0)); diff != "" {
			t.Errorf("layer %d (-PyTorch +here):\n%s", i, diff)
		}
	}
}

// TestKnapsack compares what greedy removal by score per FLOP leaves with what an independent implementation leaves.
func TestKnapsack(t *testing.T) {
	var want struct {
		Start  []int
		Scores [][]float64
		Budget int64
		Kept   [][]int
	}
	reference(t, "knapsack", &want)
	n := plain(t)
	pruning := search.Pruning{
		Network: n, Budget: want.Budget, Minimum: search.Minimum(n.Start()),
		Cost: func(c []int) []float64 { return n.FLOPsPerChannel(c, networks.TieSplit) },
	}
	kept, err := pruning.Prune(want.Start, search.Singles(want.Scores))
	if diff := cmp.Diff(want.Kept, kept); err != nil || diff != "" {
		t.Errorf("%v (-importance.py +here):\n%s", err, diff)
	}
}

// TestAutoSlimSteps compares the way down with that of an independent implementation.
func TestAutoSlimSteps(t *testing.T) {
	var want struct {
		Start, Order, Widths []int
		Budget               int64
	}
	reference(t, "autoslim", &want)
	p := search.Problem{Network: plain(t), Budget: want.Budget}
	lab := &modelLab{accuracy: func(keep [][]int) (sum float64) {
		for i, v := range []float64{9, 3, 8, 5, 2, 7} {
			sum += v / 1000 * math.Sqrt(float64(len(keep[i])))
		}
		return sum
	}}
	out, err := AutoSlim{Start: Start{FLOPs: 3, Epochs: 1}, Steps: 6, Random: 2}.Search(t.Context(), lab, p)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Start, out.Start); diff != "" {
		t.Fatalf("start (-importance.py +here):\n%s", diff)
	}
	var order []int
	for _, report := range lab.reports {
		layer, _, _ := strings.Cut(report, " narrower: ")
		order = append(order, slices.Index(p.Network.Adjustable(), layer))
	}
	if diff := cmp.Diff(want.Order, order); diff != "" {
		t.Errorf("order (-importance.py +here):\n%s", diff)
	}
	if diff := cmp.Diff(want.Widths, out.Channels); diff != "" {
		t.Errorf("widths (-importance.py +here):\n%s", diff)
	}
}

// TestPublishedRatios counts the networks that Li et al. pruned by L1 norm in table 1 of their paper, from the ratio of
// each stage and the layers that they left out: the FLOPs and parameters that they report.
func TestPublishedRatios(t *testing.T) {
	residual := func(depth int, ratios [3]float64, skip ...int) (c []int) {
		for conv := 2; conv < depth; conv++ { // the first one is the stem
			stage := (conv - 2) / ((depth - 2) / 3)
			width := 16 << stage
			if conv%2 == 0 && !slices.Contains(skip, conv) { // the first of a block
				width = int(float64(width) * (1 - ratios[stage]))
			}
			c = append(c, width)
		}
		return c
	}
	for _, tt := range []struct {
		network       string
		c             []int
		flops, params float64
	}{
		{"vgg16_bn", []int{32, 64, 128, 128, 256, 256, 256, 256, 256, 256, 256, 256, 256}, 2.06e8, 0},
		{"resnet56", residual(56, [3]float64{}), 1.25e8, 8.5e5},
		{"resnet56", residual(56, [3]float64{0.1, 0.1, 0.1}, 16, 20, 38, 54), 1.12e8, 7.7e5},
		{"resnet56", residual(56, [3]float64{0.6, 0.3, 0.1}, 16, 18, 20, 34, 38, 54), 9.09e7, 7.3e5},
		{"resnet110", residual(110, [3]float64{0.5, 0, 0}, 36), 2.13e8, 1.68e6},
		{"resnet110", residual(110, [3]float64{0.5, 0.4, 0.3}, 36, 38, 74), 1.55e8, 1.16e6},
	} {
		n := network(t, networks.Spec{Name: tt.network, Classes: 10})
		if f := float64(n.FLOPs(tt.c)); math.Abs(f/tt.flops-1) > 0.005 {
			t.Errorf("%s %v: %v FLOPs, published %v", tt.network, tt.c, f, tt.flops)
		}
		// Their VGG has another classifier. With batch norm there are up to 1 % more parameters than they count.
		if p := float64(n.Params(tt.c)); tt.params > 0 && math.Abs(p/tt.params-1) > 0.015 {
			t.Errorf("%s %v: %v parameters, published %v", tt.network, tt.c, p, tt.params)
		}
	}
}

// TestInvariances checks what scores must not depend on, with layers of one filter and of filters of zeros among them.
func TestInvariances(t *testing.T) {
	w := hashed(3, 8*10)
	clear(w[20:30])
	scaled, moved := slices.Clone(w), slices.Clone(w)
	for i := range w {
		scaled[i] *= 4
		moved[i] += 0.25
	}
	for name, of := range map[string]func([]float32, int) []float64{"L1": l1Norms, "L2": l2Norms, "distances": distances} {
		scores := func(w []float32) []float64 { return search.NormalizeByMean([][]float64{of(w, 8)})[0] }
		if diff := cmp.Diff(scores(w), scores(scaled), close); diff != "" {
			t.Errorf("%s of scaled filters (-before +after):\n%s", name, diff)
		}
		same := cmp.Equal(scores(w), scores(moved), cmpopts.EquateApprox(1e-6, 0))
		if same != (name == "distances") {
			t.Errorf("%s knows where filters lie: %t", name, !same)
		}
		if s := of(w[:10], 1); len(s) != 1 || math.IsNaN(s[0]) {
			t.Errorf("%s of a single filter: %v", name, s)
		}
		for _, s := range of(make([]float32, 30), 3) {
			if s != 0 {
				t.Errorf("%s of filters of zeros: %v", name, s)
			}
		}
	}
	if diff := cmp.Diff([]float64{1, 0.25, 0.5, 0.75}, quantiles([]float64{7, 2, 2, 3})); diff != "" {
		t.Errorf("ranks (-want +got):\n%s", diff)
	}
}

// stateOf is a training's state in a map.
type stateOf map[string][]float32

func (s stateOf) Load(name string, dst []float32) error {
	if len(s[name]) != len(dst) {
		return fmt.Errorf("%s has %d elements, %d are asked for", name, len(s[name]), len(dst))
	}
	copy(dst, s[name])
	return nil
}

func (s stateOf) Write(name string, src []float32) error {
	s[name] = slices.Clone(src)
	return nil
}

// training is a state of a network as it is initialised, with weights of hashes and velocities of 1.
func training(n *networks.Network, c []int) stateOf {
	s := stateOf{}
	for k, x := range n.Tensors(c) {
		v := n.Initial(x, rand.New(rand.NewPCG(1, uint64(k))))
		if x.Role == networks.Weights {
			v = hashed(k, len(v))
		}
		s[x.Name] = v
		s[x.Velocity()] = slices.Repeat([]float32{1}, len(v))
	}
	return s
}

// TestMasks checks what SFP and FPGM do to a training: the filters of least score go to zero, those of FPGM stay there
// with their velocities, also after an interruption, and what is left meets the budget.
func TestMasks(t *testing.T) {
	p := problem(t)
	for _, m := range []masked{{start, Global, "sfp"}, {start, Layer, "sfp"}, {start, Global, "fpgm"}} {
		h, err := m.hook(p)
		if err != nil {
			t.Fatal(err)
		}
		s := training(p.Network, h.widths)
		before := len(zeros(s, h))
		if err := h.Epoch(0, s); err != nil {
			t.Fatal(err)
		}
		if gone := len(zeros(s, h)) - before; (gone > 0) != (m.kind == "fpgm") {
			t.Errorf("%s: %d filters go before the first epoch", m.kind, gone)
		}
		if err := h.Epoch(1, s); err != nil {
			t.Fatal(err)
		}
		gone := zeros(s, h)
		left := slices.Clone(h.widths)
		for _, c := range gone {
			left[c.Layer]--
		}
		if f := p.Network.FLOPs(left); !search.WithinBudget(f, p.Budget) {
			t.Errorf("%s: %d FLOPs are left of %d, filters of zeros %v", m.kind, f, p.Budget, gone)
		}
		uniform := true
		for i := range left {
			uniform = uniform && math.Abs(float64(left[i])/float64(h.widths[i])-float64(left[0])/float64(h.widths[0])) < 0.15
		}
		if uniform != (m.scope == Layer) {
			t.Errorf("%s, scope %d: widths %v of %v", m.kind, m.scope, left, h.widths)
		}
		again, err := m.hook(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Resume(s); err != nil { // another process goes on
			t.Fatal(err)
		}
		for _, c := range gone {
			name := h.sources[c.Layer].Convs[0] + ".weights"
			s[name][c.Index*len(s[name])/h.widths[c.Layer]] = 3
		}
		if err := again.Step(s, 0.1); err != nil {
			t.Fatal(err)
		}
		if stay := cmp.Equal(gone, zeros(s, h)); stay != (m.kind == "fpgm") {
			t.Errorf("%s: filters stay zero after a step: %t", m.kind, stay)
		}
	}
}

// zeros lists the channels whose filters are all zeros.
func zeros(s stateOf, h *mask) (list []networks.Channel) {
	for i, source := range h.sources {
		for j, norm := range l2Norms(s[weights(source.Convs[0])], h.widths[i]) {
			if norm == 0 {
				list = append(list, networks.Channel{Layer: i, Index: j})
			}
		}
	}
	return list
}

// TestPenalties checks one step of the penalties by hand: a scale moves by rate * factor against its sign, its velocity
// by the factor, and a scale of 0 stays. MorphNet's factor is the difference that one channel makes to the FLOPs.
func TestPenalties(t *testing.T) {
	p := problem(t)
	slimming, err := Slimming{Start: start, Penalty: 0.5}.hook(p)
	if err != nil {
		t.Fatal(err)
	}
	morph, err := MorphNet{Epochs: 1, Penalty: 2}.training(p)
	if err != nil {
		t.Fatal(err)
	}
	s := training(p.Network, morph.Channels)
	if err := morph.Hook.Epoch(0, s); err != nil {
		t.Fatal(err)
	}
	const inner = "stage2.block1.bn1.gamma"
	s[inner][0], s[inner][1] = -2, 0.001 // the second one is dead
	if err := morph.Hook.Step(s, 0.25); err != nil {
		t.Fatal(err)
	}
	c := slices.Clone(morph.Channels)
	c[2]--
	more := slices.Clone(c)
	more[2]++
	full := float64(p.Network.FLOPs(morph.Channels))
	d := float32(2 / full * float64(p.Network.FLOPs(more)-p.Network.FLOPs(c)))
	want := []float32{-2 + 0.25*d, 0.001 - 0.25*d, 1 - 0.25*d}
	if diff := cmp.Diff(want, s[inner][:3], cmpopts.EquateApprox(1e-6, 1e-9)); diff != "" {
		t.Errorf("scales (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]float32{1 - d, 1 + d, 1 + d}, s[inner+".velocity"][:3], cmpopts.EquateApprox(1e-6, 0)); diff != "" {
		t.Errorf("velocities (-want +got):\n%s", diff)
	}
	w := slimming.sources[0].Width
	wide := training(p.Network, widthsOf(slimming.sources))
	if err := slimming.Epoch(0, wide); err != nil {
		t.Fatal(err)
	}
	const first = "stage1.block1.bn1.gamma"
	if diff := cmp.Diff(slices.Repeat([]float32{0.5}, w), wide[first]); diff != "" {
		t.Errorf("scales in the beginning (-want +got):\n%s", diff)
	}
	wide[first][1] = 0
	if err := slimming.Step(wide, 0.5); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float32{0.25, 0, 0.25}, wide[first][:3]); diff != "" {
		t.Errorf("scales after a step (-want +got):\n%s", diff)
	}
	if stem := wide["stem.bn.gamma"][0]; stem != 1 {
		t.Errorf("the stem, which nobody can prune, has scale %v", stem)
	}
}

func widthsOf(sources []networks.Source) (c []int) {
	for _, s := range sources {
		c = append(c, s.Width)
	}
	return c
}

// TestRandomWidths checks that widths depend on seed and candidate, meet the budget, and are spread as they are drawn.
func TestRandomWidths(t *testing.T) {
	p := search.Problem{Network: network(t, networks.Spec{Name: "resnet20", Classes: 10}), Seed: 1}
	p.Budget = p.Network.FLOPs(p.Network.Start())
	seen := map[string]bool{}
	wider, narrower := 0, 0
	for k := range 40 {
		start, c, err := draw(p, k)
		if err != nil {
			t.Fatal(err)
		}
		_, again, _ := draw(p, k)
		if !slices.Equal(c, again) || !search.WithinBudget(p.Network.FLOPs(c), p.Budget) {
			t.Fatalf("candidate %d: %v, then %v", k, c, again)
		}
		seen[fmt.Sprint(c)] = true
		for i, w := range c {
			if 4*w > 5*start[i] {
				wider++
			} else if 5*w < 4*start[i] {
				narrower++
			}
		}
	}
	if len(seen) != 40 || wider < 100 || narrower < 100 {
		t.Errorf("%d different widths of 40; of 720 layers %d are a fourth wider, %d a fifth narrower", len(seen), wider, narrower)
	}
}

// TestRandomBestCosts checks by hand how many candidates the cost of another search buys.
func TestRandomBestCosts(t *testing.T) {
	p := problem(t)
	for _, tt := range []struct{ trainings, want int }{{1, 1}, {5, 5}, {0, 1}} {
		m := RandomBest{Epochs: 2, Equal: planned{tt.trainings, p.Budget}, Train: 100, Validation: 10}
		lab := &fakeLab{}
		out, err := m.Search(t.Context(), lab, p)
		if err != nil || len(lab.trainings) != tt.want || !search.WithinBudget(p.Network.FLOPs(out.Channels), p.Budget) {
			t.Errorf("%d trainings buy %d, want %d; %v", tt.trainings, len(lab.trainings), tt.want, err)
		}
		work, err := m.Plan(p)
		if err != nil || len(work) != len(lab.trainings) {
			t.Fatal(len(work), err)
		}
		for k, w := range work {
			checkTraining(t, lab.trainings[k], w.Training)
		}
	}
}

// planned is a method that plans so many trainings of two epochs with one validation each.
type planned struct {
	trainings int
	flops     int64
}

func (planned) Search(context.Context, search.Lab, search.Problem) (*search.Outcome, error) {
	panic("it is only planned")
}

func (m planned) Plan(search.Problem) ([]search.Work, error) {
	w := search.Work{FLOPs: m.flops, Training: search.Training{Epochs: 2}, ValidationFLOPs: m.flops}
	return slices.Repeat([]search.Work{w}, m.trainings), nil
}

// TestWidths checks that widths that meet the budget are taken as they are, and others scaled: those that the paper's
// authors published for ResNet-20 need 7 % more FLOPs than the network has.
func TestWidths(t *testing.T) {
	p := search.Problem{Network: network(t, networks.Spec{Name: "resnet20", Classes: 100})}
	p.Budget = p.Network.FLOPs(p.Network.Start())
	published := []int{6, 17, 6, 17, 9, 16, 26, 23, 28, 24, 29, 29, 78, 66, 93, 97, 112, 128}
	if over := float64(p.Network.FLOPs(published)) / float64(p.Budget); over < 1.06 || over > 1.09 {
		t.Fatalf("published widths need %v of the FLOPs", over)
	}
	out, err := Widths{published}.Search(t.Context(), nil, p)
	if err != nil || !search.WithinBudget(p.Network.FLOPs(out.Channels), p.Budget) {
		t.Fatal(out, err)
	}
	for i, c := range out.Channels {
		if c > published[i] || float64(c) < 0.85*float64(published[i])-1 {
			t.Errorf("widths %v of %v", out.Channels, published)
			break
		}
	}
	p.Budget = p.Network.FLOPs(published) + 1000
	if out, err = (Widths{published}).Search(t.Context(), nil, p); err != nil || !slices.Equal(out.Channels, published) {
		t.Errorf("widths that meet the budget become %v, %v", out, err)
	}
	_, err = Widths{published[1:]}.Search(t.Context(), nil, p)
	checkError(t, "length", err, "18 adjustable layers, but 17 widths are given")
	_, err = Widths{published[1:]}.Plan(p)
	checkError(t, "plan", err, "18 adjustable layers, but 17 widths are given")
}

// TestAutoSlimOrder checks what the walk back returns: removed channels by the time of their removal, from the last one.
func TestAutoSlimOrder(t *testing.T) {
	got := removalScores([]int{4, 3}, []int{0, 0, 1, 0})
	if diff := cmp.Diff([][]float64{{5, 4, 2, 1}, {5, 5, 3}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
