package main

import (
	"encoding/json"
	"testing"

	"netadjust/internal/bench"
)

func TestBench(t *testing.T) {
	r := call(t.Context(), "bench", "resnet8", "--widths", "3,5,7", "--threads", "1", "--seconds", "0.01", "--json")
	r.check(t, 0, "", "")
	var results []bench.Result
	if err := json.Unmarshal([]byte(r.stdout), &results); err != nil {
		t.Fatalf("%v in %s", err, r.stdout)
	}
	if len(results) != 2 || results[0].Mode != bench.Train || results[1].Mode != bench.Eval {
		t.Fatalf("%+v, want training and evaluation", results)
	}
	for _, x := range results {
		if x.Network != "resnet8" || x.Threads != 1 || len(x.Widths) != 6 || x.Widths[0] != 3 || x.Widths[5] != 7 ||
			x.ImagesPerSecond <= 0 {
			t.Errorf("%+v", x)
		}
	}
	call(t.Context(), "bench", "resnet8", "--seconds", "0.01").check(t, 0, "resnet8    own          train", "")
	for _, args := range [][]string{
		{"--widths", "1,2,3"}, {"resnet8", "--widths", "1,2"}, {"resnet8", "--widths", "1,x,3"}, {"resnet8", "--seconds", "0"},
		{"resnet8", "--threads", "-1"}, {"resnet9"}, {"resnet8", "--widths", "0,1,2"},
	} {
		if r := call(t.Context(), append([]string{"bench"}, args...)...); r.code != exitUsage {
			t.Errorf("bench %v: exit code %d, want %d", args, r.code, exitUsage)
		}
	}
}
