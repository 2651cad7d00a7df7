// Package safetensors reads and writes arrays in the safetensors format: the length of the header as 8 bytes, the
// header as JSON, which gives type, shape and place of every array and a map of strings as metadata, then the arrays
// without a gap, little-endian (https://huggingface.co/docs/safetensors, "Format").
//
// Two keys of the metadata belong to this package: format_version, and sha256, the checksum of the whole file with
// zeros in its own place. A file whose checksum is wrong or missing is not read. Files without format_version are of
// version 1, whose checksum covers the arrays alone; they are read, but no longer written.
package safetensors

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"netadjust/internal/atomicfile"
)

// Version is the version of the metadata that this package writes.
const Version = "2"

const (
	keyMetadata = "__metadata__"
	keyVersion  = "format_version"
	keySum      = "sha256"
)

// ErrDamaged is the error of a file that is cut short, altered, or none of this package's.
var ErrDamaged = errors.New("file is damaged or foreign")

// Tensor is an array with a name. Data is a []float32, []uint32 or []uint8 with as many elements as Shape says.
type Tensor struct {
	Name  string
	Shape []int
	Data  any
}

// File is the content of a file. Metadata is without the keys of this package.
type File struct {
	Metadata map[string]string
	Tensors  []Tensor // in the order of their places in the file
}

type entry struct {
	DType   string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets [2]int `json:"data_offsets"`
}

// Write writes the file at path, whole or not at all. Equal contents give equal bytes.
func (f *File) Write(path string) error {
	var body []byte
	header := map[string]any{}
	for _, t := range f.Tensors {
		from := len(body)
		var err error
		if body, err = binary.Append(body, binary.LittleEndian, t.Data); err != nil {
			return fmt.Errorf("write %s: tensor %s: %w", path, t.Name, err)
		}
		if header[t.Name] != nil {
			return fmt.Errorf("write %s: tensor %s is there twice", path, t.Name)
		}
		e := entry{dtypeOf(t.Data), append([]int{}, t.Shape...), [2]int{from, len(body)}} // a scalar's shape is []
		if !e.fits(len(body)) {
			return fmt.Errorf("write %s: tensor %s: %v in %d bytes is no %s", path, t.Name, e.Shape, len(body)-from, e.DType)
		}
		header[t.Name] = e
	}
	meta := map[string]string{}
	maps.Copy(meta, f.Metadata)
	meta[keyVersion], meta[keySum] = Version, noSum
	header[keyMetadata] = meta
	text, err := json.Marshal(header) // with its keys in order
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	text = append(text, strings.Repeat(" ", (8-len(text)%8)%8)...)
	file := slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text, body)
	return atomicfile.Write(path, replaceSum(file, noSum, checksum(file)))
}

// Read reads the file at path. The error wraps ErrDamaged unless the file could not be read at all.
func Read(path string) (*File, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := parse(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
	}
	return f, nil
}

func parse(file []byte) (*File, error) {
	if len(file) < 8 {
		return nil, fmt.Errorf("only %d bytes", len(file))
	}
	size := binary.LittleEndian.Uint64(file)
	if size > uint64(len(file)-8) {
		return nil, fmt.Errorf("header of %d bytes in a file of %d", size, len(file))
	}
	header := map[string]json.RawMessage{}
	if err := json.Unmarshal(file[8:8+size], &header); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	f := &File{}
	if err := json.Unmarshal(header[keyMetadata], &f.Metadata); err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	delete(header, keyMetadata)
	body := file[8+size:]
	if err := f.verify(file, body); err != nil {
		return nil, err
	}
	return f, f.cut(header, body)
}

// verify compares the checksum and removes the keys of this package from the metadata.
func (f *File) verify(file, body []byte) error {
	want, version := f.Metadata[keySum], f.Metadata[keyVersion]
	var got string
	switch version {
	case "":
		got = checksum(body)
	case Version:
		got = checksum(replaceSum(file, want, noSum))
	default:
		return fmt.Errorf("%s is %q, this program reads %s", keyVersion, version, Version)
	}
	if got != want {
		return fmt.Errorf("SHA-256 is %s, the header says %q", got, want)
	}
	delete(f.Metadata, keySum)
	delete(f.Metadata, keyVersion)
	return nil
}

