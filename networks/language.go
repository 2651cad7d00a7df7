package networks

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"netadjust/internal/suggest"
	"netadjust/internal/tomllines"
)

// description is a file in the language of docs/networks.md: a network, or a family of networks, as lists of layers.
type description struct {
	file   string
	lines  map[string]int // of key paths
	names  []string       // of the family's networks, each maybe with a depth as in resnet{6n+2}
	title  string
	source string

	input   [3]int // default channels, height and width of an image
	classes int    // default
	normal  bool   // initial weights of convolutions are normal, else uniform

	block  // the network itself
	blocks map[string]*block
}

// block is a list of layers and the names of channel counts that they use.
type block struct {
	path              string
	fixed, adjustable map[string]any
	layers            []item
}

// item is a layer of a list, or the use of a block.
type item struct {
	path  string
	kind  string // a key of layerKeys or an element of plainLayers
	value any    // of that key
	keys  map[string]any
}

// at returns the path of a key of the item.
func (i item) at(key string) string { return i.path + "." + key }

// layerKeys are the layers that are written as a table, { conv = 16, kernel = 3 }, with their further keys.
var layerKeys = map[string][]string{
	"conv":      {"kernel", "stride", "small_stride", "name"},
	"depthwise": {"stride", "small_stride", "name"},
	"linear":    {"name"},
	"maxpool":   {"stride", "name"},
	"avgpool":   {"stride", "name"},
	"shortcut":  {},
	"block":     {"repeat", "stride", "small_stride", "kernel", "expand", "fixed", "adjustable", "name"},
}

// plainLayers are the layers that are written as a string.
var plainLayers = []string{
	"batchnorm", "relu", "relu6", "sigmoid", "drop", "globalavgpool", "concat", "gate", "classifier",
}

// shortNames are the names of layers that are not called by their kind.
var shortNames = map[string]string{
	"batchnorm": "bn", "relu6": "relu", "maxpool": "pool", "avgpool": "pool", "globalavgpool": "pool", "shortcut": "add",
}

var (
	identifier = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	layerName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)
	// reserved names mean something else wherever a channel count may stand.
	reserved = []string{"in", "n", "kernel", "stride", "expand"}
)

// parse reads a description. file only names it in messages. A syntax error comes with line and column; of all other
// mistakes as many as possible are reported together.
func parse(file, text string) (*description, error) {
	keys := map[string]any{}
	if _, err := toml.Decode(text, &keys); err != nil {
		if syntax, ok := errors.AsType[toml.ParseError](err); ok {
			return nil, fmt.Errorf("%s:%d:%d: %s", file, syntax.Position.Line, syntax.Position.Col,
				strings.TrimRight(syntax.ErrorWithPosition(), "\n"))
		}
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	r := &reader{description: &description{file: file, lines: tomllines.Find(text), blocks: map[string]*block{}}}
	r.read(keys)
	slices.SortStableFunc(r.found, func(a, b problem) int { return cmp.Compare(a.line, b.line) })
	var all []error
	for _, p := range r.found {
		all = append(all, p)
	}
	if err := errors.Join(all...); err != nil {
		return nil, err
	}
	return r.description, nil
}

// problem is a mistake in a description.
type problem struct {
	line int // 0 if not known
	text string
}

func (p problem) Error() string { return p.text }

// mistake makes a problem of what is wrong at a key path.
func (d *description) mistake(path, format string, args ...any) problem {
	at, line := d.file, tomllines.Of(d.lines, path)
	if line > 0 {
		at = fmt.Sprintf("%s:%d", d.file, line)
	}
	return problem{line, fmt.Sprintf("%s: %s: %s", at, path, fmt.Sprintf(format, args...))}
}

// reader fills in a description.
type reader struct {
	*description
	found []problem
}

func (r *reader) report(path, format string, args ...any) {
	r.found = append(r.found, r.mistake(path, format, args...))
}

// known reports the keys of a table that mean nothing there.
func (r *reader) known(path string, keys map[string]any, known ...string) {
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !slices.Contains(known, key) {
			r.report(strings.TrimPrefix(path+"."+key, "."), "unknown key%s", suggest.Known(key, known))
		}
	}
}

// get reads the value at a key, if there is one, which must have the type of dst.
func get[T any](r *reader, keys map[string]any, path, key, what string, dst *T) {
	v, ok := keys[key]
	if !ok {
		return
	}
	if *dst, ok = v.(T); !ok {
		r.report(strings.TrimPrefix(path+"."+key, "."), "must be %s, not %v", what, v)
	}
}

