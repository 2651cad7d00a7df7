package gate

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/results"
)

var limits = Limits{Accuracy: 0.5, Speed: 0.05}

// run returns the records of an experiment of two methods: accuracies and times spread around their means as those of
// small networks do, by about a point and a twentieth, and decide by the seed.
func run(seeds int, noise uint64) []*results.Record {
	var records []*results.Record
	for m, method := range []string{"uniform", "adjust"} {
		for seed := range seeds {
			random := rand.New(rand.NewPCG(noise, uint64(100*m+seed)))
			channels := []int{8, 16}
			r := &results.Record{
				Result: results.Result{
					ID: fmt.Sprintf("%s-%d", method, seed+1), Network: "resnet8", Width: 0.5, Dataset: "mnist", Method: method,
					Budget: "1", BudgetFLOPs: 1000, Seed: uint64(seed + 1), Config: json.RawMessage("{}"),
					Layers: []string{"a", "b"}, Device: "cpu (avx2/amd64, revision 3)",
					Start: &results.Start{Channels: channels, FLOPs: 995, Params: 70},
					Final: &results.Final{
						Channels: channels, FLOPs: 995, FLOPsWithoutStem: 900, Params: 70,
						TestTop1: 0.9 + 0.01*random.NormFloat64(), TestLoss: 0.3 + 0.01*random.NormFloat64(),
						Epochs: []results.Epoch{{TrainLoss: 0.5}, {Index: 1, TrainLoss: 0.25 + 0.01*random.Float64()}},
					},
				},
				Run: results.Run{
					Jobs: 1, Threads: 1, CalibrationSeconds: 1e-3,
					DeviceSeconds: 3 * math.Exp(0.05*random.NormFloat64()),
				},
			}
			if method == "adjust" {
				r.Result.SearchCost = results.Cost{ForwardImages: 1, BackwardImages: 1, FLOPs: 1}
			}
			records = append(records, r)
		}
	}
	return records
}

// changed returns the records of a run, each changed.
func changed(records []*results.Record, change func(*results.Record)) []*results.Record {
	for _, r := range records {
		change(r)
	}
	return records
}

