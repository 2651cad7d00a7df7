package gpu

import (
	"testing"
	"time"

	"netadjust/internal/bench"
	"netadjust/internal/device/gpu/driver"
	"netadjust/internal/device/gpu/gputest"
	"netadjust/internal/device/gpu/kernels"
	"netadjust/internal/device/gpu/opencl/oclgrind"
	"netadjust/networks"
)

// TestNVIDIA compiles the kernels of networks with NVIDIA's compiler, for Turing, Ampere and Hopper.
func TestNVIDIA(t *testing.T) {
	gputest.Compiler(t)
	for _, tt := range []struct {
		network       string
		architectures []string
	}{
		{"resnet20", []string{"sm_75", "sm_80", "sm_90"}},
		{"resnet18", []string{"sm_80"}},
		{"mobilenet_v2", []string{"sm_80"}},
	} {
		t.Run(tt.network, func(t *testing.T) {
			t.Parallel()
			n, err := networks.New(networks.Spec{Name: tt.network})
			if err != nil {
				t.Fatal(err)
			}
			r := &gputest.Recorder{Driver: gputest.POCL(t)}
			dev := deviceOn(t, r)
			dev.tiles = kernels.Tiles // as on a card
			for _, mode := range []bench.Mode{bench.Train, bench.Eval} {
				m, err := bench.Compile(dev, n, n.Start(), mode, 1)
				if err != nil {
					t.Fatal(err)
				}
				if err := m.Close(); err != nil {
					t.Fatal(err)
				}
			}
			r.Compile(t, tt.architectures...)
		})
	}
}

// TestOclgrind runs every operation on Oclgrind, in its smallest shapes, for Oclgrind is slow. It must have nothing to
// report.
func TestOclgrind(t *testing.T) {
	const small = `^TestConformance$/\[\[(9_3(_5_4)?|2_3|3)\]|\[1_1_1_1\]|\[3_5_1_1\]`
	if report := oclgrind.Run(t, small); report != "" {
		t.Error(report)
	}
}

// TestBench measures a training: what the host does for a queue is part of that.
func TestBench(t *testing.T) {
	n := resnet(t, "resnet8")
	gputest.Each(t, func(t *testing.T, d driver.Driver) {
		dev := deviceOn(t, d)
		r, err := bench.Run(t.Context(), dev, n, n.Start(), bench.Train, 4, time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if r.Queue == nil || r.Queue.Step <= 0 || r.Queue.NewWidths <= 0 {
			t.Errorf("queue %+v", r.Queue)
		}
		if r.ImagesPerSecond <= 0 || len(r.Phases) == 0 || r.PeakShare != 0 {
			t.Errorf("%+v", r)
		}
	})
}
