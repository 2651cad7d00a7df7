package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"netadjust/harness"
)

// glob returns the one file that matches.
func glob(t *testing.T, pattern ...string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(pattern...))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	return files[0]
}

// TestShardsStatusAndMerge runs two shards in folders of their own, looks at them, and merges them.
func TestShardsStatusAndMerge(t *testing.T) {
	file := experiment(t, tiny)
	dir := t.TempDir()
	whole, first, second := filepath.Join(dir, "whole"), filepath.Join(dir, "first"), filepath.Join(dir, "second")
	call(t.Context(), "run", file, "--out", whole).check(t, 0, "3 cells finished now", "")
	call(t.Context(), "run", file, "--out", first, "--shard", "0/2", "--quiet").check(t, 0, "2 cells finished now", "")
	call(t.Context(), "run", file, "--out", second, "--shard", "1/2").check(t, 0, "1 cells finished now", "")

	r := call(t.Context(), "status", first)
	r.check(t, 0, "\n3 cells: 2 done 1 pending\n", "")
	r.check(t, 0, "resnet8-w0.5-mnist-adjust-b1   pending\n", "")
	var s harness.Status
	if err := json.Unmarshal([]byte(call(t.Context(), "status", whole, "--json", "--verify").stdout), &s); err != nil {
		t.Fatal(err)
	}
	if s.Counts["done"] != 3 || len(s.Problems) > 0 || s.Name != "tiny" {
		t.Errorf("%+v", s)
	}

	merged := filepath.Join(dir, "merged")
	r = call(t.Context(), "merge", merged, first)
	r.check(t, 0, "2 cells copied, 0 were there, 1 are missing\n  resnet8-w0.5-mnist-adjust-b1-s1-", "")
	call(t.Context(), "merge", merged, first, second).check(t, 0, "1 cells copied, 2 were there, 0 are missing\n", "")
	call(t.Context(), "merge", merged, second, first).check(t, 0, "0 cells copied, 3 were there, 0 are missing\n", "")
	want, got := resultsIn(t, whole), resultsIn(t, merged)
	for name, text := range want {
		if got[name] != text && name != "/plan.json" {
			t.Errorf("%s of the merged shards is not that of one run", name)
		}
	}
	call(t.Context(), "run", file, "--out", merged).check(t, 0, "0 cells finished now, 3 before", "")

	// What is damaged is found, and neither merged nor counted.
	weights := glob(t, second, "cells", "*", "weights.safetensors")
	if err := os.Truncate(weights, 1000); err != nil {
		t.Fatal(err)
	}
	r = call(t.Context(), "status", second, "--verify")
	r.check(t, exitFailed, weights+": file is damaged", "1 files are damaged")
	record := glob(t, second, "cells", "*", "record.json")
	text := read(t, record)
	if err := os.WriteFile(record, []byte(strings.Replace(text, `"seed": 1`, `"seed": 2`, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	call(t.Context(), "status", second).check(t, exitFailed, " is damaged: "+record, "1 files are damaged")
	call(t.Context(), "merge", merged, second).check(t, exitFailed, "", record+": damaged record")
	call(t.Context(), "merge", merged).check(t, exitUsage, "", "at least one to merge from")
	call(t.Context(), "status", t.TempDir()).check(t, exitUsage, "", "is not an output folder of netadjust run")
}

// Two different results of one cell are never merged.
func TestMergeConflict(t *testing.T) {
	file := experiment(t, strings.Replace(tiny, `, "l1", "adjust"`, "", 1))
	dir := t.TempDir()
	one, other := filepath.Join(dir, "one"), filepath.Join(dir, "other")
	call(t.Context(), "run", file, "--out", one).check(t, 0, "1 cells", "")
	t.Setenv("NETADJUST_CPU", "go")
	call(t.Context(), "run", file, "--out", other).check(t, 0, "1 cells", "")
	r := call(t.Context(), "merge", one, other)
	t.Setenv("NETADJUST_CPU", "")

	// Nothing comes from a run with other settings.
	longer := filepath.Join(dir, "longer")
	call(t.Context(), "run", file, "--out", longer, "--set", "train.epochs=2").check(t, 0, "1 cells", "")
	before := resultsIn(t, one)
	call(t.Context(), "merge", one, longer).check(t, exitFailed, "", one+" and "+longer+" do not go together: cells resnet8-")
	if diff := cmp.Diff(before, resultsIn(t, one)); diff != "" {
		t.Errorf("a merge that fails changes\n%s", diff)
	}

	if strings.Contains(read(t, glob(t, one, "cells", "*", "record.json")), "(go") {
		t.Skip("this processor has no other kernels")
	}
	r.check(t, exitFailed, "", "have different results of the same cell: made by unknown on cpu (")
}

func TestValidate(t *testing.T) {
	call(t.Context(), "validate", experiment(t, tiny)).check(t, 0, "tiny.toml is valid: 3 cells\n", "")
	r := call(t.Context(), "validate", experiment(t, strings.NewReplacer("repeats", "repeat", `"l1"`, `"l0"`, "= 8", "= 0").Replace(tiny)))
	for _, want := range []string{
		"tiny.toml:4: data.validation: must be an integer, at least 1", "tiny.toml:8: train.batch: ",
		`tiny.toml:15: search.repeat: unknown key; did you mean "repeats"?`, `tiny.toml:20: matrix[1].method[2]: unknown name "l0"`,
	} {
		r.check(t, exitUsage, "", want)
	}
	call(t.Context(), "validate", experiment(t, tiny), "--set", "search.rate=7").check(t, exitUsage, "", "--set: search.rate: ")
	call(t.Context(), "validate", experiment(t, strings.Replace(tiny, "1.0", "0.001", 1))).check(t, exitUsage, "", "is too small")
	call(t.Context(), "validate", experiment(t, tiny), "--set", "search.layers_per_update=4").check(t, exitUsage, "",
		" will fail: 4 layers cannot grow and 4 shrink in an update of resnet8 with its 6 adjustable layers")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "birds.pack"), []byte("cut short"), 0o644); err != nil {
		t.Fatal(err)
	}
	birds := experiment(t, strings.Replace(tiny, `"mnist"`, `"birds"`, 1))
	call(t.Context(), "validate", birds, "--data", dir).check(t, exitUsage, "", "tiny.toml:19: matrix[1].dataset: "+filepath.Join(dir, "birds.pack"))
	call(t.Context(), "schema").check(t, 0, `"layers_per_update"`, "")
}

func TestTimeLimit(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90": 90 * time.Minute, "1:30": 90 * time.Second, "2:00:01": 2*time.Hour + time.Second, "1-2": 26 * time.Hour,
		"1-2:03": 26*time.Hour + 3*time.Minute, "1-2:03:04": 26*time.Hour + 3*time.Minute + 4*time.Second,
		"unlimited": math.MaxInt64, "": -1, "x": -1, "1:2:3:4": -1, "1-": -1, "-1": math.MaxInt64, "0:00": math.MaxInt64, "1-2:3:4:5": -1,
	} {
		if got, ok := timeLimit(text); got != want && want >= 0 || ok != (want >= 0) {
			t.Errorf("%q is %v, %t; want %v", text, got, ok, want)
		}
	}
}

