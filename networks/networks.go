// Package networks describes networks as data. A network is a list of layers whose channel counts are functions of a
// width vector; FLOPs, parameters, their derivatives, the layer table and the computation graph all follow from it.
package networks

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
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

// Limits of what New and Check accept. With them no count overflows an int64.
const (
	maxSide     = 1024
	maxChannels = 1 << 14
	maxClasses  = 1 << 20
)

// Spec says which network is meant. Input and Classes, if zero, are those of the family.
type Spec struct {
	Name    string  // such as resnet20; Families lists them
	Width   float64 // multiplier m: the stem has round(m * base) channels, and stages double from it; default 1
	Padding string  // PaddingMax, the default, or PaddingLocal
	Input   [3]int  // channels, height and width of an image
	Classes int     // outputs of the classifier
}

// Family is a row of the list of known networks.
type Family struct {
	Pattern    string `json:"pattern"`    // the names of its networks
	Title      string `json:"title"`      // what they are
	Input      [3]int `json:"input"`      // default channels, height and width of an image
	Classes    int    `json:"classes"`    // default number of classes
	Adjustable string `json:"adjustable"` // which widths can be chosen
}

// Families lists the known networks.
func Families() []Family {
	var list []Family
	for _, r := range residuals {
		list = append(list, r.Family)
	}
	return list
}

// Network is a network whose L adjustable layers can have any widths. A width vector c holds the output channels of
// these layers in forward order. Methods that take one expect it to have passed Check.
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
	r, blocks, err := find(s.Name)
	if err != nil {
		return nil, err
	}
	if s.Width == 0 {
		s.Width = 1
	}
	if s.Padding == "" {
		s.Padding = PaddingMax
	}
	if s.Input == [3]int{} {
		s.Input = r.Input
	}
	if s.Classes == 0 {
		s.Classes = r.Classes
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
	stem := math.RoundToEven(s.Width * float64(r.width))
	widest := float64(int(1) << (len(blocks) - 1))
	if !(stem >= 1 && stem*widest <= maxChannels) {
		return nil, fmt.Errorf("%s: width %v gives %v channels in the stem and %v times that in the last stage; "+
			"choose it so that they are 1 to %d", s.Name, s.Width, stem, widest, maxChannels)
	}
	n := &Network{Spec: s}
	r.build(n, int(stem), blocks)
	return n, nil
}

// find looks up the family of a network and the number of blocks in each of its stages.
func find(name string) (residual, []int, error) {
	var known []string
	for _, r := range residuals {
		known = append(known, fmt.Sprintf("%s (%s)", r.Pattern, r.Title))
		digits, ok := strings.CutPrefix(name, "resnet")
		depth, err := strconv.Atoi(digits)
		if !ok || err != nil || strconv.Itoa(depth) != digits {
			continue
		}
		if blocks := r.blocks(depth); blocks != nil {
			return r, blocks, nil
		}
	}
	return residual{}, nil, fmt.Errorf("unknown network %q; known are %s", name, strings.Join(known, ", "))
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
