package baselines

import (
	"slices"
	"testing"

	"netadjust/internal/search"
	"netadjust/networks"
)

// TestEveryFamily prunes networks of every family, from scratch and with inherited weights, by filters and by scales.
func TestEveryFamily(t *testing.T) {
	for _, spec := range []networks.Spec{
		{Name: "resnet20", Width: 0.5}, {Name: "resnet20", Width: 0.5, Padding: networks.PaddingLocal},
		{Name: "plain20", Width: 0.5}, {Name: "resnet18", Width: 0.25}, {Name: "densenet40"},
		{Name: "pyramidnet20"}, {Name: "vgg16_bn", Width: 0.25}, {Name: "mobilenet_v2", Width: 0.5},
		{Name: "mnasnet_a1", Width: 0.5},
	} {
		p := search.Problem{Network: network(t, spec), Seed: 1}
		p.Budget = p.Network.FLOPs(p.Network.Start()) * 3 / 4
		tensors, start := tensorsOf(t, p, 1.6)
		for i, source := range p.Network.Sources(start) {
			if source.Width != start[i] || len(source.Convs) == 0 || len(source.Norms) == 0 {
				t.Fatalf("%s: source of layer %d is %+v", spec.Name, i, source)
			}
		}
		// Layers that many batch norms read are no more important for that.
		ones := func(name string) []float32 { return slices.Repeat([]float32{-1}, len(tensors[name])) }
		for i, scores := range scales(p.Network.Sources(start), ones) {
			if low, high := slices.Min(scores), slices.Max(scores); !(low > 1-1e-9) || !(high < 1+1e-9) {
				t.Errorf("%s: layer %d, whose scales are all -1, has scores from %v to %v", spec.Name, i, low, high)
			}
		}
		for _, inherit := range []bool{false, true} {
			s := Start{FLOPs: 1.6, Epochs: 1, Inherit: inherit}
			for _, m := range []search.Method{
				L1{Start: s}, L1{Start: s, PerFLOP: true}, L1{Start: s, Scope: Layer}, Slimming{Start: s, Penalty: 1e-4},
			} {
				out, err := m.Search(t.Context(), &modelLab{tensors: tensors}, p)
				if err != nil {
					t.Errorf("%s, %+v: %v", spec.Name, m, err)
					continue
				}
				if !search.WithinBudget(p.Network.FLOPs(out.Channels), p.Budget) {
					t.Errorf("%s, %+v: widths %v", spec.Name, m, out.Channels)
				}
				if !inherit {
					continue
				}
				if _, err := p.Network.Inherit(start, out.Inherited.(*model).keep); err != nil {
					t.Errorf("%s, %+v: %v", spec.Name, m, err)
				}
			}
		}
	}
}
