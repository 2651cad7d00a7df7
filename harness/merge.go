package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"netadjust/internal/atomicfile"
	"netadjust/results"
)

// Merged says what a merge did.
type Merged struct {
	Copied  int      `json:"copied"`  // cells that the folder did not have, or only as failed ones
	Same    int      `json:"same"`    // cells that it had
	Missing []string `json:"missing"` // ids of cells that it still has no record of
}

// Merge copies the cells of other output folders of the same experiment into out, with their weights and logs, and the
// trainings and evaluations that cells share. A cell comes last of all its files with its record. What is there already
// is left, so that a merge can be repeated; but a cell with another result is an error, and so is a damaged record.
// Nothing is copied from a folder of another experiment, or of one with other settings.
func Merge(ctx context.Context, out string, from []string) (*Merged, error) {
	m := &Merged{}
	var errs []error
	for _, dir := range from {
		if err := ctx.Err(); err != nil {
			return m, err
		}
		if err := mergePlan(ctx, out, dir); err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, m.cells(out, dir))
		for _, folder := range []string{trainingsFolder, evaluationsFolder} {
			errs = append(errs, copyMissing(filepath.Join(dir, folder), filepath.Join(out, folder)))
		}
	}
	p, err := readPlan(out)
	if err := errors.Join(append(errs, err)...); err != nil {
		return m, err
	}
	for _, id := range p.Cells {
		if _, err := os.Stat(filepath.Join(out, results.CellsFolder, id, results.RecordFile)); err != nil {
			m.Missing = append(m.Missing, id)
		}
	}
	return m, nil
}

// mergePlan adds the cells of a folder's plan to that of out.
func mergePlan(ctx context.Context, out, dir string) error {
	theirs, err := readPlan(dir)
	if err != nil {
		return err
	}
	ours, err := readPlan(out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(out, 0o755); err != nil {
			return err
		}
		return theirs.write(ctx, out)
	case err != nil:
		return err
	case ours.Name != theirs.Name:
		return fmt.Errorf("%s is of experiment %s, %s of %s", out, ours.Name, dir, theirs.Name)
	}
	known, alike := map[string]bool{}, map[string]string{}
	for _, id := range ours.Cells {
		known[id], alike[withoutHash(id)] = true, id
	}
	for _, id := range theirs.Cells {
		if other := alike[withoutHash(id)]; other != "" && !known[id] {
			return fmt.Errorf("%s and %s do not go together: cells %s and %s differ in settings alone", out, dir, other, id)
		}
	}
	before := len(ours.Cells)
	ours.Cells = append(ours.Cells, slices.DeleteFunc(theirs.Cells, func(id string) bool { return known[id] })...)
	if len(ours.Cells) == before {
		return nil
	}
	return ours.write(ctx, out)
}

// withoutHash is the part of a cell's id that says what it is of.
func withoutHash(id string) string { return id[:max(0, strings.LastIndexByte(id, '-'))] }

// cells copies the cells of a folder.
func (m *Merged) cells(out, dir string) error {
	folders, err := os.ReadDir(filepath.Join(dir, results.CellsFolder))
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range folders {
		source := filepath.Join(dir, results.CellsFolder, f.Name())
		theirs, err := results.ReadCell(source)
		if errors.Is(err, fs.ErrNotExist) {
			continue // not finished
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, m.cell(theirs, source, filepath.Join(out, results.CellsFolder, f.Name())))
	}
	return errors.Join(errs...)
}

// cell copies one finished cell.
func (m *Merged) cell(theirs *results.Record, source, target string) error {
	ours, err := results.ReadCell(target)
	switch {
	case err == nil && ours.Hash == theirs.Hash:
		m.Same++
		return nil
	case err == nil && theirs.Result.Failure != nil:
		m.Same++ // another try has failed, too, or has been better
		return nil
	case err == nil && ours.Result.Failure == nil:
		return fmt.Errorf("%s and %s have different results of the same cell: made by %s on %s, and by %s on %s; remove one",
			target, source, ours.Result.Version, ours.Result.Device, theirs.Result.Version, theirs.Result.Device)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	for _, name := range []string{weightsFile, logFile, results.RecordFile} {
		content, err := os.ReadFile(filepath.Join(source, name))
		if errors.Is(err, fs.ErrNotExist) && name != results.RecordFile {
			continue // a failed cell has no weights
		}
		if err == nil {
			err = atomicfile.Write(filepath.Join(target, name), content)
		}
		if err != nil {
			return err
		}
	}
	m.Copied++
	return nil
}

// contentName is the name of a file that is named by the content of a training or evaluation.
var contentName = regexp.MustCompile(`^[0-9a-f]{24}\.(safetensors|json)$`)

// copyMissing copies the files of a folder that another one does not have. Their names stand for their content; that of
// a file that is there twice has to be the same.
func copyMissing(from, to string) error {
	files, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	var errs []error
	for _, f := range files {
		if !contentName.MatchString(f.Name()) {
			continue // checkpoints, leases, and what was set aside
		}
		source := filepath.Join(from, f.Name())
		content, err := os.ReadFile(source)
		if err == nil {
			err = verifyFile(source)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		path := filepath.Join(to, f.Name())
		switch ours, err := os.ReadFile(path); {
		case errors.Is(err, fs.ErrNotExist):
			errs = append(errs, atomicfile.Write(path, content))
		case err != nil:
			errs = append(errs, err)
		case !bytes.Equal(ours, content):
			errs = append(errs, fmt.Errorf("%s and %s differ", path, source))
		}
	}
	return errors.Join(errs...)
}
