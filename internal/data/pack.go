package data

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"netadjust/internal/atomicfile"
)

// A pack is one file with the decoded images of a folder:
//
//	for each image, training images first: its entry, and its planar bytes
//	the entries again: the index
//	the header as JSON
//	the footer: length and SHA-256 of the header, and packMagic
//
// Numbers are little-endian. The header holds the SHA-256 of the index and the index those of the images, so that of
// the header identifies all of the content. It depends on names and content of the files that were packed and on the
// settings alone.
const (
	packSuffix = ".pack"
	packMagic  = "netadjust pack 1"
)

// entry describes an image of a pack. A file that was left out since it could not be decoded is 0 x 0 pixels large.
type entry struct {
	Label, Height, Width, _ uint32
	Sums, Squares           [3]uint64 // of the bytes of each channel
	SHA256                  [sha256.Size]byte
}

const (
	entrySize  = 4*4 + 2*3*8 + sha256.Size
	footerSize = 8 + sha256.Size + len(packMagic)
)

// packHeader says what a pack holds.
type packHeader struct {
	Classes    []string `json:"classes"` // by label
	Size       int      `json:"size"`    // side of the square that networks see
	Side       int      `json:"side"`    // short side of images, at most
	Train      int      `json:"train"`
	Validation int      `json:"validation"` // how many of these, the last, are meant to be held out
	Test       int      `json:"test"`
	Index      string   `json:"index"`             // SHA-256 of the index
	Skipped    []string `json:"skipped,omitempty"` // files that were left out since they are corrupt
}

// describeImage makes the entry of an image.
func describeImage(label, height, width int, pixels []byte) entry {
	e := entry{Label: uint32(label), Height: uint32(height), Width: uint32(width), SHA256: sha256.Sum256(pixels)}
	for c, plane := range planes(pixels, 3) {
		m := momentsOf(plane)
		e.Sums[c], e.Squares[c] = m.sum, m.squares
	}
	return e
}

// bytes is the size of the image's pixels.
func (e *entry) bytes() int { return 3 * int(e.Height) * int(e.Width) }

func (e *entry) moments(channel int) moments {
	return moments{uint64(e.Height) * uint64(e.Width), e.Sums[channel], e.Squares[channel]}
}

func (e *entry) encode() []byte {
	b, err := binary.Append(make([]byte, 0, entrySize), binary.LittleEndian, e)
	if err != nil {
		panic(err) // entries have a fixed size
	}
	return b
}

// PackOptions say how to pack a folder of images.
type PackOptions struct {
	Folder      string // holds train/CLASS/FILE and val/CLASS/FILE, JPEG or PNG
	Dir, Name   string // data folder, and name of the dataset
	Size        int    // side of the square that networks see
	Side        int    // images whose short side is longer are scaled down to it
	SkipCorrupt bool   // leave out files that are no whole images, instead of refusing to pack
	Log         func(format string, args ...any)
}

// CorruptError names files that are no images, or not whole ones.
type CorruptError struct{ Files []string } // each with what is wrong

func (e *CorruptError) Error() string {
	shown := e.Files[:min(len(e.Files), 20)]
	text := fmt.Sprintf("%d files cannot be decoded:\n  %s", len(e.Files), strings.Join(shown, "\n  "))
	if more := len(e.Files) - len(shown); more > 0 {
		text += fmt.Sprintf("\n  and %d more", more)
	}
	return text
}

// Pack makes a folder of images a dataset: one file, DIR/NAME.pack, that appears when it is complete and checked.
// Packing can be ended at any moment; the same call goes on from there. Corrupt files are a *CorruptError that names
// all of them, after everything else has been packed, so that a second call with SkipCorrupt is short.
func Pack(ctx context.Context, o PackOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	path := filepath.Join(o.Dir, o.Name+packSuffix)
	if p, err := openPack(path); err == nil && p.Size == o.Size && p.Side == o.Side {
		o.Log("%s is complete; delete it to pack the folder again", path)
		return nil
	} else if err == nil || !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is there already and is something else; delete it, or choose another name", path)
	}
	f, err := listFolder(o.Folder)
	if err != nil {
		return err
	}
	if len(f.others) > 0 {
		o.Log("%d files are left out since they are not named *.jpg, *.jpeg or *.png: %s", len(f.others),
			strings.Join(f.others[:min(len(f.others), 5)], ", "))
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return err
	}
	p, err := openPacker(o, f, path)
	if err != nil {
		return err
	}
	defer p.file.Close()
	if err := p.fill(ctx); err != nil {
		return err
	}
	return p.finish(path)
}

func (o PackOptions) check() error {
	if lookup(o.Name) != nil {
		return fmt.Errorf("%s is the name of a dataset that is known already; choose another one", o.Name)
	}
	if !safePackName(o.Name) {
		return fmt.Errorf("name %q: want letters, digits, dots, dashes and underscores, a letter or digit first", o.Name)
	}
	if o.Size < 8 || o.Side < o.Size || o.Side > 1<<15 {
		return fmt.Errorf("size %d and side %d: want a size of 8 or more, and a side of at least the size and at most %d",
			o.Size, o.Side, 1<<15)
	}
	return nil
}

// packer writes a pack. Until it is complete the pack is a hidden file whose name has the state of the folder in it.
type packer struct {
	PackOptions
	folder  *folder
	file    *os.File
	entries []entry // of the folder's images so far
	size    int64   // of them in the file
}

