package trial

import (
	"bytes"
	"context"
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRecord does tasks that end in every way, in calls one after the other.
func TestRecord(t *testing.T) {
	file := filepath.Join(t.TempDir(), "record.json")
	ctx, stop := context.WithCancel(t.Context())
	var done []string
	broken := true
	tasks := []task{
		{"passes", func(context.Context) (any, error) { return []int{1, 2}, nil }},
		{"is skipped", func(context.Context) (any, error) { return nil, &skipped{"nothing here"} }},
		{"fails at first", func(context.Context) (any, error) {
			if broken {
				return "half", errors.New("a reason")
			}
			return nil, nil
		}},
		{"panics", func(context.Context) (any, error) { panic("a mistake") }},
		{"takes long", func(ctx context.Context) (any, error) { <-ctx.Done(); return nil, ctx.Err() }},
		{"is stopped", func(context.Context) (any, error) { stop(); return nil, nil }},
		{"comes last", func(context.Context) (any, error) { return nil, nil }},
	}
	for i := range tasks {
		name, do := tasks[i].name, tasks[i].do
		tasks[i].do = func(ctx context.Context) (any, error) { done = append(done, name); return do(ctx) }
	}
	call := func(ctx context.Context) map[string]string {
		t.Helper()
		done = nil
		r, err := open(file, "1", "gpu")
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := r.run(ctx, file, tasks, 50*time.Millisecond, &out); err != ctx.Err() {
			t.Fatal(err)
		}
		kept, err := open(file, "1", "gpu")
		if err != nil {
			t.Fatal(err)
		}
		states := map[string]string{}
		for _, s := range kept.Steps {
			states[s.Name] = string(s.State) + " " + strings.ReplaceAll(string(s.Result), "\n", "")
			if (s.State == Failed || s.State == Skipped) && (s.Reason == "" || !strings.Contains(out.String(), s.Reason)) {
				t.Errorf("%+v, and what is told is %s", s, out.String())
			}
		}
		return states
	}
	want := map[string]string{
		"passes": "passed [        1,        2      ]", "is skipped": "skipped ", "fails at first": `failed "half"`,
		"panics": "failed ", "takes long": "failed ", "is stopped": "begun ",
	}
	if diff := cmp.Diff(want, call(ctx)); diff != "" {
		t.Errorf("first call (-want +got):\n%s", diff)
	}
	broken = false
	want["fails at first"], want["is stopped"], want["comes last"] = "passed ", "passed ", "passed "
	if diff := cmp.Diff(want, call(t.Context())); diff != "" {
		t.Errorf("second call (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"is skipped", "fails at first", "panics", "takes long", "is stopped", "comes last"},
		done); diff != "" {
		t.Errorf("done in the second call (-want +got):\n%s", diff)
	}
	for _, other := range [][2]string{{"2", "gpu"}, {"1", "gpu:1"}} {
		if _, err := open(file, other[0], other[1]); err == nil || !strings.Contains(err.Error(), "give another --out") {
			t.Errorf("the record of another program or device: %v", err)
		}
	}
}

func TestSameOrder(t *testing.T) {
	want := []float64{1, 2, 2.00001, 3}
	for _, tt := range []struct {
		got  []float64
		same bool
	}{
		{want, true}, {[]float64{1, 2.00001, 2, 3}, true}, {[]float64{1, 2, 3, 2.5}, false}, {[]float64{1, 2, 2, 2}, false},
	} {
		if err := sameOrder(tt.got, want, 1e-4); (err == nil) != tt.same {
			t.Errorf("%v and %v: %v", tt.got, want, err)
		}
	}
}

func TestApart(t *testing.T) {
	for _, tt := range [][3]float64{{1, 3, 2}, {math.NaN(), 1, math.MaxFloat64}, {1, math.Inf(1), math.MaxFloat64}} {
		if got := apart(tt[0], tt[1]); got != tt[2] {
			t.Errorf("%v and %v are %v apart", tt[0], tt[1], got)
		}
	}
}

func TestWithinSpread(t *testing.T) {
	for _, tt := range []struct {
		got, want []float64
		within    bool
	}{
		{[]float64{0.5, 0.7}, []float64{0.4, 0.7}, true}, {[]float64{0.8, 0.9}, []float64{0.4, 0.7}, true},
		{[]float64{1.1, 1}, []float64{0.4, 0.7}, false}, {[]float64{0.1, 0}, []float64{0.4, 0.7}, false},
		{[]float64{0.5}, []float64{0.4, 0.7}, false}, {nil, nil, false},
	} {
		if err := withinSpread(tt.got, tt.want); (err == nil) != tt.within {
			t.Errorf("%v beside %v: %v", tt.got, tt.want, err)
		}
	}
}
