package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netadjust/harness"
	"netadjust/internal/data"
	"netadjust/internal/safetensors"
	"netadjust/internal/train"
	"netadjust/networks"
)

// finished runs an experiment of one cell and returns the output folder and the cell's id.
func finished(t *testing.T) (out, id string) {
	t.Helper()
	out = filepath.Join(t.TempDir(), "out")
	file := experiment(t, strings.Replace(tiny, `["uniform", "l1", "adjust"]`, `"uniform"`, 1))
	call(t.Context(), "run", file, "--out", out).check(t, 0, "1 cells finished now", "")
	cells, err := os.ReadDir(filepath.Join(out, "cells"))
	if err != nil || len(cells) != 1 {
		t.Fatal(cells, err)
	}
	return out, cells[0].Name()
}

func TestExport(t *testing.T) {
	out, id := finished(t)
	dir := t.TempDir()
	cell, weights := filepath.Join(out, "cells", id), filepath.Join(out, "cells", id, "weights.safetensors")
	// What is exported is not replaced.
	copied := filepath.Join(dir, "net.safetensors")
	if err := os.WriteFile(copied, []byte(read(t, weights)), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{copied, "--format", "torch", "--out", filepath.Join(dir, "net.py")}, {copied, "--out", copied},
		{cell, "--format", "widths", "--out", filepath.Join(cell, "record.json")},
	} {
		call(t.Context(), append([]string{"export"}, args...)...).check(t, exitUsage, "",
			" belongs to what is exported; name another file")
	}
	call(t.Context(), "export", copied, "--out", filepath.Join(dir, "net.onnx")).check(t, 0, "net.onnx", "")
	if read(t, copied) != read(t, weights) {
		t.Error("export has changed its input")
	}
	for _, tt := range []struct {
		file string
		args []string
		want string // in the file
	}{
		{"a.onnx", []string{cell}, "BatchNormalization"},
		{"b.onnx", []string{id, "--in", out, "--fold", "--normalize"}, "pixels"},
		{"c.onnx", []string{weights, "--format", "onnx"}, "resnet8"},
		{"d.py", []string{cell, "--format", "torch"}, "#   cell: " + id + "\n"},
		{"d.safetensors", nil, `"cell":"` + id + `"`},
		{"e.json", []string{cell, "--format", "widths"}, `"channels": [`},
		{"f.toml", []string{weights, "--format", "widths"}, "channels = [8, 8, 16, 16, 32, 32]"},
	} {
		path := filepath.Join(dir, tt.file)
		if tt.args != nil {
			call(t.Context(), append([]string{"export", "--out", path}, tt.args...)...).check(t, 0, path+"\n", "")
		}
		if !strings.Contains(read(t, path), tt.want) {
			t.Errorf("%s does not hold %q", tt.file, tt.want)
		}
	}

	damaged := filepath.Join(dir, "damaged.safetensors")
	if err := os.WriteFile(damaged, []byte(read(t, weights)[:500]), 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "x.onnx")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{cell}, "--out is missing"},
		{[]string{cell, "--out", path, "--format", "onyx"}, `unknown format "onyx"; formats are onnx, torch and widths`},
		{[]string{cell, "--out", path, "--format", "widths"}, path + ": widths are written as JSON or TOML"},
		{[]string{cell, "--out", path, "--format", "widths", "--fold"}, "holds no weights"},
		{[]string{cell, "--out", path, "--format", "torch"}, path + ": Python imports no such file"},
		{[]string{filepath.Join(dir, "none"), "--out", path}, "name the folder of a finished cell or a weights file"},
		{[]string{id, "--in", dir, "--out", path}, filepath.Join(dir, "cells", id)},
		{[]string{dir, "--out", path}, dir + " is not the folder of a finished cell"},
		{[]string{damaged, "--out", path}, damaged + ": file is damaged or foreign: "},
		{[]string{filepath.Join(cell, "record.json"), "--out", path}, "record.json: file is damaged or foreign: "},
	} {
		call(t.Context(), append([]string{"export"}, tt.args...)...).check(t, exitUsage, "", tt.want)
	}
	if _, err := os.Stat(path); err == nil {
		t.Errorf("%s has been written", path)
	}
}

