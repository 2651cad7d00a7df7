package data

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Dataset is a dataset whose files have been found.
type Dataset struct {
	Info

	// Checksum identifies the content: the hexadecimal SHA-256 over the sorted lines "sha256  name\n" of all files, in
	// terms of their decompressed content. It is made from the sums that the files must have, so that it is known
	// without reading a test file, and it is the same wherever the files came from.
	Checksum string

	// Modified is true if the folder holds, on purpose, something else than the official data; see [Open].
	Modified bool
	Note     string // says so in words, and in which way as far as the folder does; empty for the official data

	spec   *spec
	dir    string // data folder
	folder string // the folder in it that holds the files
	sums   map[string]string

	pack *pack // instead of all these, if the dataset is one
}

// Dir returns the data folder: flag if it is not empty, else the environment variable NETADJUST_DATA, else "data".
func Dir(flag string) string { return cmp.Or(flag, os.Getenv("NETADJUST_DATA"), "data") }

// Open finds the dataset of the given name in the data folder dir. Its files lie in dir/name, or in the folder therein
// that the official archive unpacks to. Open fails if a file is missing or has the wrong size, and says how to get it;
// it opens no file of images.
//
// The files must have the official content, unless there is a file SHA256SUMS beside them, in the format of sha256sum.
// Then they must have the sums listed there, which makes it possible to use, say, re-encoded images in the same layout
// knowingly: Modified is set if the sums differ from the official ones, and results made from such data can say so with
// Note, which has the lines of that file that start with #. For gzipped files the sums are those of the decompressed
// content, under the name without ".gz".
//
// Any other name is that of a pack, dir/name.pack.
func Open(name, dir string) (*Dataset, error) {
	if s := lookup(name); s != nil {
		return s.open(dir)
	}
	p, err := findPack(name, dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, unknown(name, List(dir))
	case err != nil:
		return nil, err
	}
	return &Dataset{Info: p.info(), Checksum: p.checksum, dir: dir, pack: p}, nil
}

func (s *spec) open(dir string) (*Dataset, error) {
	d, err := s.locate(dir)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, f := range s.files() {
		switch ok, err := f.present(d.folder); {
		case err != nil:
			return nil, d.damaged(err)
		case !ok:
			missing = append(missing, f.diskName())
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%s is not complete: %s has no %s; run `%s`, or put the files there by hand",
			s.Title, d.folder, strings.Join(missing, ", "), d.getCommand())
	}
	return d, nil
}

// locate finds the folder and the sums of the dataset, complete or not.
func (s *spec) locate(dir string) (*Dataset, error) {
	folder := filepath.Join(dir, s.Name)
	if info, err := os.Stat(filepath.Join(folder, s.archive)); err == nil && info.IsDir() {
		folder = filepath.Join(folder, s.archive)
	}
	sums, note, err := s.sums(folder)
	if err != nil {
		return nil, err
	}
	return &Dataset{Info: s.info(), Checksum: checksum(sums), Modified: note != "", Note: note,
		spec: s, dir: dir, folder: folder, sums: sums}, nil
}

// Train reads, checks and decodes the training images. The error for a damaged file names it and says what to do.
func (d *Dataset) Train() (*Images, error) {
	if d.pack != nil {
		return d.pack.images(0, d.TrainImages)
	}
	return d.read(d.spec.train, d.TrainImages)
}

// Test reads, checks and decodes the test images. It is meant to be called once per finished network and by nothing
// that searches. The error for a damaged file names it and says what to do.
func (d *Dataset) Test() (*Images, error) {
	if d.pack != nil {
		return d.pack.images(d.TrainImages, d.TrainImages+d.TestImages)
	}
	return d.read(d.spec.test, d.TestImages)
}

// CheckTest compares the files of test images with their checksums, so that damage shows before hours of training, and
// looks at nothing that they hold. Packs, which can be very large, are checked when they are read, or by [Verify].
func (d *Dataset) CheckTest() error {
	if d.pack != nil {
		return nil
	}
	for _, f := range d.spec.test {
		if err := d.checkFile(f); err != nil {
			return err
		}
	}
	return nil
}

// ClassName returns the name of a class: that of its folder for the images of a pack, else its number.
func (d *Dataset) ClassName(class int) string {
	if d.pack != nil {
		return d.pack.Classes[class]
	}
	return strconv.Itoa(class)
}

func (d *Dataset) read(files []file, n int) (*Images, error) {
	im := &Images{Channels: d.Channels, Height: d.Height, Width: d.Width,
		Pixels: make([]byte, n*d.Channels*d.Height*d.Width), Labels: make([]int32, n)}
	for _, f := range files {
		part, err := im.Slice(f.first, f.first+f.images)
		if err != nil {
			return nil, err
		}
		err = f.read(d.folder, d.sums[f.name], func(r io.Reader) error { return f.layout(r, d.Classes, part) })
		if err != nil {
			return nil, d.damaged(describe(filepath.Join(d.folder, f.diskName()), err))
		}
	}
	return im, nil
}

// describe puts the path before an error about a file's content; errors of the file system name it themselves.
func describe(path string, err error) error {
	if _, named := errors.AsType[*fs.PathError](err); named {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// damaged adds to an error that names a file what can be done about it.
func (d *Dataset) damaged(err error) error {
	if d.Modified {
		return fmt.Errorf("%w; restore the file that %s there describes, or delete %s and run `%s` for the official data",
			err, sumsName, d.folder, d.getCommand())
	}
	return fmt.Errorf("%w; delete the file and run `%s`; if %s is meant to differ from the official data, "+
		"run there `%s`", err, d.getCommand(), d.folder, d.spec.sumsCommand)
}

// getCommand is the command that makes the dataset complete.
func (d *Dataset) getCommand() string {
	command := "netadjust data get " + d.Name
	if d.dir != Dir("") {
		command += " --data " + d.dir
	}
	return command
}
