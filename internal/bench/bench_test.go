package bench

import (
	"math"
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
	for mode, passes := range map[Mode]float64{Train: 3, Eval: 1} {
		r, err := Run(t.Context(), dev, n, c, mode, 4, 10*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if r.Network != "resnet8" || r.Mode != mode || r.Threads != 2 || r.Batch != 4 || r.ImagesPerSecond <= 0 {
			t.Errorf("%+v", r)
		}
		if want := r.ImagesPerSecond * 2 * passes * float64(n.FLOPs(c)) / 1e9; math.Abs(r.GFLOPS-want) > 1e-9*want {
			t.Errorf("%s: %v GFLOP/s, want %v", mode, r.GFLOPS, want)
		}
		if r.PeakShare <= 0 || r.PeakShare > 1 {
			t.Errorf("%s: share %v of the peak", mode, r.PeakShare)
		}
	}
}
