package adjustment

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"netadjust/internal/search"
	"netadjust/networks"
)

// fakeLab stands for trained networks whose layers use their FLOPs with a known utility: dropping channels raises the
// validation loss by utility times the FLOPs lost; with repeats, by 2r/(repeats-1) times that in repeat r = 0, 1, ...
// It notes all that it is asked for.
type fakeLab struct {
	t       *testing.T
	utility []float64
	repeats int
	loss    float64                                           // without dropout
	tie     networks.Tie                                      // who is charged for a stream
	limit   float64                                           // that no drop rate may exceed
	images  search.Images                                     // that dropout is to be evaluated on
	onTrain func() error                                      // if set, asked before a training
	onDrop  func(layer, repeat int) (more float64, err error) // if set, asked for what to add to a loss with dropout

	trainings   []search.Training
	validations []int // by training
	reports     []string
	updates     []search.Update
}

func (l *fakeLab) Train(ctx context.Context, t search.Training) (search.Trained, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if l.onTrain != nil {
		if err := l.onTrain(); err != nil {
			return nil, err
		}
	}
	l.trainings = append(l.trainings, t)
	l.validations = append(l.validations, 0)
	return &fakeTrained{fakeLab: l, training: t}, nil
}

// Cost counts trainings and validations as images.
func (l *fakeLab) Cost() (c search.Cost) {
	c.BackwardImages = int64(len(l.trainings))
	for _, n := range l.validations {
		c.ForwardImages += int64(n)
	}
	return c
}

func (l *fakeLab) Charge(int64, int) {}

func (l *fakeLab) Recall(_ context.Context, _ string, _ any, compute func() error) error {
	return compute()
}

func (l *fakeLab) Updated(index int, u *search.Update) { l.updates = append(l.updates, *u) }

func (l *fakeLab) Report(format string, args ...any) {
	l.reports = append(l.reports, fmt.Sprintf(format, args...))
}

type fakeTrained struct {
	search.Trained // for what network adjustment does not ask
	*fakeLab
	training search.Training
}

func (f *fakeTrained) Validate(ctx context.Context) (search.Evaluation, error) {
	f.validations[len(f.validations)-1]++
	return search.Evaluation{Loss: f.loss, Top1: 0.5}, ctx.Err()
}

func (f *fakeTrained) EvaluateDropout(ctx context.Context, on search.Images, rates []float64, repeats int) (
	*search.Dropout, error) {
	if on != f.images {
		f.t.Fatalf("dropout on images %d, want %d", on, f.images)
	}
	c, n := f.training.Channels, f.training.Network
	f.validations[len(f.validations)-1] += 1 + len(rates)*repeats
	d := &search.Dropout{
		Clean:   search.Evaluation{Loss: f.loss, Top1: 0.5},
		Dropped: make([][]search.Evaluation, len(rates)),
		StdErr:  slices.Repeat([]search.Evaluation{{Loss: 0.01, Top1: 0.02}}, len(rates)),
	}
	for layer, p := range rates {
		if p <= 0 || p > f.limit {
			f.t.Fatalf("drop rate %v of layer %d: want more than 0 and at most %v", p, layer, f.limit)
		}
		flops := p * float64(c[layer]) * n.FLOPsPerChannel(c, f.tie)[layer]
		for repeat := range repeats {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			draw := 1.
			if f.repeats > 1 {
				draw = 2 * float64(repeat) / float64(f.repeats-1)
			}
			e := search.Evaluation{Loss: f.loss + f.utility[layer]*flops*draw}
			if f.onDrop != nil {
				more, err := f.onDrop(layer, repeat)
				if err != nil {
					return nil, err
				}
				e.Loss += more
			}
			d.Dropped[layer] = append(d.Dropped[layer], e)
		}
	}
	return d, nil
}

func (f *fakeTrained) Tensor(string) []float32 {
	f.t.Fatal("network adjustment looks at weights")
	return nil
}

// problem is a search on ResNet-8 at its own FLOPs, so that layers tie for the width of their stream, in a lab that
// knows the utility of each layer.
func problem(t *testing.T) (search.Problem, *fakeLab) {
	net := network(t, networks.Spec{Name: "resnet8", Width: 1, Classes: 10})
	lab := &fakeLab{t: t, utility: []float64{3e-8, 1e-8, 4e-8, 2e-8, 6e-8, 5e-8}, repeats: 3, loss: 0.7, limit: 0.5}
	return search.Problem{Network: net, Budget: net.FLOPs(net.Start())}, lab
}

