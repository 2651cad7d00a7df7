package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"netadjust/experiments"
	"netadjust/internal/device"
	"netadjust/results"
)

// many returns the text of an experiment with 10 000 cells: 4 networks, 5 methods, 5 budgets and 100 seeds.
func many() string {
	seeds := make([]string, 100)
	for i := range seeds {
		seeds[i] = fmt.Sprint(i)
	}
	text := strings.Replace(settings+matrix(`"uniform", "l1", "adjust", "adjust_random_fur", "adjust_one_shot"`,
		strings.Join(seeds, ", ")), `"resnet8"`, `["resnet8", "resnet14", "resnet20", "resnet32"]`, 1)
	return strings.Replace(text, "budget  = 1.0", "budget  = [0.5, 0.6, 0.7, 0.8, 1.0]", 1)
}

// BenchmarkPlan reads an experiment with 10 000 cells, plans it, and writes the plan.
func BenchmarkPlan(b *testing.B) {
	text, out := []byte(many()), b.TempDir()
	for b.Loop() {
		e, err := experiments.Parse("many.toml", text, Catalog(dataDir))
		if err != nil {
			b.Fatal(err)
		}
		p, err := MakePlan(e)
		if err != nil || len(p.Cells) != 10000 {
			b.Fatal(len(p.Cells), err)
		}
		if err := planOf(e).write(b.Context(), out); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoad finds out that the 1000 cells of an experiment are finished, as a run does before anything else.
func BenchmarkLoad(b *testing.B) {
	e, err := experiments.Parse("many.toml", []byte(many()), Catalog(dataDir))
	if err != nil {
		b.Fatal(err)
	}
	e.Cells = e.Cells[:1000]
	out := b.TempDir()
	for _, c := range e.Cells {
		p, err := prepare(c, e.Dataset(c))
		if err != nil {
			b.Fatal(err)
		}
		r := &results.Record{Result: results.Result{
			ID: p.id, Layers: p.problem.Network.Adjustable(), Config: c.Canonical(), Dataset: c.Dataset,
		}}
		r.Result.Final = &results.Final{Channels: p.start}
		for i := range 200 {
			r.Result.Final.Epochs = append(r.Result.Final.Epochs, results.Epoch{Index: i, TrainLoss: 1 / float64(i+3)})
		}
		folder := filepath.Join(out, results.CellsFolder, c.ID())
		if err := os.MkdirAll(folder, 0o755); err != nil {
			b.Fatal(err)
		}
		if err := results.Write(folder, r); err != nil {
			b.Fatal(err)
		}
	}
	o, _ := options(e, out)
	o.DataDir, o.Stale = out, AcceptStale
	for b.Loop() {
		if s, err := Run(b.Context(), o); err != nil || s.Before != 1000 {
			b.Fatal(s, err)
		}
	}
}

// BenchmarkCell runs a cell that computes nothing: what is left is lease, log, graph and record, and on a disk the time
// of fsync. Give TMPDIR a place in memory (/dev/shm) to measure without that.
func BenchmarkCell(b *testing.B) {
	e, err := experiments.Parse("one.toml", []byte(settings+matrix(`"uniform"`, "1")), Catalog(dataDir))
	if err != nil {
		b.Fatal(err)
	}
	o, _ := options(e, b.TempDir())
	o.Again = true
	o.Device = func(threads int) (device.Device, error) {
		dev, err := openCPU(threads)
		left := new(atomic.Int32)
		left.Store(1 << 30)
		return broken{dev, left, false}, err
	}
	r, err := newRun(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	if err := r.pending(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := r.prepare(); err != nil {
		b.Fatal(err)
	}
	dev, err := r.Device(1)
	if err != nil {
		b.Fatal(err)
	}
	w := r.newWorker(dev)
	for b.Loop() {
		r.room.enter(b.Context(), r.cells[0])
		if err := w.claim(b.Context(), r.cells[0]); err != nil {
			b.Fatal(err)
		}
		r.room.leave(r.cells[0])
	}
}
