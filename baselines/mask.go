package baselines

import (
	"context"

	"netadjust/internal/search"
	"netadjust/networks"
)

// SFP is soft filter pruning (He et al., "Soft filter pruning for accelerating deep convolutional neural networks", IJCAI
// 2018): after every epoch of the start network's training the filters of smallest L2 norm are set to zero, as many as
// the budget has no room for, but go on to be trained.
type SFP struct {
	Start Start
	Scope Scope
}

// Search prunes the start network that is trained in this way.
func (m SFP) Search(ctx context.Context, lab search.Lab, p search.Problem) (*search.Outcome, error) {
	return masked{m.Start, m.Scope, "sfp"}.search(ctx, lab, p)
}

// Plan is the training of the start network.
func (m SFP) Plan(p search.Problem) ([]search.Work, error) {
	return masked{m.Start, m.Scope, "sfp"}.plan(p)
}

// FPGM is filter pruning by the geometric median (He et al., "Filter pruning via geometric median for deep convolutional
// neural networks acceleration", CVPR 2019): filters near the others of their layer, by the sum of the distances, can be
// replaced by them. Before every epoch of the start network's training, as many as the budget has no room for are set to
// zero and stay so for the epoch.
type FPGM struct {
	Start Start
	Scope Scope
}

// Search prunes the start network that is trained in this way.
func (m FPGM) Search(ctx context.Context, lab search.Lab, p search.Problem) (*search.Outcome, error) {
	return masked{m.Start, m.Scope, "fpgm"}.search(ctx, lab, p)
}

// Plan is the training of the start network.
func (m FPGM) Plan(p search.Problem) ([]search.Work, error) {
	return masked{m.Start, m.Scope, "fpgm"}.plan(p)
}

// masked is what both have in common.
type masked struct {
	start Start
	scope Scope
	kind  string
}

func (m masked) search(ctx context.Context, lab search.Lab, p search.Problem) (*search.Outcome, error) {
	hook, err := m.hook(p)
	if err != nil {
		return nil, err
	}
	t, err := m.start.train(ctx, lab, p, hook)
	if err != nil {
		return nil, err
	}
	scores := hook.scores(t.Tensor)
	for i, source := range t.sources { // what is zero in the end goes first, however far it is from the others
		for j, norm := range l2Norms(t.Tensor(weights(source.Convs[0])), t.start.Channels[i]) {
			if norm == 0 {
				scores[i][j] = 0
			}
		}
	}
	return m.start.prune(ctx, t, scores, false)
}

func (m masked) plan(p search.Problem) ([]search.Work, error) {
	hook, err := m.hook(p)
	if err != nil {
		return nil, err
	}
	w, err := m.start.plan(p, hook)
	return []search.Work{w}, err
}

func (m masked) hook(p search.Problem) (*mask, error) {
	t, err := m.start.training(p)
	if err != nil {
		return nil, err
	}
	h := &mask{
		Kind: m.kind, Scope: m.scope, Budget: p.Budget, Together: m.start.Inherit, start: m.start,
		network: p.Network, widths: t.Channels, sources: p.Network.Sources(t.Channels), tensors: map[string][]float32{},
	}
	for _, t := range p.Network.Tensors(h.widths) {
		size := 1
		for _, d := range t.Shape {
			size *= d
		}
		h.tensors[t.Name] = make([]float32, size)
	}
	return h, nil
}

// mask zeroes filters while a network is trained. What is exported tells one from another.
type mask struct {
	Kind     string // sfp: they go on to be trained; fpgm: they stay zero until the next epoch
	Scope    Scope
	Budget   int64 // FLOPs that the other filters may take
	Together bool  // filters whose channels meet are masked together

	start   Start
	network *networks.Network
	widths  []int
	sources []networks.Source
	tensors map[string][]float32 // buffers
	zeroed  [][]bool             // filters of each layer
}

func (m *mask) scores(tensor func(name string) []float32) [][]float64 {
	of := l2Norms
	if m.Kind == "fpgm" {
		of = distances
	}
	return m.Scope.scores(m.sources, m.widths, tensor, of)
}

// Epoch chooses the filters and zeroes them. SFP trains for one epoch before.
func (m *mask) Epoch(e int, s networks.State) error {
	if m.Kind == "sfp" && e == 0 {
		return nil
	}
	if err := m.load(s); err != nil {
		return err
	}
	scores := m.scores(func(name string) []float32 { return m.tensors[name] })
	pruning := search.Pruning{Network: m.network, Budget: m.Budget, Minimum: search.Minimum(m.network.Start())}
	keep, err := pruning.Prune(m.widths, m.start.units(m.network, scores))
	if err != nil {
		return err
	}
	m.zeroed = make([][]bool, len(keep))
	for i, kept := range keep {
		m.zeroed[i] = make([]bool, m.widths[i])
		for j := range m.zeroed[i] {
			m.zeroed[i][j] = true
		}
		for _, j := range kept {
			m.zeroed[i][j] = false
		}
	}
	return m.zero(s)
}

// Resume finds the filters that FPGM has zeroed by their having no other weights.
func (m *mask) Resume(s networks.State) error {
	if err := m.load(s); err != nil {
		return err
	}
	m.zeroed = make([][]bool, len(m.widths))
	for i, source := range m.sources {
		for _, norm := range l2Norms(m.tensors[weights(source.Convs[0])], m.widths[i]) {
			m.zeroed[i] = append(m.zeroed[i], norm == 0)
		}
	}
	return nil
}

// Step keeps what FPGM has zeroed at zero.
func (m *mask) Step(s networks.State, _ float64) error {
	if m.Kind == "sfp" {
		return nil
	}
	return m.zero(s)
}

func weights(conv string) string { return conv + "." + string(networks.Weights) }

func (m *mask) load(s networks.State) error {
	for _, source := range m.sources {
		for _, conv := range source.Convs {
			if err := s.Load(weights(conv), m.tensors[weights(conv)]); err != nil {
				return err
			}
		}
	}
	return nil
}

// zero clears the chosen filters, and their velocities if they are to stay zero.
func (m *mask) zero(s networks.State) error {
	for i, source := range m.sources {
		for _, conv := range source.Convs {
			names := []string{weights(conv), networks.Tensor{Name: weights(conv)}.Velocity()}
			if m.Kind == "sfp" {
				names = names[:1]
			}
			for _, name := range names {
				if err := m.clear(s, name, m.tensors[weights(conv)], m.zeroed[i]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// clear zeroes rows of a tensor, using a buffer of its size.
func (m *mask) clear(s networks.State, name string, buffer []float32, rows []bool) error {
	if err := s.Load(name, buffer); err != nil {
		return err
	}
	size := len(buffer) / len(rows)
	for j, zero := range rows {
		if zero {
			clear(buffer[j*size : (j+1)*size])
		}
	}
	return s.Write(name, buffer)
}
