// Package tomllines finds the lines on which the keys of a TOML text stand, which the TOML reader does not tell.
package tomllines

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	ignored  = regexp.MustCompile(`"(\\.|[^"\\])*"|'[^']*'|#.*`) // strings and comments
	header   = regexp.MustCompile(`^\s*(\[\[?)\s*([A-Za-z0-9_-]+(\s*\.\s*[A-Za-z0-9_-]+)*)\s*\]`)
	keyStart = regexp.MustCompile(`^\s*([A-Za-z0-9_-]+(\s*\.\s*[A-Za-z0-9_-]+)*)\s*=`)
	space    = regexp.MustCompile(`\s`)
)

// Find returns the line of every header, of every key that starts a line, and of every element of such a key's list in
// a valid TOML text, by key path; elements and tables of an array count from 1. A quoted key or header is left out, and
// a text with strings of several lines has no entry at all: better no line than a wrong one.
func Find(text string) map[string]int {
	lines := map[string]int{}
	if strings.Contains(text, `"""`) || strings.Contains(text, `'''`) {
		return lines
	}
	count := map[string]int{} // of the tables in an array of tables, by path
	prefix := ""
	v := value{lines: lines}
	for i, line := range strings.Split(text, "\n") {
		line = ignored.ReplaceAllStringFunc(line, mask)
		key := keyStart.FindStringSubmatch(line)
		switch {
		case v.depth > 0:
		case key != nil:
			v.path = prefix + space.ReplaceAllString(key[1], "")
			lines[v.path] = i + 1
			line = line[len(key[0]):]
		case strings.HasPrefix(strings.TrimSpace(line), "["):
			prefix = "?." // no path starts like this
			if h := header.FindStringSubmatch(line); h != nil {
				path := indexed(strings.Split(space.ReplaceAllString(h[2], ""), "."), h[1] == "[[", count)
				lines[path] = i + 1
				prefix = path + "."
			}
			continue
		default:
			v.path = "?"
		}
		v.read(line, i+1)
	}
	return lines
}

// mask replaces what may hold any character: strings by a quotation mark, comments by nothing.
func mask(ignored string) string {
	if ignored[0] == '#' {
		return ""
	}
	return `"`
}

// value follows a value over its lines.
type value struct {
	lines    map[string]int
	path     string
	depth    int  // of brackets
	elements int  // of the list so far, if it is one
	next     bool // an element is to come
}

func (v *value) read(text string, line int) {
	for _, r := range text {
		if v.depth == 1 && v.next && !strings.ContainsRune(" \t\r,]}", r) {
			v.elements++
			v.lines[fmt.Sprintf("%s[%d]", v.path, v.elements)] = line
			v.next = false
		}
		switch r {
		case '[', '{':
			if v.depth == 0 {
				v.elements, v.next = 0, r == '['
			}
			v.depth++
		case ']', '}':
			v.depth--
		case ',':
			v.next = v.next || v.depth == 1 && v.elements > 0
		}
	}
}

// indexed returns the path of a header, in which every array of tables has the number of its latest table. If the
// header starts a new such table itself, it is counted first.
func indexed(parts []string, starts bool, count map[string]int) string {
	path := ""
	for i, part := range parts {
		path = strings.TrimPrefix(path+"."+part, ".")
		if starts && i == len(parts)-1 {
			count[path]++
		}
		if n := count[path]; n > 0 {
			path = fmt.Sprintf("%s[%d]", path, n)
		}
	}
	return path
}

// Of returns the line of a key path or else of the nearest table or list around it, 0 if none is known.
func Of(lines map[string]int, path string) int {
	if line, ok := lines[path+"[1]"]; ok && lines[path] == 0 {
		return line // an array of tables has no line of its own
	}
	for path != "" {
		if line, ok := lines[path]; ok {
			return line
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 0
}
