package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/progress"
)

func TestRunAndReport(t *testing.T) {
	file := experiment(t, tiny)
	out := filepath.Join(t.TempDir(), "out")
	r := call(t.Context(), "run", file, "--out", out, "--jobs", "1")
	r.check(t, 0, "3 cells finished now, 0 before, 0 failed\n", "[3/3] finished resnet8-w0.5-mnist-uniform-b1-s1-")
	files := strings.Split(strings.TrimSpace(r.stdout), "\n")[1:]
	for _, name := range []string{"report.md", "frame.csv", "accuracy-vs-flops.png", "accuracy-vs-flops.svg",
		"accuracy-vs-flops.pdf"} {
		if !slices.Contains(files, filepath.Join(out, name)) {
			t.Errorf("%s is not among the files %v", name, files)
		}
	}
	frame, report := read(t, out, "frame.csv"), read(t, out, "report.md")

	again := call(t.Context(), "run", "--out", out, file)
	again.check(t, 0, "0 cells finished now, 3 before, 0 failed\n", "")
	if again.stderr != "" || read(t, out, "frame.csv") != frame || read(t, out, "report.md") != report {
		t.Errorf("the second run has changed results, or shows progress:\n%s", again.stderr)
	}
	call(t.Context(), "report", "--readme", out).check(t, 0, filepath.Join(out, "README.md"), "")
	if text := read(t, out, "README.md"); !strings.Contains(text, "- Cells: 3 of 3 finished, 0 failed\n") {
		t.Errorf("README.md:\n%s", text)
	}
	drawn := call(t.Context(), "report", "--json", out)
	drawn.check(t, 0, "", "")
	if diff := cmp.Diff(files, decode[[]string](t, drawn.stdout)); diff != "" {
		t.Errorf("files (-run +report):\n%s", diff)
	}
	if read(t, out, "frame.csv") != frame || read(t, out, "report.md") != report {
		t.Error("report has changed frame or report")
	}

	// A record in the folder of another cell counts as neither.
	records, err := filepath.Glob(filepath.Join(out, "cells", "*", "record.json"))
	if err != nil || len(records) != 3 {
		t.Fatal(records, err)
	}
	if err := os.WriteFile(records[0], []byte(read(t, records[1])), 0o644); err != nil {
		t.Fatal(err)
	}
	what := records[0] + ": damaged record: it is that of cell " + filepath.Base(filepath.Dir(records[1]))
	call(t.Context(), "report", out).check(t, exitFailed, filepath.Join(out, "report.html"), what)
	call(t.Context(), "status", out).check(t, exitFailed, what, "1 files are damaged")
}

func TestRunDefaultFolderAndJSON(t *testing.T) {
	file := experiment(t, strings.Replace(tiny, `, "l1", "adjust"`, "", 1))
	t.Chdir(t.TempDir())
	r := call(t.Context(), "run", file, "--json")
	r.check(t, 0, "", "")
	var kinds []progress.Kind
	var last progress.Event
	for line := range strings.Lines(r.stdout) {
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, last.Kind)
	}
	if diff := cmp.Diff([]progress.Kind{progress.Started, progress.Epoch, progress.Finished}, kinds); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if last.Done != 1 || last.Total != 1 || last.Share != 1 || r.stderr != "" {
		t.Errorf("last event %+v, stderr %q", last, r.stderr)
	}
	read(t, "out", "tiny", "report.md")
}

func TestRunWithAFailingCell(t *testing.T) {
	file := experiment(t, strings.Replace(tiny, `, "adjust"`, "", 1)+"[[matrix.set]]\nwhere = {method = \"l1\"}\n"+
		"values = {train = {epochs = 20, learning_rate = 100.0, weight_decay = 1.0}}\n")
	out := filepath.Join(t.TempDir(), "out")
	r := call(t.Context(), "run", file, "--out", out)
	r.check(t, exitFailed, "1 cells finished now, 0 before, 1 failed\n", "failed   resnet8-w0.5-mnist-l1-b1-s1-")
	r.check(t, exitFailed, "", "at learning rate ")
	r.check(t, exitFailed, "", "these cells failed; their records and logs in "+filepath.Join(out, "cells")+
		" say why, and --retry-failed runs them again:\n  resnet8-w0.5-mnist-l1-b1-s1-")
	frame := read(t, out, "frame.csv")
	if strings.Count(frame, "done") != 1 || strings.Count(frame, "failed") != 1 {
		t.Errorf("frame.csv:\n%s", frame)
	}
	r = call(t.Context(), "run", file, "--out", out)
	r.check(t, exitFailed, "0 cells finished now, 1 before, 1 failed\n", "these cells failed")
}