func TestSlurm(t *testing.T) {
	file := experiment(t, tiny)
	for limit, want := range map[string]string{
		"00:02:00": "--time 00:02:00 is not more than --warning 2m0s", "an hour": `--time "an hour": want minutes, hours`,
	} {
		call(t.Context(), "slurm", file, "--time", limit).check(t, exitUsage, "", want)
	}
	r := call(t.Context(), "slurm", file, "--shards", "3", "--parallel", "2", "--time", "1:00:00", "--mem", "4G", "--partition", "p",
		"--set", "name=it's", "--out", "a b", "--data", "d")
	r.check(t, exitUsage, "", "--set: name: must be a folder name")
	r = call(t.Context(), "slurm", file, "--shards", "3", "--parallel", "2", "--time", "1:00:00", "--mem", "4G", "--partition", "p",
		"--set", "train.epochs=2", "--out", "it's", "--data", "d")
	for _, want := range []string{
		"#!/bin/bash\n", "#SBATCH --array=0-2%2\n", "#SBATCH --time=1:00:00\n", "#SBATCH --mem=4G\n", "#SBATCH --partition=p\n",
		"#SBATCH --signal=B:USR1@120\n", ` run '` + file + `' --out 'it'\''s' --shard "$SLURM_ARRAY_TASK_ID/3" --data 'd' ` +
			"--set 'train.epochs=2' &\n",
	} {
		r.check(t, 0, want, "")
	}
	call(t.Context(), "slurm", file, "--shards", "0").check(t, exitUsage, "", "at least one shard")
}

func TestPlanIDsAndWrongFlags(t *testing.T) {
	file := experiment(t, tiny)
	r := call(t.Context(), "plan", file, "--ids")
	if lines := strings.Split(strings.TrimSpace(r.stdout), "\n"); r.code != 0 || len(lines) != 3 ||
		!strings.HasPrefix(lines[2], "resnet8-w0.5-mnist-uniform-b1-s1-") {
		t.Errorf("%+v", r)
	}
	call(t.Context(), "run", file, "--shard", "2/2").check(t, exitUsage, "", "want I/N with I from 0 to N-1")
	call(t.Context(), "run", file, "--accept-stale", "--rerun-stale").check(t, exitUsage, "", "want one of them")
}
