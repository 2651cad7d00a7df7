package adjustment

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/search"
)

func TestEnded(t *testing.T) {
	a, b, c := []int{8, 8}, []int{6, 10}, []int{10, 6}
	before := []search.Update{{Measured: search.Measured{Channels: a}}, {Measured: search.Measured{Channels: b}}}
	update := func(channels, next []int, fur, errs []float64) search.Update {
		u := search.Update{Measured: search.Measured{Channels: channels, FUR: fur, FURImageStdErr: errs}, Next: next}
		if !slices.Equal(channels, next) {
			u.Grown, u.Shrunk = []int{1}, []int{0}
		}
		return u
	}
	for _, tt := range []struct {
		name string
		u    search.Update
		want string
	}{
		{"new widths", update(b, c, []float64{1, 2}, []float64{0.5, 0.5}), ""},
		{"back", update(b, a, []float64{1, 2}, []float64{0.5, 0.5}), "update 3 leads back to the widths before update 1"},
		{"no change", update(c, c, []float64{1, 1}, []float64{0.5, 0.5}), "update 3 leaves the widths as they are"},
		// The standard error of the difference is 0.5; equal counts as noise.
		{"noise", update(b, c, []float64{1, 1.5}, []float64{0.3, 0.4}),
			"the ratios of update 3 differ by no more than their standard errors"},
		{"little more than noise", update(b, c, []float64{1, 1.51}, []float64{0.3, 0.4}), ""},
		{"no errors known", update(b, c, []float64{1, 1.1}, nil), ""},
	} {
		u := tt.u
		if got := ended(&u, before); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		if strings.Contains(tt.want, "errors") {
			if !slices.Equal(u.Next, u.Channels) || u.Grown != nil || u.Shrunk != nil {
				t.Errorf("%s: the update is not taken back: %+v", tt.name, u)
			}
		} else if diff := cmp.Diff(tt.u, u); diff != "" {
			t.Errorf("%s changes the update:\n%s", tt.name, diff)
		}
	}
	// One pair that is more than noise is enough to go on.
	pairs := search.Update{
		Measured: search.Measured{FUR: []float64{0, 1, 1.1, 3}, FURImageStdErr: []float64{0.2, 0.2, 0.2, 0.2}},
		Grown:    []int{3, 2}, Shrunk: []int{0, 1},
	}
	if withinErrors(&pairs) {
		t.Error("a pair that differs by 3 is noise")
	}
	if pairs.FUR[3] = 0.1; !withinErrors(&pairs) {
		t.Error("pairs that differ by 0.1 with errors of 0.2 are not noise")
	}
}

// TestEarlyEnd checks whole searches: one whose ratios all are the same, one whose ratios are noise, one that goes on.
func TestEarlyEnd(t *testing.T) {
	s := settings
	s.EarlyEnd = true
	for _, tt := range []struct {
		name    string
		change  func(*fakeLab)
		updates int
		want    string
	}{
		{"goes on", func(*fakeLab) {}, 3, ""},
		{"nothing moves", func(lab *fakeLab) { clear(lab.utility) }, 1, "update 1 leaves the widths as they are"},
		{"noise", func(lab *fakeLab) {
			for i := range lab.utility {
				lab.utility[i] *= 1e-3
			}
		}, 1, "the ratios of update 1 differ by no more than their standard errors"},
	} {
		p, lab := problem(t)
		tt.change(lab)
		out, err := Method{s}.Search(t.Context(), lab, p)
		if err != nil {
			t.Fatal(err)
		}
		if out.Stopped != tt.want || len(out.Updates) != tt.updates || len(lab.trainings) != tt.updates {
			t.Errorf("%s: %d updates, stopped %q, want %d and %q", tt.name, len(out.Updates), out.Stopped, tt.updates, tt.want)
		}
		if tt.want != "" && (!slices.Equal(out.Channels, out.Start) || !strings.Contains(lab.reports[1], tt.want)) {
			t.Errorf("%s: widths %v from %v, reports %q", tt.name, out.Channels, out.Start, lab.reports)
		}
	}
	// Without the setting it goes on, as in the paper.
	p, lab := problem(t)
	clear(lab.utility)
	out, err := Method{settings}.Search(t.Context(), lab, p)
	if err != nil || out.Stopped != "" || len(out.Updates) != 3 {
		t.Errorf("%d updates, stopped %q, error %v", len(out.Updates), out.Stopped, err)
	}
}

// TestInit checks that a search starts from given widths, on the budget, with steps relative to the network's own.
func TestInit(t *testing.T) {
	p, lab := problem(t)
	s := settings
	s.Init = []int{8, 24, 40, 40, 60, 80}
	m := Method{s}
	out, err := m.Search(t.Context(), lab, p)
	if err != nil {
		t.Fatal(err)
	}
	minimum := search.Minimum(p.Network.Start())
	first, err := search.FitToBudget(p.Network, s.Init, p.Budget, minimum)
	if err != nil {
		t.Fatal(err)
	}
	u := out.Updates[0]
	if diff := cmp.Diff([][]int{first, first}, [][]int{out.Start, u.Channels}); diff != "" {
		t.Errorf("start and first widths (-want +got):\n%s", diff)
	}
	moved := Move(first, p.Network.Start(), minimum, u.Grown, u.Shrunk, s.Rate, s.RateDecay)
	if next, err := search.FitToBudget(p.Network, moved, p.Budget, minimum); err != nil || !slices.Equal(next, u.Next) {
		t.Errorf("first update to %v, want %v (%v)", u.Next, next, err)
	}
	plan, err := m.Plan(p)
	if err != nil || !slices.Equal(plan[0].Training.Channels, first) || plan[0].FLOPs != p.Network.FLOPs(first) {
		t.Errorf("plan %+v, error %v", plan, err)
	}
	for _, tt := range []struct {
		init []int
		want string
	}{
		{[]int{8, 8}, "widths to start from: resnet8 has 6 adjustable layers, but 2 widths are given"},
		{[]int{1, 1, 1, 1, 1, 1}, "widths to start from: budget of"},
	} {
		m.Init = tt.init
		_, err := m.Search(t.Context(), lab, p)
		checkError(t, "search", err, tt.want)
		_, err = m.Plan(p)
		checkError(t, "plan", err, tt.want)
	}
}
