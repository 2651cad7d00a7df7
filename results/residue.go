package results

import (
	"fmt"
	"slices"
	"strings"
)

// residue says in which settings the cells of a comparison differ although they should not: in data, program, device
// and training for all of them, in the whole configuration for the seeds of one method at one budget. Numbers that were
// averaged or compared in spite of that have another cause of variance than the seed.
func residue(c comparison) []string {
	var out []string
	said := make(map[string]bool)
	for _, column := range c.cells.names() {
		if !sharedByAll(column) {
			continue
		}
		if values := distinct(c.cells.strings(column)); len(values) > 1 {
			said[column] = true
			out = append(out, fmt.Sprintf("The cells of this table differ in %s: %s.", column, list(values)))
		}
	}
	for _, p := range c.points {
		for _, column := range p.cells.names() {
			if said[column] || !sharedBySeeds(column) {
				continue
			}
			if values := distinct(p.cells.strings(column)); len(values) > 1 {
				out = append(out, fmt.Sprintf("The seeds of %s at budget %s differ in %s: %s.",
					p.method, p.budget, column, list(values)))
			}
		}
	}
	return out
}

// sharedByAll tells whether a column must be the same in all cells that are compared.
func sharedByAll(column string) bool {
	shared := []string{"device", "version", "libraries", "dataset_checksum", "dataset_note", "layers"}
	return slices.Contains(shared, column) ||
		strings.HasPrefix(column, configPrefix+"train.") || strings.HasPrefix(column, configPrefix+"data.")
}

// sharedBySeeds tells whether a column must be the same for all seeds of one method at one budget.
func sharedBySeeds(column string) bool {
	return column == "budget_flops" || strings.HasPrefix(column, configPrefix) && !isSeed(column)
}

// isSeed tells whether a configuration column holds the seed itself.
func isSeed(column string) bool { return strings.HasSuffix(column, ".seed") }

// distinct returns the values of s in order of appearance, each once.
func distinct(s []string) []string {
	var out []string
	for _, v := range s {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// list writes values with commas between; what is not set is called so.
func list(values []string) string {
	shown := make([]string, len(values))
	for i, v := range values {
		shown[i] = v
		if v == "" {
			shown[i] = "(not set)"
		}
	}
	return strings.Join(shown, ", ")
}
