package results

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// frameOf returns the table of cells of records.
func frameOf(t *testing.T, records []*Record) table {
	t.Helper()
	frame, err := cellTable(records)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// withTop1 returns a sealed record with the given accuracy on the test set.
func withTop1(t *testing.T, method, budget string, seed uint64, top1 float64) *Record {
	t.Helper()
	r := cell(t, method, budget, seed)
	r.Result.Final.TestTop1 = top1
	if err := r.Seal(); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestMoments(t *testing.T) {
	nan := math.NaN()
	for name, c := range map[string]struct {
		x    []float64
		want moments
	}{
		// By hand: the sum is 40, the squared deviations 9+1+1+1+0+0+4+16 = 32, so the deviation is sqrt(32/7).
		"eight":   {[]float64{2, 4, 4, 4, 5, 5, 7, 9}, moments{8, 5, math.Sqrt(32.0 / 7)}},
		"missing": {[]float64{nan, 1, nan, 4}, moments{2, 2.5, math.Sqrt(4.5)}},
		"one":     {[]float64{3}, moments{1, 3, nan}},
		"none":    {nil, moments{0, nan, nan}},
	} {
		got := momentsOf(c.x)
		if got.n != c.want.n || !near(got.mean, c.want.mean) || !near(got.std, c.want.std) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// near compares with a relative tolerance of 1e-12; NaN is close to NaN.
func near(a, b float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-12*math.Abs(b)
}

func TestComparisons(t *testing.T) {
	other := cell(t, "adjust", "0.5", 1)
	other.Result.Dataset = "mnist"
	records := []*Record{
		withTop1(t, "adjust", "0.5", 1, 0.90), withTop1(t, "adjust", "0.5", 2, 0.92),
		withTop1(t, "adjust", "0.5", 3, 0.97),
		withTop1(t, "uniform", "0.5", 1, 0.90), withTop1(t, "adjust", "1.0", 1, 0.95),
		failed(t, "adjust", "0.5", 4, "diverged"), other,
	}
	cs := comparisons(frameOf(t, records))
	if len(cs) != 2 {
		t.Fatalf("%d comparisons, want one for each dataset", len(cs))
	}
	type row struct {
		Method, Budget string
		N              int
	}
	var got []row
	for _, p := range cs[0].points {
		got = append(got, row{p.method, p.budget, p.of("test_top1").n})
	}
	want := []row{{"adjust", "1.0", 1}, {"uniform", "0.5", 1}, {"adjust", "0.5", 3}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("points:\n%s", diff)
	}
	// By hand: mean 0.93, squared deviations 0.0009 + 0.0001 + 0.0016 = 0.0026, divided by 2.
	top1 := cs[0].points[2].of("test_top1")
	if math.Abs(top1.mean-0.93) > 1e-12 || math.Abs(top1.std-math.Sqrt(0.0013)) > 1e-12 {
		t.Errorf("top-1 %+v, want 0.93 and sqrt(0.0013)", top1)
	}
}

// Cells must not be put together because their names run into each other.
func TestGroupsWithAlikeNames(t *testing.T) {
	a, b := cell(t, "adjust", "0.5", 1), cell(t, "adjust", "0.5", 1)
	a.Result.Network, a.Result.Padding = "net_0.5", "max"
	b.Result.Network, b.Result.Padding = "net", "0.5_max"
	b.Result.ID = "other"
	if n := len(comparisons(frameOf(t, []*Record{a, b}))); n != 2 {
		t.Errorf("%d comparisons, want 2", n)
	}
}

func TestResidue(t *testing.T) {
	change := map[string]struct {
		spoil func(*Result)
		want  []string
	}{
		"nothing": {func(*Result) {}, nil},
		"data": {func(r *Result) { r.DatasetChecksum = "other" },
			[]string{"The cells of this table differ in dataset_checksum: 6e3f1c, other."}},
		"device": {func(r *Result) { r.Device = "" },
			[]string{"The cells of this table differ in device: cpu, (not set)."}},
		"recipe": {func(r *Result) {
			r.Config = []byte(`{"train": {"epochs": 15, "batch_size": 64, "learning_rate": 0.15,
			"milestones": [8, 12]}, "network": "resnet20", "width": 0.5, "method": "adjust",
			"search": {"drop_rate": 0.1, "preset": "default"}}`)
		},
			[]string{"The cells of this table differ in config.train.batch_size: 128, 64."}},
		"search": {func(r *Result) {
			r.Config = []byte(`{"train": {"epochs": 15, "batch_size": 128, "learning_rate": 0.15,
			"milestones": [8, 12]}, "network": "resnet20", "width": 0.5, "method": "adjust",
			"search": {"drop_rate": 0.2, "preset": "default"}}`)
		},
			[]string{"The seeds of adjust at budget 0.5 differ in config.search.drop_rate: 0.1, 0.2."}},
		"budget": {func(r *Result) { r.BudgetFLOPs = 5_100_001 },
			[]string{"The seeds of adjust at budget 0.5 differ in budget_flops: 5100000, 5100001."}},
	}
	for name, c := range change {
		records := quick(t, []string{"0.5"}, 1, 2)
		last := records[len(records)-1]
		c.spoil(&last.Result)
		got := residue(comparisons(frameOf(t, records))[0])
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}
