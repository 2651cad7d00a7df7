package results

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// The fixtures imitate a ResNet-20 at width 0.5 on Fashion-MNIST. The numbers are made up; only their structure and
// their sizes are like those of a real run.

var baseWidths = []int{8, 8, 8, 8, 8, 8, 16, 16, 16, 16, 16, 16, 32, 32, 32, 32, 32, 32}

// layerNames returns names like stage1.block0.conv1.
func layerNames() []string {
	var names []string
	for i := range baseWidths {
		names = append(names, fmt.Sprintf("stage%d.block%d.conv%d", i/6+1, i/2%3, i%2+1))
	}
	return names
}

// cell returns the sealed record of a finished cell.
func cell(t testing.TB, method, budget string, seed uint64) *Record {
	t.Helper()
	flops := map[string]int64{"1.0": 10_200_000, "0.5": 5_100_000, "0.25": 2_550_000}[budget]
	top1 := map[string]float64{"1.0": 0.908, "0.5": 0.893, "0.25": 0.871}[budget]
	top1 += map[string]float64{"uniform": 0, "l1": 0.002, "adjust": 0.008, "random": -0.006}[method]
	rnd := rand.New(rand.NewPCG(seed, uint64(len(method)*1000)+uint64(flops)))
	channels := jitter(rnd, baseWidths, 0.2)
	r := &Record{
		Result: Result{
			ID: fmt.Sprintf("%s-%s-%d", method, budget, seed), Experiment: "quick",
			Network: "resnet20", Width: 0.5, Padding: "max", Dataset: "fashion-mnist",
			Method: method, Budget: budget, BudgetFLOPs: flops, Seed: seed,
			Config: json.RawMessage(fmt.Sprintf(`{"network": "resnet20", "width": 0.5, "method": %q, "seed": %d,
				"train": {"epochs": 15, "batch_size": 128, "learning_rate": 0.15,
					"cutout": null, "milestones": [8, 12]}}`,
				method, seed)),
			Layers: layerNames(),
			Final: &Final{
				Channels: channels, FLOPs: flops - rnd.Int64N(flops/100), Params: flops/150 + rnd.Int64N(2000),
				TestTop1: top1 + 0.003*rnd.NormFloat64(), TestLoss: 0.3 + 0.01*rnd.NormFloat64(),
				Epochs: []Epoch{
					{Index: 0, LearningRate: 0.15, TrainLoss: 0.9, TrainTop1: 0.7},
					{Index: 1, LearningRate: 0.001, TrainLoss: 0.25 + 0.01*rnd.Float64(), TrainTop1: 0.91},
				},
				Cost: Cost{ForwardImages: 160_000, BackwardImages: 150_000, FLOPs: 460_000 * flops},
			},
			Device: "cpu", Version: "v0.1.0", Libraries: map[string]string{"gorgonia": "v0.9.18", "gonum": "v0.17.0"},
			DatasetChecksum: "6e3f1c", DatasetNote: "",
		},
		Run: Run{
			Host: "builder", Jobs: 2, Threads: 1, GoVersion: "go1.26.8",
			Start: time.Date(2026, 3, 1, 12, 0, int(seed), 0, time.UTC), WallSeconds: 61.25, DeviceSeconds: 58.5,
		},
	}
	r.Result.Final.FLOPsWithoutStem = r.Result.Final.FLOPs - 55_296
	switch method {
	case "adjust":
		addUpdates(r, rnd)
	case "l1":
		v := 0.88
		r.Result.Start = &Start{Channels: baseWidths, FLOPs: 2 * flops, Params: 140_000, ValidationTop1: &v}
		r.Result.SearchCost = Cost{ForwardImages: 40_000, BackwardImages: 40_000, FLOPs: 240_000 * flops}
	}
	if err := r.Seal(); err != nil {
		t.Fatal(err)
	}
	return r
}

// addUpdates gives a record three updates of network adjustment that end at its final widths.
func addUpdates(r *Record, rnd *rand.Rand) {
	res := &r.Result
	res.Start = &Start{Channels: baseWidths, FLOPs: res.BudgetFLOPs, Params: 68_000}
	search := `, "search": {"preset": "default", "drop_rate": 0.1}}`
	res.Config = json.RawMessage(strings.TrimSuffix(string(res.Config), "}") + search)
	at := baseWidths
	for k := range 3 {
		next := jitter(rnd, at, 0.2)
		if k == 2 {
			next = res.Final.Channels
		}
		u := Update{Index: k, Channels: at, FLOPs: res.BudgetFLOPs, ValidationLoss: 0.35, ValidationTop1: 0.87,
			Grown: []int{12, 14}, Shrunk: []int{3, 1}, Next: next}
		for l := range baseWidths {
			u.FUR = append(u.FUR, 0.004+0.002*float64(l%6)+0.002*rnd.NormFloat64())
			u.FURStdErr = append(u.FURStdErr, 0.0005)
			u.DropRates = append(u.DropRates, 0.1)
			u.FLOPsPerChannel = append(u.FLOPsPerChannel, 294_912.5)
		}
		res.Updates, at = append(res.Updates, u), next
	}
	res.SearchCost = Cost{ForwardImages: 450_000, BackwardImages: 120_000, FLOPs: 690_000 * res.BudgetFLOPs}
}

// jitter returns v with every entry changed by at most the share.
func jitter(rnd *rand.Rand, v []int, share float64) []int {
	out := slices.Clone(v)
	for i := range out {
		out[i] += int(share * float64(out[i]) * (2*rnd.Float64() - 1) * 1.5)
	}
	return out
}

// failed returns the sealed record of a cell that failed in training.
func failed(t testing.TB, method, budget string, seed uint64, reason string) *Record {
	t.Helper()
	r := cell(t, method, budget, seed)
	r.Result.Final = nil
	r.Result.Failure = &Failure{Reason: reason, Epoch: 2, Step: 417, LearningRate: 0.15}
	if err := r.Seal(); err != nil {
		t.Fatal(err)
	}
	return r
}

// quick returns the records of a whole experiment: three methods, the budgets and seeds given.
func quick(t testing.TB, budgets []string, seeds ...uint64) []*Record {
	t.Helper()
	var records []*Record
	for _, method := range []string{"uniform", "l1", "adjust"} {
		for _, budget := range budgets {
			for _, seed := range seeds {
				records = append(records, cell(t, method, budget, seed))
			}
		}
	}
	return records
}
