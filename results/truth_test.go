package results

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// truthful returns the sealed record of a cell that measured what utilization ratios are worth. The loss rises by
// utility per million FLOPs of a layer that go, plus noise; the ratios are the utilities, plus noise.
func truthful(t *testing.T, seed uint64, utility []float64, noise float64) *Record {
	t.Helper()
	r := cell(t, "fur_truth", "1.0", seed)
	rnd := rand.New(rand.NewPCG(seed, 77))
	truth := &Truth{Channels: baseWidths, FLOPs: 10_200_000, ValidationLoss: 0.5, ValidationTop1: 0.8}
	for l, c := range baseWidths {
		neighbour := func(channels int) Neighbour {
			flops := truth.FLOPs + int64(100_000*(channels-c))
			loss := 0.5 - (utility[l]+noise*rnd.NormFloat64())*float64(flops-truth.FLOPs)/1e6
			return Neighbour{Channels: channels, FLOPs: flops, ValidationLoss: loss, ValidationTop1: 0.8}
		}
		truth.FUR = append(truth.FUR, utility[l]+noise*rnd.NormFloat64())
		truth.FURStdErr, truth.FURImageStdErr = append(truth.FURStdErr, 0.01), append(truth.FURImageStdErr, 0.02)
		truth.DropRates, truth.FLOPsPerChannel = append(truth.DropRates, 0.1), append(truth.FLOPsPerChannel, 1e5)
		truth.Narrower, truth.Wider = append(truth.Narrower, neighbour(c/2)), append(truth.Wider, neighbour(c*3/2))
	}
	r.Result.Truth = truth
	if err := r.Seal(); err != nil {
		t.Fatal(err)
	}
	return r
}

// utilities are different for all layers.
func utilities() []float64 {
	out := make([]float64, len(baseWidths))
	for l := range out {
		out[l] = 0.02 + 0.01*float64((7*l)%len(out))
	}
	return out
}

// truthOfRecords returns the only truth of records.
func truthOfRecords(t *testing.T, records ...*Record) truth {
	t.Helper()
	rows, err := truthTable(records)
	if err != nil {
		t.Fatal(err)
	}
	all := truthsOf(comparisons(frameOf(t, records))[0], rows)
	if len(all) != 1 {
		t.Fatalf("%d truths, want 1", len(all))
	}
	return all[0]
}

func TestTruthCSV(t *testing.T) {
	u := utilities()
	records := []*Record{cell(t, "uniform", "1.0", 1), truthful(t, 1, u, 0), truthful(t, 2, u, 0)}
	rows := readCSV(t, filepath.Join(writeAll(t, records, Options{}), "truth.csv"))
	if len(rows) != 2*len(u) {
		t.Fatalf("%d rows, want one for each cell and layer", len(rows))
	}
	got := rows[len(u)+7] // 16 channels
	for column, want := range map[string]string{
		"id": "fur_truth-1.0-2", "seed": "2", "layer": "7", "layer_name": "stage2.block0.conv2", "fur": exact(u[7]),
		"fur_std_err": "0.01", "fur_image_std_err": "0.02", "drop_rate": "0.1", "flops_per_channel": "100000",
		"channels": "16", "channels_narrower": "8", "channels_wider": "24", "flops": "10200000", "flops_narrower": "9400000",
		"flops_wider": "11000000", "validation_loss": "0.5", "validation_top1": "0.8", "validation_top1_wider": "0.8",
	} {
		if got[column] != want {
			t.Errorf("column %s is %q, want %q", column, got[column], want)
		}
	}
	for _, d := range directions {
		if v, err := strconv.ParseFloat(got[d], 64); err != nil || math.Abs(v-u[7]) > 1e-12 {
			t.Errorf("column %s is %q, want %v", d, got[d], u[7])
		}
	}
}

func TestRanks(t *testing.T) {
	if diff := cmp.Diff([]float64{2.5, 1, 4, 2.5}, ranks([]float64{3, -1, 8, 3})); diff != "" {
		t.Error(diff)
	}
}

func TestSpearman(t *testing.T) {
	// By hand: ranks 1 2 3 4 5 and 2 1 4 3 5, so the differences are 1 1 1 1 0 and r = 1 - 6*4/(5*24).
	if r := spearman([]float64{1, 20, 300, 4e3, 5e4}, []float64{0.2, 0.1, 0.4, 0.3, 0.5}); !near(r, 0.8) {
		t.Errorf("%v, want 0.8", r)
	}
	if r := spearman([]float64{1, 2, 3}, []float64{5, 5, 5}); !math.IsNaN(r) {
		t.Errorf("%v for a constant", r)
	}
	// By hand: atanh(0.8) = 1.098612; the standard error is sqrt(1.32/9) = 0.382971; tanh(0.348003) and tanh(1.849222).
	low, high := spearmanInterval(0.8, 12)
	if math.Abs(low-0.33460) > 1e-5 || math.Abs(high-0.95167) > 1e-5 {
		t.Errorf("interval %v to %v", low, high)
	}
	if low, high := spearmanInterval(0.5, 3); !math.IsNaN(low) || !math.IsNaN(high) {
		t.Errorf("interval %v to %v from three layers", low, high)
	}
}

