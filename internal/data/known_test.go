package data

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKnown(t *testing.T) {
	var names []string
	for _, info := range Known() {
		names = append(names, info.Name)
		if len(info.Sources) == 0 {
			t.Errorf("%s has no sources", info.Name)
		}
		if lookup(info.Name) == nil {
			t.Errorf("%s cannot be looked up", info.Name)
		}
	}
	if diff := cmp.Diff([]string{"fashion-mnist", "mnist", "cifar10", "cifar100"}, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestUnknown(t *testing.T) {
	for name, nearest := range map[string]string{
		"fashon-mnist": "fashion-mnist", "minst": "mnist", "cifar-10": "cifar10", "cifar-100": "cifar100",
	} {
		_, err := Open(name, t.TempDir())
		want := fmt.Sprintf("unknown dataset %q; did you mean %q?; known: fashion-mnist, mnist, cifar10, cifar100; a folder of "+
			"images becomes a dataset by `netadjust data pack`", name,
			nearest)
		if err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// TestSpecs checks that the files of every dataset describe its images exactly once and have well-formed checksums.
func TestSpecs(t *testing.T) {
	for _, s := range specs {
		for _, split := range []struct {
			files []file
			want  int
		}{{s.train, s.TrainImages}, {s.test, s.TestImages}} {
			seen := make([]int, split.want)
			for _, f := range split.files {
				for i := range f.images {
					seen[f.first+i]++
				}
			}
			each := 1
			if split.files[0].gzip {
				each = 2 // pixels and labels are in files of their own
			}
			for i, n := range seen {
				if n != each {
					t.Fatalf("%s: image %d is described %d times, want %d", s.Name, i, n, each)
				}
			}
		}
		for _, f := range s.files() {
			if sum, err := hex.DecodeString(f.sha256); err != nil || len(sum) != 32 {
				t.Errorf("%s: %q is no SHA-256", f.name, f.sha256)
			}
		}
	}
}

// TestModuleVersion checks that the module MNIST is taken from is the one that go.mod requires, which go.sum protects.
func TestModuleVersion(t *testing.T) {
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	module := strings.TrimPrefix(lookup("mnist").info().Sources[0], "Go module ")
	if !strings.Contains(string(text), strings.Replace(module, "@", " ", 1)) {
		t.Errorf("go.mod does not require %s", module)
	}
}
