package baselines

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/search"
	"netadjust/networks"
)

// fakeLab stands for a trained network with the given filters. It notes what it is asked for.
type fakeLab struct {
	filters func(layer, width int) []float32
	err     error // of validations

	trainings   []search.Training
	validations int
	reports     []string
}

func (l *fakeLab) Train(ctx context.Context, t search.Training) (search.Trained, error) {
	l.trainings = append(l.trainings, t)
	return &fakeTrained{fakeLab: l, training: t}, ctx.Err()
}

func (l *fakeLab) Cost() search.Cost { return search.Cost{BackwardImages: int64(len(l.trainings))} }

func (l *fakeLab) Charge(int64, int) {}

func (l *fakeLab) Recall(_ context.Context, _ string, _ any, compute func() error) error {
	return compute()
}

func (l *fakeLab) Updated(int, *search.Update) {}

func (l *fakeLab) Report(format string, args ...any) {
	l.reports = append(l.reports, fmt.Sprintf(format, args...))
}

type fakeTrained struct {
	search.Trained // for what no test asks
	*fakeLab
	training search.Training
}

func (f *fakeTrained) Validate(context.Context) (search.Evaluation, error) {
	f.validations++
	return search.Evaluation{Loss: 0.25, Top1: 0.875}, f.err
}

func (f *fakeTrained) EvaluateDropout(context.Context, search.Images, []float64, int) (*search.Dropout, error) {
	return nil, errors.New("no pruner needs dropout")
}

// Tensor returns the filters of a layer.
func (f *fakeTrained) Tensor(name string) []float32 {
	i := slices.Index(f.training.Network.Adjustable(), strings.TrimSuffix(name, ".weights"))
	return f.filters(i, f.training.Channels[i])
}

func network(t *testing.T, spec networks.Spec) *networks.Network {
	t.Helper()
	n, err := networks.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func checkError(t *testing.T, name string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: error %v, want one with %q", name, err, want)
	}
}

func TestUniform(t *testing.T) {
	for _, spec := range []networks.Spec{
		{Name: "resnet20"}, {Name: "resnet20", Width: 0.5, Padding: networks.PaddingLocal}, {Name: "resnet18"},
	} {
		net := network(t, spec)
		c0 := net.Start()
		for _, share := range []float64{0.4, 0.75, 1, 1.6} {
			p := search.Problem{Network: net, Budget: int64(share * float64(net.FLOPs(c0)))}
			lab := &fakeLab{}
			out, err := Uniform{}.Search(t.Context(), lab, p)
			if err != nil {
				t.Errorf("%+v, %v of its FLOPs: %v", spec, share, err)
				continue
			}
			if f := net.FLOPs(out.Channels); !search.WithinBudget(f, p.Budget) {
				t.Errorf("%+v: widths %v have %d FLOPs, budget %d", spec, out.Channels, f, p.Budget)
			}
			// Layers of one width differ by a channel at most, where the last channels of the budget went.
			for i, c := range out.Channels {
				if scaled := float64(c0[i]) * float64(out.Channels[0]) / float64(c0[0]); math.Abs(float64(c)-scaled) >
					1+float64(c0[i])/float64(c0[0]) {
					t.Errorf("%+v, %v of its FLOPs: widths %v of %v are not proportional", spec, share, out.Channels, c0)
					break
				}
			}
			if diff := cmp.Diff(&search.Outcome{Channels: out.Channels, Start: out.Channels}, out); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			plan, err := Uniform{}.Plan(p)
			if err != nil || len(plan) != len(lab.trainings) {
				t.Errorf("%d trainings planned, %d run, error %v", len(plan), len(lab.trainings), err)
			}
		}
	}
	p := search.Problem{Network: network(t, networks.Spec{Name: "resnet20"}), Budget: 1}
	_, err := Uniform{}.Search(t.Context(), nil, p)
	checkError(t, "budget", err, "budget of 1 FLOPs is too small")
}

var (
	keep  = []int{5, 3, 9, 12, 20, 14} // what TestL1 leaves of each layer
	start = Start{FLOPs: 2, Epochs: 5}
)

