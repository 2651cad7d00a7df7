package results

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

const configPrefix = "config."

// configColumns are one text column for each setting that any of the records has, sorted by name: the key path in the
// configuration behind "config.". A cell without the setting has an empty one.
func configColumns(records []*Record) []column[*Record] {
	settings := make(map[*Record]map[string]string, len(records))
	names := make(map[string]bool)
	for _, r := range records {
		settings[r] = flatten(r.Result.Config)
		for name := range settings[r] {
			names[name] = true
		}
	}
	var columns []column[*Record]
	for _, name := range slices.Sorted(maps.Keys(names)) {
		columns = append(columns, texts(name, func(r *Record) string { return settings[r][name] }))
	}
	return columns
}

// flatten maps the key paths of a JSON object to its values. Strings lose their quotes, numbers stay as they are
// written, arrays stay JSON and null is no value.
func flatten(object json.RawMessage) map[string]string {
	out := make(map[string]string)
	var walk func(path string, value json.RawMessage)
	walk = func(path string, value json.RawMessage) {
		var nested map[string]json.RawMessage
		var quoted string
		switch {
		case bytes.Equal(value, []byte("null")):
		case json.Unmarshal(value, &nested) == nil:
			for _, key := range slices.Sorted(maps.Keys(nested)) {
				walk(path+"."+key, nested[key])
			}
		case json.Unmarshal(value, &quoted) == nil:
			out[path] = quoted
		default:
			var b bytes.Buffer
			_ = json.Compact(&b, value) // part of an object that parsed
			out[path] = b.String()
		}
	}
	walk(strings.TrimSuffix(configPrefix, "."), object)
	return out
}