func TestRunCancelled(t *testing.T) {
	file := experiment(t, tiny)
	out := filepath.Join(t.TempDir(), "out")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := call(ctx, "run", file, "--out", out)
	r.check(t, exitStopped, "0 cells finished now, 0 before, 0 failed\n",
		"stopped; finished cells are kept in "+out+", and the same command goes on from there\n")
	call(t.Context(), "run", file, "--out", out).check(t, 0, "3 cells finished now", "")
	call(ctx, "data", "get", "mnist", "--data", t.TempDir()).check(t, exitStopped, "", "context canceled")
}

func TestPlan(t *testing.T) {
	file := experiment(t, tiny)
	r := call(t.Context(), "plan", file)
	r.check(t, 0, "\n3 cells, ", "")
	r.check(t, 0, " GFLOPs (multiply-adds) with shared trainings counted once\nabout ", "")
	type plan struct {
		Name  string
		Cells []struct {
			ID          string
			BudgetFLOPs int64 `json:"budget_flops"`
		}
		GFLOPs           float64
		TrainingImages   int64   `json:"training_images"`
		EstimatedSeconds float64 `json:"estimated_seconds"`
	}
	var p plan
	if err := json.Unmarshal([]byte(call(t.Context(), "plan", file, "--json").stdout), &p); err != nil {
		t.Fatal(err)
	}
	// Three final trainings on 24 images; a start network and one update on 16.
	if p.Name != "tiny" || len(p.Cells) != 3 || p.Cells[2].BudgetFLOPs != 2314688 || p.TrainingImages != 3*24+2*16 ||
		p.GFLOPs <= 0 || p.EstimatedSeconds <= 0 {
		t.Errorf("%+v", p)
	}

	file = experiment(t, tiny+"[[matrix.set]]\nvalues = {prune = {start_flops = 16.0}}\n")
	r = call(t.Context(), "plan", file)
	r.check(t, exitUsage, "resnet8-w0.5-mnist-l1", "resnet8-w0.5-mnist-l1-b1-s1-")
	r.check(t, exitUsage, "", " will fail: start network of 16 times the budget")
}

// wait runs a command and returns what it gave.
func wait(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// A process that gets an interrupt keeps what it has finished and says so; the next one goes on.
func TestInterruptSignal(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("processes on Windows cannot be sent an interrupt")
	}
	file := experiment(t, strings.Replace(tiny, "seed    = 1", "seed    = [1, 2, 3, 4]", 1))
	out := filepath.Join(t.TempDir(), "out")
	cmd := child(t, "run", file, "--out", out, "--jobs", "1")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		shown.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), "[ 1/12] finished") {
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // the exit code says all
	if code := cmd.ProcessState.ExitCode(); code != exitStopped ||
		!strings.Contains(shown.String(), "stopped; finished cells are kept in "+out) {
		t.Fatalf("exit code %d, stderr\n%s", code, shown.String())
	}
	again := wait(t, child(t, "run", file, "--out", out))
	again.check(t, 0, ", 0 failed\n", "")
	if strings.Contains(again.stdout, " 0 before") {
		t.Errorf("the interrupted run has kept nothing:\n%s", again.stdout)
	}

	whole := filepath.Join(t.TempDir(), "out")
	wait(t, child(t, "run", file, "--out", whole)).check(t, 0, "12 cells finished now", "")
	if diff := cmp.Diff(read(t, whole, "frame.csv"), read(t, out, "frame.csv")); diff != "" {
		t.Errorf("frame.csv (-whole +interrupted):\n%s", diff)
	}
}

// A limit on the size of files stands for a broken disk: the weights of final networks fit, those of the start network,
// which is twice as large, do not.
func TestFullDisk(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil || runtime.GOOS == "windows" {
		t.Skip("the limit is set by a POSIX shell")
	}
	file := experiment(t, tiny)
	out := filepath.Join(t.TempDir(), "out")
	cmd := child(t, "run", file, "--out", out, "--jobs", "1")
	cmd.Args = append([]string{shell, "-c", `ulimit -f 240 && exec "$0" "$@"`}, cmd.Args...)
	cmd.Path = shell
	r := wait(t, cmd)
	r.check(t, exitStopped, "", "write "+filepath.Join(out, "trainings"))
	r.check(t, exitStopped, "", "file too large\nfinished cells are kept in "+out+"; the same command goes on ")
	if entries, err := os.ReadDir(filepath.Join(out, "trainings")); err != nil || len(entries) > 0 {
		t.Errorf("the training that did not fit has left %v, %v", entries, err)
	}
	wait(t, child(t, "run", file, "--out", out)).check(t, 0, "3 cells finished now, 0 before, 0 failed", "")
}
