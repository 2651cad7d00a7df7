package train

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"netadjust/internal/atomicfile"
	"netadjust/networks"
)

// Weights are kept in the safetensors format: the length of the header as 8 bytes, the header as JSON, which gives type,
// shape and place of every tensor, then the tensors as little-endian float32. The header's metadata carry the widths
// and the SHA-256 of the tensors.
const (
	keyWidths   = "channels"
	keyNetwork  = "network"
	keyChecksum = "sha256"
)

type tensorEntry struct {
	DType   string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets [2]int `json:"data_offsets"`
}

// Save writes the model's tensors to a safetensors file, with further metadata.
func (m *Model) Save(path string, metadata map[string]string) error {
	var body bytes.Buffer
	header := map[string]any{}
	for _, t := range m.Network.Tensors(m.Channels) {
		from := body.Len()
		for _, v := range m.tensors[t.Name] {
			body.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(v)))
		}
		header[t.Name] = tensorEntry{"F32", t.Shape, [2]int{from, body.Len()}}
	}
	meta := map[string]string{
		keyNetwork: describe(m.Network), keyWidths: joinInts(m.Channels), keyChecksum: checksum(body.Bytes()),
		"normalization": fmt.Sprintf("mean %v std %v", m.Norm.Mean, m.Norm.Std),
	}
	for k, v := range metadata {
		meta[k] = v
	}
	header["__metadata__"] = meta
	text, err := json.Marshal(header) // keys sorted, so equal models give equal files
	if err != nil {
		return err
	}
	text = append(text, strings.Repeat(" ", (8-len(text)%8)%8)...)
	size := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return atomicfile.Write(path, bytes.Join([][]byte{size, text, body.Bytes()}, nil))
}

// ErrDamaged is the error of a weights file that is cut short, altered, or not of the expected network.
var ErrDamaged = errors.New("weights file is damaged or foreign")

// Load reads the model with widths c from a file that Save wrote.
func Load(path string, n *networks.Network, c []int, norm Normalization) (*Model, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := &Model{Network: n, Channels: c, Norm: norm, tensors: map[string][]float32{}}
	if err := m.parse(file); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
	}
	return m, nil
}

func (m *Model) parse(file []byte) error {
	if len(file) < 8 {
		return fmt.Errorf("only %d bytes", len(file))
	}
	size := binary.LittleEndian.Uint64(file)
	if size > uint64(len(file)-8) {
		return fmt.Errorf("header of %d bytes in a file of %d", size, len(file))
	}
	text, body := file[8:8+size], file[8+size:]
	header := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &header); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	meta := map[string]string{}
	if err := json.Unmarshal(header["__metadata__"], &meta); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	if got := checksum(body); got != meta[keyChecksum] {
		return fmt.Errorf("tensors have SHA-256 %s, the header says %q", got, meta[keyChecksum])
	}
	if meta[keyNetwork] != describe(m.Network) || meta[keyWidths] != joinInts(m.Channels) {
		return fmt.Errorf("it holds %s with widths %s, want %s with %s",
			meta[keyNetwork], meta[keyWidths], describe(m.Network), joinInts(m.Channels))
	}
	for _, t := range m.Network.Tensors(m.Channels) {
		var e tensorEntry
		if err := json.Unmarshal(header[t.Name], &e); err != nil {
			return fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		elements := 1
		for _, d := range t.Shape {
			elements *= d
		}
		from, to := e.Offsets[0], e.Offsets[1]
		if fmt.Sprint(e.DType, e.Shape) != fmt.Sprint("F32", t.Shape) || from < 0 || to > len(body) || to-from != 4*elements {
			return fmt.Errorf("tensor %s is %s %v in bytes %d to %d, want F32 %v", t.Name, e.DType, e.Shape, from, to, t.Shape)
		}
		values := make([]float32, elements)
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(body[from+4*i:]))
		}
		m.tensors[t.Name] = values
	}
	return nil
}

// describe names a network with all that its layers follow from, but for the widths.
func describe(n *networks.Network) string {
	return fmt.Sprintf("%s width %g padding %s input %dx%dx%d classes %d",
		n.Name, n.Width, n.Padding, n.Input[0], n.Input[1], n.Input[2], n.Classes)
}

func checksum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func joinInts(v []int) string {
	words := make([]string, len(v))
	for i, x := range v {
		words[i] = strconv.Itoa(x)
	}
	return strings.Join(words, " ")
}
