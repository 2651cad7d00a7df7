package experiments

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Catalog is what an experiment may name.
type Catalog struct {
	Methods  []Method
	Datasets []Dataset
	// Network returns the network of a name, or of the file of a description, which ends in .toml; else an error that
	// lists what there is.
	Network func(name string) (Network, error)
	// Widths returns the channels that the cell in a folder ended with.
	Widths func(folder string) ([]int, error)
}

// Network is a network that an experiment may name.
type Network struct {
	Name        string
	Description string // what the file of a network of no known family says
}

// String returns the name.
func (n Network) String() string { return n.Name }

// Method is a known way to choose widths, and which settings it reads.
type Method struct {
	Name     string
	Searches bool // it reads [search]
	Prunes   bool // it reads [prune]
	// Reads are the keys of [prune] that it reads; nil if these are start_flops and epochs.
	Reads    []string
	Inherits bool // it leaves trained weights, which a final training can start from
	Given    bool // it reads width.channels
}

// pruneKeys are the keys of [prune] that the method reads.
func (m Method) pruneKeys() []string {
	if m.Reads == nil {
		return []string{"start_flops", "epochs"}
	}
	return m.Reads
}

// Dataset is a known dataset and its size in images.
type Dataset struct {
	Name    string
	Problem error // why it cannot be used, nil if it can; else there is nothing but the name
	Train   int   // images of the training set
	Test    int   // images of the test set

	HeldOut  int    // training images, the last ones, that a search does not train on by default; 0: a tenth
	Checksum string // of the content, if that can change under the name; else ""

	Input   [3]int // channels, height and width of an image
	Classes int
}

// network returns a reader of networks; paths are relative to the folder of an experiment file.
func (c Catalog) network(file string) func(any) (Network, error) {
	return func(v any) (Network, error) {
		if v == shapeWanted {
			return Network{}, shape{"type": "string"}
		}
		name, ok := v.(string)
		if !ok {
			return Network{}, fmt.Errorf("must be the name of a network, or the path of a description, not %s", describe(v))
		}
		if strings.HasSuffix(name, ".toml") && !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(file), name)
		}
		return c.Network(name)
	}
}

func (c Catalog) methodNames() []string {
	var names []string
	for _, m := range c.Methods {
		names = append(names, m.Name)
	}
	return names
}

// datasetName reads the name of a dataset that can be used.
func (c Catalog) datasetName(v any) (string, error) {
	var usable []string
	for _, d := range c.Datasets {
		switch {
		case d.Problem == nil:
			usable = append(usable, d.Name)
		case d.Name == v:
			return "", d.Problem
		}
	}
	name, err := oneOf(usable...)(v)
	if _, isText := v.(string); isText && err != nil {
		err = fmt.Errorf("%w; a folder of images becomes a dataset by `netadjust data pack`", err)
	}
	return name, err
}

// method returns the method of a name that the catalog is known to hold.
func (c Catalog) method(name string) Method {
	for _, m := range c.Methods {
		if m.Name == name {
			return m
		}
	}
	panic("experiments: no method " + name)
}

// dataset returns the dataset of a name that the catalog is known to hold.
func (c Catalog) dataset(name string) Dataset {
	for _, d := range c.Datasets {
		if d.Name == name {
			return d
		}
	}
	panic("experiments: no dataset " + name)
}
