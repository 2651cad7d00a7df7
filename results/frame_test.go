package results

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readCSV reads a CSV file into one map for each row.
func readCSV(t *testing.T, path string) []map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]string
	for _, row := range rows[1:] {
		m := make(map[string]string)
		for i, v := range row {
			m[rows[0][i]] = v
		}
		out = append(out, m)
	}
	return out
}

// writeAll writes the results of records into a new folder.
func writeAll(t *testing.T, records []*Record, opts Options) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := WriteAll(dir, records, opts); err != nil {
		t.Fatal(err)
	}
	return dir
}

func exact(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func TestFrameCSVHoldsTheRecords(t *testing.T) {
	r := cell(t, "adjust", "0.5", 18446744073709551615)
	r.Result.Final.TestLoss = 1.23456789e-7
	r.Result.DatasetNote = "a \"quoted\", note\nin two lines"
	r.Result.SearchCost.FLOPs = 1<<60 + 1
	if err := r.Seal(); err != nil {
		t.Fatal(err)
	}
	row := readCSV(t, filepath.Join(writeAll(t, []*Record{r}, Options{}), "frame.csv"))[0]
	final := r.Result.Final
	want := map[string]string{
		"schema": "1", "id": "adjust-0.5-18446744073709551615", "experiment": "quick", "network": "resnet20",
		"width": "0.5", "padding": "max", "dataset": "fashion-mnist", "method": "adjust", "budget": "0.5",
		"budget_flops": "5100000", "seed": "18446744073709551615", "state": "done", "variant": "",
		"test_top1": exact(final.TestTop1), "test_loss": "1.23456789e-07",
		"flops": strconv.FormatInt(final.FLOPs, 10), "flops_without_stem": strconv.FormatInt(final.FLOPs-55_296, 10),
		"params": strconv.FormatInt(final.Params, 10), "epochs": "2", "train_top1": "0.91",
		"train_loss": exact(final.Epochs[1].TrainLoss), "search_forward_images": "450000",
		"search_backward_images": "120000", "search_flops": "1152921504606846977", "final_forward_images": "160000",
		"final_backward_images": "150000", "final_flops": "2346000000000", "updates": "3", "stopped": "",
		"start_flops":  "5100000",
		"start_params": "68000", "start_validation_top1": "", "layers": strings.Join(layerNames(), " "),
		"start_channels": "8 8 8 8 8 8 16 16 16 16 16 16 32 32 32 32 32 32", "channels": joinInts(final.Channels),
		"failure": "", "failure_epoch": "", "failure_step": "", "failure_learning_rate": "", "device": "cpu",
		"version": "v0.1.0", "libraries": "gonum v0.17.0, gorgonia v0.9.18", "dataset_checksum": "6e3f1c",
		"dataset_note": "a \"quoted\", note\nin two lines", "record_hash": r.Hash,
		"config.network": "resnet20", "config.width": "0.5", "config.method": "adjust",
		"config.seed":                "18446744073709551615",
		"config.search.preset":       "default",
		"config.search.drop_rate":    "0.1",
		"config.train.epochs":        "15",
		"config.train.batch_size":    "128",
		"config.train.milestones":    "[8,12]",
		"config.train.learning_rate": "0.15",
	}
	if diff := cmp.Diff(want, row); diff != "" {
		t.Errorf("row of frame.csv:\n%s", diff)
	}
}

func TestFrameOfFailedCell(t *testing.T) {
	r := failed(t, "l1", "0.5", 1, "loss is NaN")
	row := readCSV(t, filepath.Join(writeAll(t, []*Record{r}, Options{}), "frame.csv"))[0]
	for column, want := range map[string]string{
		"state": "failed", "failure": "loss is NaN", "failure_epoch": "2", "failure_step": "417",
		"failure_learning_rate": "0.15", "test_top1": "", "flops": "", "params": "", "channels": "", "train_loss": "",
		"search_forward_images": "40000", "start_flops": "10200000", "start_validation_top1": "0.88",
	} {
		if row[column] != want {
			t.Errorf("column %s is %q, want %q", column, row[column], want)
		}
	}
}

func TestLayersCSV(t *testing.T) {
	records := []*Record{cell(t, "uniform", "0.5", 1), cell(t, "adjust", "0.5", 1), cell(t, "adjust", "0.5", 2)}
	rows := readCSV(t, filepath.Join(writeAll(t, records, Options{}), "layers.csv"))
	if want := 2 * 3 * 18; len(rows) != want {
		t.Fatalf("%d rows, want one for each cell, update and layer: %d", len(rows), want)
	}
	u := records[2].Result.Updates[1]
	got := rows[18*3+18+3] // second cell, second update, fourth layer
	for column, want := range map[string]string{
		"schema": "1", "id": "adjust-0.5-2", "seed": "2", "state": "done", "update": "1", "update_flops": "5100000",
		"validation_loss": "0.35", "validation_top1": "0.87", "layer": "3", "layer_name": "stage1.block1.conv2",
		"fur": exact(u.FUR[3]), "fur_std_err": "0.0005", "drop_rate": "0.1", "flops_per_channel": "294912.5",
		"moved": "shrunk", "channels_before": strconv.Itoa(u.Channels[3]), "channels_after": strconv.Itoa(u.Next[3]),
	} {
		if got[column] != want {
			t.Errorf("column %s is %q, want %q", column, got[column], want)
		}
	}
	for layer, want := range map[int]string{1: "shrunk", 2: "", 12: "grown", 14: "grown"} {
		if got := rows[layer]["moved"]; got != want {
			t.Errorf("layer %d moved %q, want %q", layer, got, want)
		}
	}
}

func TestMovedBothWays(t *testing.T) {
	if got := moved(&Update{Grown: []int{0}, Shrunk: []int{0}}, 0); got != "grown, shrunk" {
		t.Errorf("a layer in both lists is %q", got)
	}
}

func TestTimingCSV(t *testing.T) {
	r := cell(t, "l1", "1.0", 7)
	r.Run.Job = "1234_5"
	got := readCSV(t, filepath.Join(writeAll(t, []*Record{r}, Options{}), "timing.csv"))[0]
	for column, want := range map[string]string{
		"schema": "1", "id": "l1-1.0-7", "start": "2026-03-01T12:00:07Z", "wall_seconds": "61.25",
		"device_seconds": "58.5", "host": "builder", "job": "1234_5", "jobs": "2", "threads": "1",
		"go_version": "go1.26.8",
	} {
		if got[column] != want {
			t.Errorf("column %s is %q, want %q", column, got[column], want)
		}
	}
}

// What differs between two runs of a cell may only show in timing.csv and benchmarks.txt.
func TestRunShowsInTimingOnly(t *testing.T) {
	a := quick(t, []string{"0.5"}, 1, 2)
	b := quick(t, []string{"0.5"}, 1, 2)
	for i, r := range b {
		shortened(a[i]) // fewer figures to draw
		shortened(r).Run = Run{Host: "elsewhere", Jobs: 9, Threads: 9, WallSeconds: 1, GoVersion: "go2"}
	}
	x, y := readFolder(t, writeAll(t, a, Options{Name: "quick"})), readFolder(t, writeAll(t, b, Options{Name: "quick"}))
	for name := range x {
		if same := x[name] == y[name]; same == (name == "timing.csv" || name == "benchmarks.txt") {
			t.Errorf("%s is the same for another host and time: %v", name, same)
		}
	}
}

func TestEpochsCSV(t *testing.T) {
	records := []*Record{failed(t, "l1", "0.5", 1, "diverged"), cell(t, "uniform", "0.5", 2)}
	epochs, err := epochTable(records)
	if err != nil {
		t.Fatal(err)
	}
	rows := epochs.csv()
	got := make(map[string]string)
	for i, column := range rows[0] {
		got[column] = rows[2][i]
	}
	last := records[1].Result.Final.Epochs[1]
	want := map[string]string{
		"schema": "1", "id": "uniform-0.5-2", "experiment": "quick", "network": "resnet20", "width": "0.5",
		"padding": "max", "dataset": "fashion-mnist", "method": "uniform", "variant": "", "budget": "0.5",
		"budget_flops": "5100000", "seed": "2", "state": "done", "epoch": "1", "learning_rate": "0.001",
		"train_loss": exact(last.TrainLoss), "train_top1": "0.91",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("last row:\n%s", diff)
	}
	if len(rows) != 1+2 {
		t.Errorf("%d rows, want one for each epoch of the finished cell", len(rows)-1)
	}
}

func TestExportedFrames(t *testing.T) {
	records := append(quick(t, []string{"0.5"}, 1, 2), failed(t, "random", "0.5", 1, "no"))
	for name, c := range map[string]struct {
		rows func() (int, error)
		want int
	}{
		"Frame":  {func() (int, error) { df, err := Frame(records); return df.Nrow(), err }, 7},
		"Layers": {func() (int, error) { df, err := Layers(records); return df.Nrow(), err }, 108},
		"Epochs": {func() (int, error) { df, err := Epochs(records); return df.Nrow(), err }, 12},
		"Timing": {func() (int, error) { df, err := Timing(records); return df.Nrow(), err }, 7},
	} {
		if n, err := c.rows(); err != nil || n != c.want {
			t.Errorf("%s has %d rows (%v), want %d", name, n, err, c.want)
		}
	}
}

func TestColumnsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "docs", "results.md"))
	if err != nil {
		t.Fatal(err)
	}
	for name, columns := range map[string]func([]*Record) (table, error){
		"frame.csv": cellTable, "layers.csv": layerTable, "epochs.csv": epochTable,
		"timing.csv": timingTable, "truth.csv": truthTable,
	} {
		frame, err := columns(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, column := range frame.names() {
			if !strings.Contains(string(doc), "`"+column+"`") {
				t.Errorf("column %s of %s is not in docs/results.md", column, name)
			}
		}
	}
}
