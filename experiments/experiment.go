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
	"path/filepath"
	"regexp"
	"slices"
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
func Load(path string, catalog Catalog, set ...string) (*Experiment, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read experiment file: %w", err)
	}
	return Parse(path, text, catalog, set...)
}

// Parse reads the text of an experiment file; path names it in messages, and the file that it includes lies beside it. A
// syntax error comes with line, column and the lines around it. Of all other mistakes as many as possible are reported
// together (joined by [errors.Join]), each with file, line where known, key path (list elements and [[blocks]] count from
// 1) and what is allowed. Every set is a KEY=VALUE that overrides a setting, or the name, whatever the file says.
func Parse(path string, text []byte, catalog Catalog, set ...string) (*Experiment, error) {
	keys, err := decode(path, text)
	if err != nil {
		return nil, err
	}
	found := &problems{file: path, lines: tomllines.Find(string(text))}
	e := &Experiment{Path: path, Settings: Defaults(), lines: found.lines, catalog: catalog}
	root := &table{keys: keys, problems: found}
	over, err := overrides(set)
	if err != nil {
		return nil, err
	}

	file := origin{}
	base, err := e.include(root, &file)
	if err != nil {
		return nil, err
	}
	blocks := e.read(root, catalog)
	root.refuseUnknown()
	scalar(over, "name", &e.Name, folderName)
	scratch := Defaults()
	scratch.read(over)
	over.refuseUnknown()
	if err := errors.Join(base.err(), found.err(), over.err()); err != nil {
		return nil, err
	}

	var cells []Cell
	var origins []origin
	var from []string // path of the [[matrix]] of each cell
	file.settings = e.Settings
	file.layers = append(file.layers, layer{values: keys})
	for _, b := range blocks {
		c, o := b.expand(file, over, catalog, found)
		cells, origins = append(cells, c...), append(origins, o...)
		from = append(from, slices.Repeat([]string{b.path}, len(c))...)
	}
	if err := found.err(); err != nil {
		return nil, err
	}
	e.Settings.read(&table{keys: over.keys, problems: &problems{file: over.file}})
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
	if err := e.checkNetworks(); err != nil {
		return nil, err
	}
	if refuseAlike(cells, from, found); found.err() != nil {
		return nil, found.err()
	}
	return e, nil
}

// refuseAlike reports cells that differ in settings alone: results would take them for seeds of one.
func refuseAlike(cells []Cell, from []string, found *problems) {
	first := map[string]int{}
	told := map[[2]string]bool{}
	for i, c := range cells {
		place := fmt.Sprint([]any{c.Network, c.Width, c.Padding, c.Dataset, c.Method, c.FullVariant(), c.Budget, c.Seed})
		j, again := first[place]
		if !again {
			first[place] = i
			continue
		}
		matrices := [2]string{from[i], from[j]}
		if string(c.Canonical()) != string(cells[j].Canonical()) && !told[matrices] {
			told[matrices] = true
			found.add(from[i], fmt.Errorf("has cells that %s has with other settings, such as %s at budget %s with seed %d; "+
				"give one of them a variant", from[j], c.Method, strings.TrimPrefix(c.Budget.String(), "b"), c.Seed))
		}
	}
}

// read reads all of a file but the settings that it includes.
func (e *Experiment) read(root *table, catalog Catalog) (blocks []block) {
	root.require("name", "the results go to a folder of this name")
	scalar(root, "name", &e.Name, folderName)
	e.Settings.read(root)
	root.require("matrix", "an experiment needs at least one [[matrix]] block")
	root.sections("matrix", func(t *table) { blocks = append(blocks, readBlock(t, catalog)) })
	return blocks
}

// decode reads the keys of a TOML text.
func decode(path string, text []byte) (map[string]any, error) {
	var keys map[string]any
	if _, err := toml.Decode(string(text), &keys); err != nil {
		return nil, syntaxError(path, err)
	}
	return keys, nil
}

// include reads the settings of the file that key include names, if there is one, which its own file then overrides. It
// returns the mistakes in that file.
func (e *Experiment) include(root *table, file *origin) (*problems, error) {
	base := &problems{}
	name := includeOf(root)
	if name == "" {
		return base, nil
	}
	base.file = filepath.Join(filepath.Dir(root.file), filepath.FromSlash(name))
	text, err := os.ReadFile(base.file)
	if err != nil {
		root.add("include", err)
		return base, nil
	}
	keys, err := decode(base.file, text)
	if err != nil {
		return base, err
	}
	base.lines = tomllines.Find(string(text))
	t := &table{keys: keys, problems: base}
	e.Settings.read(t)
	t.refuseUnknown() // an include of its own, too: one level is enough
	file.layers = append(file.layers, layer{file: base.file, lines: base.lines, values: keys})
	return base, nil
}

func includeOf(root *table) (name string) {
	scalar(root, "include", &name, fileName)
	return name
}

func fileName(v any) (string, error) {
	if v == shapeWanted {
		return "", shape{"type": "string", "minLength": 1}
	}
	name, ok := v.(string)
	if !ok || name == "" {
		return "", fmt.Errorf("must be the path of a file with settings, not %s", describe(v))
	}
	return name, nil
}

// overrides makes a table of texts of the form KEY=VALUE. A value that is none of TOML is a text.
func overrides(set []string) (*table, error) {
	t := &table{keys: map[string]any{}, problems: &problems{file: "--set"}}
	for _, s := range set {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, fmt.Errorf("--set %s: want KEY=VALUE, such as train.epochs=5", s)
		}
		keys, err := decode("--set", []byte(s))
		if err != nil {
			keys, err = decode("--set", fmt.Appendf(nil, "%s = %q", key, value))
		}
		if err != nil {
			return nil, fmt.Errorf("--set %s: want KEY=VALUE, such as train.epochs=5: %w", s, err)
		}
		merge(t.keys, keys)
	}
	return t, nil
}

// merge adds what from has to the tables in to.
func merge(to, from map[string]any) {
	for key, value := range from {
		sub, isTable := value.(map[string]any)
		old, wasTable := to[key].(map[string]any)
		if isTable && wasTable {
			merge(old, sub)
		} else {
			to[key] = value
		}
	}
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
	if v == shapeWanted {
		return "", shape{"type": "string", "pattern": safeName.String()}
	}
	name, ok := v.(string)
	if !ok || !safeName.MatchString(name) || deviceName.MatchString(name) {
		return "", fmt.Errorf("must be a folder name of at most 64 letters, digits, dots, dashes and underscores that "+
			"starts and ends with a letter or digit and is no device name of Windows, not %s", describe(v))
	}
	return name, nil
}

// checkNetworks reports files of networks that differ and have one name, which tables and figures could not tell apart.
func (e *Experiment) checkNetworks() error {
	described := map[string]string{}
	for _, c := range e.Cells {
		if d, ok := described[c.Network]; ok && d != c.Description {
			return fmt.Errorf("%s: two different networks are called %s; rename the file of one", e.Path, c.Network)
		}
		described[c.Network] = c.Description
	}
	return nil
}
