// Package networks describes networks as data. A network is a list of layers whose channel counts are functions of a
// width vector; FLOPs, parameters, their derivatives, the layer table and the computation graph all follow from it. The
// list is made from a description in TOML: those of known families are in the folder families.
package networks

import (
	"fmt"
	"slices"
)

// Rules for the width of a residual stream, Spec.Padding.
const (
	// PaddingMax pads the narrower of block output and shortcut with zero channels, so that the stream never shrinks
	// between two convolutional shortcuts. It is the default, as in the reference code since June 2020.
	PaddingMax = "max"
	// PaddingLocal gives the stream the width of the block output: the shortcut is padded with zero channels or cut to
	// its first ones.
	PaddingLocal = "local"
)

// Limits of what New and Check accept.
const (
	maxSide     = 1024
	maxChannels = 1 << 14
	maxClasses  = 1 << 20
)

// Spec says which network is meant. Input and Classes, if zero, are those of the family.
type Spec struct {
	Name    string  // such as resnet20; Families lists them
	Width   float64 // multiplier m: a layer of w channels has round(m * w), others follow; default 1
	Padding string  // PaddingMax, the default, or PaddingLocal
	Input   [3]int  // channels, height and width of an image
	Classes int     // outputs of the classifier
	// Description is the text of a file in the language of docs/networks.md, for a network that is none of Families. Name
	// is then what it is called.
	Description string `json:",omitempty"`
}

// Family is a row of the list of known networks.
type Family struct {
	Pattern    string `json:"pattern"`    // the names of its networks
	Title      string `json:"title"`      // what they are
	Source     string `json:"source"`     // where they come from
	Input      [3]int `json:"input"`      // default channels, height and width of an image
	Classes    int    `json:"classes"`    // default number of classes
	Adjustable string `json:"adjustable"` // layers whose widths can be chosen, * for any number
}

// Families lists the known networks.
func Families() []Family {
	var list []Family
	for _, d := range families() {
		list = append(list, d.family())
	}
	return list
}

// Network is a network whose L adjustable layers can have any widths. A width vector c holds the output channels of
// these layers in forward order; layers that share a width count once. Methods that take one expect it to have passed
// Check.
type Network struct {
	Spec              // as given to New, defaults filled in
	nodes      []node // forward order
	stem       int    // index in nodes of the first convolution
	start      []int
	adjustable []string
	// normalWeights chooses the initial weights of convolutions, see Initial.
	normalWeights bool
}

// New returns the network that s describes.
func New(s Spec) (*Network, error) {
	d, depth, variant, err := find(s)
	if err != nil {
		return nil, err
	}
	return d.network(s, depth, variant)
}

// network returns the network that the description makes for s.
func (d *description) network(s Spec, depth, variant int) (*Network, error) {
	if s.Width == 0 {
		s.Width = 1
	}
	if s.Padding == "" {
		s.Padding = PaddingMax
	}
	if s.Input == [3]int{} {
		s.Input = d.input
	}
	if s.Classes == 0 {
		s.Classes = d.classes
	}
	if s.Padding != PaddingMax && s.Padding != PaddingLocal {
		return nil, fmt.Errorf("%s: unknown padding %q; allowed are %q and %q", s.Name, s.Padding, PaddingMax, PaddingLocal)
	}
	if c, h, w := s.Input[0], s.Input[1], s.Input[2]; c < 1 || c > maxChannels || min(h, w) < 1 || max(h, w) > maxSide {
		return nil, fmt.Errorf("%s: input %dx%dx%d: give 1 to %d channels and a height and width of 1 to %d",
			s.Name, c, h, w, maxChannels, maxSide)
	}
	if s.Classes < 2 || s.Classes > maxClasses {
		return nil, fmt.Errorf("%s: %d classes: give 2 to %d", s.Name, s.Classes, maxClasses)
	}
	n := &Network{Spec: s}
	if err := d.build(n, depth, variant); err != nil {
		return nil, err
	}
	if n.overflows() {
		return nil, fmt.Errorf("%s: with %d channels in every layer its FLOPs would not fit 64 bits; use smaller images",
			s.Name, maxChannels)
	}
	return n, nil
}

// overflows tells whether FLOPs of widths that pass Check could overflow.
func (n *Network) overflows() bool {
	flops, widest := 0., slices.Repeat([]int{maxChannels}, len(n.start))
	for i := range n.nodes {
		d := &n.nodes[i]
		flops += float64(d.perPair()) * float64(n.pairs(d, widest))
	}
	return flops > 1<<62
}

// Start returns the widths of the adjustable layers that the network has at its width multiplier, c0.
func (n *Network) Start() []int { return slices.Clone(n.start) }

// Adjustable returns the names of the adjustable layers in the order of the width vector.
func (n *Network) Adjustable() []string { return slices.Clone(n.adjustable) }

// Check reports whether c is a width vector of the network: one width of at least 1 for each adjustable layer.
func (n *Network) Check(c []int) error {
	if len(c) != len(n.adjustable) {
		return fmt.Errorf("%s has %d adjustable layers, but %d widths are given", n.Name, len(n.adjustable), len(c))
	}
	for i, w := range c {
		if w < 1 || w > maxChannels {
			return fmt.Errorf("%s: width %d of layer %s (number %d): give 1 to %d channels",
				n.Name, w, n.adjustable[i], i+1, maxChannels)
		}
	}
	return nil
}
