package kernel

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

func TestByName(t *testing.T) {
	for _, s := range Available() {
		if got, err := ByName(s.Name); got != s || err != nil {
			t.Errorf("ByName(%q) = %v, %v", s.Name, got, err)
		}
	}
	if Best() != Available()[0] {
		t.Error("the best set is not the first")
	}
	names := Available()[0].Name
	for _, s := range Available()[1:] {
		names += ", " + s.Name
	}
	want := `this processor runs no kernels named "sse"; it runs ` + names
	if _, err := ByName("sse"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestPeak(t *testing.T) {
	eachSet(t, func(t *testing.T, s *Set) {
		if p := s.Peak(0.001); !(p > 0.1 && p < 10000) {
			t.Errorf("%v GFLOP/s", p)
		}
	})
}

// TestGenerate runs the generator again and compares. It needs the generator's modules.
func TestGenerate(t *testing.T) {
	folder := t.TempDir()
	gen := filepath.Join(folder, "gen")
	if runtime.GOOS == "windows" {
		gen += ".exe"
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-C", "gen", "-o", gen, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Skipf("SKIPPED, the assembly is not checked against its generator, which does not build here: %v\n%s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), gen, folder).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"kernels_amd64.s", "kernels_amd64.go"} {
		want, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what its generator writes: run go generate", name)
		}
	}
}
