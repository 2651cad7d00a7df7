package train

import (
	"math/rand/v2"
	"slices"

	"netadjust/internal/rng"
	"netadjust/internal/vm"
	"netadjust/networks"
)

// Model is a network with widths, its parameters and running statistics, and how its input is normalized.
type Model struct {
	Network  *networks.Network
	Channels []int
	Norm     Normalization
	// BatchStatistics makes batch norm use the statistics of each batch when the network is evaluated: running ones mean
	// nothing where many networks have been trained at once.
	BatchStatistics bool
	tensors         map[string][]float32 // by name, see networks.Tensors
}

// newModel initialises a network. The numbers of a tensor depend on the stream and its name alone.
func newModel(n *networks.Network, c []int, norm Normalization, stream Stream) *Model {
	m := &Model{Network: n, Channels: slices.Clone(c), Norm: norm, tensors: map[string][]float32{}}
	for _, t := range n.Tensors(c) {
		m.tensors[t.Name] = n.Initial(t, stream.weights(t))
	}
	return m
}

// weights returns the random numbers of a tensor.
func (s Stream) weights(t networks.Tensor) *rand.Rand {
	return rng.New(s.Seed, s.purpose("weights/"+t.Name))
}

// initialize replaces initial values of a new network by others that the recipe asks for.
func (m *Model) initialize(r Recipe, stream Stream) {
	last := m.Network.LastNorms()
	for _, t := range m.Network.Tensors(m.Channels) {
		switch {
		case r.HeInit && t.Role == networks.Weights && len(t.Shape) == 4:
			m.tensors[t.Name] = networks.He(t, stream.weights(t))
		case r.ZeroGamma && t.Role == networks.Gamma && slices.Contains(last, t.Layer):
			clear(m.tensors[t.Name])
		}
	}
}

// Tensor returns the elements of a parameter or of running statistics, nil if the network has none of that name.
func (m *Model) Tensor(name string) []float32 { return m.tensors[name] }

// write adds the model's tensors to state.
func (m *Model) write(s *vm.State) error {
	for _, t := range m.Network.Tensors(m.Channels) {
		if err := s.Add(t.Name, t.Shape...); err != nil {
			return err
		}
		if err := s.Write(t.Name, m.tensors[t.Name]); err != nil {
			return err
		}
	}
	return nil
}

// read takes the model's tensors from state.
func (m *Model) read(s *vm.State) error {
	for name := range m.tensors {
		t, err := s.Read(name)
		if err != nil {
			return err
		}
		m.tensors[name] = t
	}
	return nil
}
