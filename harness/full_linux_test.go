package harness

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/progress"
)

// TestFullDisk runs an experiment on a disk that is full when it begins, and on which a little room is made whenever it
// waits. It has to come to its end, and to leave what it leaves elsewhere, byte for byte.
func TestFullDisk(t *testing.T) {
	defer func(was func(context.Context) bool) { wait = was }(wait)
	e := parse(t, settings+"candidates = 2\nnorm_batches = 2\n"+matrix(`"l1", "random_ratio", "adjust"`, "1"))
	few := true
	run := func(out string) *recorder {
		few = true
		o, events := options(e, out)
		o.Checkpoint = 1 // as often as possible
		if s, err := Run(t.Context(), o); err != nil || s.Done != len(e.Cells) {
			t.Fatalf("%+v, %v", s, err)
		}
		few = false // since each wait is for a whole report
		warn := func(err error) { events.Print(progress.Event{Kind: progress.Warning, Message: err.Error()}) }
		if _, err := Report(t.Context(), out, warn); err != nil {
			t.Fatal(err)
		}
		return events
	}
	whole := filepath.Join(t.TempDir(), "out")
	run(whole)
	for what, options := range map[string]string{"blocks": "size=16m", "files": "size=64m,nr_inodes=240"} {
		disk := t.TempDir()
		if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, options); err != nil {
			t.Skipf("a disk to be filled cannot be mounted, which takes root: %v", err)
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(disk, 0); err != nil {
				t.Error(err)
			}
		})
		free, waits := fill(t, disk, what), 0
		wait = func(context.Context) bool {
			waits++
			if few {
				return free(1)
			}
			return free(80)
		}
		events := run(filepath.Join(disk, "out"))
		if warned := events.count(progress.Warning, "waiting until there is space"); waits < 20 || warned < 5 {
			t.Errorf("%s: the disk was full %d times, with %d warnings", what, waits, warned)
		}
		if diff := cmp.Diff(finished(t, whole), finished(t, filepath.Join(disk, "out"))); diff != "" {
			t.Errorf("%s (-elsewhere +on a full disk):\n%s", what, diff)
		}
	}
}

// fill fills a disk with blocks or files, and returns a function that frees so many of them, if there are any left.
func fill(t *testing.T, disk, what string) (free func(n int) bool) {
	t.Helper()
	full := func(err error) bool {
		if err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		return err != nil
	}
	if what == "files" {
		var files []string
		for path := filepath.Join(disk, "filler"); !full(os.WriteFile(path, nil, 0o644)); path += "r" {
			files = append(files, path)
		}
		return func(n int) bool {
			gone := files[max(len(files)-n, 0):]
			for _, path := range gone {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			files = files[:len(files)-len(gone)]
			return len(gone) > 0
		}
	}
	const step = 16 << 10
	path, size := filepath.Join(disk, "filler"), int64(0)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, step); ; size += step {
		if _, err := f.Write(block); full(err) {
			break
		}
	}
	return func(n int) bool {
		size -= int64(n) * step
		return size >= 0 && os.Truncate(path, size) == nil
	}
}

// finished returns the files below out whose content depends on the experiment alone, and the names of all others but
// records, in which times are.
func finished(t *testing.T, out string) map[string]string {
	t.Helper()
	files := map[string]string{"hashes": fmt.Sprint(hashes(t, out))}
	err := filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := strings.TrimPrefix(path, out)
		switch d.Name() {
		case "log.jsonl", "record.json", "timing.csv", "benchmarks.txt":
			files[name] = ""
		default:
			files[name] = read(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
