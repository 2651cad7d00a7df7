package vm

import (
	"fmt"

	"netadjust/internal/device"
)

// State is a set of named tensors on a device that outlive a run: parameters, velocities, running statistics. Machines
// compiled with the same state share it.
type State struct {
	dev     device.Device
	names   []string
	tensors map[string]device.Tensor
}

// NewState returns empty state on dev.
func NewState(dev device.Device) *State {
	return &State{dev: dev, tensors: map[string]device.Tensor{}}
}

// Add makes a tensor of the given shape, zeroed.
func (s *State) Add(name string, shape ...int) error {
	if s.tensors[name] != nil {
		return fmt.Errorf("state %s is there already", name)
	}
	t, err := s.dev.NewTensor(shape)
	if err != nil {
		return fmt.Errorf("state %s: %w", name, err)
	}
	s.names = append(s.names, name)
	s.tensors[name] = t
	return nil
}

// Names lists the tensors in the order in which they were added.
func (s *State) Names() []string { return s.names }

// Tensor returns the named tensor, nil if there is none.
func (s *State) Tensor(name string) device.Tensor { return s.tensors[name] }

// Write sets the named tensor's elements.
func (s *State) Write(name string, src []float32) error {
	t := s.tensors[name]
	if t == nil {
		return fmt.Errorf("there is no state %s", name)
	}
	if err := t.Write(src); err != nil {
		return fmt.Errorf("state %s: %w", name, err)
	}
	return nil
}

// Read returns a copy of the named tensor's elements.
func (s *State) Read(name string) ([]float32, error) {
	t := s.tensors[name]
	if t == nil {
		return nil, fmt.Errorf("there is no state %s", name)
	}
	n := 1
	for _, d := range t.Shape() {
		n *= d
	}
	dst := make([]float32, n)
	return dst, s.Load(name, dst)
}

// Load copies the named tensor's elements to dst.
func (s *State) Load(name string, dst []float32) error {
	t := s.tensors[name]
	if t == nil {
		return fmt.Errorf("there is no state %s", name)
	}
	if err := t.Read(dst); err != nil {
		return fmt.Errorf("state %s: %w", name, err)
	}
	return nil
}