// TestExportForeignWeights puts the weights of another cell beside a record.
func TestExportForeignWeights(t *testing.T) {
	out, id := finished(t)
	weights := filepath.Join(out, "cells", id, "weights.safetensors")
	f, err := safetensors.Read(weights)
	if err != nil {
		t.Fatal(err)
	}
	f.Metadata["cell"] = "another"
	if err := f.Write(weights); err != nil {
		t.Fatal(err)
	}
	call(t.Context(), "eval", id, "--in", out).check(t, exitUsage, "", weights+` holds cell "another"`)
}

func TestEval(t *testing.T) {
	out, id := finished(t)
	logits := filepath.Join(t.TempDir(), "logits.safetensors")
	r := call(t.Context(), "eval", id, "--in", out, "--images", "8", "--batch", "2", "--seconds", "0.01", "--json",
		"--logits", logits)
	r.check(t, 0, "", "")
	got := decode[evaluation](t, r.stdout)
	var record struct {
		Result struct {
			Final struct {
				TestTop1 float64 `json:"test_top1"`
				TestLoss float64 `json:"test_loss"`
			}
		}
	}
	if err := json.Unmarshal([]byte(read(t, out, "cells", id, "record.json")), &record); err != nil {
		t.Fatal(err)
	}
	if f := record.Result.Final; got.Top1 != f.TestTop1 || math.Abs(got.Loss-f.TestLoss) > 1e-6 {
		t.Errorf("top-1 %v and loss %v, the record says %v and %v", got.Top1, got.Loss, f.TestTop1, f.TestLoss)
	}
	images, correct := 0, 0.
	for i, c := range got.Classes {
		if c.Class != i {
			t.Errorf("class %d is in place %d", c.Class, i)
		}
		images += c.Images
		correct += float64(c.Images) * c.Top1
	}
	if images != 8 || got.Images != 8 || math.Abs(correct/8-got.Top1) > 1e-9 || got.Top5 < got.Top1 ||
		got.Dataset != "mnist" {
		t.Errorf("%+v", got)
	}
	if len(got.Latency) != 2 || got.Latency[0].Batch != 1 || got.Latency[1].Batch != 2 {
		t.Fatalf("latency %+v", got.Latency)
	}
	for _, l := range got.Latency {
		if !(l.Runs > 0 && 0 < l.Median && l.Median <= l.P90 && l.P90 <= l.P99) {
			t.Errorf("latency %+v", l)
		}
	}
	f, err := safetensors.Read(logits)
	if err != nil {
		t.Fatal(err)
	}
	if z, err := f.Float32("logits", 8, 10); err != nil || z[0] == z[1] {
		t.Errorf("logits %v, %v", z, err)
	}

	r = call(t.Context(), "eval", filepath.Join(out, "cells", id, "weights.safetensors"), "--dataset", "mnist",
		"--batch", "1", "--seconds", "0.01")
	r.check(t, 0, "resnet8 with widths [8 8 16 16 32 32]\n10000 test images of mnist\n\ntop-1 ", "")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--images", "10001"}, "images 0 to 10001 of 10000"},
		{[]string{"--images", "-1"}, "--images -1"},
		{[]string{"--batch", "0"}, "--batch 0"},
		{[]string{"--dataset", "mnits"}, `unknown dataset "mnits"`},
		{[]string{"--dataset", "cifar10"}, "run `netadjust data get cifar10`"},
		{[]string{"--device", "tpu"}, `unknown device "tpu"`},
	} {
		call(t.Context(), append([]string{"eval", id, "--in", out}, tt.args...)...).check(t, exitUsage, "", tt.want)
	}
	call(t.Context(), "eval", filepath.Join(out, "cells", id, "weights.safetensors")).check(t, exitUsage, "",
		"--dataset is missing")
}

func TestEvalOtherShape(t *testing.T) {
	n, err := networks.New(networks.Spec{Name: "resnet8"})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = testImages(&harness.Trained{Model: &train.Model{Network: n}}, "mnist", data.Dir(""), 0)
	want := "mnist has images 1x28x28 of 10 classes, but the network is for 3x32x32 of 100 classes"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
}
