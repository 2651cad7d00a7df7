package baselines

import (
	"netadjust/networks"
)

// penalty adds an L1 penalty on batch norm scales to the loss of a training: the gradient of each scale gets its
// coefficient times the scale's sign, at the scale that the step of the loss has led to. What is exported tells one
// penalty from another.
type penalty struct {
	Kind   string
	Factor float64
	Init   float64 `json:",omitempty"` // scales before the first epoch, if it is not 0
	Budget int64   `json:",omitempty"`

	sources     []networks.Source
	coefficient func(gammas map[string][]float32) []float64 // of every layer, at these scales
	gammas      map[string][]float32
	velocities  map[string][]float32
}

func newPenalty(n *networks.Network, c []int, p penalty) *penalty {
	p.sources = n.Sources(c)
	p.gammas, p.velocities = map[string][]float32{}, map[string][]float32{}
	for _, t := range n.Tensors(c) {
		if t.Role == networks.Gamma {
			p.gammas[t.Name], p.velocities[t.Name] = make([]float32, t.Shape[0]), make([]float32, t.Shape[0])
		}
	}
	return &p
}

func gamma(norm networks.Norm) string { return norm.Name + "." + string(networks.Gamma) }

// Epoch sets the scales before the first epoch.
func (p *penalty) Epoch(e int, s networks.State) error {
	if e > 0 || p.Init == 0 {
		return nil
	}
	return p.each(s, func(layer int, norm networks.Norm, gammas, _ []float32) {
		for j := range gammas {
			gammas[j] = float32(p.Init)
		}
	})
}

// Resume has nothing to find again.
func (p *penalty) Resume(networks.State) error { return nil }

// Step corrects the scales and velocities of a step of gradient descent for the penalty.
func (p *penalty) Step(s networks.State, rate float64) error {
	for name, v := range p.gammas {
		if err := s.Load(name, v); err != nil {
			return err
		}
	}
	factors := p.coefficient(p.gammas)
	return p.each(s, func(layer int, _ networks.Norm, gammas, velocities []float32) {
		for j, g := range gammas {
			d := factors[layer]
			if g < 0 {
				d = -d
			}
			if g != 0 {
				velocities[j] += float32(d)
				gammas[j] -= float32(rate * d)
			}
		}
	})
}

// each lets change the scales of every layer in each of its batch norms, and their velocities.
func (p *penalty) each(s networks.State, change func(layer int, norm networks.Norm, gammas, velocities []float32)) error {
	for i, source := range p.sources {
		for _, norm := range source.Norms {
			name := gamma(norm)
			g, v := p.gammas[name], p.velocities[name]
			velocity := networks.Tensor{Name: name}.Velocity()
			if err := s.Load(name, g); err != nil {
				return err
			}
			if err := s.Load(velocity, v); err != nil {
				return err
			}
			end := norm.Offset + source.Width
			change(i, norm, g[norm.Offset:end], v[norm.Offset:end])
			if err := s.Write(name, g); err != nil {
				return err
			}
			if err := s.Write(velocity, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// scales returns the mean of the absolute scales of each channel over the batch norms that it meets, so that layers that
// meet many compare with those that meet one.
func scales(sources []networks.Source, tensor func(name string) []float32) [][]float64 {
	scores := make([][]float64, len(sources))
	for i, source := range sources {
		scores[i] = make([]float64, source.Width)
		for _, norm := range source.Norms {
			for j := range scores[i] {
				scores[i][j] += abs(tensor(gamma(norm))[norm.Offset+j]) / float64(len(source.Norms))
			}
		}
	}
	return scores
}

func abs(x float32) float64 { return max(float64(x), -float64(x)) }
