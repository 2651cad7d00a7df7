package networks

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/BurntSushi/toml"

	"netadjust/internal/suggest"
)

//go:embed families/*.toml
var files embed.FS

// families are the descriptions of known networks, by file name.
var families = sync.OnceValue(func() []*description {
	var list []*description
	entries, err := files.ReadDir("families")
	for _, e := range entries {
		text, readErr := files.ReadFile("families/" + e.Name())
		d, parseErr := parse(e.Name(), string(text))
		if readErr != nil || parseErr != nil {
			panic(fmt.Sprint(readErr, parseErr)) // the files are part of the program
		}
		list = append(list, d)
	}
	if err != nil {
		panic(err)
	}
	return list
})

// ofDepth is a name with a depth of a*n+b.
var ofDepth = regexp.MustCompile(`^(.*)\{(\d+)n\+(\d+)\}$`)

// match returns the n of a name that one of the description's patterns has, 0 if that has none, and which one it is.
func (d *description) match(name string) (n, variant int, ok bool) {
	for i, pattern := range d.names {
		if pattern == name {
			return 0, i, true
		}
		p := ofDepth.FindStringSubmatch(pattern)
		if p == nil {
			continue
		}
		digits, ok := strings.CutPrefix(name, p[1])
		depth, err := strconv.Atoi(digits)
		if !ok || err != nil || strconv.Itoa(depth) != digits {
			continue
		}
		factor, _ := strconv.Atoi(p[2])
		rest, _ := strconv.Atoi(p[3])
		if n := (depth - rest) / factor; n >= 1 && n <= maxRepeat && factor*n+rest == depth {
			return n, i, true
		}
	}
	return 0, 0, false
}

// find returns the description of a network, and what match says of its name.
func find(s Spec) (d *description, n, variant int, err error) {
	if s.Description != "" {
		if d, err = parse(s.Name+extension, s.Description); d != nil {
			d.lines = nil // those of the file were others
		}
		return d, 0, 0, err
	}
	var known []string
	for _, d := range families() {
		if n, variant, ok := d.match(s.Name); ok {
			return d, n, variant, nil
		}
		known = append(known, d.names...)
	}
	return nil, 0, 0, fmt.Errorf("unknown network %q%s; a network of your own is given as a file, NAME%s", s.Name,
		suggest.Known(s.Name, known), extension)
}

// extension ends the paths of descriptions.
const extension = ".toml"

// safeName is what files of descriptions may be called, since ids and folders of results are made of it.
var safeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Read returns the network that people mean by a name: one of a known family, or a file in the language of
// docs/networks.md, whose path ends in .toml. The file is checked with the images that it names itself; its description
// is kept in a form that comments do not change. Errors of the file tell where in it they are.
func Read(name string) (Spec, error) {
	base, isFile := strings.CutSuffix(filepath.Base(name), extension)
	if !isFile {
		_, _, _, err := find(Spec{Name: name})
		return Spec{Name: name}, err
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return Spec{}, fmt.Errorf("read network: %w", err)
	}
	d, err := parse(name, string(text))
	if err != nil {
		return Spec{}, err
	}
	if d.names != nil {
		return Spec{}, d.mistake("names", "only built-in families have names; this network is called %s by its file", base)
	}
	if _, _, _, err := find(Spec{Name: base}); err == nil || !safeName.MatchString(base) {
		return Spec{}, fmt.Errorf("%s: give the file a name of letters, digits, dots, dashes and underscores that no "+
			"built-in network has", name)
	}
	if _, err := d.network(Spec{Name: base}, 0, 0); err != nil {
		return Spec{}, err
	}
	return Spec{Name: base, Description: canonical(string(text))}, nil
}

// canonical returns a description in the one form that all with the same content have: without comments, with sorted
// keys, and without what only people read.
func canonical(text string) string {
	keys := map[string]any{}
	if _, err := toml.Decode(text, &keys); err != nil {
		panic(err) // it has been read before
	}
	delete(keys, "title")
	delete(keys, "source")
	var b strings.Builder
	e := toml.NewEncoder(&b)
	e.Indent = ""
	if err := e.Encode(keys); err != nil {
		panic(err) // what was decoded can be encoded
	}
	return b.String()
}

var digits = regexp.MustCompile(`\d+`)

// family describes a description. Its adjustable layers are those of its smallest network.
func (d *description) family() Family {
	n, err := d.network(Spec{Name: d.names[0]}, 1, 0)
	if err != nil {
		panic(err) // the files are part of the program
	}
	var layers []string
	for _, name := range n.adjustable {
		if name = digits.ReplaceAllString(name, "*"); !slices.Contains(layers, name) {
			layers = append(layers, name)
		}
	}
	return Family{
		Pattern: strings.Join(d.names, ", "), Title: d.title, Source: d.source, Input: d.input, Classes: d.classes,
		Adjustable: strings.Join(layers, ", "),
	}
}
