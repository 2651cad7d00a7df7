// Package atomicfile writes files that are either complete or absent, even when the process or the machine dies.
package atomicfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// temporary is in the names of files that are being written, behind a dot and the name they will have.
const temporary = ".tmp-"

// Write puts data into the file at path. Readers see the old file or the whole new one, never a part.
func Write(path string, data []byte) error {
	return WriteTo(path, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(data))
		return err
	})
}

// WriteTo lets write produce the contents of the file at path: they go to a temporary file in the same folder, which is
// synced, renamed over path, and made durable by syncing the folder. On an error path is left as it was.
func WriteTo(path string, write func(io.Writer) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+temporary+"*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, errors.Join(err, ignoreClosed(f.Close()), os.Remove(f.Name())))
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	return Commit(f, path)
}

// Commit makes a file that has been written completely, in the folder of path, appear as path: it is synced, closed,
// renamed over path, and made durable by syncing the folder.
func Commit(f *os.File, path string) error {
	if err := syncFile(f); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// Sweep removes what writers of files in dir whose names begin with prefix have left when they were killed. Nobody may be
// writing such a file.
func Sweep(dir, prefix string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "."+prefix) && strings.Contains(e.Name(), temporary) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// SweepOld removes what writers of any files in dir have left when they were killed: what was written last an hour before
// the time now, which has to be by the clock of the file system. Nobody takes so long to write a file.
func SweepOld(dir string, now time.Time) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") || !strings.Contains(e.Name(), temporary) {
			continue
		}
		if info, statErr := e.Info(); statErr == nil && now.Sub(info.ModTime()) > time.Hour {
			if gone := os.Remove(filepath.Join(dir, e.Name())); !errors.Is(gone, fs.ErrNotExist) {
				err = errors.Join(err, gone)
			}
		}
	}
	return err
}

// SetAside renames a damaged file so that it is kept but not read again, and returns the new path.
func SetAside(path string) (string, error) {
	for i := 1; ; i++ {
		aside := fmt.Sprintf("%s.damaged-%d", path, i)
		if _, err := os.Lstat(aside); errors.Is(err, fs.ErrNotExist) {
			return aside, os.Rename(path, aside)
		}
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// syncDir makes a rename in dir durable. Systems that cannot sync a folder (Windows, some network disks) have nothing
// to offer here, so their refusal is no error.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	_ = d.Sync()
	return nil
}

// syncFile syncs f and tolerates file systems that do not know how to.
func syncFile(f *os.File) error {
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
