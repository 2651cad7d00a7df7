package adjustment

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"netadjust/internal/search"
)

// TestRandomRatios checks that the control trains as the method does, measures nothing, and ranks by numbers that the
// seed decides.
func TestRandomRatios(t *testing.T) {
	run := func(seed uint64) (*search.Outcome, *fakeLab) {
		p, lab := problem(t)
		p.Seed = seed
		s := settings
		s.Score = Random
		out, err := Method{s}.Search(t.Context(), lab, p)
		if err != nil {
			t.Fatal(err)
		}
		return out, lab
	}
	out, ran := run(1)
	if diff := cmp.Diff([]int{1, 1, 1}, ran.validations); diff != "" {
		t.Errorf("validations of each training (-want +got):\n%s", diff)
	}
	for k, u := range out.Updates {
		if slices.Max(u.DropRates) != 0 || slices.Max(u.FURStdErr) != 0 || u.FURImageStdErr != nil ||
			u.Validation.Loss != 0.7 {
			t.Errorf("update %d: %+v", k+1, u)
		}
		if len(u.Grown) == 0 || u.FUR[u.Grown[0]] != slices.Max(u.FUR) || u.FUR[u.Shrunk[0]] != slices.Min(u.FUR) {
			t.Errorf("update %d: ratios %v, grown %v, shrunk %v", k+1, u.FUR, u.Grown, u.Shrunk)
		}
		if k > 0 && slices.Equal(u.FUR, out.Updates[k-1].FUR) {
			t.Errorf("updates %d and %d have the same ratios", k, k+1)
		}
	}
	again, _ := run(1)
	if diff := cmp.Diff(out, again); diff != "" {
		t.Errorf("the same seed again (-first +second):\n%s", diff)
	}
	if other, _ := run(2); slices.Equal(out.Updates[0].FUR, other.Updates[0].FUR) {
		t.Error("another seed has the same ratios")
	}
	p, lab := problem(t)
	lab.loss = math.NaN()
	s := settings
	s.Score = Random
	_, err := Method{s}.Search(t.Context(), lab, p)
	checkError(t, "diverged", err, "update 1: validation loss is NaN: training has diverged")
	// Trainings are those of the method, so that the first one is shared with it.
	q, method := problem(t)
	if _, err := (Method{settings}).Search(t.Context(), method, q); err != nil {
		t.Fatal(err)
	}
	first, want := ran.trainings[0], method.trainings[0]
	first.Network, want.Network = nil, nil
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("first training (-method +control):\n%s", diff)
	}
}

// TestEqualDropRates checks that without the rule of equal FLOPs every layer loses the same share of its channels.
func TestEqualDropRates(t *testing.T) {
	p, lab := problem(t)
	s := settings
	s.EqualDropRates = true
	out, err := Method{s}.Search(t.Context(), lab, p)
	if err != nil {
		t.Fatal(err)
	}
	u := out.Updates[0]
	for i, rate := range u.DropRates {
		flops := 0.2 * float64(u.Channels[i]) * u.FLOPsPerChannel[i]
		if rate != 0.2 || math.Abs(u.FUR[i]-lab.utility[i]*flops) > 1e-12 {
			t.Errorf("layer %d: rate %v, ratio %v, want %v", i, rate, u.FUR[i], lab.utility[i]*flops)
		}
	}
	for _, bad := range []float64{0, 0.6, math.NaN()} {
		_, _, err := EqualDropRates([]int{4}, []float64{2}, bad)
		checkError(t, "rate", err, "give more than 0 and at most 0.5")
	}
}

// TestAccuracyRatios checks that ratios from accuracy are its fall. The fake network never is right with dropout.
func TestAccuracyRatios(t *testing.T) {
	p, lab := problem(t)
	s := settings
	s.Score = Accuracy
	out, err := Method{s}.Search(t.Context(), lab, p)
	if err != nil {
		t.Fatal(err)
	}
	u := out.Updates[0]
	_, scale, err := DropRates(u.Channels, u.FLOPsPerChannel, s.DropRate)
	if err != nil {
		t.Fatal(err)
	}
	for i := range u.FUR {
		want := []float64{0.5 * scale[i], 0, 0.02 * scale[i]}
		got := []float64{u.FUR[i], u.FURStdErr[i], u.FURImageStdErr[i]}
		if diff := cmp.Diff(want, got, cmpopts.EquateApprox(1e-12, 0)); diff != "" {
			t.Errorf("layer %d: ratio and its errors (-want +got):\n%s", i, diff)
		}
	}
}

// TestSeenImages checks that ratios can be measured on training images; the loss in the record stays that of held-out
// ones.
func TestSeenImages(t *testing.T) {
	p, lab := problem(t)
	lab.images = search.Seen
	m := Method{settings}
	m.Images = search.Seen
	out, err := m.Search(t.Context(), lab, p)
	if err != nil {
		t.Fatal(err)
	}
	if out.Updates[0].Validation.Loss != 0.7 {
		t.Errorf("validation loss %v", out.Updates[0].Validation.Loss)
	}
	plan, err := m.Plan(p)
	if err != nil {
		t.Fatal(err)
	}
	if want := 2 + 6*3; lab.validations[0] != want || plan[0].Validations != want {
		t.Errorf("%d runs of each image, %d planned, want %d", lab.validations[0], plan[0].Validations, want)
	}
}

// TestOneShot checks that one update goes as far as all, for the layers of the first.
func TestOneShot(t *testing.T) {
	s := settings
	s.LayersDecay, s.Rate, s.RateDecay = 0, 0.125, 0.0625 // exact
	p, lab := problem(t)
	out, err := Method{s.OneShot()}.Search(t.Context(), lab, p)
	if err != nil {
		t.Fatal(err)
	}
	start, minimum, err := p.Start(p.Budget)
	if err != nil {
		t.Fatal(err)
	}
	moved := start
	for range s.Iterations { // by utility
		moved = Move(moved, start, minimum, []int{4, 5}, []int{1, 3}, s.Rate, s.RateDecay)
	}
	want, err := search.FitToBudget(p.Network, moved, p.Budget, minimum)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, out.Channels); diff != "" || len(out.Updates) != 1 || len(lab.trainings) != 1 {
		t.Errorf("%d updates, %d trainings; widths (-want +got):\n%s", len(out.Updates), len(lab.trainings), diff)
	}
}

// TestPlanOfControls checks that a plan of a control tells what its search asks for.
func TestPlanOfControls(t *testing.T) {
	for name, change := range map[string]func(*Settings){
		"random":   func(s *Settings) { s.Score = Random },
		"equal":    func(s *Settings) { s.EqualDropRates = true },
		"accuracy": func(s *Settings) { s.Score = Accuracy },
		"one shot": func(s *Settings) { *s = s.OneShot() },
	} {
		p, lab := problem(t)
		s := settings
		change(&s)
		plan, err := Method{s}.Plan(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (Method{s}).Search(t.Context(), lab, p); err != nil {
			t.Fatal(err)
		}
		var planned []int
		for _, w := range plan {
			planned = append(planned, w.Validations)
		}
		if diff := cmp.Diff(planned, lab.validations); diff != "" {
			t.Errorf("%s: validations (-planned +run):\n%s", name, diff)
		}
	}
}
