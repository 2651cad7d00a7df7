package cuda_test

import (
	"bytes"
	"strings"
	"testing"

	"netadjust/internal/device/gpu/driver/drivertest"
	"netadjust/internal/device/gpu/gputest"
)

// TestCompiler runs NVIDIA's compiler, which needs no card.
func TestCompiler(t *testing.T) {
	c := gputest.Compiler(t)
	for _, tt := range []struct {
		capability int32
		target     string
		image      string
	}{
		{75, "sm_75", "\x7fELF"}, {80, "sm_80", "\x7fELF"}, {90, "sm_90", "\x7fELF"}, {999, "compute_", "//\n// Generated"},
	} {
		target, err := c.Target(tt.capability)
		if err != nil || !strings.HasPrefix(target, tt.target) {
			t.Errorf("target %q for %d: %v", target, tt.capability, err)
			continue
		}
		image, log, err := c.Compile(drivertest.Text, target, "-DSCALE=2")
		if err != nil || !bytes.HasPrefix(image, []byte(tt.image)) {
			t.Errorf("%s: %.20q, %v\n%s", target, image, err, log)
		}
	}
	if _, err := c.Target(10); err == nil || !strings.Contains(err.Error(), "capability 1.0: install an older one") {
		t.Errorf("a card of 2006: %v", err)
	}
	_, _, err := c.Compile(drivertest.Text, "sm_80", "-DSCALE=undeclared")
	if err == nil || !strings.Contains(err.Error(), `options -DSCALE=undeclared: nvrtcCompileProgram: NVRTC error 6`) ||
		!strings.Contains(err.Error(), `identifier "undeclared" is undefined`) {
		t.Errorf("an error in the text: %v", err)
	}
}
