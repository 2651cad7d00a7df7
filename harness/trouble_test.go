package harness

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/experiments"
	"netadjust/internal/device/cpu"
	"netadjust/internal/progress"
	"netadjust/results"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDamagedRecordIsSetAside(t *testing.T) {
	e := parse(t, settings+matrix(`"uniform"`, "1"))
	out := t.TempDir()
	id := e.Cells[0].ID()
	copyTree(t, referenceDir(t), out, func(path string) bool { return !strings.Contains(path, id) })
	want := hashes(t, out)
	path := filepath.Join(out, results.CellsFolder, id, results.RecordFile)
	good := read(t, path)
	for i, damaged := range []string{good[:len(good)/2], strings.Replace(good, `"flops": 2314688`, `"flops": 1`, 1), ""} {
		write(t, path, damaged)
		s, events := mustRun(t, e, out)
		if diff := cmp.Diff(Summary{Done: 1}, s); diff != "" {
			t.Errorf("damage %d (-want +got):\n%s", i+1, diff)
		}
		aside := path + ".damaged-" + string(rune('1'+i))
		if got := read(t, aside); got != damaged {
			t.Errorf("%s is not the damaged record", aside)
		}
		first := events.events[0]
		if first.Kind != progress.Warning || !strings.Contains(first.Message, path+": damaged record") ||
			!strings.Contains(first.Message, filepath.Base(aside)+", running the cell again") {
			t.Errorf("damage %d: first event %+v", i+1, first)
		}
		if diff := cmp.Diff(want, hashes(t, out)); diff != "" {
			t.Errorf("damage %d: hashes (-want +got):\n%s", i+1, diff)
		}
	}
}

func TestDamagedTrainingIsSetAside(t *testing.T) {
	e := parse(t, settings+matrix(`"l1"`, "1"))
	out := t.TempDir()
	mustRun(t, e, out)
	want := hashes(t, out)
	files := trainingFiles(t, out)
	if len(files) != 1 {
		t.Fatal(files)
	}
	good := read(t, files[0])
	damaged := good[:len(good)-1]
	write(t, files[0], damaged)
	if err := os.RemoveAll(filepath.Join(out, results.CellsFolder)); err != nil {
		t.Fatal(err)
	}
	_, events := mustRun(t, e, out)
	aside := files[0] + ".damaged-1"
	if events.count(progress.Warning, files[0]+": file is damaged") != 1 ||
		events.count(progress.Warning, filepath.Base(aside)+", training again") != 1 {
		t.Errorf("events %+v", events.events)
	}
	if read(t, aside) != damaged || read(t, files[0]) != good {
		t.Error("the damaged training is not kept, or not made again as it was")
	}
	if diff := cmp.Diff(want, hashes(t, out)); diff != "" {
		t.Errorf("hashes (-want +got):\n%s", diff)
	}
}

// With a decay of all weights at a huge rate, weights grow a hundredfold each step until they overflow.
func TestDivergedCellIsRecordedOnce(t *testing.T) {
	diverging := "[[matrix.set]]\nwhere = {seed = 1}\n" +
		"values = {train = {epochs = 20, learning_rate = 100.0, weight_decay = 1.0}}\n"
	e := parse(t, settings+matrix(`"uniform"`, "1, 2")+diverging)
	out := t.TempDir()
	s, events := mustRun(t, e, out)
	failing := e.Cells[0].ID()
	if diff := cmp.Diff(Summary{Done: 1, Failed: []string{failing}}, s); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if events.count(progress.Failed, "final training: training diverged: loss") != 1 {
		t.Errorf("events %+v", events.events)
	}
	r := readRecords(t, out)[failing].Result
	rate := prepareOne(t, e.Cells[0].ID(), e).recipe.LearningRateAt(r.Failure.Epoch)
	if r.Final != nil || r.Failure.LearningRate != rate || r.Failure.Step < 0 || r.Failure.Step > 2 ||
		!strings.Contains(r.Failure.Reason, "try a lower learning rate") {
		t.Errorf("failure %+v, want learning rate %v", r.Failure, rate)
	}
	if _, err := os.Stat(filepath.Join(out, results.CellsFolder, failing, "weights.safetensors")); err == nil {
		t.Error("a diverged network has left weights")
	}
	before := snapshot(t, out)
	s, events = mustRun(t, e, out)
	if diff := cmp.Diff(Summary{Before: 1, Failed: []string{failing}}, s); diff != "" || len(events.events) > 0 {
		t.Errorf("second run (-want +got):\n%s\nevents %+v", diff, events.events)
	}
	if diff := cmp.Diff(before, snapshot(t, out)); diff != "" {
		t.Errorf("files (-first +second):\n%s", diff)
	}
}

