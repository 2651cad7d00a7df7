package reproduced

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"netadjust/results"
)

// ran returns a record of a run, in the given minute.
func ran(method string, seed uint64, minute int) *results.Record {
	r := record(method, seed, 80, func(r *results.Result, c *config) {
		r.Dataset, r.Width, c.epochs, c.iterations, c.searchEpochs = "cifar10", 0.5, 10, 3, 4
	})
	if method == "uniform" {
		r.Result.Config = []byte(strings.Split(string(r.Result.Config), ",\n\t\t\"search")[0] + "}")
	}
	r.Result.Version, r.Result.ResultsVersion, r.Result.Device = "1234567", 2, "cpu (avx2/amd64, revision 2)"
	r.Result.DatasetChecksum, r.Result.DatasetNote = "ab12", "not the official files: re-encoded"
	r.Run = results.Run{Jobs: 2, Threads: 1, GoVersion: "go1.26", Processor: "2 cores of a processor",
		Start: time.Date(2026, 11, 28, 5, minute, 0, 0, time.UTC), WallSeconds: 1800}
	return r
}

func TestReadme(t *testing.T) {
	run := Run{Name: "cifar10", Command: "netadjust run experiments/cifar10.toml", Cells: 5, Records: []*results.Record{
		ran("uniform", 1, 0), ran("uniform", 2, 10), ran("adjust", 1, 30), ran("l1", 1, 0),
	}}
	run.Records[3].Result.Final, run.Records[3].Result.Failure = nil, &results.Failure{Reason: "diverged"}
	run.Records[1].Result.Version = "89abcde"
	run.Records[1].Run.Resumed = true
	const head = "# What `cifar10` gave\n"
	got := Readme(run, head+"\nold\n\n## Remarks\n\nThe machine was busy.\n")
	want := []string{
		"- Command: `netadjust run experiments/cifar10.toml`",
		"- Cells: 3 of 5 finished, 1 failed",
		"- Program: commit 1234567 (numbers of version 2, go1.26) for 3 cells; commit 89abcde (numbers of version 2, go1.26) " +
			"for 1 cell",
		"- Machine: 2 cores of a processor, cpu (avx2/amd64, revision 2), jobs at a time: 2, threads of each: 1",
		"- Time: from 2026-11-28 05:00 to 2026-11-28 06:00 UTC, threads were busy for 2.00 h and longer, by what 1 cell " +
			"had done before an interruption",
		"- Data: cifar10, SHA-256 ab12, not the official files: re-encoded; the first 45000 training images to search on, " +
			"the next 5000 held out for that, both for final trainings; all test images",
		"- Recipe: final trainings of 10 epochs, 500000 images",
		"- Reduced: resnet20 on cifar10, against the tables of the paper: cifar10, width 0.5, 10 epochs, search of 3 times " +
			"4 epochs",
		"- Reduced: seeds of each method and budget: 1 to 2",
	}
	var lines []string
	for line := range strings.Lines(got) {
		if strings.HasPrefix(line, "- ") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(got, head) || !strings.HasSuffix(got, "\n## Remarks\n\nThe machine was busy.\n") ||
		strings.Contains(got, "old") {
		t.Errorf("the remarks are not kept:\n%s", got)
	}
	if again := Readme(run, got); again != got {
		t.Errorf("written again it is another one:\n%s", cmp.Diff(got, again))
	}
	if fresh := Readme(run, ""); strings.Contains(fresh, "Remarks") {
		t.Errorf("remarks out of nothing:\n%s", fresh)
	}
	truth := ran("adjust", 1, 0)
	truth.Result.Truth = &results.Truth{}
	if text := Readme(Run{Records: []*results.Record{truth}}, ""); !strings.Contains(text, "search of 1 times 4 epochs") {
		t.Errorf("ratios are measured in one network:\n%s", text)
	}
	if text := fmt.Sprint(Readme(Run{Name: "x", Cells: 3}, "")); !strings.Contains(text, "0 of 3 finished") {
		t.Errorf("no record:\n%s", text)
	}
}