// openPacker opens the unfinished pack, if there is one, and finds out how far it is. One of other files or settings is
// of no use any more and is removed.
func openPacker(o PackOptions, f *folder, path string) (*packer, error) {
	part := func(state string) string { return filepath.Join(o.Dir, "."+o.Name+packSuffix+"."+state+".part") }
	name := part(f.state(fmt.Sprintln(packMagic, o.Side)))
	old, err := filepath.Glob(part("*"))
	if err != nil {
		return nil, err
	}
	for _, other := range old {
		if other == name {
			continue
		}
		o.Log("removing %s: the folder or the settings have changed since", other)
		if err := os.Remove(other); err != nil {
			return nil, err
		}
	}
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	p := &packer{PackOptions: o, folder: f, file: file}
	if err := p.resume(); err != nil {
		file.Close()
		return nil, err
	}
	return p, nil
}

// resume takes over the images at the start of the file that are whole.
func (p *packer) resume() error {
	r := bufio.NewReaderSize(p.file, 1<<20)
	var pixels []byte
	for _, image := range p.folder.images {
		var e entry
		if binary.Read(r, binary.LittleEndian, &e) != nil || e.Height > mostPixels/max(e.Width, 1) {
			break
		}
		pixels = resized(pixels, e.bytes())
		if _, err := io.ReadFull(r, pixels); err != nil {
			break
		}
		if e != describeImage(image.label, int(e.Height), int(e.Width), pixels) {
			break
		}
		p.add(e)
	}
	if len(p.entries) > 0 {
		p.Log("going on after %d of %d images", len(p.entries), len(p.folder.images))
	}
	_, err := p.file.Seek(p.size, io.SeekStart)
	return err
}

func (p *packer) add(e entry) {
	p.entries = append(p.entries, e)
	p.size += int64(entrySize + e.bytes())
}

// work is what one image becomes.
type work struct {
	pixels        []byte
	height, width int
	err           error
}

// fill decodes the images that are missing, as many at a time as there are cores, and writes them in order.
func (p *packer) fill(ctx context.Context) error {
	start, first, said := time.Now(), len(p.entries), time.Now()
	batch := make([]work, 4*runtime.GOMAXPROCS(0))
	for len(p.entries) < len(p.folder.images) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("pack %s: %w after %d of %d images", p.Name, err, len(p.entries), len(p.folder.images))
		}
		todo := p.folder.images[len(p.entries):]
		todo = todo[:min(len(todo), len(batch))]
		p.decode(todo, batch)
		for i, image := range todo {
			if err := p.write(image, batch[i]); err != nil {
				return err
			}
		}
		if done := len(p.entries); time.Since(said) > 2*time.Second {
			said = time.Now()
			left := time.Since(start) / time.Duration(done-first) * time.Duration(len(p.folder.images)-done)
			p.Log("%d of %d images, %v left", done, len(p.folder.images), left.Round(time.Second))
		}
	}
	return nil
}

// decode decodes images side by side.
func (p *packer) decode(images []imageFile, to []work) {
	var all sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for i := range next {
				w := &to[i]
				w.pixels, w.height, w.width, w.err = p.folder.decode(images[i].path, p.Side)
			}
		})
	}
	for i := range images {
		next <- i
	}
	close(next)
	all.Wait()
}

// write appends an image. A corrupt one leaves an entry without pixels, and is known by it when packing goes on.
func (p *packer) write(image imageFile, w work) error {
	if broken := (*corrupt)(nil); w.err != nil && !errors.As(w.err, &broken) {
		return w.err
	}
	e := describeImage(image.label, w.height, w.width, w.pixels)
	if _, err := p.file.Write(slices.Concat(e.encode(), w.pixels)); err != nil {
		return err
	}
	p.add(e)
	return nil
}

// finish appends index, header and footer and gives the pack its name.
func (p *packer) finish(path string) error {
	h := packHeader{Classes: p.folder.classes, Size: p.Size, Side: p.Side}
	var index bytes.Buffer
	for i, e := range p.entries {
		index.Write(e.encode())
		switch {
		case e.Height == 0:
			h.Skipped = append(h.Skipped, p.folder.images[i].path)
			continue
		case i >= p.folder.train:
			h.Test++
			continue
		case i >= p.folder.train-p.folder.held:
			h.Validation++
		}
		h.Train++
	}
	if len(h.Skipped) > 0 && !p.SkipCorrupt {
		return p.refuse(h.Skipped)
	}
	if h.Train == h.Validation || h.Test == 0 {
		return errors.New("pack: there is no training image or no test image that can be decoded")
	}
	h.Index = hexSum(index.Bytes())
	header, err := json.Marshal(h)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(header)
	footer := slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), sum[:], []byte(packMagic))
	if _, err := p.file.Write(slices.Concat(index.Bytes(), header, footer)); err != nil {
		return err
	}
	if err := p.file.Truncate(p.size + int64(index.Len()+len(header)+len(footer))); err != nil {
		return err
	}
	if err := atomicfile.Commit(p.file, path); err != nil {
		return err
	}
	for _, name := range h.Skipped {
		p.Log("left out %s, which is corrupt", name)
	}
	p.Log("%s has %d training images, of which %d are held out unless an experiment says otherwise, and %d test images "+
		"of %d classes", path, h.Train, h.Validation, h.Test, len(h.Classes))
	return nil
}

// refuse is the error for corrupt files. Those that an earlier call came across are decoded again, to say what is
// wrong.
func (p *packer) refuse(names []string) error {
	var list []string
	for _, name := range names {
		_, _, _, err := p.folder.decode(name, p.Side)
		list = append(list, fmt.Sprintf("%s: %v", name, err))
	}
	return &CorruptError{list}
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
