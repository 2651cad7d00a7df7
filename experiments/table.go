package experiments

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"netadjust/internal/suggest"
	"netadjust/internal/tomllines"
)

// problems collects the mistakes in one file.
type problems struct {
	file  string
	lines map[string]int // of key paths
	found []problem
}

type problem struct {
	line int // 0 if not known
	path string
	err  error
}

// add reports a mistake at a key path once, however often it is found.
func (p *problems) add(path string, err error) {
	same := func(q problem) bool { return q.path == path && q.err.Error() == err.Error() }
	if !slices.ContainsFunc(p.found, same) {
		p.found = append(p.found, problem{tomllines.Of(p.lines, path), path, err})
	}
}

// err joins the mistakes in the order of their lines.
func (p *problems) err() error {
	slices.SortStableFunc(p.found, func(a, b problem) int { return cmp.Compare(a.line, b.line) })
	var all []error
	for _, q := range p.found {
		all = append(all, fmt.Errorf("%s: %s: %w", at(p.file, q.line), q.path, q.err))
	}
	return errors.Join(all...)
}

// table is one TOML table. It remembers the keys it was asked for, so that the others can be refused.
type table struct {
	*problems
	path  string // "" for the whole file
	keys  map[string]any
	known []string
	shape *tableShape // nil but for a schema
}

// at returns the path of a key of the table.
func (t *table) at(key string) string {
	if t.path == "" {
		return key
	}
	return t.path + "." + key
}

func (t *table) lookup(key string) (any, bool) {
	t.known = append(t.known, key)
	v, ok := t.keys[key]
	return v, ok
}

func (t *table) require(key, why string) {
	if t.shape != nil {
		t.shape.Required = append(t.shape.Required, key)
	}
	if _, ok := t.keys[key]; !ok {
		t.add(t.at(key), fmt.Errorf("missing; %s", why))
	}
}

// refuseUnknown reports every key that nothing asked for.
func (t *table) refuseUnknown() {
	for _, key := range sortedKeys(t.keys) {
		if !slices.Contains(t.known, key) {
			t.add(t.at(key), fmt.Errorf("unknown key%s", suggest.Known(key, t.known)))
		}
	}
}

// section calls read with the table at key, if there is one, and refuses what read did not ask for.
func (t *table) section(key string, read func(*table)) {
	v, ok := t.lookup(key)
	if t.shape != nil {
		t.shape.Properties[key] = t.shapeOf(read)
	}
	if !ok {
		return
	}
	keys, ok := v.(map[string]any)
	if !ok {
		t.add(t.at(key), fmt.Errorf("must be a table, not %s", describe(v)))
		return
	}
	sub := &table{problems: t.problems, path: t.at(key), keys: keys}
	read(sub)
	sub.refuseUnknown()
}

// sections is section for each of the tables in the array of tables at key. Their paths count from 1.
func (t *table) sections(key string, read func(*table)) {
	v, ok := t.lookup(key)
	if t.shape != nil {
		t.shape.Properties[key] = shape{"type": "array", "minItems": 1, "items": t.shapeOf(read)}
	}
	if !ok {
		return
	}
	var tables []map[string]any
	switch v := v.(type) {
	case []map[string]any: // [[key]]
		tables = v
	case []any: // key = [{…}, {…}]
		for _, item := range v {
			keys, _ := item.(map[string]any)
			tables = append(tables, keys)
		}
	}
	if len(tables) == 0 || slices.ContainsFunc(tables, func(keys map[string]any) bool { return keys == nil }) {
		t.add(t.at(key), fmt.Errorf("must be one or more tables, each under [[%s]] in two brackets, not %s",
			t.header(key), describe(v)))
		return
	}
	for i, keys := range tables {
		sub := &table{problems: t.problems, path: fmt.Sprintf("%s[%d]", t.at(key), i+1), keys: keys}
		read(sub)
		sub.refuseUnknown()
	}
}

var index = regexp.MustCompile(`\[[0-9]+\]`)

// header is the path of a key as a TOML header has it, without indices.
func (t *table) header(key string) string {
	return index.ReplaceAllString(t.at(key), "")
}

// scalar reads the value at key into dst, if there is one and read accepts it.
func scalar[T any](t *table, key string, dst *T, read func(any) (T, error)) {
	v, ok := t.lookup(key)
	if t.shape != nil {
		t.shape.Properties[key] = ask(read)
	}
	if !ok {
		return
	}
	x, err := read(v)
	if err != nil {
		t.add(t.at(key), err)
		return
	}
	*dst = x
}

// list reads the list at key, or a single value as a list of one. It returns nil if the key is absent, and reports
// empty lists, values that read refuses, and repeated values.
func list[T comparable](t *table, key string, read func(any) (T, error)) []T {
	v, ok := t.lookup(key)
	if t.shape != nil {
		one := ask(read)
		t.shape.Properties[key] = shape{"anyOf": []any{
			one, shape{"type": "array", "minItems": 1, "uniqueItems": true, "items": one},
		}}
	}
	if !ok {
		return nil
	}
	items, isList := v.([]any)
	if !isList {
		x, err := read(v)
		if err != nil {
			t.add(t.at(key), err)
			return nil
		}
		return []T{x}
	}
	if len(items) == 0 {
		t.add(t.at(key), errors.New("must hold at least one value"))
	}
	var out []T
	for i, item := range items {
		path := fmt.Sprintf("%s[%d]", t.at(key), i+1)
		x, err := read(item)
		switch {
		case err != nil:
			t.add(path, err)
		case slices.Contains(out, x):
			t.add(path, fmt.Errorf("%s is in the list twice", describe(item)))
		default:
			out = append(out, x)
		}
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
