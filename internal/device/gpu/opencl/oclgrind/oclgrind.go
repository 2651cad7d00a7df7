// Package oclgrind runs tests on Oclgrind, a simulator of an OpenCL device that reports data races and accesses beyond
// a buffer, which a real device may not show.
package oclgrind

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"netadjust/internal/device/gpu/choose"
)

// Driver is where Debian puts the driver, which needs no loader.
const Driver = "/usr/lib/oclgrind/liboclgrind-rt-icd.so"

// Inside tells whether this process is one that Run has started.
func Inside() bool { return os.Getenv(choose.OpenCLVariable) == Driver }

// Run runs the tests of this test binary whose names match a regular expression in another process, where gpu:pocl is
// Oclgrind, and returns what it reports. Without Oclgrind it skips the test.
func Run(t *testing.T, tests string) (report string) {
	t.Helper()
	if _, err := os.Stat(Driver); err != nil {
		t.Skip("no Oclgrind, which Debian's package of that name offers: ", err)
	}
	log := filepath.Join(t.TempDir(), "report")
	command := exec.Command(os.Args[0], "-test.run", tests, "-test.short", "-test.v")
	command.Env = append(os.Environ(), choose.OpenCLVariable+"="+Driver, "OCLGRIND_DATA_RACES=1", "OCLGRIND_LOG="+log)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "--- PASS") {
		t.Fatalf("no test named %s has run:\n%s", tests, out)
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