var settings = Settings{
	Epochs: 4, Iterations: 3, LayersPerUpdate: 2, LayersDecay: 0.6, Rate: 0.3, RateDecay: 0.05, DropRate: 0.2, Repeats: 3,
}

func TestSearch(t *testing.T) {
	p, lab := problem(t)
	out, err := Method{settings}.Search(t.Context(), lab, p)
	if err != nil {
		t.Fatal(err)
	}
	start, minimum, err := p.Start(p.Budget)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(start, out.Start); diff != "" {
		t.Errorf("start (-want +got):\n%s", diff)
	}
	if len(out.Updates) != 3 || out.Network != nil {
		t.Fatalf("%d updates, network %v", len(out.Updates), out.Network)
	}
	// By utility; 2, 1.4 and 0.8 layers move.
	grown, shrunk := [][]int{{4, 5}, {4}, {4}}, [][]int{{1, 3}, {1}, {1}}
	c := start
	for k, u := range out.Updates {
		perChannel := p.Network.FLOPsPerChannel(c, networks.TieSplit)
		want := search.Update{
			Measured: search.Measured{
				Channels: c, Validation: search.Evaluation{Loss: 0.7, Top1: 0.5}, FLOPsPerChannel: perChannel,
			},
			Grown: grown[k], Shrunk: shrunk[k], Next: u.Next,
			Cost: search.Cost{ForwardImages: int64((k + 1) * (1 + len(c)*3)), BackwardImages: int64(k + 1)},
		}
		mean := 0.
		for i := range c {
			mean += float64(c[i]) * perChannel[i] / 6
		}
		for i := range c {
			want.DropRates = append(want.DropRates, min(0.2*mean/(float64(c[i])*perChannel[i]), 0.5))
			// All layers lose the FLOPs of a rate of 0.2 in the mean layer. The draws are 0, 1 and 2 times that.
			fur := lab.utility[i] * 0.2 * mean
			want.FUR = append(want.FUR, fur)
			want.FURStdErr = append(want.FURStdErr, fur/math.Sqrt(3))
			full := 0.2 * mean / (float64(c[i]) * perChannel[i])
			want.FURImageStdErr = append(want.FURImageStdErr, 0.01*full/want.DropRates[i])
		}
		if diff := cmp.Diff(want, u, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
			t.Errorf("update %d (-want +got):\n%s", k+1, diff)
		}
		if f := p.Network.FLOPs(u.Next); !search.WithinBudget(f, p.Budget) {
			t.Errorf("update %d: widths %v have %d FLOPs, budget %d", k+1, u.Next, f, p.Budget)
		}
		// What grows gets more of the budget, what shrinks less: compared with the layers that do not move.
		still := float64(u.Next[0]) / float64(c[0])
		for i := range c {
			ratio, slack := float64(u.Next[i])/float64(c[i])/still, 1/float64(c[i])+1/float64(c[0])
			switch {
			case slices.Contains(u.Grown, i) && ratio < 1.1:
				t.Errorf("update %d: layer %d grows from %d to %d", k+1, i, c[i], u.Next[i])
			case slices.Contains(u.Shrunk, i) && ratio > 0.9:
				t.Errorf("update %d: layer %d shrinks from %d to %d", k+1, i, c[i], u.Next[i])
			case !slices.Contains(u.Grown, i) && !slices.Contains(u.Shrunk, i) && math.Abs(ratio-1) > slack:
				t.Errorf("update %d: layer %d goes from %d to %d but should keep its share", k+1, i, c[i], u.Next[i])
			}
			if u.Next[i] < minimum[i] {
				t.Errorf("update %d: layer %d has width %d, minimum %d", k+1, i, u.Next[i], minimum[i])
			}
		}
		c = u.Next
	}
	if diff := cmp.Diff(c, out.Channels); diff != "" {
		t.Errorf("channels (-last update +got):\n%s", diff)
	}
	last := out.Updates[2].FUR
	if want := fmt.Sprintf("update 3 of 3: validation loss 0.7000, top-1 50.00 %%, FUR %.2g to %.2g, widths %v, %.4g MFLOPs",
		slices.Min(last), slices.Max(last), c, float64(p.Network.FLOPs(c))/1e6); len(lab.reports) != 3 ||
		lab.reports[2] != want {
		t.Errorf("reports %q, want the last to be %q", lab.reports, want)
	}
	if diff := cmp.Diff(out.Updates, lab.updates); diff != "" {
		t.Errorf("updates (-outcome +told):\n%s", diff)
	}
}