func TestVerdicts(t *testing.T) {
	worse := func(points float64) func(*results.Record) {
		return func(r *results.Record) { r.Result.Final.TestTop1 -= points / 100 }
	}
	slower := func(factor float64) func(*results.Record) {
		return func(r *results.Record) { r.Run.DeviceSeconds *= factor }
	}
	judged := Limits{Accuracy: 0.5, Speed: 0.05, JudgeSpeed: true}
	plain := func(r *results.Record) { r.Result.Device = "cpu (go/amd64, revision 3)" }
	for name, c := range map[string]struct {
		base, new []*results.Record
		limits    Limits
		want      Level
		says      string
	}{
		"nothing":            {run(6, 1), run(6, 1), judged, OK, "unchanged"},
		"noise":              {run(6, 1), run(6, 2), judged, OK, ""},
		"loss of 2 points":   {run(6, 1), changed(run(6, 2), worse(2)), limits, Regression, "top-1 has fallen by"},
		"the same loss":      {run(6, 1), changed(run(6, 1), worse(2)), limits, Regression, "by 2.00 points (2.00 to 2.00)"},
		"one seed":           {run(1, 1), changed(run(1, 1), worse(2)), limits, OK, "not judged: one seed"},
		"gain":               {run(6, 1), changed(run(6, 2), worse(-2)), limits, OK, ""},
		"slower by 20 %":     {run(6, 1), changed(run(6, 2), slower(1.2)), judged, Regression, "slower: device time is 1.2"},
		"the same, a glance": {run(6, 1), changed(run(6, 2), slower(1.2)), limits, OK, "slower: device time is 1.2"},
		"slower machine": {run(6, 1), changed(run(6, 2), func(r *results.Record) {
			r.Run.DeviceSeconds *= 3
			r.Run.CalibrationSeconds *= 3
		}), judged, OK, ""},
		"other threads": {run(6, 1), changed(run(6, 1), func(r *results.Record) {
			slower(2)(r)
			r.Run.Threads = 2
		}), judged, OK, "speed is not judged"},
		"interrupted": {run(6, 1), changed(run(6, 1), func(r *results.Record) {
			slower(1.2)(r)
			if r.Run.Resumed = r.Result.Seed < 3; r.Run.Resumed {
				r.Run.DeviceSeconds /= 6 // since the last interruption
			}
		}), judged, Regression, "slower: device time is 1.20"},
		"other images": {run(6, 1), changed(run(6, 1), func(r *results.Record) {
			worse(2)(r)
			r.Result.DatasetChecksum = "other"
		}), limits, NotComparable, "the images of mnist are others"},
		"parameters": {run(6, 1), changed(run(6, 1), func(r *results.Record) { r.Result.Final.Params++ }), limits, Regression,
			"parameters: 70 in the base, 71 now"},
		"budget": {run(6, 1), changed(run(6, 1), func(r *results.Record) { r.Result.BudgetFLOPs++ }), limits, Regression,
			"budget in FLOPs: 1000 in the base, 1001 now"},
		"losses of plain Go": {changed(run(6, 1), plain), changed(run(6, 1), func(r *results.Record) {
			plain(r)
			r.Result.Final.Epochs[1].TrainLoss += 1e-12
		}), limits, Regression, "losses of the final training on the plain Go kernels"},
		"losses of others": {run(6, 1), changed(run(6, 1), func(r *results.Record) {
			r.Result.Final.Epochs[1].TrainLoss += 1e-12
		}), limits, OK, "unchanged"},
		"failure": {run(6, 1), changed(run(6, 1), func(r *results.Record) {
			if r.Result.Seed == 2 {
				r.Result.Final, r.Result.Failure = nil, &results.Failure{Reason: "diverged"}
			}
		}), limits, Regression, "finished in the base and failed now: diverged"},
		"missing cell": {run(6, 1), run(5, 1), limits, NotComparable, "the new run has no record of this cell"},
		"new cell":     {run(5, 1), run(6, 1), limits, OK, "the base has no record of this cell"},
		"no base":      {nil, run(6, 1), limits, NotComparable, "the base has no records"},
		"both":         {run(6, 1), changed(run(5, 1), worse(2)), limits, Regression, "no record of this cell"},
	} {
		r := Compare(c.base, c.new, nil, c.limits)
		if r.Verdict != c.want {
			t.Errorf("%s: %s, want %s: %+v", name, r.Verdict, c.want, r.Findings)
		}
		if text := r.Markdown(); !strings.Contains(text, c.says) {
			t.Errorf("%s: the summary does not say %q:\n%s", name, c.says, text)
		}
		if _, err := json.Marshal(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Channels that a search has found may differ from kernel to kernel; those that are computed may not.
func TestChannels(t *testing.T) {
	other := changed(run(6, 1), func(r *results.Record) { r.Result.Final.Channels = []int{9, 15} })
	r := Compare(run(6, 1), other, nil, limits)
	levels := map[Level]int{}
	for _, f := range r.Findings {
		levels[f.Level]++
		if f.Level == Regression && !strings.HasPrefix(f.Cell, "uniform-") {
			t.Errorf("%s: %s", f.Cell, f.Text)
		}
	}
	if diff := cmp.Diff(map[Level]int{Regression: 6, Note: 6}, levels); diff != "" {
		t.Errorf("findings:\n%s", diff)
	}
}

// Of many pairs of runs that differ in noise alone about one in twenty may fail. A loss of two points, twice the spread
// of the seeds, is mostly caught, a slowdown by a fifth always.
func TestErrorRates(t *testing.T) {
	const runs = 400
	var alarms, caught, slow int
	for i := range uint64(runs) {
		base := run(6, 2*i+10)
		judged := Limits{Accuracy: 0.5, Speed: 0.05, JudgeSpeed: true}
		if Compare(base, run(6, 2*i+11), nil, judged).Verdict != OK {
			alarms++
		}
		lost := changed(run(6, 2*i+11), func(r *results.Record) { r.Result.Final.TestTop1 -= 0.02 })
		if Compare(base, lost, nil, limits).Verdict == Regression {
			caught++
		}
		slower := changed(run(6, 2*i+11), func(r *results.Record) { r.Run.DeviceSeconds *= 1.2 })
		if slices.ContainsFunc(Compare(base, slower, nil, judged).Findings, func(f Finding) bool {
			return f.Level == Regression && strings.HasPrefix(f.Text, "slower")
		}) {
			slow++
		}
	}
	if alarms > runs*6/100 || caught < runs*3/4 || slow < runs*99/100 {
		t.Errorf("of %d runs %d false alarms, %d losses and %d slowdowns caught", runs, alarms, caught, slow)
	}
	t.Logf("of %d runs %d false alarms, %d losses and %d slowdowns caught", runs, alarms, caught, slow)
}
