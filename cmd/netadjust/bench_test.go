package main

import (
	"slices"
	"strings"
	"testing"

	"netadjust/internal/bench"
)

func TestBench(t *testing.T) {
	r := call(t.Context(), "bench", "resnet8", "--widths", "3,5,7", "--threads", "1", "--seconds", "0.01", "--json")
	r.check(t, 0, "", "")
	results := decode[[]bench.Result](t, r.stdout)
	if len(results) != 2 || results[0].Mode != bench.Train || results[1].Mode != bench.Eval {
		t.Fatalf("%+v, want training and evaluation", results)
	}
	for _, x := range results {
		if x.Network != "resnet8" || x.Threads != 1 || !slices.Equal(x.Widths, []int{3, 3, 5, 5, 7, 7}) || x.Batch != 128 ||
			x.ImagesPerSecond <= 0 || len(x.Phases) == 0 {
			t.Errorf("%+v", x)
		}
	}
	for _, field := range []string{
		"network", "widths", "mode", "batch", "threads", "images_per_second", "gflops", "peak_share", "phases",
	} {
		if !strings.Contains(r.stdout, `"`+field+`": `) {
			t.Errorf("no %s in %s", field, r.stdout)
		}
	}

	r = call(t.Context(), "bench", "resnet8", "--seconds", "0.01", "--batch", "8")
	r.check(t, 0, "resnet8    own          train       8 ", "")
	r.check(t, 0, "\nresnet8    own          eval        8 ", "")
	r.check(t, 0, "\n  weight gradient ", "")
	r = call(t.Context(), "bench", "resnet8", "--seconds", "0.01", "--batch", "2", "--mode", "fur")
	r.check(t, 0, "resnet8    own          fur         2 ", "")
	r.check(t, 0, "\n  one pass for all layers and 5 repeats takes ", "")
	if strings.Contains(r.stdout, "train") {
		t.Errorf("more modes than fur:\n%s", r.stdout)
	}
	for _, args := range [][]string{
		{"--widths", "1,2,3"}, {"resnet8", "--widths", "1,2"}, {"resnet8", "--widths", "1,2,3,4"},
		{"resnet8", "--widths", "1,x,3"}, {"resnet8", "--seconds", "0"}, {"resnet8", "--threads", "-1"}, {"resnet9"},
		{"resnet8", "--widths", "0,1,2"}, {"resnet8", "--mode", "test"}, {"resnet8", "--batch", "-1"},
	} {
		if r := call(t.Context(), append([]string{"bench"}, args...)...); r.code != exitUsage {
			t.Errorf("bench %v: exit code %d, want %d", args, r.code, exitUsage)
		}
	}
}
