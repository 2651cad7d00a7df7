// Package experiments turns a TOML experiment file into the list of cells it asks for.
//
// A file holds one recipe and one or more matrices of networks, widths, datasets, methods, FLOPs budgets and seeds. The
// package reads it strictly, crosses the lists and gives every cell an id made of its content alone. It runs nothing,
// and a [Catalog] tells it which networks, methods and datasets there are. docs/experiments.md describes the format.
package experiments

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"

	"netadjust/internal/tomllines"
)

// Experiment is one experiment file, read, checked and expanded.
type Experiment struct {
	Name     string // key name, safe as a folder name
	Path     string // where the file was read, as given
	Settings        // the file's settings, before data sizes are resolved and [[matrix.set]] is applied
	Cells    []Cell // in file order, every cell once
	Merged   int    // how many cells were equal to an earlier one and therefore left out of Cells

	origins []origin // of Cells
	lines   map[string]int
	catalog Catalog
}

// Dataset describes the dataset of a cell.
func (e *Experiment) Dataset(c Cell) Dataset { return e.catalog.dataset(c.Dataset) }

// Load reads the experiment file at path. Its errors are those of [Parse], or say why the file cannot be read.
func Load(path string, catalog Catalog) (*Experiment, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read experiment file: %w", err)
	}
	return Parse(path, text, catalog)
}

// Parse reads the text of an experiment file; path only names it in messages. A syntax error comes with line, column
// and the lines around it. Of all other mistakes as many as possible are reported together (joined by [errors.Join]),
// each with file, line where known, key path (list elements and [[blocks]] count from 1) and what is allowed.
func Parse(path string, text []byte, catalog Catalog) (*Experiment, error) {
	var keys map[string]any
	if _, err := toml.Decode(string(text), &keys); err != nil {
		return nil, syntaxError(path, err)
	}
	found := &problems{file: path, lines: tomllines.Find(string(text))}
	e := &Experiment{Path: path, Settings: Defaults(), lines: found.lines, catalog: catalog}
	root := &table{keys: keys, problems: found}

	root.require("name", "the results go to a folder of this name")
	scalar(root, "name", &e.Name, folderName)
	e.Settings.read(root)
	var blocks []block
	root.require("matrix", "an experiment needs at least one [[matrix]] block")
	root.sections("matrix", func(t *table) { blocks = append(blocks, readBlock(t, catalog)) })
	root.refuseUnknown()
	if err := found.err(); err != nil {
		return nil, err
	}

	var cells []Cell
	var origins []origin
	file := origin{e.Settings, []layer{{values: keys}}}
	for _, b := range blocks {
		c, o := b.expand(file, catalog, found)
		cells, origins = append(cells, c...), append(origins, o...)
	}
	if err := found.err(); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for i, c := range cells {
		key := string(c.Canonical())
		if seen[key] {
			e.Merged++
			continue
		}
		seen[key] = true
		e.Cells, e.origins = append(e.Cells, c), append(e.origins, origins[i])
	}
	return e, nil
}

func syntaxError(path string, err error) error {
	parse, ok := errors.AsType[toml.ParseError](err)
	if !ok {
		return fmt.Errorf("%s: %w", path, err)
	}
	text := strings.TrimRight(parse.ErrorWithPosition(), "\n")
	return fmt.Errorf("%s:%d:%d: %s", path, parse.Position.Line, parse.Position.Col, text)
}

var (
	safeName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$`)
	// Windows keeps these names for devices, whatever follows the first dot.
	deviceName = regexp.MustCompile(`^(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)`)
)

func folderName(v any) (string, error) {
	name, ok := v.(string)
	if !ok || !safeName.MatchString(name) || deviceName.MatchString(name) {
		return "", fmt.Errorf("must be a folder name of at most 64 letters, digits, dots, dashes and underscores that "+
			"starts and ends with a letter or digit and is no device name of Windows, not %s", describe(v))
	}
	return name, nil
}
