package experiments

import (
	"errors"
	"fmt"
	"slices"
)

// maxCells bounds one [[matrix]], so that a slip in a list is an error and not a machine out of memory.
const maxCells = 100_000

// block is one [[matrix]] as read.
type block struct {
	path     string
	axes     axes
	excludes []axes
	sets     []override
}

// override is one [[matrix.set]] as read: settings for the cells that match where.
type override struct {
	path   string
	where  axes
	values map[string]any
}

func readBlock(t *table, catalog Catalog) block {
	for _, key := range []string{"network", "width", "dataset", "method", "budget", "seed"} {
		t.require(key, "every [[matrix]] needs it")
	}
	b := block{path: t.path, axes: readAxes(t, catalog)}
	if b.axes.padding == nil {
		b.axes.padding = []string{"max"}
	}
	if b.axes.variant == nil {
		b.axes.variant = []string{""}
	}
	if b.axes.final == nil {
		b.axes.final = []string{scratch}
	}
	t.sections("exclude", func(t *table) {
		if len(t.keys) == 0 {
			t.add(t.path, errors.New("names no key, so it would exclude every cell"))
		}
		exclude := readAxes(t, catalog)
		exclude.within(b.axes, t)
		b.excludes = append(b.excludes, exclude)
	})
	t.sections("set", func(t *table) {
		set := override{path: t.path}
		t.section("where", func(t *table) {
			set.where = readAxes(t, catalog)
			set.where.within(b.axes, t)
		})
		t.require("values", "it holds the settings for the matching cells")
		t.section("values", func(t *table) {
			if len(t.keys) == 0 {
				t.add(t.path, errors.New("holds no setting"))
			}
			set.values = t.keys
			scratch := Defaults()
			scratch.read(t)
		})
		b.sets = append(b.sets, set)
	})
	return b
}

// expand crosses the lists, drops what is excluded, gives each cell its settings and checks them. It also returns where
// each cell's settings come from: the file's own, the sets that match, and over, which has the last word.
func (b block) expand(file origin, over *table, catalog Catalog, found *problems) (cells []Cell, origins []origin) {
	if n := b.axes.size(); n > maxCells {
		found.add(b.path, fmt.Errorf("has %.0f cells; at most %d are allowed", n, maxCells))
		return nil, nil
	}
	matched := make([]bool, len(b.sets))
	for _, c := range b.axes.cells() {
		if slices.ContainsFunc(b.excludes, func(a axes) bool { return a.match(c) }) {
			continue
		}
		o, at := origin{file.settings, slices.Clone(file.layers)}, ""
		for i, set := range b.sets {
			if set.where.match(c) {
				o.settings.read(&table{keys: set.values, problems: &problems{file: found.file}}) // checked by readBlock
				o.layers = append(o.layers, layer{set: set.path, values: set.values})
				matched[i], at = true, b.path+".set: "
			}
		}
		if len(over.keys) > 0 {
			o.settings.read(&table{keys: over.keys, problems: &problems{file: over.file}}) // checked by Parse
			o.layers = append(o.layers, layer{file: over.file, values: over.keys})
		}
		if c.Finetune != nil && !catalog.method(c.Method).Inherits {
			found.add(b.path+".final", fmt.Errorf("%q is not available for method %q: it leaves no trained weights to go on "+
				"with; exclude it", finetune, c.Method))
		}
		c.fill(o.settings, catalog, func(key string, err error) { found.add(at+key, err) })
		cells, origins = append(cells, c), append(origins, o)
	}
	if len(cells) == 0 {
		found.add(b.path, errors.New("is empty: its excludes leave no cell"))
		return nil, nil
	}
	for i, set := range b.sets {
		if !matched[i] {
			found.add(set.path+".where", errors.New("matches no cell: the excludes removed all of them"))
		}
	}
	return cells, origins
}