// TestCutRates checks that a layer whose drop rate is cut at 1/2 gets the ratio of the full rate, and that one repeat
// has no standard error.
func TestCutRates(t *testing.T) {
	p, lab := problem(t)
	lab.repeats = 1
	s := settings
	s.DropRate, s.Repeats, s.Iterations = 0.45, 1, 1
	out, err := Method{s}.Search(t.Context(), lab, p)
	if err != nil {
		t.Fatal(err)
	}
	u := out.Updates[0]
	cut := 0
	for i, f := range u.FUR {
		if u.DropRates[i] == 0.5 {
			cut++
		}
		if want := u.FUR[0] / lab.utility[0] * lab.utility[i]; math.Abs(f/want-1) > 1e-9 {
			t.Errorf("ratio of layer %d at rate %v is %v, want %v", i, u.DropRates[i], f, want)
		}
	}
	if cut == 0 || cut == len(u.FUR) {
		t.Fatalf("rates %v: want some that are cut at 0.5 and some that are not", u.DropRates)
	}
	if diff := cmp.Diff(make([]float64, 6), u.FURStdErr); diff != "" {
		t.Errorf("standard errors (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{4, 5}, u.Grown); diff != "" {
		t.Errorf("grown (-want +got):\n%s", diff)
	}
}

// TestEqualUse checks that layers which all use their FLOPs alike keep their widths.
func TestEqualUse(t *testing.T) {
	p, lab := problem(t)
	lab.utility = make([]float64, 6)
	p.Budget = p.Budget * 3 / 5
	out, err := Method{settings}.Search(t.Context(), lab, p)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(out.Start, out.Channels); diff != "" {
		t.Errorf("(-start +got):\n%s", diff)
	}
	if f := p.Network.FLOPs(out.Start); !search.WithinBudget(f, p.Budget) {
		t.Errorf("start %v has %d FLOPs, budget %d", out.Start, f, p.Budget)
	}
	for _, u := range out.Updates {
		if len(u.Grown)+len(u.Shrunk) > 0 {
			t.Errorf("layers %v grow, %v shrink", u.Grown, u.Shrunk)
		}
	}
}

func TestSearchErrors(t *testing.T) {
	broken := errors.New("the disk is full")
	// when adds a loss or fails in one layer of one training.
	when := func(lab *fakeLab, training, layer int, more float64, err error) {
		lab.onDrop = func(l, _ int) (float64, error) {
			if l == layer && len(lab.trainings) == training {
				return more, err
			}
			return 0, nil
		}
	}
	for _, tt := range []struct {
		name      string
		change    func(s *Settings, lab *fakeLab, p *search.Problem)
		want      string
		trainings int
	}{
		{"loss with dropout", func(_ *Settings, lab *fakeLab, _ *search.Problem) { when(lab, 2, 3, math.NaN(), nil) },
			"update 2: FLOPs utilization ratio of stage2.block1.conv2 is NaN: training has diverged", 2},
		{"infinite loss", func(_ *Settings, lab *fakeLab, _ *search.Problem) { when(lab, 1, 5, math.Inf(1), nil) },
			"update 1: FLOPs utilization ratio of stage3.block1.conv2 is +Inf: training has diverged", 1},
		{"loss", func(_ *Settings, lab *fakeLab, _ *search.Problem) { lab.loss = math.NaN() },
			"update 1: FLOPs utilization ratio of stage1.block1.conv1 is NaN: training has diverged", 1},
		{"too many layers", func(s *Settings, _ *fakeLab, _ *search.Problem) { s.LayersPerUpdate = 4 },
			"4 layers cannot grow and 4 shrink in an update of resnet8 with its 6 adjustable layers; move at most 3", 0},
		{"drop rate", func(s *Settings, _ *fakeLab, _ *search.Problem) { s.DropRate = 0.7 },
			"update 1: base drop rate 0.7: give more than 0 and at most 0.5", 1},
		{"budget", func(_ *Settings, _ *fakeLab, p *search.Problem) { p.Budget = 1000 },
			"budget of 1000 FLOPs is too small", 0},
		{"training fails", func(_ *Settings, lab *fakeLab, _ *search.Problem) {
			lab.onTrain = func() error {
				if len(lab.trainings) == 1 {
					return broken
				}
				return nil
			}
		}, "update 2: the disk is full", 1},
		{"validation fails", func(_ *Settings, lab *fakeLab, _ *search.Problem) { when(lab, 1, 2, 0, broken) },
			"update 1: the disk is full", 1},
	} {
		p, lab := problem(t)
		s := settings
		tt.change(&s, lab, &p)
		_, err := Method{s}.Search(t.Context(), lab, p)
		checkError(t, tt.name, err, tt.want)
		if len(lab.trainings) != tt.trainings {
			t.Errorf("%s: %d trainings, want %d", tt.name, len(lab.trainings), tt.trainings)
		}
		if strings.Contains(tt.want, broken.Error()) && !errors.Is(err, broken) {
			t.Errorf("%s: error %v does not wrap the lab's", tt.name, err)
		}
	}
}

func TestSearchCancelled(t *testing.T) {
	p, lab := problem(t)
	ctx, cancel := context.WithCancel(t.Context())
	lab.onDrop = func(layer, _ int) (float64, error) {
		if layer == 1 {
			cancel()
		}
		return 0, nil
	}
	if _, err := (Method{settings}).Search(ctx, lab, p); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if len(lab.validations) != 1 {
		t.Errorf("%d trainings, want the search to end with the first", len(lab.validations))
	}
}

// TestPlan checks that a plan tells what a search then asks for.
func TestPlan(t *testing.T) {
	for _, iterations := range []int{0, 1, 3} {
		p, lab := problem(t)
		m := Method{settings}
		m.Iterations = iterations
		plan, err := m.Plan(p)
		if err != nil {
			t.Fatal(err)
		}
		out, err := m.Search(t.Context(), lab, p)
		if err != nil {
			t.Fatal(err)
		}
		if len(plan) != iterations || len(lab.trainings) != iterations {
			t.Fatalf("%d trainings planned and %d run for %d iterations", len(plan), len(lab.trainings), iterations)
		}
		if iterations == 0 {
			if diff := cmp.Diff(out.Start, out.Channels); diff != "" {
				t.Errorf("no iterations (-start +got):\n%s", diff)
			}
		}
		for k, w := range plan {
			asked := lab.trainings[k]
			flops := p.Network.FLOPs(asked.Channels)
			if k == 0 && w.FLOPs != flops || k > 0 && (w.FLOPs != p.Budget || !search.WithinBudget(flops, w.FLOPs)) {
				t.Errorf("training %d: %d FLOPs planned, it has %d", k, w.FLOPs, flops)
			}
			if k > 0 {
				if w.Training.Channels != nil {
					t.Errorf("training %d: widths %v are planned, before anything is measured", k, w.Training.Channels)
				}
				w.Training.Channels = asked.Channels
			}
			if w.Training.Network != asked.Network {
				t.Errorf("training %d: another network is planned", k)
			}
			w.Training.Network, asked.Network = nil, nil
			if diff := cmp.Diff(w.Training, asked); diff != "" {
				t.Errorf("training %d (-planned +asked):\n%s", k, diff)
			}
			if want := 1 + 6*3; w.Validations != want || lab.validations[k] != want {
				t.Errorf("training %d: %d validations planned, %d run, want %d", k, w.Validations, lab.validations[k], want)
			}
			if want := fmt.Sprintf("update %d", k+1); asked.Purpose != want || asked.Epochs != 4 {
				t.Errorf("training %d for %q with %d epochs, want %q with 4", k, asked.Purpose, asked.Epochs, want)
			}
		}
	}
	p, _ := problem(t)
	p.Budget = 1000
	_, err := Method{settings}.Plan(p)
	checkError(t, "budget", err, "budget of 1000 FLOPs is too small")
	p, _ = problem(t)
	many := settings
	many.LayersPerUpdate = 4
	_, err = Method{many}.Plan(p)
	checkError(t, "layers", err, "4 layers cannot grow and 4 shrink in an update of resnet8 with its 6 adjustable layers")
}