// problem is a search for the FLOPs of the widths to keep.
func problem(t *testing.T) search.Problem {
	t.Helper()
	net := network(t, networks.Spec{Name: "resnet8", Width: 0.5, Classes: 10})
	return search.Problem{Network: net, Budget: net.FLOPs(keep)}
}

// marked returns filters of ten weights: those that keep leaves no room for, spread over the layer, have one weight of
// 4 and else zeros, which is less in L1 norm, though not in L2 norm, than the ten weights of -1 of the others.
func marked(layer, width int) []float32 {
	w := slices.Repeat([]float32{-1}, 10*width)
	for j := range width - keep[layer] {
		filter := w[10*(j*width/(width-keep[layer])):][:10]
		clear(filter)
		filter[j%10] = 4
	}
	return w
}

func scaled(w []float32, by float32) []float32 {
	for i := range w {
		w[i] *= by
	}
	return w
}

// checkTraining compares trainings, whose network must be the same.
func checkTraining(t *testing.T, got, want search.Training) {
	t.Helper()
	if got.Network != want.Network {
		t.Error("trainings of different networks")
	}
	got.Network, want.Network = nil, nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("training (-want +got):\n%s", diff)
	}
}

// prune runs L1 with the given filters and returns the widths it finds.
func prune(t *testing.T, p search.Problem, filters func(layer, width int) []float32) []int {
	t.Helper()
	out, err := L1{Start: start}.Search(t.Context(), &fakeLab{filters: filters}, p)
	if err != nil {
		t.Fatal(err)
	}
	if f := p.Network.FLOPs(out.Channels); !search.WithinBudget(f, p.Budget) {
		t.Errorf("widths %v have %d FLOPs, budget %d", out.Channels, f, p.Budget)
	}
	return out.Channels
}