// cut makes tensors of the body.
func (f *File) cut(header map[string]json.RawMessage, body []byte) error {
	entries := map[string]entry{}
	for name, text := range header {
		var e entry
		if err := json.Unmarshal(text, &e); err != nil {
			return fmt.Errorf("tensor %s: %w", name, err)
		}
		entries[name] = e
	}
	names := slices.SortedFunc(maps.Keys(entries), func(a, b string) int {
		return cmp.Or(cmp.Compare(entries[a].Offsets[0], entries[b].Offsets[0]),
			cmp.Compare(entries[a].Offsets[1], entries[b].Offsets[1]), strings.Compare(a, b))
	})
	end := 0
	for _, name := range names {
		e := entries[name]
		from, to := e.Offsets[0], e.Offsets[1]
		if !e.fits(len(body)) || from != end {
			return fmt.Errorf("tensor %s: %s %v in bytes %d to %d of %d, after byte %d", name, e.DType, e.Shape, from, to,
				len(body), end)
		}
		data := dtypes[e.DType].make(e.elements())
		if _, err := binary.Decode(body[from:to], binary.LittleEndian, data); err != nil {
			return fmt.Errorf("tensor %s: %w", name, err)
		}
		f.Tensors = append(f.Tensors, Tensor{name, e.Shape, data})
		end = to
	}
	if end != len(body) {
		return fmt.Errorf("tensors end at byte %d of %d", end, len(body))
	}
	return nil
}

// Float32 returns the elements of the tensor with the given name, which must be of that type and shape.
func (f *File) Float32(name string, shape ...int) ([]float32, error) {
	i := slices.IndexFunc(f.Tensors, func(t Tensor) bool { return t.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no tensor %s", name)
	}
	t := f.Tensors[i]
	data, ok := t.Data.([]float32)
	if !ok || !slices.Equal(t.Shape, shape) {
		return nil, fmt.Errorf("tensor %s is %s %v, want F32 %v", name, dtypeOf(t.Data), t.Shape, shape)
	}
	return data, nil
}

// dtypes are the types of elements that files hold.
var dtypes = map[string]struct {
	size int
	make func(elements int) any
}{
	"F32": {4, func(n int) any { return make([]float32, n) }},
	"U32": {4, func(n int) any { return make([]uint32, n) }},
	"U8":  {1, func(n int) any { return make([]uint8, n) }},
}

// dtypeOf names the type of elements, in the words of Go if files do not hold it.
func dtypeOf(data any) string {
	switch data.(type) {
	case []float32:
		return "F32"
	case []uint32:
		return "U32"
	case []uint8:
		return "U8"
	}
	return fmt.Sprintf("%T", data)
}

// fits tells whether the tensor has as many bytes as type and shape say, within the first end.
func (e entry) fits(end int) bool {
	size, n, from, to := dtypes[e.DType].size, e.elements(), e.Offsets[0], e.Offsets[1]
	return size > 0 && n >= 0 && 0 <= from && to <= end && to-from == size*n
}

// elements is the number of elements, or -1 if the shape is none that fits into memory.
func (e entry) elements() int {
	n := 1
	for _, d := range e.Shape {
		if d < 0 || d > 0 && n > 1<<40/d {
			return -1
		}
		n *= d
	}
	return n
}

// noSum stands in the place of the checksum while that is computed.
var noSum = strings.Repeat("0", hex.EncodedLen(sha256.Size))

// replaceSum returns a copy of the file with another checksum in its header. A value of the metadata cannot be taken
// for it: quotes within values are escaped.
func replaceSum(file []byte, from, to string) []byte {
	key := `"` + keySum + `":"`
	return bytes.Replace(file, []byte(key+from+`"`), []byte(key+to+`"`), 1)
}

func checksum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
