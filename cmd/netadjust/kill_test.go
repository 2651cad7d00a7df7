package main

import (
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/rng"
)

// kills is how often TestKill kills, after at most life of a run: go test ./cmd/netadjust -run TestKill -kills 50
var (
	kills = flag.Int("kills", 3, "kills of TestKill")
	life  = flag.Duration("life", 2*time.Second, "longest life of a run of TestKill")
)

// TestKill kills runs at random moments, and goes on each time in the folder that the last one left, or in a new one if it
// was done. The last is left to its end. All that results are made of has to be what an uninterrupted run gives, byte for
// byte; times and hosts are elsewhere.
func TestKill(t *testing.T) {
	file := experiment(t, strings.NewReplacer("train      = 16", "train      = 64", "epochs  = 1", "epochs  = 3",
		"iterations        = 1", "iterations        = 2",
		`"adjust"`, `"adjust", "sfp", "slimming", "autoslim", "taylor", "random_ratio"`).Replace(tiny))
	run := func(out string, args ...string) []string {
		return append([]string{"run", file, "--out", out, "--jobs", "2", "--checkpoint", "20ms"}, args...)
	}
	whole, killed := filepath.Join(t.TempDir(), "out"), filepath.Join(t.TempDir(), "out")
	start := time.Now()
	wait(t, child(t, run(whole)...)).check(t, 0, "8 cells finished now", "")
	uninterrupted := time.Since(start)
	longest := min(uninterrupted, *life)
	want := resultsIn(t, whole)

	random := rng.New(1, "kills")
	var lived time.Duration // by all runs
	for i, ended := 0, 0; i < *kills; {
		cmd := child(t, run(killed)...)
		born := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.Float64() * float64(longest)))
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // the exit code tells which of both was faster
		lived += time.Since(born)
		if cmd.ProcessState.ExitCode() < 0 {
			i++
			continue
		}
		if diff := cmp.Diff(want, resultsIn(t, killed)); diff != "" {
			t.Fatalf("after %d kills (-uninterrupted +killed):\n%s", i, diff)
		}
		lived -= uninterrupted
		if ended++; ended > *kills {
			t.Fatalf("%d runs have ended before they were killed, %d were killed", ended, i)
		}
		killed = filepath.Join(t.TempDir(), "out")
	}
	born := time.Now()
	wait(t, child(t, run(killed)...)).check(t, 0, ", 0 failed\n", "")
	lived += time.Since(born) - uninterrupted
	t.Logf("%d kills of a run of %v cost %v each, what it takes to start again included", *kills,
		uninterrupted.Round(time.Millisecond), (lived / time.Duration(max(*kills, 1))).Round(time.Millisecond))
	if diff := cmp.Diff(want, resultsIn(t, killed)); diff != "" {
		t.Errorf("after %d kills (-uninterrupted +killed):\n%s", *kills, diff)
	}
}

// resultsIn returns all files below out but those that differ from one run to the next: logs, times, and in records the
// part about the run. Nothing else may be there: no checkpoint, lease, or file that was being written.
func resultsIn(t *testing.T, out string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || slices.Contains([]string{"timing.csv", "benchmarks.txt", "log.jsonl"}, d.Name()) {
			return err
		}
		text, err := os.ReadFile(path)
		if d.Name() == "record.json" {
			var record map[string]json.RawMessage
			if err := json.Unmarshal(text, &record); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			delete(record, "run")
			text, err = json.Marshal(record)
		}
		files[strings.TrimPrefix(path, out)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
