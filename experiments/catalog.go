package experiments

import "fmt"

// Catalog is what an experiment may name.
type Catalog struct {
	Methods  []Method
	Datasets []Dataset
	// Network returns nil if there is a network of this name, else an error that lists what there is.
	Network func(name string) error
	// Widths returns the channels that the cell in a folder ended with.
	Widths func(folder string) ([]int, error)
}

// Method is a known way to choose widths, and which settings it reads.
type Method struct {
	Name     string
	Searches bool // it reads [search]
	Prunes   bool // it starts from a larger trained network and reads [prune]
}

// Dataset is a known dataset and its size in images.
type Dataset struct {
	Name  string
	Train int // images of the training set
	Test  int // images of the test set

	HeldOut  int    // training images, the last ones, that a search does not train on by default; 0: a tenth
	Checksum string // of the content, if that can change under the name; else ""

	Input   [3]int // channels, height and width of an image
	Classes int
}

func (c Catalog) network(v any) (string, error) {
	name, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("must be the name of a network, not %s", describe(v))
	}
	return name, c.Network(name)
}

func (c Catalog) methodNames() []string {
	var names []string
	for _, m := range c.Methods {
		names = append(names, m.Name)
	}
	return names
}

func (c Catalog) datasetNames() []string {
	var names []string
	for _, d := range c.Datasets {
		names = append(names, d.Name)
	}
	return names
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
