package networks

import (
	"embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
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
		d, err = parse(s.Name+".toml", s.Description)
		return d, 0, 0, err
	}
	var known []string
	for _, d := range families() {
		if n, variant, ok := d.match(s.Name); ok {
			return d, n, variant, nil
		}
		known = append(known, fmt.Sprintf("%s (%s)", strings.Join(d.names, ", "), d.title))
	}
	return nil, 0, 0, fmt.Errorf("unknown network %q; known are %s", s.Name, strings.Join(known, ", "))
}

var digits = regexp.MustCompile(`\d+`)

// family describes a description. Its adjustable layers are those of its smallest network.
func (d *description) family() Family {
	n := &Network{Spec: Spec{Name: d.names[0], Width: 1, Padding: PaddingMax, Input: d.input, Classes: d.classes}}
	if err := d.build(n, 1, 0); err != nil {
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
