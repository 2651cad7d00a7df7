package harness

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"netadjust/internal/progress"
	"netadjust/internal/train"
	"netadjust/results"
)

// What the log tells of a cell while it runs is what its record then says. A look from outside, at every event, sees
// updates and epochs come one by one.
func TestCellWhileItRuns(t *testing.T) {
	e := parse(t, settings+matrix(`"adjust"`, "1"))
	out, id := t.TempDir(), e.Cells[0].ID()
	o, events := options(e, out)
	watch := Watch(out, dataDir)
	var seen []string
	events.on = func(event progress.Event) {
		d, err := watch.Cell(id)
		if err != nil {
			t.Error(err)
			return
		}
		seen = append(seen, strings.Repeat("u", len(d.Updates))+strings.Repeat("e", len(d.Epochs)))
		if event.Kind == progress.Started && (d.State != "running" || d.Owner == nil || len(d.Layers) != 6) {
			t.Errorf("after the start: %+v", d)
		}
	}
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	steps := strings.Join(seen, " ")
	for _, want := range []string{" u ", " uu ", " uue"} {
		if !strings.Contains(steps, want) {
			t.Errorf("no %q among what was seen: %s", want, steps)
		}
	}
	finished, err := watch.Cell(id)
	if err != nil || finished.State != "done" {
		t.Fatal(finished, err)
	}
	if err := os.Remove(filepath.Join(out, results.CellsFolder, id, results.RecordFile)); err != nil {
		t.Fatal(err)
	}
	stopped, err := watch.Cell(id)
	if err != nil || stopped.State != "stopped" {
		t.Fatal(stopped, err)
	}
	ignore := cmp.Options{
		cmpopts.IgnoreTypes(CellStatus{}), cmpopts.IgnoreFields(results.Epoch{}, "LearningRate"),
	}
	if diff := cmp.Diff(finished, stopped, ignore); diff != "" {
		t.Errorf("(-record +log):\n%s", diff)
	}
	if _, err := watch.Cell("other"); !errors.Is(err, ErrNoCell) {
		t.Errorf("error %v", err)
	}
}

// A search that was interrupted tells again what it had found.
func TestLogOfSeveralLives(t *testing.T) {
	log := `{"msg":"","kind":"started","layers":["a","b"]}
{"msg":"x","kind":"epoch","training":{"purpose":"update 1","epoch":1,"loss":3}}
{"msg":"update 1","kind":"update","update":{"index":0,"next":[1,2]}}
{"msg":"x","kind":"epoch","training":{"purpose":"update 2","epoch":1,"loss":4}}
{"msg":"x","kind":"epoch","training":{"purpose":"update 2","epoch":2,"loss":2}}
{"msg":"cut of
{"msg":"update 1","kind":"update","update":{"index":0,"next":[1,2]}}
{"msg":"x","kind":"epoch","training":{"purpose":"update 2","epoch":2,"loss":2}}
{"msg":"update 2","kind":"update","update":{"index":1,"next":[3,4]}}
{"msg":"x","kind":"epoch","training":{"purpose":"final","epoch":1,"loss":1,"top1":0.5}}
`
	var d CellDetails
	d.follow(readLog([]byte(log)))
	want := CellDetails{
		Layers:  []string{"a", "b"},
		Updates: []results.Update{{Index: 0, Next: []int{1, 2}}, {Index: 1, Next: []int{3, 4}}},
		Purpose: "update 2", Search: []results.Epoch{{TrainLoss: 4}, {Index: 1, TrainLoss: 2}},
		Epochs: []results.Epoch{{TrainLoss: 1, TrainTop1: 0.5}},
	}
	if diff := cmp.Diff(want, d, cmpopts.IgnoreUnexported(CellStatus{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A watcher sees a record that has changed.
func TestWatcherReadsAgain(t *testing.T) {
	out := t.TempDir()
	copyTree(t, referenceDir(t), out, func(string) bool { return false })
	watch := Watch(out, dataDir)
	counts := func() map[string]int {
		t.Helper()
		s, err := watch.Status()
		if err != nil {
			t.Fatal(err)
		}
		return s.Counts
	}
	if diff := cmp.Diff(map[string]int{"done": 6}, counts()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	path, err := filepath.Glob(filepath.Join(out, results.CellsFolder, "*", results.RecordFile))
	if err != nil || len(path) != 6 {
		t.Fatal(path, err)
	}
	write(t, path[0], strings.Replace(read(t, path[0]), `"flops": 2`, `"flops": 3`, 1))
	if err := os.Remove(path[1]); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"done": 4, "damaged": 1, "stopped": 1}, counts()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What an earlier life has done of a training is neither left to do nor done in this one.
func TestTimeLeftAfterAnInterruption(t *testing.T) {
	w := &worker{run: &run{Options: Options{Progress: &recorder{}}, account: account{total: 3000, start: time.Now()}}}
	c := w.course(&cell{}, "final", 10, 100, 1) // 3000 FLOPs
	c.step(train.Progress{Epoch: 8, Images: 10})
	c.step(train.Progress{Epoch: 8, Images: 20})
	if w.account.spared != 3*810 || w.account.done != 3*10 || c.charged != 3*820 {
		t.Errorf("%d spared, %d done, %d charged", w.account.spared, w.account.done, c.charged)
	}
	if share, _ := w.account.share(); math.Abs(share-0.82) > 1e-9 {
		t.Errorf("share %v", share)
	}
}

func TestForesight(t *testing.T) {
	a := account{total: 100, start: time.Now().Add(-time.Hour)}
	if a.errors() != "" {
		t.Error("something foreseen without any work")
	}
	a.done, a.spared = 10, 50 // 10 an hour, and 40 are left
	if share, remaining := a.share(); share != 0.6 || remaining < 4*3600 || remaining > 4*3600+60 {
		t.Errorf("share %v, %v seconds left", share, remaining)
	}
	a.foresee()
	a.foresee()
	a.done = 50
	a.foresee()
	want := "the run took 1h0m; its end was expected 4h0m too late with 60 % done, 4h0m too late with 60 % done"
	if got := a.errors(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
