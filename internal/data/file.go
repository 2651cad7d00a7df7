package data

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"netadjust/internal/atomicfile"
)

// file is one file of a dataset.
type file struct {
	name   string // of the content: the file in the folder is called so, with ".gz" behind it if it is gzipped
	gzip   bool
	size   int64  // of the content, in bytes
	sha256 string // of the official content, in hexadecimal
	layout layout
	first  int // index in its split of the first image it describes
	images int // how many images it describes
}

// diskName returns the name of the file in the folder.
func (f file) diskName() string {
	if f.gzip {
		return f.name + ".gz"
	}
	return f.name
}

// present tells whether the file is in the folder. It looks at the size of a file that is not gzipped and does not
// open any: the error says that something else than the wanted file is in its place.
func (f file) present(folder string) (bool, error) {
	path := filepath.Join(folder, f.diskName())
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("%s is not a regular file", path)
	case !f.gzip && info.Size() != f.size:
		return false, fmt.Errorf("%s has %d bytes, want %d", path, info.Size(), f.size)
	}
	return true, nil
}

// read hands the content of the file in folder to consume and checks it against sum.
func (f file) read(folder, sum string, consume func(io.Reader) error) error {
	on, err := os.Open(filepath.Join(folder, f.diskName()))
	if err != nil {
		return err
	}
	defer on.Close()
	return f.verify(on, sum, consume)
}

// write stores the file, as read from r, in folder: after its content has been checked, or not at all.
func (f file) write(folder string, r io.Reader) error {
	return atomicfile.WriteTo(filepath.Join(folder, f.diskName()), func(w io.Writer) error {
		buffered := bufio.NewWriterSize(w, 1<<16)
		if err := f.verify(io.TeeReader(r, buffered), f.sha256, discard); err != nil {
			return err
		}
		return buffered.Flush()
	})
}

// verify hands the content of the file, read from r as it lies in the folder, to consume, and then checks size and
// SHA-256 of all of it. What is wrong with the content as a whole goes before what consume says.
func (f file) verify(r io.Reader, sum string, consume func(io.Reader) error) error {
	if f.gzip {
		unzipped, err := gzip.NewReader(r)
		if err != nil {
			return err
		}
		r = unzipped
	}
	// One byte more than wanted is enough to see that the content is too long.
	limited := &io.LimitedReader{R: r, N: f.size + 1}
	hash := sha256.New()
	content := io.TeeReader(limited, hash)
	consumed := consume(content)
	if err := discard(content); err != nil {
		return err
	}
	switch n := f.size + 1 - limited.N; {
	case n < f.size:
		return fmt.Errorf("content has %d bytes, want %d", n, f.size)
	case n > f.size:
		return fmt.Errorf("content has more than the %d bytes wanted", f.size)
	}
	want, err := hex.DecodeString(sum)
	if got := hash.Sum(nil); err != nil || !bytes.Equal(got, want) {
		return fmt.Errorf("SHA-256 of the content is %x, want %s", got, sum)
	}
	return consumed
}

// discard reads r to its end.
func discard(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}
