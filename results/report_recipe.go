package results

import (
	"slices"
	"strings"

	"netadjust/results/markdown"
)

// whatWasRun lists what the finished cells have in common and where they differ.
func whatWasRun(m *markdown.Document, done table) {
	m.Line("## What was run\n")
	facts := []struct{ title, column string }{
		{"Network", "network"}, {"Width", "width"}, {"Padding", "padding"}, {"Dataset", "dataset"},
		{"Dataset checksum", "dataset_checksum"}, {"Dataset note", "dataset_note"},
		{"Methods", "method"}, {"Variants", "variant"}, {"Budgets", "budget"},
		{"Seeds", "seed"}, {"Device", "device"}, {"Version", "version"}, {"Libraries", "libraries"},
	}
	for _, f := range facts {
		values := distinct(done.strings(f.column))
		if slices.Equal(values, []string{""}) {
			continue
		}
		m.Line("- %s: %s", f.title, markdown.Escape(list(values)))
	}
	for _, line := range recipe(done) {
		m.Line("- %s", markdown.Escape(line))
	}
	if len(distinct(done.strings("device"))) > 1 {
		m.Line("\nNote: the cells were computed on different devices or kernels, between which results differ by rounding.")
	}
	m.Line("")
}

// recipe returns the settings of the configuration, one line for each section of it and each set of methods that has
// it. What identifies a cell is left out.
func recipe(done table) []string {
	methods := done.strings("method")
	all := distinct(methods)
	var heads []string
	settings := make(map[string][]string)
	sections := make(map[string][]bool) // the rows that have any value in a section
	for _, column := range done.names() {
		path, ok := strings.CutPrefix(column, configPrefix)
		head, key, nested := strings.Cut(path, ".")
		if !ok || identifies(head) {
			continue
		}
		if !nested {
			head, key = "cell", path
		}
		var values, owners []string
		if sections[head] == nil {
			sections[head] = sectionRows(done, head)
		}
		cells := done.strings(column)
		for i, v := range cells {
			if v != "" {
				owners = append(owners, methods[i])
			}
		}
		for i, v := range cells {
			switch {
			case v != "":
				values = append(values, v)
			case sections[head][i] && slices.Contains(owners, methods[i]):
				values = append(values, "not set") // of a cell with other keys of the section
			}
		}
		if len(owners) == 0 {
			continue
		}
		if owners = distinct(owners); len(owners) < len(all) {
			head += " (" + strings.Join(owners, ", ") + ")"
		}
		if !slices.Contains(heads, head) {
			heads = append(heads, head)
		}
		settings[head] = append(settings[head], key+" = "+strings.Join(distinct(values), " or "))
	}
	lines := make([]string, len(heads))
	for i, head := range heads {
		lines[i] = "Recipe, " + head + ": " + strings.Join(settings[head], ", ")
	}
	return lines
}

// sectionRows tells of each row whether it has any value in a section of the configuration.
func sectionRows(done table, section string) []bool {
	has := make([]bool, done.rows())
	for _, column := range done.names() {
		if strings.HasPrefix(column, configPrefix+section+".") {
			for i, v := range done.strings(column) {
				has[i] = has[i] || v != ""
			}
		}
	}
	return has
}

// identifies tells whether a section of the configuration only says which cell it is, which other columns do as well.
func identifies(section string) bool {
	return slices.Contains([]string{"network", "width", "padding", "dataset", "method", "variant", "budget", "seed"},
		section)
}
