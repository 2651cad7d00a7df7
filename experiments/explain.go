package experiments

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"netadjust/internal/tomllines"
)

// Explanation is what some cells have in common: all of their settings.
type Explanation struct {
	Cells    []Cell
	Settings []Setting
}

// Setting is an effective setting of a cell and where it comes from.
type Setting struct {
	Key   string `json:"key"` // path in the file
	Value any    `json:"value"`
	// From is "default", "preset" and its name, file and line of the key, the [[matrix.set]] that it stands in, or the
	// key whose value it follows.
	From  string      `json:"from"`
	Paper []Published `json:"paper,omitempty"` // what the paper's authors used, as far as it has a counterpart
}

// Published is a value that the authors of the paper published, and where.
type Published struct {
	Source string `json:"source"`
	Value  any    `json:"value"`
}

// Explain lists the settings that cells read. Cells whose settings are the same, and come from the same places, are
// explained together, in the order of the first of them.
func (e *Experiment) Explain() []Explanation {
	var all []Explanation
	at := map[string]int{}
	for i, c := range e.Cells {
		settings := e.origins[i].explain(c, e.catalog.method(c.Method), e.place)
		key := fmt.Sprint(settings)
		if _, ok := at[key]; !ok {
			at[key] = len(all)
			all = append(all, Explanation{Settings: settings})
		}
		x := &all[at[key]]
		x.Cells = append(x.Cells, c)
	}
	return all
}

// place names a key path of the file for people.
func (e *Experiment) place(path string) string {
	return at(e.Path, tomllines.Of(e.lines, path))
}

// at names a line of a file, or the file where the line is not known.
func at(file string, line int) string {
	if line > 0 {
		return fmt.Sprintf("%s:%d", file, line)
	}
	return file
}

// origin is where the settings of a cell come from: layers over the defaults, of which the last one with a key wins.
type origin struct {
	settings Settings
	layers   []layer
}

// layer is what a file says at one place: at its top, or in a [[matrix.set]].
type layer struct {
	set    string // path of the set, "" at the top
	file   string // "" for the experiment's own
	lines  map[string]int
	values map[string]any
}

// lookup returns the value of a key path in the layer, and its path in the file.
func (l layer) lookup(key string) (value any, path string, ok bool) {
	value = l.values
	for _, part := range strings.Split(key, ".") {
		keys, isTable := value.(map[string]any)
		if value, ok = keys[part]; !isTable || !ok {
			return nil, "", false
		}
	}
	if l.set != "" {
		key = l.set + ".values." + key
	}
	return value, key, true
}

// from tells where the value of a key comes from.
func (o origin) from(key string, place func(path string) string) string {
	section, _, _ := strings.Cut(key, ".")
	for i := len(o.layers) - 1; i >= 0; i-- {
		l := o.layers[i]
		name, path, isPreset := l.lookup(section + ".preset")
		_, own, ok := l.lookup(key)
		place := place
		if l.file != "" {
			place = func(path string) string { return at(l.file, tomllines.Of(l.lines, path)) }
		}
		where := place(path)
		if ok {
			where = place(own)
		}
		if l.set != "" {
			where = l.set + ", " + where
		}
		switch {
		case ok:
			return where
		case isPreset && !slices.Contains(inNoPreset, key):
			return fmt.Sprintf("preset %s, %s", name, where)
		}
	}
	return "default"
}

// explain lists the settings of a cell.
func (o origin) explain(c Cell, m Method, place func(path string) string) []Setting {
	s := o.settings
	s.Data = c.Data // without what stands for a default
	list := append(fields("data", s.Data), fields("train", s.Train)...)
	if c.Search != nil {
		list = append(list, fields("search", *c.Search)...)
		list = append(list, fields("search.train", s.searchRecipe())[1:]...) // its epochs are search.epochs
	}
	if c.Prune != nil {
		for _, f := range fields("prune", *c.Prune) {
			if slices.Contains(m.pruneKeys(), strings.TrimPrefix(f.Key, "prune.")) {
				list = append(list, f)
			}
		}
	}
	if c.Finetune != nil {
		list = append(list, fields("finetune", *c.Finetune)...)
	}
	if c.Channels != nil {
		list = append(list, Setting{Key: "width.channels", Value: c.Channels})
	}
	list = append(list, Setting{Key: "width.round_to", Value: max(c.RoundTo, 1)})
	for i := range list {
		f := &list[i]
		f.From, f.Paper = o.from(f.Key, place), published(f.Key)
		key, ofSearch := strings.CutPrefix(f.Key, "search.train.")
		_, own := s.searchTrain[key]
		switch {
		case ofSearch && !own:
			f.From = "train." + key
		case f.Key == "prune.epochs" && s.Prune.Epochs == 0:
			f.From = "train.epochs"
		}
	}
	return list
}

// fields lists the settings of a section by the keys of the file.
func fields(section string, settings any) []Setting {
	var list []Setting
	v := reflect.ValueOf(settings)
	for i := range v.NumField() {
		f, x := v.Type().Field(i), v.Field(i)
		if x.Kind() == reflect.Pointer {
			continue // Search.Train, which is explained by the keys that make it
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		setting := Setting{Key: section + "." + name, Value: x.Interface()}
		if zero := f.Tag.Get("zero"); zero != "" && x.IsZero() {
			setting.Value = zero
		}
		list = append(list, setting)
	}
	return list
}