func TestAgreement(t *testing.T) {
	u := utilities()
	reversed := make([]float64, len(u))
	for l := range u {
		reversed[l] = 1 - u[l]
	}
	for _, tt := range []struct {
		name             string
		records          []*Record
		spearman         float64
		single, reliable float64
	}{
		{"exact", []*Record{truthful(t, 1, u, 0), truthful(t, 2, u, 0), truthful(t, 3, u, 0)}, 1, 1, 1},
		{"one seed", []*Record{truthful(t, 1, u, 0)}, 1, 1, math.NaN()},
	} {
		for _, d := range directions {
			a := truthOfRecords(t, tt.records...).agreement(d)
			if !near(a.spearman, tt.spearman) || !near(a.kendall, 1) || !near(a.single.mean, tt.single) ||
				!near(a.reliability, tt.reliable) || a.n != len(tt.records) {
				t.Errorf("%s, %s: %+v", tt.name, d, a)
			}
		}
	}
	// Two seeds whose orders are each other's reverse.
	disagree := truthOfRecords(t, truthful(t, 1, u, 0), truthful(t, 2, reversed, 0)).agreement("both")
	if disagree.reliability != 0 {
		t.Errorf("truths that disagree have a reliability of %v", disagree.reliability)
	}
	// More seeds make the truth more reliable.
	var records []*Record
	for seed := range uint64(12) {
		records = append(records, truthful(t, seed+1, u, 0.08))
	}
	few, many := truthOfRecords(t, records[:4]...).agreement("both"), truthOfRecords(t, records...).agreement("both")
	if !(few.reliability < many.reliability && many.reliability < 1 && many.spearman > many.single.mean) {
		t.Errorf("4 seeds: %+v\n12 seeds: %+v", few, many)
	}
}

func TestTruthInReport(t *testing.T) {
	u := utilities()
	records := []*Record{truthful(t, 1, u, 0.01), truthful(t, 2, u, 0.01), cell(t, "uniform", "1.0", 1)}
	dir := writeAll(t, records, Options{Name: "fur-truth"})
	files := readFolder(t, dir)
	for _, want := range []string{
		"### What the utilization ratio is worth: fur\\_truth at budget 1.0",
		"| shrinking | +", "| growing | +", "| both | +", "![truth-fur\\_truth-1.0](truth-fur_truth-1.0.png)",
	} {
		if !strings.Contains(files["report.md"], want) {
			t.Errorf("the report has no %q", want)
		}
	}
	if rows := readCSV(t, filepath.Join(dir, "truth-fur_truth-1.0.csv")); len(rows) != 3*len(u) || rows[0]["n"] != "2" {
		t.Errorf("%d rows behind the figure, %v", len(rows), rows[0])
	}
	alone := readFolder(t, writeAll(t, records[:2], Options{Name: "fur-truth"}))["report.md"]
	if strings.Contains(alone, "Which method wins") || !strings.Contains(files["report.md"], "Which method wins") {
		t.Error("the report asks which method wins where nothing competes")
	}
	if again := readFolder(t, writeAll(t, records, Options{Name: "fur-truth"})); again["report.md"] != files["report.md"] {
		t.Error("the same records give another report")
	}
}

func TestTruthOfWrongLength(t *testing.T) {
	r := truthful(t, 1, utilities(), 0)
	r.Result.Truth.Wider = r.Result.Truth.Wider[1:]
	if err := r.Seal(); err == nil || !strings.Contains(err.Error(), "truth.wider has 17 entries for 18 layers") {
		t.Errorf("error %v", err)
	}
}

// TestVariants checks that cells of one method with other settings are rows of their own, beside those of the method.
func TestVariants(t *testing.T) {
	var records []*Record
	for i, variant := range []string{"", "rate 0.2", "2 layers"} {
		r := cell(t, "adjust", "1.0", 1)
		r.Result.ID, r.Result.Variant = "adjust-"+strconv.Itoa(i), variant
		if err := r.Seal(); err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	records = append(records, cell(t, "l1", "1.0", 1), cell(t, "uniform", "1.0", 1))
	var got []string
	for _, p := range comparisons(frameOf(t, records))[0].points {
		got = append(got, p.method)
	}
	if diff := cmp.Diff([]string{"uniform", "adjust", "adjust, 2 layers", "adjust, rate 0.2", "l1"}, got); diff != "" {
		t.Errorf("points (-want +got):\n%s", diff)
	}
}

// TestRandomNumbersAreNoRatios checks that figures of utilization ratios are drawn only where something was measured.
func TestRandomNumbersAreNoRatios(t *testing.T) {
	r := cell(t, "adjust", "1.0", 1)
	r.Result.Method = "adjust_random_fur"
	for i := range r.Result.Updates {
		clear(r.Result.Updates[i].DropRates)
	}
	if err := r.Seal(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files, err := WriteAll(dir, []*Record{r}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	widths := false
	for _, name := range names(files) {
		if strings.HasPrefix(name, "fur-") {
			t.Errorf("%s is drawn", name)
		}
		widths = widths || name == "widths-adjust_random_fur-1.0.png"
	}
	if !widths {
		t.Errorf("no widths among %v", names(files))
	}
}
