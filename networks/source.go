package networks

// Source is where the channels of an adjustable layer come from and are scaled.
type Source struct {
	Width int
	Convs []string // the convolutions with this width
	Norms []Norm   // the batch norms that their channels meet first, on every path
}

// Norm is a batch norm that has the channels of an adjustable layer from an offset on: behind a concatenation there are
// others in front of them.
type Norm struct {
	Name   string
	Offset int
}

// Sources lists the sources of all adjustable layers of the network with widths c.
func (n *Network) Sources(c []int) []Source {
	sources := make([]Source, len(c))
	layers := n.Layers(c)
	for i, l := range layers {
		if l.Kind != Conv || l.Adjustable < 0 {
			continue
		}
		s := &sources[l.Adjustable]
		s.Width, s.Convs = c[l.Adjustable], append(s.Convs, l.Name)
		offset := map[int]int{i: 0} // of layers that the channels reach
		for j := i + 1; j < len(layers); j++ {
			at := 0
			for k, in := range layers[j].Inputs {
				if from, ok := offset[in]; ok && k == 0 || ok && layers[j].Kind != Gate {
					s.meet(&layers[j], at+from, j, offset)
				}
				if layers[j].Kind == Concat {
					at += layers[in].Output[0]
				}
			}
		}
	}
	return sources
}

// meet notes that the channels of s reach layer j from an offset on.
func (s *Source) meet(l *Layer, from, j int, offset map[int]int) {
	switch l.Kind {
	case BatchNorm:
		s.Norms = append(s.Norms, Norm{l.Name, from})
	case Conv, Linear, GlobalAvgPool:
	default:
		offset[j] = from
	}
}
