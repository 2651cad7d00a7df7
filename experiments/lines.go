package experiments

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	ignored  = regexp.MustCompile(`"(\\.|[^"\\])*"|'[^']*'|#.*`) // strings and comments
	header   = regexp.MustCompile(`^\s*(\[\[?)\s*([A-Za-z0-9_-]+(\s*\.\s*[A-Za-z0-9_-]+)*)\s*\]`)
	keyStart = regexp.MustCompile(`^\s*([A-Za-z0-9_-]+(\s*\.\s*[A-Za-z0-9_-]+)*)\s*=`)
	index    = regexp.MustCompile(`\[[0-9]+\]`)
	space    = regexp.MustCompile(`\s`)
)

// keyLines returns the line of every header and of every key that starts a line in a valid TOML text, by key path. It
// is there because the TOML reader does not tell where a value stood. A quoted key or header is left out, and a text
// with strings of several lines has no entry at all: better no line than a wrong one.
func keyLines(text string) map[string]int {
	lines := map[string]int{}
	if strings.Contains(text, `"""`) || strings.Contains(text, `'''`) {
		return lines
	}
	count := map[string]int{} // of the tables in an array of tables, by path
	prefix := ""
	depth := 0 // of brackets, for values of several lines
	for i, line := range strings.Split(text, "\n") {
		line = ignored.ReplaceAllString(line, "")
		key := keyStart.FindStringSubmatch(line)
		switch {
		case depth > 0:
		case key != nil:
			lines[prefix+space.ReplaceAllString(key[1], "")] = i + 1
		case strings.HasPrefix(strings.TrimSpace(line), "["):
			prefix = "?." // no path starts like this
			if h := header.FindStringSubmatch(line); h != nil {
				path := indexed(strings.Split(space.ReplaceAllString(h[2], ""), "."), h[1] == "[[", count)
				lines[path] = i + 1
				prefix = path + "."
			}
		}
		depth += strings.Count(line, "[") + strings.Count(line, "{") - strings.Count(line, "]") - strings.Count(line, "}")
	}
	return lines
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

// lineOf returns the line of a key path or else of the nearest table or list around it, 0 if none is known.
func lineOf(lines map[string]int, path string) int {
	for path != "" {
		if line, ok := lines[path]; ok {
			return line
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 0
}