func (r *reader) read(keys map[string]any) {
	r.known("", keys, "names", "title", "source", "input", "classes", "init", "fixed", "adjustable", "layers", "block")
	get(r, keys, "", "title", "a text", &r.title)
	get(r, keys, "", "source", "a text", &r.source)
	var names []any
	get(r, keys, "", "names", "a list of names", &names)
	for _, n := range names {
		r.names = append(r.names, fmt.Sprint(n))
	}
	var input []any
	get(r, keys, "", "input", "[channels, height, width]", &input)
	for i := range r.input {
		if n, ok := at(input, i).(int64); ok && len(input) == 3 {
			r.input[i] = int(n)
		} else {
			r.report("input", "give the default image as [channels, height, width]")
			break
		}
	}
	var classes int64
	get(r, keys, "", "classes", "a number", &classes)
	if r.classes = int(min(classes, maxClasses+1)); r.classes < 2 || r.classes > maxClasses {
		r.report("classes", "give the default number of classes, 2 to %d", maxClasses)
	}
	init := "uniform"
	get(r, keys, "", "init", "a text", &init)
	if r.normal = init == "normal"; !r.normal && init != "uniform" {
		r.report("init", `must be "uniform" or "normal", not %q`, init)
	}

	var blocks map[string]any
	get(r, keys, "", "block", "tables [block.NAME]", &blocks)
	for name := range blocks {
		r.blocks[name] = &block{path: "block." + name}
	}
	for _, name := range slices.Sorted(maps.Keys(blocks)) {
		var table map[string]any
		get(r, blocks, "block", name, "a table", &table)
		r.known("block."+name, table, "fixed", "adjustable", "layers")
		if _, layer := layerKeys[name]; layer || slices.Contains(plainLayers, name) || !layerName.MatchString(name) {
			r.report("block."+name, "give the block a name of letters, digits, - and _ that no layer has")
		}
		r.block(r.blocks[name], table)
	}
	r.block(&r.description.block, keys)
}

// at returns element i of a list, nil if there is none.
func at(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return nil
}

// block reads what networks and blocks have in common.
func (r *reader) block(b *block, keys map[string]any) {
	get(r, keys, b.path, "fixed", "a table of channel counts", &b.fixed)
	get(r, keys, b.path, "adjustable", "a table of channel counts", &b.adjustable)
	r.counts(b.path, b.fixed, b.adjustable)
	path := strings.TrimPrefix(b.path+".layers", ".")
	var layers []any
	switch v := keys["layers"].(type) {
	case []any:
		layers = v
	case []map[string]any: // [[layers]], or a list of nothing but tables
		for _, table := range v {
			layers = append(layers, table)
		}
	}
	if len(layers) == 0 {
		r.report(path, "give a list of layers")
	}
	for i, v := range layers {
		b.layers = append(b.layers, r.item(fmt.Sprintf("%s[%d]", path, i+1), v))
	}
}

// counts checks the names of channel counts.
func (r *reader) counts(path string, tables ...map[string]any) {
	seen := map[string]bool{}
	for i, table := range tables {
		for _, name := range slices.Sorted(maps.Keys(table)) {
			at := strings.TrimPrefix(path+"."+[]string{"fixed", "adjustable"}[i]+"."+name, ".")
			if !identifier.MatchString(name) || slices.Contains(reserved, name) {
				r.report(at, "give a name of small letters, digits and _ that is none of %s", strings.Join(reserved, ", "))
			}
			if seen[name] {
				r.report(at, "%s is fixed and adjustable", name)
			}
			seen[name] = true
		}
	}
}

// item reads an element of a list of layers.
func (r *reader) item(path string, v any) item {
	switch v := v.(type) {
	case string:
		if slices.Contains(plainLayers, v) {
			return item{path: path, kind: v}
		}
		if r.blocks[v] != nil {
			return item{path: path, kind: "block", value: v}
		}
		if _, ok := layerKeys[v]; ok {
			r.report(path, "%s needs a value, as in { %s = … }", v, v)
		} else {
			r.report(path, "unknown layer %q%s", v, suggest.Known(v, r.layerNames()))
		}
	case map[string]any:
		return r.table(path, v)
	default:
		r.report(path, `must be a layer, as "relu" or { conv = 16, kernel = 3 }, not %v`, v)
	}
	return item{path: path}
}

// layerNames lists all that may stand in a list of layers.
func (d *description) layerNames() []string {
	return slices.Concat(slices.Sorted(maps.Keys(layerKeys)), plainLayers, slices.Sorted(maps.Keys(d.blocks)))
}

// table reads a layer that is written as a table.
func (r *reader) table(path string, keys map[string]any) item {
	it := item{path: path, keys: keys}
	for kind := range layerKeys {
		if v, ok := keys[kind]; ok && it.kind != "" {
			r.report(path, "it is %s and %s at once", min(kind, it.kind), max(kind, it.kind))
		} else if ok {
			it.kind, it.value = kind, v
		}
	}
	if it.kind == "" {
		name := strings.Join(slices.Sorted(maps.Keys(keys)), ", ")
		r.report(path, "unknown layer %q%s", name, suggest.Known(name, slices.Sorted(maps.Keys(layerKeys))))
		return it
	}
	r.known(path, keys, append([]string{it.kind}, layerKeys[it.kind]...)...)
	if it.kind == "block" {
		var fixed, adjustable map[string]any
		get(r, keys, path, "fixed", "a table of channel counts", &fixed)
		get(r, keys, path, "adjustable", "a table of channel counts", &adjustable)
		r.counts(path, fixed, adjustable)
		if name, ok := it.value.(string); !ok || r.blocks[name] == nil {
			r.report(it.at("block"), "unknown block %v%s", it.value,
				suggest.Known(fmt.Sprint(it.value), slices.Sorted(maps.Keys(r.blocks))))
		}
	}
	if name, ok := keys["name"]; ok {
		if s, _ := name.(string); !layerName.MatchString(s) {
			r.report(it.at("name"), "must be letters, digits, - and _, not %v", name)
		}
	}
	return it
}