func prepareOne(t *testing.T, id string, e *experiments.Experiment) *cell {
	t.Helper()
	cells, err := prepareAll(e)
	if err != nil {
		t.Fatal(err)
	}
	return cells[slices.IndexFunc(cells, func(c *cell) bool { return c.id == id })]
}

// A step that ruins the weights is seen by no later step if it is the last one.
func TestDivergedInTheLastStep(t *testing.T) {
	ruined := "[[matrix.set]]\n" +
		"values = {data = {train = 6, validation = 2}, train = {batch = 4, epochs = 1, learning_rate = 100.0}}\n"
	e := parse(t, settings+strings.Replace(matrix(`"uniform"`, "1"), "resnet8", "resnet26", 1)+ruined)
	out := t.TempDir()
	s, _ := mustRun(t, e, out)
	if len(s.Failed) != 1 || s.Done != 0 {
		t.Fatalf("%+v", s)
	}
	r := readRecords(t, out)[e.Cells[0].ID()].Result
	if r.Final != nil || !strings.Contains(r.Failure.Reason, "training diverged in its last step; try a lower") {
		t.Errorf("failure %+v", r.Failure)
	}
}

// Searching never opens the test set. A run does not begin if a file of it is damaged, and says which.
func TestSearchDoesNotOpenTheTestSet(t *testing.T) {
	e := parse(t, settings+matrix(`"l1", "adjust"`, "1"))
	o, events := options(e, t.TempDir())
	o.DataDir = dataWithoutTest(t)
	r, err := newRun(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	dev, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	want := readRecords(t, referenceDir(t))
	for _, c := range r.cells {
		images, err := r.library.images(c.Dataset, c.Data)
		if err != nil {
			t.Fatal(err)
		}
		w := r.newWorker(dev)
		l := &lab{worker: w, cell: c, data: images, cost: &results.Cost{}, cuts: w.looks(c, images.checksum)}
		found, err := c.method.Search(t.Context(), l, c.problem)
		if err != nil {
			t.Fatalf("%s: %v", c.Method, err)
		}
		if diff := cmp.Diff(want[c.id].Result.Final.Channels, found.Channels); diff != "" {
			t.Errorf("%s: channels (-with test set +without):\n%s", c.Method, diff)
		}
		if _, err := images.openTest(); err == nil {
			t.Fatal("the test set can be read, so this test proves nothing")
		}
	}
	searched := len(events.events)

	s, err := Run(t.Context(), o)
	file := filepath.Join(o.DataDir, "mnist", "t10k-images-idx3-ubyte.gz")
	if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "netadjust data get mnist") {
		t.Errorf("error %v, want one that names %s and what to do", err, file)
	}
	if diff := cmp.Diff(Summary{}, s); diff != "" || len(events.events) > searched {
		t.Errorf("%v (-want +got):\n%s", events.events[searched:], diff)
	}

	o.DataDir = dataDir // repaired
	if s, err := Run(t.Context(), o); err != nil || s.Done != 2 {
		t.Errorf("after the repair: %+v, %v", s, err)
	}
}

func TestMissingDatasetStopsBeforeTheFirstCell(t *testing.T) {
	o, events := options(parse(t, settings+matrix(all, "1")), t.TempDir())
	o.DataDir = t.TempDir()
	_, err := Run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "netadjust data get mnist") || len(events.events) > 0 {
		t.Errorf("error %v, events %v", err, events.events)
	}
}

func TestOutputFolderThatCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	o, _ := options(parse(t, settings+matrix(all, "1")), filepath.Join(file, "out"))
	_, err := Run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "output folder: mkdir "+file) {
		t.Errorf("error %v", err)
	}
}

func TestRecordsThatCannotBeWrittenStopTheRun(t *testing.T) {
	e := parse(t, settings+matrix(`"uniform"`, "1, 2"))
	out := t.TempDir()
	o, _ := options(e, out)
	blocked := filepath.Join(out, results.CellsFolder, e.Cells[1].ID(), results.RecordFile)
	o.Progress.(*recorder).on = func(event progress.Event) {
		if event.Kind == progress.Started && event.Cell == e.Cells[1].ID() {
			if err := os.Mkdir(blocked, 0o755); err != nil { // where the record has to be
				t.Error(err)
			}
		}
	}
	s, err := Run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "write "+blocked) {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff(Summary{Done: 1, Stopped: true}, s); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	if s, _ := mustRun(t, e, out); s.Before != 1 || s.Done != 1 {
		t.Errorf("next run: %+v", s)
	}
}

func TestBudgetTooSmallIsFoundBeforeAnythingRuns(t *testing.T) {
	e := parse(t, settings+strings.Replace(matrix(all, "1"), "1.0", "0.01", 1))
	o, _ := options(e, filepath.Join(t.TempDir(), "out"))
	_, err := Run(t.Context(), o)
	for _, c := range e.Cells {
		if err == nil || !strings.Contains(err.Error(), "tiny.toml: "+c.ID()+": budget of 23147 FLOPs is too small") {
			t.Errorf("error %v, want one for %s", err, c.ID())
		}
	}
	if _, err := os.Stat(o.Out); err == nil {
		t.Error("the output folder has been made")
	}
	if _, err := MakePlan(e); err == nil {
		t.Error("the plan has no error")
	}
}

func TestNegativeJobs(t *testing.T) {
	o, _ := options(parse(t, settings+matrix(all, "1")), t.TempDir())
	o.Jobs = -1
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "-1 jobs: want 1 or more") {
		t.Errorf("error %v", err)
	}
}

func TestReportNamesWhatIsMissing(t *testing.T) {
	e := parse(t, settings+matrix(`"uniform", "adjust"`, "1, 2"))
	out := t.TempDir()
	missing, damaged := e.Cells[0].ID(), e.Cells[3].ID()
	copyTree(t, referenceDir(t), out, func(path string) bool { return strings.Contains(path, missing) })
	if err := planOf(e).write(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(out, results.CellsFolder, damaged, results.RecordFile), "{")
	if _, err := Report(t.Context(), out, nil); err != nil {
		t.Fatal(err)
	}
	report := read(t, filepath.Join(out, "report.md"))
	for _, want := range []string{missing, damaged, "damaged record", "netadjust run tiny.toml"} {
		if !strings.Contains(report, want) {
			t.Errorf("the report does not hold %q:\n%s", want, report)
		}
	}
	frame := read(t, filepath.Join(out, "frame.csv"))
	if strings.Contains(frame, "l1") || strings.Count(frame, "\n") != 3 {
		t.Errorf("the frame holds more than the 2 finished cells of the plan:\n%s", frame)
	}
}

func TestReportOfAnotherFolder(t *testing.T) {
	dir := t.TempDir()
	_, err := Report(t.Context(), dir, nil)
	if err == nil || !strings.Contains(err.Error(), dir+" is not an output folder of netadjust run") {
		t.Errorf("error %v", err)
	}
	for _, text := range []string{"{", "{}"} {
		write(t, filepath.Join(dir, planFile), text)
		_, err := Report(t.Context(), dir, nil)
		if err == nil || !strings.Contains(err.Error(), "run the experiment again to write it anew") {
			t.Errorf("plan %s: error %v", text, err)
		}
	}
}
