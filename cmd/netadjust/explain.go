package main

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"netadjust/experiments"
	"netadjust/harness"
	"netadjust/internal/data"
)

// explanation is what netadjust explain prints as JSON.
type explanation struct {
	Experiment string           `json:"experiment"`
	File       string           `json:"file"`
	Groups     []explainedCells `json:"groups"`
}

// explainedCells are cells with the same settings.
type explainedCells struct {
	Cells    []string              `json:"cells"` // ids
	Settings []experiments.Setting `json:"settings"`
	Rules    []rule                `json:"rules,omitempty"` // of cells that search
	cells    []experiments.Cell
}

// rule is a rule of network adjustment that search.reference switches.
type rule struct {
	Row       int    `json:"row"`    // of the table in docs/method.md
	Switch    string `json:"switch"` // name in search.reference, see experiments.RuleNames
	Name      string `json:"name"`
	Corrected string `json:"corrected"` // where search.reference leaves it alone
	Reference string `json:"reference"` // where it is switched: the rule of the authors' code
	InUse     string `json:"in_use"`    // corrected or reference
}

const (
	corrected = "corrected"
	reference = "reference"
)

// rules are those that search.reference sets, see adjustment.ReferenceRules.
var rules = []rule{
	{Row: 1, Switch: "budget", Name: "scaling to the budget", Corrected: "the largest factor that fits, then single channels",
		Reference: "bisection, at most 20 trials, of which the last is kept even if it fails"},
	{Row: 2, Switch: "budget", Name: "tolerance", Corrected: "F in [0.99 B, B], else the search fails",
		Reference: "(F - B) / F within 1 %"},
	{Row: 3, Switch: "steps", Name: "least width", Corrected: "4, or 2 where the network starts with less than 16; always",
		Reference: "4, for shrinking layers; none in scaling"},
	{Row: 4, Switch: "steps", Name: "least step", Corrected: "one channel", Reference: "none"},
	{Row: 5, Switch: "drop-rates", Name: "drop rates", Corrected: "cut at 1/2, the rise scaled by wanted rate / used rate",
		Reference: "as computed; an error from 1 on"},
	{Row: 6, Switch: "nan", Name: "FUR that is not a number", Corrected: "an error that names the layer",
		Reference: "ranks highest; an error in a search"},
	{Row: 7, Switch: "images", Name: "held-out images (CIFAR)", Corrected: "as they are",
		Reference: "cropped and mirrored as in training (not with resized crops)"},
	{Row: 8, Switch: "images", Name: "images and masks of FUR", Corrected: "the same images for all layers",
		Reference: "crops and mirrors drawn anew for every layer and repeat"},
	{Row: 9, Switch: "images", Name: "passes of FUR", Corrected: "what lies behind the layer",
		Reference: "the whole network"},
	{Row: 10, Switch: "ties", Name: "a stream with several widest layers", Corrected: "its FLOPs are shared equally",
		Reference: "charged to the first (CIFAR, counting the stem) or the last (ImageNet)"},
	{Row: 13, Switch: "pairs", Name: "u = 0", Corrected: "nothing moves", Reference: "all layers grow, none shrinks"},
	{Row: 15, Switch: "overlap", Name: "2u > L", Corrected: "an error", Reference: "a layer may grow and then shrink"},
	{Row: 22, Switch: "pairs", Name: "layers with equal FUR", Corrected: "a pair moves only if the growing layer's FUR is higher",
		Reference: "move all the same"},
}

func explainCommand(a *app, f *flags) error {
	dataDir := f.data()
	f.json()
	args, err := f.parse()
	if err != nil {
		return err
	}
	e, err := experiments.Load(args[0], harness.Catalog(data.Dir(*dataDir)))
	if err != nil {
		return err
	}
	x := explanation{Experiment: e.Name, File: e.Path}
	for _, g := range e.Explain() {
		x.Groups = append(x.Groups, explain(g))
	}
	return f.print(x, func(w io.Writer) { printExplanation(w, x, e.Cells) })
}

func explain(g experiments.Explanation) explainedCells {
	x := explainedCells{Settings: g.Settings, cells: g.Cells}
	for _, c := range g.Cells {
		x.Cells = append(x.Cells, c.ID())
	}
	if search := g.Cells[0].Search; search != nil {
		x.Rules = slices.Clone(rules)
		for i := range x.Rules {
			x.Rules[i].InUse = corrected
			if slices.Contains(search.Reference.Names(), x.Rules[i].Switch) {
				x.Rules[i].InUse = reference
			}
		}
	}
	return x
}

