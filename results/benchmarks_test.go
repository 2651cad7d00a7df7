package results

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBenchmarks(t *testing.T) {
	a, b := withTop1(t, "adjust", "0.5", 1, 0.875), withTop1(t, "adjust", "0.5", 2, 0.75)
	final := a.Result.Final
	a.Result.Variant, final.TestLoss, final.FLOPs, final.Params = "rate 0.2", 0.25, 5_000_000, 30_000
	a.Run.CalibrationSeconds = 0.5
	lines := strings.Split(benchmarks([]*Record{a, failed(t, "l1", "0.5", 1, "no"), b}), "\n")
	const name = "BenchmarkCell/network=resnet20/width=0.5/padding=max/dataset=fashion-mnist/method=adjust"
	want := []string{"device: cpu", name + "--rate-0.2/budget=0.5 1 " +
		"87.5 top1-pct 0.25 test-loss 5000000 flops 30000 params 58.5 device-sec 117 device-calibrations"}
	head := strings.Count(benchmarksHead, "\n")
	if diff := cmp.Diff(want, lines[head:head+2]); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if len(lines) != head+4 || !strings.HasPrefix(lines[head+2], name+"/budget=0.5 1 75 top1-pct ") {
		t.Errorf("lines:\n%s", strings.Join(lines, "\n"))
	}
	for _, line := range lines[:head] {
		if fields := strings.Fields(line); len(fields) != 3 || fields[0] != "Unit" {
			t.Errorf("head has %q", line)
		}
	}
	if got := readFolder(t, writeAll(t, nil, Options{}))["benchmarks.txt"]; got != benchmarksHead {
		t.Errorf("benchmarks.txt of nothing is %q", got)
	}
}
