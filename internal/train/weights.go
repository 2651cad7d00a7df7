package train

import (
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"

	"netadjust/internal/safetensors"
	"netadjust/networks"
)

// Metadata of weights files that say what network the tensors are of.
const (
	keyNetwork       = "network"
	keyDescription   = "description" // of a network that is of no known family, its text
	keyWidths        = "channels"
	keyNormalization = "normalization"
)

// Save writes the model's tensors to a safetensors file, with further metadata.
func (m *Model) Save(path string, metadata map[string]string) error {
	f := safetensors.File{Metadata: map[string]string{
		keyNetwork: describe(m.Network), keyWidths: joinInts(m.Channels), keyNormalization: m.Norm.String(),
	}}
	if m.Network.Description != "" {
		f.Metadata[keyDescription] = m.Network.Description
	}
	maps.Copy(f.Metadata, metadata)
	for _, t := range m.Network.Tensors(m.Channels) {
		f.Tensors = append(f.Tensors, safetensors.Tensor{Name: t.Name, Shape: t.Shape, Data: m.tensors[t.Name]})
	}
	return f.Write(path)
}

// ErrDamaged is the error of a weights file that is cut short, altered, or not of the expected network.
var ErrDamaged = safetensors.ErrDamaged

// Load reads the model with widths c from a file that Save wrote.
func Load(path string, n *networks.Network, c []int, norm Normalization) (*Model, error) {
	f, err := safetensors.Read(path)
	if err != nil {
		return nil, err
	}
	m := &Model{Network: n, Channels: c, Norm: norm, tensors: map[string][]float32{}}
	if err := m.take(f); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
	}
	return m, nil
}

// Open reads a model from a file that Save wrote, network and all, and returns it with the file's metadata.
func Open(path string) (*Model, map[string]string, error) {
	f, err := safetensors.Read(path)
	if err != nil {
		return nil, nil, err
	}
	m := &Model{tensors: map[string][]float32{}}
	if err = m.identify(f.Metadata); err == nil {
		err = m.take(f)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
	}
	return m, f.Metadata, nil
}

// identify makes an empty model of the network that the metadata name.
func (m *Model) identify(metadata map[string]string) (err error) {
	text := metadata[keyNetwork]
	s := networks.Spec{Description: metadata[keyDescription]}
	s.Name = text[:max(strings.LastIndex(text, " width "), 0)]
	if _, err := fmt.Sscanf(text[len(s.Name):], networkFormat,
		&s.Width, &s.Padding, &s.Input[0], &s.Input[1], &s.Input[2], &s.Classes); err != nil {
		return fmt.Errorf("metadata %s is %q: %w", keyNetwork, text, err)
	}
	if m.Network, err = networks.New(s); err != nil {
		return err
	}
	for _, word := range strings.Fields(metadata[keyWidths]) {
		width, err := strconv.Atoi(word)
		if err != nil {
			return fmt.Errorf("metadata %s: %w", keyWidths, err)
		}
		m.Channels = append(m.Channels, width)
	}
	if err := m.Network.Check(m.Channels); err != nil {
		return err
	}
	m.Norm, err = parseNormalization(metadata[keyNormalization], s.Input[0])
	return err
}

// take fills in the model's tensors from a file, which has to be of the model's network.
func (m *Model) take(f *safetensors.File) error {
	if f.Metadata[keyNetwork] != describe(m.Network) || f.Metadata[keyWidths] != joinInts(m.Channels) {
		return fmt.Errorf("it holds %s with widths %s, want %s with %s",
			f.Metadata[keyNetwork], f.Metadata[keyWidths], describe(m.Network), joinInts(m.Channels))
	}
	if f.Metadata[keyDescription] != m.Network.Description {
		return fmt.Errorf("it holds a network that is called %s too, but has another description", m.Network.Name)
	}
	for _, t := range m.Network.Tensors(m.Channels) {
		values, err := f.Float32(t.Name, t.Shape...)
		if err != nil {
			return err
		}
		m.tensors[t.Name] = values
	}
	return nil
}

// networkFormat follows a network's name with all that its layers follow from, but for the widths.
const networkFormat = " width %g padding %s input %dx%dx%d classes %d"

func describe(n *networks.Network) string {
	return fmt.Sprintf("%s"+networkFormat, n.Name, n.Width, n.Padding, n.Input[0], n.Input[1], n.Input[2], n.Classes)
}

func joinInts(v []int) string {
	words := make([]string, len(v))
	for i, x := range v {
		words[i] = strconv.Itoa(x)
	}
	return strings.Join(words, " ")
}

// normalizationFormat is that of a normalization in metadata: its lists are of Go's shortest exact numbers.
var normalizationFormat = regexp.MustCompile(`^mean \[([^\]]*)\] std \[([^\]]*)\]$`)

func (n Normalization) String() string { return fmt.Sprintf("mean %v std %v", n.Mean, n.Std) }

// parseNormalization reads what String wrote for images of so many channels.
func parseNormalization(text string, channels int) (n Normalization, err error) {
	match := normalizationFormat.FindStringSubmatch(text)
	if match == nil {
		return n, fmt.Errorf("metadata %s is %q, want a form such as mean [0.5] std [0.25]", keyNormalization, text)
	}
	for i, list := range []*[]float64{&n.Mean, &n.Std} {
		for _, word := range strings.Fields(match[i+1]) {
			v, err := strconv.ParseFloat(word, 64)
			if err != nil {
				return n, fmt.Errorf("metadata %s: %w", keyNormalization, err)
			}
			*list = append(*list, v)
		}
	}
	if len(n.Mean) != channels || len(n.Std) != channels {
		return n, fmt.Errorf("metadata %s is %q, but images have %d channels", keyNormalization, text, channels)
	}
	return n, nil
}
