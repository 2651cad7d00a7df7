package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Get makes the dataset of the given name complete in the data folder dir: it checks the files that are there and gets
// those that are not from the first source that has them, telling log what it does. A complete dataset is left as it
// is. Every file is checked before it appears under its name, so that Get can be ended at any moment and run again.
//
// A file with the wrong content is not replaced but named in the error, in case it is the only copy of something. If no
// source has the files, the error lists what each one answered and where to put them by hand.
//
// A pack has no sources: it is only verified.
func Get(ctx context.Context, name, dir string, log func(format string, args ...any)) error {
	if s := lookup(name); s != nil {
		return s.get(ctx, dir, log)
	}
	return Verify(name, dir)
}

// Verify reads all files of the dataset of the given name in the data folder dir and compares them with their
// checksums.
func Verify(name, dir string) error {
	d, err := Open(name, dir)
	if err != nil {
		return err
	}
	if d.pack != nil {
		return d.pack.verify()
	}
	_, err = d.check()
	return err
}

// ErrNoSource is the error of a dataset that cannot be had from any of its sources.
var ErrNoSource = errors.New("no source has all of")

func (s *spec) get(ctx context.Context, dir string, log func(format string, args ...any)) error {
	d, err := s.locate(dir)
	if err != nil {
		return err
	}
	missing, err := d.check()
	if err != nil {
		return err
	}
	if len(missing) == 0 {
		log("%s is complete in %s", s.Title, d.folder)
		return nil
	}
	if d.Modified {
		return fmt.Errorf("%s has no %s, and by its %s it is not the official data, which is all that can be got",
			d.folder, strings.Join(missing, ", "), sumsName)
	}
	var answers []string
	for _, source := range s.sources {
		log("%s: trying %s", s.Title, source.title)
		err := source.fetch(ctx, missing, func(name string, r io.Reader) error {
			if err := os.MkdirAll(d.folder, 0o755); err != nil {
				return err
			}
			if err := s.file(name).write(d.folder, r); err != nil {
				return err
			}
			missing = slices.DeleteFunc(slices.Clone(missing), func(m string) bool { return m == name })
			return nil
		})
		if ctx.Err() != nil {
			return fmt.Errorf("get %s: %w", s.Name, ctx.Err())
		}
		if len(missing) == 0 {
			log("%s is complete in %s", s.Title, d.folder)
			return nil
		}
		if err == nil {
			err = fmt.Errorf("has no %s", strings.Join(missing, ", "))
		}
		log("%s: %v", s.Title, err)
		answers = append(answers, fmt.Sprintf("\n  %s: %v", source.title, err))
	}
	return fmt.Errorf("%w %s:%s\nput these files into %s by hand: %s", ErrNoSource, s.Title,
		strings.Join(answers, ""), d.folder, strings.Join(missing, ", "))
}

// check compares every file in the folder with its sum and returns the disk names of those that are not there.
func (d *Dataset) check() (missing []string, err error) {
	for _, f := range d.spec.files() {
		switch ok, err := f.present(d.folder); {
		case err != nil:
			return nil, d.damaged(err)
		case !ok:
			missing = append(missing, f.diskName())
			continue
		}
		if err := d.checkFile(f); err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// checkFile compares a file with its checksum.
func (d *Dataset) checkFile(f file) error {
	if err := f.read(d.folder, d.sums[f.name], discard); err != nil {
		return d.damaged(describe(filepath.Join(d.folder, f.diskName()), err))
	}
	return nil
}

// file returns the file with the given disk name.
func (s *spec) file(diskName string) file {
	files := s.files()
	return files[slices.IndexFunc(files, func(f file) bool { return f.diskName() == diskName })]
}
