package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/data/datatest"
)

// images is an experiment on the user's own images.
const images = `name = "images"
[train]
epochs        = 6
batch         = 16
learning_rate = 0.1
augment       = "resized-crop-flip"
[[matrix]]
network = "resnet18"
width   = 0.125
dataset = "stripes"
method  = "uniform"
budget  = 1.0
seed    = 1
`

// TestOwnImages packs a folder of images, verifies and lists it, trains ResNet-18 on it and tests the network: all that
// somebody does who brings images.
func TestOwnImages(t *testing.T) {
	dir, folder := t.TempDir(), datatest.Folder(t, 3, 30)
	file := experiment(t, images)
	call(t.Context(), "plan", file, "--data", dir).check(t, exitUsage, "", `dataset: unknown name "stripes"`)
	call(t.Context(), "data", "pack", folder, "--data", dir, "--size", "32").check(t, 0, "",
		"stripes.pack has 90 training images, of which 9 are held out unless an experiment says otherwise, and 30 test")
	call(t.Context(), "data", "list", "--data", dir).check(t, 0,
		"stripes        3x32x32, 3 classes, 90 training and 30 test images; present\n", "")
	r := call(t.Context(), "data", "verify", "stripes", "--data", dir)
	r.check(t, 0, "30 to 30 training images in each of 3 classes\n", "")
	v := decode[verified](t, call(t.Context(), "data", "verify", "stripes", "--data", dir, "--json").stdout)
	if diff := cmp.Diff([][]int{{30, 30, 30}, {10, 10, 10}}, [][]int{v.TrainImages, v.TestImages}); diff != "" ||
		len(v.Mean) != 3 || v.Mean[0] < v.Mean[1] {
		t.Errorf("%+v", v)
	}
	call(t.Context(), "data", "get", file, "--data", dir).check(t, 0, "stripes is complete in "+dir, "")

	out := filepath.Join(t.TempDir(), "out")
	r = call(t.Context(), "run", file, "--data", dir, "--out", out)
	r.check(t, 0, "1 cells finished now, 0 before, 0 failed\n", "")
	// A guess among three classes is right in a third of the cases.
	_, after, _ := strings.Cut(r.stderr, "test top-1 ")
	top1, _, _ := strings.Cut(after, " ")
	if len(top1) < 5 || top1 < "60" {
		t.Errorf("test top-1 %q, want more than 60 %%\n%s", top1, r.stderr)
	}
	frame := read(t, out, "frame.csv")
	for _, want := range []string{"config.data.train", "config.dataset_checksum", v.Checksum} {
		if !strings.Contains(frame, want) {
			t.Errorf("frame.csv has no %s:\n%s", want, frame)
		}
	}
	cells, err := filepath.Glob(filepath.Join(out, "cells", "*"))
	if err != nil || len(cells) != 1 {
		t.Fatal(cells, err)
	}
	e := decode[evaluation](t, call(t.Context(), "eval", cells[0], "--data", dir, "--seconds", "0.01", "--json",
		"--logits", filepath.Join(out, "logits")).stdout)
	if got := fmt.Sprintf("%.2f", 100*e.Top1); got != top1 || e.Images != 30 || e.Classes[2].Name != "c" {
		t.Errorf("evaluated again: %s %% of %d images, not %s", got, e.Images, top1)
	}
	// Other images are other cells.
	if err := os.Remove(filepath.Join(dir, "stripes.pack")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(folder, "train", "b", "train-3.JPEG")); err != nil {
		t.Fatal(err)
	}
	call(t.Context(), "data", "pack", folder, "--data", dir, "--size", "32").check(t, 0, "", "89 training images")
	plan := call(t.Context(), "plan", file, "--data", dir)
	id := strings.Fields(strings.Split(plan.stdout, "\n")[1])[0]
	if strings.Contains(frame, id) || !strings.HasPrefix(id, "resnet18-w0.125-stripes-uniform-b1-s1-") {
		t.Errorf("cell %s is one of the frame, or none", id)
	}
}

// TestPackCorrupt checks the ways out of corrupt files.
func TestPackCorrupt(t *testing.T) {
	dir, folder := t.TempDir(), datatest.Folder(t, 2, 6)
	if err := os.WriteFile(filepath.Join(folder, "val", "a", "broken.jpg"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"data", "pack", folder, "--data", dir, "--name", "two", "--size", "16"}
	r := call(t.Context(), args...)
	r.check(t, exitFailed, "",
		"val/a/broken.jpg: image: unknown format\nmend or remove them, or leave them out with --skip-corrupt")
	call(t.Context(), append(args, "--skip-corrupt")...).check(t, 0, "", "two.pack has 12 training images")
}
