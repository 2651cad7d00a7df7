package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/device/cpu"
	"netadjust/internal/progress"
	"netadjust/results"
)

func TestStaleRecords(t *testing.T) {
	e := parse(t, settings+matrix(`"uniform"`, "1, 2"))
	id := e.Cells[0].ID()
	for _, tt := range []struct {
		change func(r *results.Result)
		why    string
	}{
		{func(r *results.Result) { r.ResultsVersion = results.ResultsVersion + 1 },
			fmt.Sprintf("made by a program whose numbers are of version %d", results.ResultsVersion+1)},
		{func(r *results.Result) { r.DatasetChecksum = strings.Repeat("0", 64) }, "made from other files of mnist"},
	} {
		out := t.TempDir()
		copyTree(t, referenceDir(t), out, func(path string) bool { return false })
		folder := filepath.Join(out, results.CellsFolder, id)
		record := readRecords(t, out)[id]
		tt.change(&record.Result)
		if err := results.Write(folder, record); err != nil {
			t.Fatal(err)
		}
		o, _ := options(e, out)
		_, err := Run(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), id+": "+tt.why) || !strings.Contains(err.Error(), "--accept-stale") {
			t.Errorf("error %v, want one with %q", err, tt.why)
		}
		o.Stale = AcceptStale
		if s, err := Run(t.Context(), o); err != nil || s.Before != 2 {
			t.Errorf("accepted: %+v, %v", s, err)
		}
		if _, err := Report(t.Context(), out, nil); err != nil {
			t.Fatal(err)
		}
		if report := read(t, filepath.Join(out, "report.md")); !strings.Contains(report, "Stale cells") {
			t.Errorf("the report does not say that a cell is stale (%s)", tt.why)
		}
		o, events := options(e, out)
		o.Stale = RerunStale
		if s, err := Run(t.Context(), o); err != nil || s.Before != 1 || s.Done != 1 {
			t.Errorf("run again: %+v, %v", s, err)
		}
		if events.count(progress.Warning, tt.why) != 1 {
			t.Errorf("events %+v", events.events)
		}
		if hashes(t, out)[id] != hashes(t, referenceDir(t))[id] {
			t.Errorf("%s: the cell that was run again is another one", tt.why)
		}
		if _, err := os.Stat(filepath.Join(folder, results.RecordFile+".damaged-1")); err != nil {
			t.Error(err)
		}
	}
}

// TestOlderVersion checks which records of version 2 still count.
func TestOlderVersion(t *testing.T) {
	for config, stale := range map[string]bool{
		`{"network": "resnet20", "method": "slimming", "prune": {}}`:                            false,
		`{"network": "densenet40", "method": "slimming", "prune": {}}`:                          true,
		`{"network": "densenet40", "method": "l1", "prune": {}}`:                                false,
		`{"network": "my", "description": "layers", "method": "l1", "prune": {}}`:               true,
		`{"network": "my", "description": "layers", "method": "adjust", "search": {}}`:          false,
		`{"network": "resnet20", "method": "adjust", "search": {"reference": true}}`:            false,
		`{"network": "resnet20", "method": "adjust", "search": {"reference": "overlap,pairs"}}`: true,
		`not JSON`: true,
	} {
		r := &results.Result{ResultsVersion: 2, Config: []byte(config)}
		if why := staleness(r, ""); (why != "") != stale {
			t.Errorf("%s: %q", config, why)
		}
		if r.ResultsVersion = 0; staleness(r, "") == "" {
			t.Errorf("%s of version 1 counts", config)
		}
	}
}

// TestGoldenResults compares the numbers of a tiny run on the plain Go kernels with those that were written down when
// results.ResultsVersion got its value. Where they differ on purpose, raise it, and let NETADJUST_GOLDEN=write write them.
func TestGoldenResults(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("other processors fuse multiplications with additions, which rounds otherwise")
	}
	t.Setenv(cpu.KernelsVariable, "go")
	out := t.TempDir()
	mustRun(t, parse(t, settings+matrix(all, "1")), out)
	var text strings.Builder
	for _, method := range []string{"uniform", "l1", "adjust"} {
		for _, r := range readRecords(t, out) {
			if x := r.Result; x.Method == method {
				f := x.Final
				fmt.Fprintf(&text, "%s\nfinal %v, test top-1 %v, loss %v\n", x.ID, f.Channels, f.TestTop1, f.TestLoss)
				for _, e := range f.Epochs {
					fmt.Fprintf(&text, "epoch: rate %v, loss %v, top-1 %v\n", e.LearningRate, e.TrainLoss, e.TrainTop1)
				}
				for _, u := range x.Updates {
					fmt.Fprintf(&text, "update of %v: loss %v, top-1 %v, FUR %v ± %v ± %v, drop rates %v, next %v\n", u.Channels,
						u.ValidationLoss, u.ValidationTop1, u.FUR, u.FURStdErr, u.FURImageStdErr, u.DropRates, u.Next)
				}
			}
		}
	}
	path := filepath.Join("testdata", fmt.Sprintf("results-v%d.txt", results.ResultsVersion))
	if os.Getenv("NETADJUST_GOLDEN") == "write" {
		write(t, path, text.String())
	}
	if diff := cmp.Diff(read(t, path), text.String()); diff != "" {
		t.Errorf("numbers are not those of results version %d (-version +now):\n%s", results.ResultsVersion, diff)
	}
}