// TestL1 prunes filters whose ranking is known by hand, see marked. Layers differ by powers of ten, so that only norms
// relative to the mean of their layer tell which filters are to go.
func TestL1(t *testing.T) {
	p := problem(t)
	lab := &fakeLab{filters: func(layer, width int) []float32 {
		return scaled(marked(layer, width), float32(math.Pow10(layer-3)))
	}}
	out, err := L1{Start: start}.Search(t.Context(), lab, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(lab.trainings) != 1 || lab.validations != 1 {
		t.Fatalf("%d trainings and %d validations, want one of each", len(lab.trainings), lab.validations)
	}
	c := lab.trainings[0].Channels
	if f := p.Network.FLOPs(c); !search.WithinBudget(f, 2*p.Budget) {
		t.Errorf("start network has %d FLOPs, want twice the budget of %d", f, p.Budget)
	}
	checkTraining(t, lab.trainings[0], search.Training{Network: p.Network, Channels: c, Epochs: 5, Purpose: "start"})
	want := &search.Outcome{
		Channels: keep,
		Start:    c,
		Network:  &search.StartNetwork{Channels: c, Validation: search.Evaluation{Loss: 0.25, Top1: 0.875}},
	}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	report := fmt.Sprintf("start network: validation loss 0.2500, top-1 87.50 %%, widths %v", c)
	if diff := cmp.Diff([]string{report}, lab.reports); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
}

// TestL1Scale checks that a layer's scale does not count: batch norm undoes it.
func TestL1Scale(t *testing.T) {
	p := problem(t)
	random := func(factors ...float32) func(layer, width int) []float32 {
		return func(layer, width int) []float32 {
			r := rand.New(rand.NewPCG(uint64(layer), 1))
			w := make([]float32, 10*width)
			for i := range w {
				w[i] = float32(r.NormFloat64())
			}
			return scaled(w, factors[layer])
		}
	}
	want := prune(t, p, random(1, 1, 1, 1, 1, 1))
	if diff := cmp.Diff(want, prune(t, p, random(1, 1024, 1, 1./64, 1, 2))); diff != "" {
		t.Errorf("scaled layers (-want +got):\n%s", diff)
	}
	if uniform, err := (Uniform{}).Search(t.Context(), nil, p); err != nil || cmp.Equal(uniform.Channels, want) {
		t.Errorf("random filters give the widths %v of uniform scaling, error %v", want, err)
	}
}

// TestL1ZeroLayer checks that a layer without weights gives up all channels but the least, before any other.
func TestL1ZeroLayer(t *testing.T) {
	p := problem(t)
	c := prune(t, p, func(layer, width int) []float32 {
		if layer == 2 {
			return make([]float32, 10*width)
		}
		return marked(layer, width)
	})
	if want := search.Minimum(p.Network.Start())[2]; c[2] != want {
		t.Errorf("widths %v, want %d in layer 2", c, want)
	}
}

// TestStartIsShared checks that the training of the start network has the same content for every pruner with the same
// settings, and another one otherwise.
func TestStartIsShared(t *testing.T) {
	p := problem(t)
	training := func(s Start, p search.Problem) search.Training {
		t.Helper()
		lab := &fakeLab{}
		if _, err := s.train(t.Context(), lab, p, nil); err != nil {
			t.Fatal(err)
		}
		return lab.trainings[0]
	}
	lab := &fakeLab{filters: marked}
	if _, err := (L1{Start: start}).Search(t.Context(), lab, p); err != nil {
		t.Fatal(err)
	}
	checkTraining(t, training(start, p), lab.trainings[0])
	if c := training(Start{FLOPs: 1.5, Epochs: 5}, p).Channels; !search.WithinBudget(p.Network.FLOPs(c), p.Budget*3/2) {
		t.Errorf("start at 1.5 times the budget has widths %v", c)
	}
	if e := training(Start{FLOPs: 2, Epochs: 6}, p).Epochs; e != 6 {
		t.Errorf("start with 6 epochs is trained for %d", e)
	}
}

// TestPlan checks that a plan tells what a search then asks for.
func TestPlan(t *testing.T) {
	p := problem(t)
	lab := &fakeLab{filters: marked}
	plan, err := L1{Start: start}.Plan(p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (L1{Start: start}).Search(t.Context(), lab, p); err != nil {
		t.Fatal(err)
	}
	if len(plan) != 1 || len(lab.trainings) != 1 {
		t.Fatalf("%d trainings planned, %d run", len(plan), len(lab.trainings))
	}
	checkTraining(t, lab.trainings[0], plan[0].Training)
	want := p.Network.FLOPs(lab.trainings[0].Channels)
	if plan[0].FLOPs != want || plan[0].Validations != lab.validations || plan[0].ValidationFLOPs != want {
		t.Errorf("plan %+v; run %d FLOPs and %d validations", plan[0], want, lab.validations)
	}
}

func TestL1Errors(t *testing.T) {
	broken := errors.New("the disk is full")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	p := problem(t)
	for _, tt := range []struct {
		name  string
		ctx   context.Context
		lab   fakeLab
		start Start
		want  string
		is    error
	}{
		{"start", t.Context(), fakeLab{filters: marked}, Start{FLOPs: 100},
			"start network of 100 times the budget: budget of ", nil},
		{"training", cancelled, fakeLab{filters: marked}, start, "start network: context canceled", context.Canceled},
		{"validation", t.Context(), fakeLab{filters: marked, err: broken}, start,
			"start network: the disk is full", broken},
		{"weights", t.Context(), fakeLab{filters: func(layer, width int) []float32 {
			return scaled(marked(layer, width), float32(math.NaN()))
		}}, start, "score NaN of channel 1 in layer 1: give a finite number", nil},
	} {
		_, err := L1{Start: tt.start}.Search(tt.ctx, &tt.lab, p)
		checkError(t, tt.name, err, tt.want)
		if tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s: error %v does not wrap %v", tt.name, err, tt.is)
		}
	}
	_, err := L1{Start: Start{FLOPs: 100}}.Plan(p)
	checkError(t, "plan", err, "start network of 100 times the budget: budget of ")
}
