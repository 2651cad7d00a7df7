package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/BurntSushi/toml"

	"netadjust/internal/atomicfile"
	"netadjust/networks"
)

// widths are what somebody needs who trains the network elsewhere.
type widths struct {
	Network  string       `json:"network" toml:"network"`
	Width    float64      `json:"width" toml:"width"` // multiplier of the network's own widths
	Padding  string       `json:"padding" toml:"padding"`
	Input    [3]int       `json:"input" toml:"input"` // channels, height, width
	Classes  int          `json:"classes" toml:"classes"`
	FLOPs    int64        `json:"flops" toml:"flops"` // multiply-adds of one image
	Params   int64        `json:"params" toml:"params"`
	Channels []int        `json:"channels" toml:"channels"` // of the adjustable layers, in forward order
	Layers   []layerWidth `json:"layers" toml:"layers"`

	// Description is the text of the file of a network of no known family.
	Description string `json:"description,omitempty" toml:"description,omitempty"`

	Provenance map[string]string `json:"provenance,omitempty" toml:"provenance,omitempty"`
}

// layerWidth is the width of an adjustable layer.
type layerWidth struct {
	Name     string `json:"name" toml:"name"`
	Channels int    `json:"channels" toml:"channels"`
	Own      int    `json:"own" toml:"own"` // what it has in the network before any search
}

// WriteWidths writes the widths c of a network to the file at path: as JSON or as TOML, by the ending of its name.
func WriteWidths(path string, n *networks.Network, c []int, provenance map[string]string) error {
	w := widths{
		Network: n.Name, Width: n.Width, Padding: n.Padding, Input: n.Input, Classes: n.Classes,
		FLOPs: n.FLOPs(c), Params: n.Params(c), Channels: c, Description: n.Description, Provenance: provenance,
	}
	own := n.Start()
	for i, name := range n.Adjustable() {
		w.Layers = append(w.Layers, layerWidth{name, c[i], own[i]})
	}
	var text bytes.Buffer
	var err error
	switch filepath.Ext(path) {
	case ".json":
		e := json.NewEncoder(&text)
		e.SetIndent("", "  ")
		err = e.Encode(w)
	case ".toml":
		e := toml.NewEncoder(&text)
		e.Indent = ""
		err = e.Encode(w)
	default:
		err = fmt.Errorf("%s: widths are written as JSON or TOML, to a file that ends in .json or .toml", path)
	}
	if err != nil {
		return err
	}
	return atomicfile.Write(path, text.Bytes())
}
