// Package suggest helps people who mistyped a name.
package suggest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Known ends a message about an unknown name: the nearest known one if it is near, and all of them.
func Known(name string, known []string) string {
	if len(known) == 0 {
		return ""
	}
	nearest := slices.MinFunc(known, func(a, b string) int { return cmp.Compare(edits(name, a), edits(name, b)) })
	text := "; known: " + strings.Join(known, ", ")
	if edits(name, nearest) <= max(1, len(name)/2) {
		text = fmt.Sprintf("; did you mean %q?%s", nearest, text)
	}
	return text
}

// edits is the Levenshtein distance of two names, in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
