package data

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// pack is a pack whose header has been read and checked.
type pack struct {
	packHeader
	path     string
	checksum string // SHA-256 of the header
	index    int64  // offset of the index
	size     int64  // of the file

	once sync.Once
	all  *packed // the images of both splits
	err  error
}

// openPack reads the header of a pack. The error for another kind of file, or one that is cut short, says so.
func openPack(path string) (*pack, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	p := &pack{path: path, size: info.Size()}
	if err := p.readHeader(file); err != nil {
		return nil, p.damaged(err)
	}
	return p, nil
}

func (p *pack) readHeader(file *os.File) error {
	footer := make([]byte, footerSize)
	if p.size < int64(footerSize) {
		return fmt.Errorf("it has only %d bytes", p.size)
	}
	end := p.size - int64(footerSize)
	if _, err := file.ReadAt(footer, end); err != nil {
		return err
	}
	if !bytes.HasSuffix(footer, []byte(packMagic)) {
		return errors.New("it does not end as a pack does")
	}
	length := binary.LittleEndian.Uint64(footer)
	if length > uint64(end) {
		return fmt.Errorf("its header has %d bytes, and the file %d", length, p.size)
	}
	header := make([]byte, length)
	if _, err := file.ReadAt(header, end-int64(length)); err != nil {
		return err
	}
	sum := sha256.Sum256(header)
	if !bytes.Equal(sum[:], footer[8:8+sha256.Size]) {
		return errors.New("its header does not have its SHA-256")
	}
	if err := json.Unmarshal(header, &p.packHeader); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	if most := p.size / int64(entrySize); int64(p.Train) > most || int64(p.Test) > most || p.Train < 0 || p.Test < 0 {
		return fmt.Errorf("%d training and %d test images in %d bytes", p.Train, p.Test, p.size)
	}
	p.checksum = hexSum(header)
	p.index = end - int64(length) - int64(entrySize)*int64(p.written())
	return nil
}

// written is how many entries the pack has, those of files that were left out included.
func (p *pack) written() int { return p.Train + p.Test + len(p.Skipped) }

// damaged adds to an error what can be done about it.
func (p *pack) damaged(err error) error {
	return fmt.Errorf("%s is no pack, or a damaged one: %w; delete it and run `netadjust data pack` again", p.path, err)
}

// info describes the dataset.
func (p *pack) info() Info {
	name := strings.TrimSuffix(filepath.Base(p.path), packSuffix)
	return Info{Name: name, Title: name, Classes: len(p.Classes), Channels: 3, Height: p.Size, Width: p.Size,
		TrainImages: p.Train, TestImages: p.Test, HeldOut: p.Validation, Checksum: p.checksum}
}

// packed is the images of a pack, mapped into memory, or some of them.
type packed struct {
	path    string
	file    *os.File
	data    []byte
	side    int
	entries []entry
	offsets []int // of pixels
}

func (p *packed) slice(from, to int) *packed {
	part := *p
	part.entries, part.offsets = p.entries[from:to:to], p.offsets[from:to:to]
	return &part
}

func (p *packed) pixels(i int) []byte { return p.data[p.offsets[i]:][:p.entries[i].bytes()] }

// fetch reads an image from the file, which the system then has in its memory, and checks it.
func (p *packed) fetch(i int, buffer []byte) ([]byte, error) {
	e := &p.entries[i]
	buffer = resized(buffer, e.bytes())
	if _, err := p.file.ReadAt(buffer, int64(p.offsets[i])); err != nil {
		return buffer, err
	}
	if sha256.Sum256(buffer) != e.SHA256 {
		return buffer, fmt.Errorf("%s is damaged: the image at byte %d does not have its SHA-256; delete the file and run "+
			"`netadjust data pack` again", p.path, p.offsets[i])
	}
	return buffer, nil
}

