package gpu

import (
	"testing"

	"netadjust/internal/bench"
	"netadjust/internal/device/gpu/gputest"
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
			n, err := networks.New(networks.Spec{Name: tt.network})
			if err != nil {
				t.Fatal(err)
			}
			r := &gputest.Recorder{Driver: gputest.POCL(t)}
			dev := deviceOn(t, r)
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
