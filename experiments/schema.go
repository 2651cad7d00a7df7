package experiments

// shape is the JSON schema of a value. Readers of values answer with it, as an error, when they are given shapeWanted
// instead of a value; so what they accept and what the schema says stand in one place.
type shape map[string]any

func (shape) Error() string { return "the shape of a value" }

// shapeWanted asks a reader for the shape of what it reads.
var shapeWanted any = wanted{}

type wanted struct{}

// of returns the shape with a type.
func (s shape) of(kind string) shape {
	typed := shape{"type": kind}
	for key, value := range s {
		typed[key] = value
	}
	return typed
}

// ask returns the shape of what a reader reads: anything, if it does not tell.
func ask[T any](read func(any) (T, error)) shape {
	_, err := read(shapeWanted)
	if s, ok := err.(shape); ok {
		return s
	}
	return shape{}
}

// tableShape is the JSON schema of a table.
type tableShape struct {
	Schema     string         `json:"$schema,omitempty"`
	Title      string         `json:"title,omitempty"`
	Type       string         `json:"type"`
	Properties map[string]any `json:"properties"`
	Required   []string       `json:"required,omitempty"`
	Additional bool           `json:"additionalProperties"` // false: unknown keys are mistakes
}

// shapeOf returns the schema of a table that read reads.
func (t *table) shapeOf(read func(*table)) *tableShape {
	sub := &table{problems: t.problems, shape: &tableShape{Type: "object", Properties: map[string]any{}}}
	read(sub)
	for _, key := range sub.known {
		if sub.shape.Properties[key] == nil {
			sub.shape.Properties[key] = shape{} // read without a reader of values
		}
	}
	return sub.shape
}

// Schema returns the JSON schema (draft 7) of experiment files, for editors. It knows all keys, types, ranges and names,
// but not what depends on several keys.
func Schema(catalog Catalog) any {
	root := &table{problems: &problems{}}
	s := root.shapeOf(func(t *table) {
		includeOf(t)
		new(Experiment).read(t, catalog)
	})
	s.Schema, s.Title = "http://json-schema.org/draft-07/schema#", "netadjust experiment"
	return s
}
