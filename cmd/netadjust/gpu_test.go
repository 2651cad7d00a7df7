package main

import (
	"encoding/csv"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/device/gpu/gputest"
)

// TestRunOnGPU runs searches and trainings on POCL, once at a stretch and once killed in between: the results are the same
// to the last byte, meet their budgets, and their mean accuracy is that of the processor within the spread of its cells. A
// single cell may be further away: after few steps a last bit moves its accuracy as much as another seed does.
func TestRunOnGPU(t *testing.T) {
	if err := gputest.POCL(t).Close(); err != nil {
		t.Fatal(err)
	}
	file := experiment(t, strings.NewReplacer("train      = 16", "train      = 64", "test       = 8", "test       = 64",
		"epochs  = 1", "epochs  = 2", "width   = 0.5", "width   = 0.25", `["uniform", "l1", "adjust"]`, `["uniform", "adjust"]`,
		"seed    = 1", "seed    = [1, 2]").Replace(tiny))
	run := func(out, device string) []string {
		return []string{"run", file, "--out", out, "--device", device, "--checkpoint", "20ms"}
	}
	processor, whole, killed := t.TempDir(), t.TempDir(), t.TempDir()
	call(t.Context(), run(processor, "cpu")...).check(t, 0, "4 cells finished now", "")
	start := time.Now()
	wait(t, child(t, run(whole, "gpu:pocl")...)).check(t, 0, "4 cells finished now", "")
	for longest := time.Since(start); ; longest /= 2 { // until a kill comes before the end
		cmd := child(t, run(killed, "gpu:pocl")...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(longest / 2)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if cmd.ProcessState.ExitCode() < 0 {
			break
		}
		killed = t.TempDir()
	}
	wait(t, child(t, run(killed, "gpu:pocl")...)).check(t, 0, ", 0 failed\n", "")
	if diff := cmp.Diff(resultsIn(t, whole), resultsIn(t, killed)); diff != "" {
		t.Errorf("(-uninterrupted +killed):\n%s", diff)
	}

	want, got := cellsOf(t, processor), cellsOf(t, whole)
	low, high, difference := math.Inf(1), math.Inf(-1), 0.0
	for _, c := range want {
		low, high = min(low, c.accuracy), max(high, c.accuracy)
	}
	for i, c := range got {
		if !(c.flops <= c.budget && c.flops >= 0.99*c.budget) {
			t.Errorf("%s: %v FLOPs for a budget of %v", c.id, c.flops, c.budget)
		}
		if c.id != want[i].id {
			t.Errorf("%s, on the processor %s", c.id, want[i].id)
		}
		difference += (c.accuracy - want[i].accuracy) / float64(len(got))
		if !strings.HasPrefix(c.device, "gpu:pocl (") || !strings.Contains(c.device, ", opencl by OpenCL ") {
			t.Errorf("%s ran on %q", c.id, c.device)
		}
	}
	if math.Abs(difference) > high-low {
		t.Errorf("mean accuracy %v above that on the processor, where cells spread from %v to %v", difference, low, high)
	}
}

type frameRow struct {
	id, device              string
	flops, budget, accuracy float64
}

// cellsOf reads the frame of a run.
func cellsOf(t *testing.T, out string) []frameRow {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(read(t, filepath.Join(out, "frame.csv")))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	var list []frameRow
	for _, row := range rows[1:] {
		number := func(name string) float64 {
			v, err := strconv.ParseFloat(row[column[name]], 64)
			if err != nil {
				t.Errorf("%s of %s: %v", name, row[column["id"]], err)
			}
			return v
		}
		list = append(list, frameRow{
			row[column["id"]], row[column["device"]], number("flops"), number("budget_flops"), number("test_top1"),
		})
	}
	return list
}
