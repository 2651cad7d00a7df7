package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netadjust/results"
	"netadjust/results/gate"
)

// Two runs of one experiment are alike; a run whose accuracies were lowered is a regression; one without a cell cannot be
// compared.
func TestCompare(t *testing.T) {
	text := strings.Replace(strings.Replace(tiny, `, "l1", "adjust"`, "", 1), "seed    = 1", "seed    = [1, 2, 3]", 1)
	file := experiment(t, text)
	base, other := filepath.Join(t.TempDir(), "base"), filepath.Join(t.TempDir(), "other")
	for _, out := range []string{base, other} {
		call(t.Context(), "run", file, "--out", out).check(t, 0, "3 cells finished now", "")
	}
	call(t.Context(), "compare", base, other).check(t, 0, "## Results: ok\n\n3 cells compared.", "")

	records, errs := results.Load(other)
	if len(records) != 3 || len(errs) > 0 {
		t.Fatalf("%d records, %v", len(records), errs)
	}
	for _, r := range records {
		r.Result.Final.TestTop1 -= 0.02
		if err := results.Write(filepath.Join(other, results.CellsFolder, r.Result.ID), r); err != nil {
			t.Fatal(err)
		}
	}
	worse := call(t.Context(), "compare", base, other, "--json")
	worse.check(t, exitFailed, "", other+" is worse than "+base)
	var report gate.Report
	if err := json.Unmarshal([]byte(worse.stdout), &report); err != nil {
		t.Fatal(err)
	}
	if report.Verdict != gate.Regression || len(report.Accuracy) != 1 || report.Accuracy[0].Verdict != "worse" {
		t.Errorf("%+v", report)
	}
	call(t.Context(), "compare", base, other, "--accuracy", "2.5pp").check(t, 0, "within the limit", "")

	lost := filepath.Join(other, results.CellsFolder, records[0].Result.ID)
	if err := os.RemoveAll(lost); err != nil {
		t.Fatal(err)
	}
	call(t.Context(), "compare", base, other, "--accuracy", "2.5").check(t, exitNotComparable, "has no record of this cell",
		"cannot be compared, see the findings; if the experiment has changed, record the base anew")
	damaged := filepath.Join(other, results.CellsFolder, records[1].Result.ID, results.RecordFile)
	if err := os.WriteFile(damaged, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	call(t.Context(), "compare", base, other, "--accuracy", "2.5").check(t, exitNotComparable, "**not comparable** a record cannot be used: "+
		damaged+": damaged record", "")
	call(t.Context(), "compare", base, t.TempDir()).check(t, exitNotComparable, "0 cells compared", "")

	for _, c := range []struct{ args, want string }{
		{base + " nowhere", "nowhere: no such file or directory; want an output folder of netadjust run"},
		{base + " " + base + " --accuracy x", `--accuracy "x": want percentage points from 0 to 100`},
		{base + " " + base + " --speed 200%", `--speed "200%": want percent from 0 to 100`},
	} {
		call(t.Context(), append([]string{"compare"}, strings.Fields(c.args)...)...).check(t, exitUsage, "", c.want)
	}
}
