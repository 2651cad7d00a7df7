package harness

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"netadjust/experiments"
	"netadjust/internal/data"
	"netadjust/internal/device"
	"netadjust/internal/device/cpu"
	"netadjust/internal/progress"
	"netadjust/results"
)

// dataDir holds MNIST, which comes with a Go module.
var dataDir string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "netadjust-harness-*")
		if err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(dir)
		dataDir = filepath.Join(dir, "data")
		if err := getMNIST(); err != nil {
			log.Print(err)
			return 1
		}
		return m.Run()
	}())
}

// getMNIST fills dataDir. Its files are stored without compression, because every run reads them.
func getMNIST() error {
	if err := data.Get(context.Background(), "mnist", dataDir, func(string, ...any) {}); err != nil {
		return err
	}
	paths, err := filepath.Glob(filepath.Join(dataDir, "mnist", "*.gz"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		file, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		from, err := gzip.NewReader(bytes.NewReader(file))
		if err != nil {
			return err
		}
		var stored bytes.Buffer
		to, err := gzip.NewWriterLevel(&stored, gzip.NoCompression)
		if err != nil {
			return err
		}
		if _, err := io.Copy(to, from); err != nil {
			return err
		}
		if err := errors.Join(to.Close(), os.WriteFile(path, stored.Bytes(), 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// settings are those of an experiment that runs in a fraction of a second a cell.
const settings = `
name = "tiny"
[data]
train      = 16
validation = 8
test       = 8
[train]
epochs        = 1
batch         = 8
learning_rate = 0.05
augment       = "pad-crop"
[search]
epochs            = 1
iterations        = 2
layers_per_update = 1
rate              = 0.25
repeats           = 1
[prune]
epochs = 1
`

// matrix is a [[matrix]] with the given methods and seeds.
func matrix(methods, seeds string) string {
	return fmt.Sprintf(`
[[matrix]]
network = "resnet8"
width   = 0.5
dataset = "mnist"
budget  = 1.0
method  = [%s]
seed    = [%s]
`, methods, seeds)
}

// all are the methods.
const all = `"uniform", "l1", "adjust"`

func parse(t *testing.T, text string) *experiments.Experiment {
	t.Helper()
	e, err := experiments.Parse("tiny.toml", []byte(text), Catalog(dataDir))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// recorder is a printer that keeps the events. It calls on, if there is one, with each.
type recorder struct {
	mu     sync.Mutex
	events []progress.Event
	on     func(progress.Event)
}

func (r *recorder) Print(e progress.Event) {
	r.mu.Lock()
	r.events = append(r.events, e)
	r.mu.Unlock()
	if r.on != nil {
		r.on(e)
	}
}

func (r *recorder) Close() {}

// count returns how many events of a kind have a message that contains text.
func (r *recorder) count(kind progress.Kind, text string) int {
	n := 0
	for _, e := range r.events {
		if e.Kind == kind && strings.Contains(e.Message, text) {
			n++
		}
	}
	return n
}

func openCPU(threads int) (device.Device, error) { return cpu.New(threads) }

// workerOf is a job of a run that has not begun.
func workerOf(t *testing.T, o Options) *worker {
	t.Helper()
	r, err := newRun(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	dev, err := openCPU(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	return r.newWorker(dev)
}

// options are for a run of e in the folder out by one job.
func options(e *experiments.Experiment, out string) (Options, *recorder) {
	r := &recorder{}
	return Options{
		Experiment: e, Out: out, DataDir: dataDir, Device: openCPU, Jobs: 1, Progress: r, Version: "test",
	}, r
}

// mustRun runs e in the folder out and returns what was shown.
func mustRun(t *testing.T, e *experiments.Experiment, out string) (Summary, *recorder) {
	t.Helper()
	o, events := options(e, out)
	s, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s, events
}

// readRecords returns the records in the folder out by the id of their cell.
func readRecords(t *testing.T, out string) map[string]*results.Record {
	t.Helper()
	list, errs := results.Load(out)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	byID := map[string]*results.Record{}
	for _, r := range list {
		byID[r.Result.ID] = r
	}
	return byID
}

// hashes returns the hashes of the results in the folder out by the id of their cell.
func hashes(t *testing.T, out string) map[string]string {
	t.Helper()
	h := map[string]string{}
	for id, r := range readRecords(t, out) {
		h[id] = r.Hash
	}
	return h
}

// snapshot returns the contents of all files below dir, by path.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// reference is the folder of an uninterrupted run of settings with all methods and two seeds. Tests only read it.
var reference = sync.OnceValues(func() (string, error) {
	out := filepath.Join(filepath.Dir(dataDir), "reference")
	e, err := experiments.Parse("tiny.toml", []byte(settings+matrix(all, "1, 2")), Catalog(dataDir))
	if err != nil {
		return "", err
	}
	o, _ := options(e, out)
	s, err := Run(context.Background(), o)
	if err == nil && (s.Done != 6 || s.Stopped || len(s.Failed) > 0) {
		err = fmt.Errorf("the reference run ended with %+v", s)
	}
	return out, err
})

func referenceDir(t *testing.T) string {
	t.Helper()
	out, err := reference()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// copyTree copies the folder from, without the files whose path skip accepts.
func copyTree(t *testing.T, from, to string, skip func(path string) bool) {
	t.Helper()
	for path, text := range snapshot(t, from) {
		if skip(path) {
			continue
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// dataWithoutTest returns a data folder whose test files are garbage of the right size and whose other files are good.
func dataWithoutTest(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	copyTree(t, dataDir, dir, func(string) bool { return false })
	paths, err := filepath.Glob(filepath.Join(dir, "mnist", "t10k-*"))
	if err != nil || len(paths) != 2 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, info.Size()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