// printExplanation prints the settings that most cells have, and of each group of cells the others.
func printExplanation(w io.Writer, x explanation, all []experiments.Cell) {
	usual := usualSettings(x.Groups)
	fmt.Fprintf(w, "%s (%s): %d cells, all with these settings unless listed with others below\n\n",
		x.Experiment, x.File, len(all))
	printSettings(w, usual)
	used := map[rule]bool{}
	for _, g := range x.Groups {
		for _, r := range g.Rules {
			used[r] = true
		}
		own := slices.DeleteFunc(slices.Clone(g.Settings), func(s experiments.Setting) bool {
			return slices.ContainsFunc(usual, func(u experiments.Setting) bool { return same(s, u) })
		})
		if len(own) > 0 {
			fmt.Fprintf(w, "\n%d cells%s\n\n", len(g.cells), coordinates(g.cells, all))
			printSettings(w, own)
		}
	}
	if len(used) > 0 {
		fmt.Fprint(w, "\nWhat search.reference switches, by row of the table in docs/method.md:\n\n")
		printRules(w, used)
	}
}

// usualSettings returns of every key what most of the cells that have it have, the first of equally many.
func usualSettings(groups []explainedCells) []experiments.Setting {
	cells := func(s experiments.Setting) (n int) {
		for _, g := range groups {
			if slices.ContainsFunc(g.Settings, func(t experiments.Setting) bool { return same(s, t) }) {
				n += len(g.cells)
			}
		}
		return n
	}
	var usual []experiments.Setting
	for _, g := range groups {
		for _, s := range g.Settings {
			i := slices.IndexFunc(usual, func(u experiments.Setting) bool { return u.Key == s.Key })
			switch {
			case i < 0:
				usual = append(usual, s)
			case cells(s) > cells(usual[i]):
				usual[i] = s
			}
		}
	}
	return usual
}

// same tells whether two settings have the same value from the same place.
func same(a, b experiments.Setting) bool {
	return a.Key == b.Key && reflect.DeepEqual(a.Value, b.Value) && a.From == b.From
}

func printSettings(w io.Writer, settings []experiments.Setting) {
	if len(settings) == 0 {
		return
	}
	from := len("from")
	for _, s := range settings {
		from = max(from, len(s.From))
	}
	line := func(key, value, place, paper string) {
		text := fmt.Sprintf("  %-35s %-14s %-*s  %s", key, value, from, place, paper)
		fmt.Fprintln(w, strings.TrimRight(text, " "))
	}
	line("setting", "value", "from", "the paper's authors")
	for _, s := range settings {
		line(s.Key, fmt.Sprint(s.Value), s.From, paper(s.Paper))
	}
}

// paper is what the authors used, in words: a value alone if it is the same everywhere.
func paper(values []experiments.Published) string {
	if len(values) == 1 {
		return fmt.Sprint(values[0].Value)
	}
	var words []string
	for _, p := range values {
		words = append(words, fmt.Sprintf("%v (%s)", p.Value, p.Source))
	}
	return strings.Join(words, ", ")
}

// printRules prints the rules of both modes and marks those that cells use.
func printRules(w io.Writer, used map[rule]bool) {
	for _, r := range rules {
		mark := func(inUse string) string {
			r.InUse = inUse
			if used[r] {
				return "*"
			}
			return ""
		}
		fmt.Fprintf(w, "  %2d %s (%q)\n   %1s   corrected  %s\n   %1s   reference  %s\n",
			r.Row, r.Name, r.Switch, mark(corrected), r.Corrected, mark(reference), r.Reference)
	}
	fmt.Fprint(w, "\n  * in use here; reference is the rule of the authors' code\n")
}

// coordinates tells cells from the others of an experiment, by the axes in which these have more values.
func coordinates(cells, all []experiments.Cell) string {
	var words []string
	for _, axis := range []struct {
		name string
		of   func(experiments.Cell) string
	}{
		{"network", func(c experiments.Cell) string { return c.Network }},
		{"width", func(c experiments.Cell) string { return fmt.Sprint(c.Width) }},
		{"padding", func(c experiments.Cell) string { return c.Padding }},
		{"dataset", func(c experiments.Cell) string { return c.Dataset }},
		{"method", func(c experiments.Cell) string { return c.Method }},
		{"variant", func(c experiments.Cell) string { return c.Variant }},
		{"budget", func(c experiments.Cell) string { return c.Budget.String()[1:] }},
		{"seed", func(c experiments.Cell) string { return fmt.Sprint(c.Seed) }},
	} {
		distinct := func(cells []experiments.Cell) (values []string) {
			for _, c := range cells {
				if v := axis.of(c); v != "" && !slices.Contains(values, v) {
					values = append(values, v)
				}
			}
			return values
		}
		if own := distinct(cells); len(own) > 0 && len(own) < len(distinct(all)) {
			words = append(words, axis.name+" "+strings.Join(own, ", "))
		}
	}
	if words == nil {
		return ""
	}
	return " with " + strings.Join(words, "; ")
}
