package bench

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"netadjust/internal/device/cpu"
	"netadjust/networks"
)

func TestRun(t *testing.T) {
	n, err := networks.New(networks.Spec{Name: "resnet8", Width: 0.25, Input: [3]int{3, 8, 8}, Classes: 10})
	if err != nil {
		t.Fatal(err)
	}
	dev, err := cpu.New(2)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	c := n.Start()
	flops := n.FLOPs(c)
	behind := int64(0)
	for _, f := range n.FLOPsBehind(c) {
		behind += f
	}
	const evaluations = 1 + 6*Repeats // of an image in mode FUR
	for mode, perImage := range map[Mode]float64{
		Train: 3 * float64(flops), Eval: float64(flops), FUR: float64(flops+Repeats*behind) / evaluations,
	} {
		r, err := Run(t.Context(), dev, n, c, mode, 4, 10*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if r.Network != "resnet8" || r.Mode != mode || r.Threads != 2 || r.Batch != 4 || r.ImagesPerSecond <= 0 {
			t.Errorf("%+v", r)
		}
		if want := r.ImagesPerSecond * 2 * perImage / 1e9; math.Abs(r.GFLOPS-want) > 1e-9*want {
			t.Errorf("%s: %v GFLOP/s, want %v", mode, r.GFLOPS, want)
		}
		if r.PeakShare <= 0 || r.PeakShare > 1 {
			t.Errorf("%s: share %v of the peak", mode, r.PeakShare)
		}
		checkPhases(t, r)
		if (r.Comparison != nil) != (mode == FUR) {
			t.Fatalf("%s: comparison %v", mode, r.Comparison)
		}
		if x := r.Comparison; x != nil {
			if share := x.NaiveImagesPerSecond / r.ImagesPerSecond; x.Repeats != 5 || math.Abs(share-x.TimeShare) > 1e-9*share {
				t.Errorf("comparison %+v, the speeds give a share of %v", x, share)
			}
			if want := float64(flops+5*behind) / float64(31*flops); x.Bound != want {
				t.Errorf("bound %v, want %v", x.Bound, want)
			}
		}
	}
}

// checkPhases checks that the parts of the time make up the whole, and that those that always take some are there.
func checkPhases(t *testing.T, r Result) {
	t.Helper()
	sum, want := 0., []string{"images", "convolution", "classifier"}
	if r.Mode == Train {
		want = append(want, "data gradient", "weight gradient", "normalize", "statistics", "normalize gradient", "update")
	}
	for _, p := range r.Phases {
		sum += p.Share
		want = slices.DeleteFunc(want, func(w string) bool { return w == p.Work })
		if p.Share <= 0 || p.Share > 1 || p.Work == "convolution" && p.GFLOPS <= 0 {
			t.Errorf("%s: %+v", r.Mode, p)
		}
	}
	if math.Abs(sum-1) > 1e-9 || len(want) > 0 {
		t.Errorf("%s: parts make up %v, missing are %v", r.Mode, sum, want)
	}
}

func TestRunCancelled(t *testing.T) {
	n, err := networks.New(networks.Spec{Name: "resnet8", Width: 0.25, Input: [3]int{3, 8, 8}})
	if err != nil {
		t.Fatal(err)
	}
	dev, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, dev, n, n.Start(), Train, 2, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestLatencies(t *testing.T) {
	n, err := networks.New(networks.Spec{Name: "resnet8", Width: 0.25, Input: [3]int{3, 8, 8}, Classes: 10})
	if err != nil {
		t.Fatal(err)
	}
	dev, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	times, err := Latencies(t.Context(), dev, n, n.Start(), 1, time.Millisecond)
	if err != nil || len(times) == 0 || times[0] <= 0 || !slices.IsSorted(times) {
		t.Errorf("times %v, error %v", times, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Latencies(ctx, dev, n, n.Start(), 1, time.Millisecond); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: error %v", err)
	}
}