// images returns the images of a split.
func (p *pack) images(from, to int) (*Images, error) {
	p.once.Do(func() {
		if p.all, p.err = p.open(); p.err != nil {
			p.err = p.damaged(p.err)
		}
	})
	if p.err != nil {
		return nil, p.err
	}
	im := &Images{Channels: 3, Height: p.Size, Width: p.Size, packed: p.all.slice(from, to)}
	for _, e := range im.packed.entries {
		im.Labels = append(im.Labels, int32(e.Label))
	}
	return im, nil
}

// open reads the index and maps the file.
func (p *pack) open() (*packed, error) {
	file, err := os.Open(p.path)
	if err != nil {
		return nil, err
	}
	all := &packed{path: p.path, file: file, side: p.Side}
	if err := p.readIndex(all); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if all.data, err = mapFile(file, int(p.size)); err != nil {
		return nil, errors.Join(fmt.Errorf("map into memory: %w", err), file.Close())
	}
	return all, nil
}

func (p *pack) readIndex(all *packed) error {
	if p.Train < 1 || p.Test < 1 || p.index < 0 {
		return fmt.Errorf("%d training and %d test images in %d bytes", p.Train, p.Test, p.size)
	}
	index := make([]byte, p.written()*entrySize)
	if _, err := all.file.ReadAt(index, p.index); err != nil {
		return err
	}
	if got := hexSum(index); got != p.Index {
		return fmt.Errorf("its index has SHA-256 %s, the header says %s", got, p.Index)
	}
	entries := make([]entry, p.written())
	if _, err := binary.Decode(index, binary.LittleEndian, entries); err != nil {
		return err
	}
	at := 0
	for i, e := range entries {
		at += entrySize
		if e.Height == 0 {
			continue // left out
		}
		all.entries, all.offsets = append(all.entries, e), append(all.offsets, at)
		if at += e.bytes(); e.Width == 0 || at > int(p.index) || int(e.Label) >= len(p.Classes) {
			return fmt.Errorf("image %d of the index cannot be: class %d, %d x %d pixels", i, e.Label, e.Width, e.Height)
		}
	}
	if got := len(all.entries); got != p.Train+p.Test {
		return fmt.Errorf("its index has %d images, the header says %d", got, p.Train+p.Test)
	}
	return nil
}

// verify reads all images and compares them with the index.
func (p *pack) verify() error {
	im, err := p.images(0, p.Train+p.Test)
	if err != nil {
		return err
	}
	var buffer []byte
	for i := range im.Len() {
		if buffer, err = im.packed.fetch(i, buffer); err != nil {
			return err
		}
	}
	return nil
}

var packName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

func safePackName(name string) bool { return packName.MatchString(name) }

// findPack opens the pack of a dataset in the data folder dir. If there is none, the error says whether there is a
// folder that could be packed.
func findPack(name, dir string) (*pack, error) {
	if !safePackName(name) {
		return nil, fs.ErrNotExist
	}
	p, err := openPack(filepath.Join(dir, name+packSuffix))
	if !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	folder := filepath.Join(dir, name)
	if info, statErr := os.Stat(filepath.Join(folder, "train")); statErr == nil && info.IsDir() {
		return nil, fmt.Errorf("%s is a folder of images that is not packed; run `netadjust data pack %s`", folder, folder)
	}
	return nil, err
}

// List describes all datasets that there are for the data folder dir: those known, then by name the packs in it, and
// what might be one. A pack that cannot be read, and a folder of images that has not been packed, have nothing but a
// name; Open tells why.
func List(dir string) []Info {
	infos := Known()
	// Only a bad pattern would be an error.
	packs, _ := filepath.Glob(filepath.Join(dir, "*"+packSuffix))
	folders, _ := filepath.Glob(filepath.Join(dir, "*", "train"))
	var names []string
	for _, path := range packs {
		names = append(names, strings.TrimSuffix(filepath.Base(path), packSuffix))
	}
	for _, path := range folders {
		names = append(names, filepath.Base(filepath.Dir(path)))
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if !safePackName(name) || lookup(name) != nil {
			continue
		}
		info := Info{Name: name, Title: name}
		if p, err := findPack(name, dir); err == nil {
			info = p.info()
		}
		infos = append(infos, info)
	}
	return infos
}
