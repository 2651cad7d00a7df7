package harness

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"netadjust/experiments"
)

// TestSchema checks that the schema takes all experiment files of the project, and that it finds what it can know to be
// wrong.
func TestSchema(t *testing.T) {
	catalog := Catalog(dataDir)
	catalog.Datasets = append(catalog.Datasets, experiments.Dataset{Name: "imagenet"}) // one of a folder of its own
	text, err := json.Marshal(experiments.Schema(catalog))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("netadjust.json", parsed); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("netadjust.json")
	if err != nil {
		t.Fatal(err)
	}
	validate := func(text string) error {
		var keys any
		if _, err := toml.Decode(text, &keys); err != nil {
			t.Fatal(err)
		}
		asJSON, err := json.Marshal(keys)
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(asJSON)))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(value)
	}
	files, err := filepath.Glob("../experiments/*.toml")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if err := validate(read(t, file)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	good := settings + matrix(all, "1")
	if err := validate(good); err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{"[train]", "[trian]"}, {"epochs ", "epoch "}, {"batch         = 8", "batch = 8.5"}, {`"l1"`, `"l0"`}, {`"mnist"`, `"emnist"`},
		{"1.0", "4.5"}, {"1.0", "-1"}, {"[[matrix]]", "[matrix]"}, {"network", "netwrk"}, {"rate          ", "rate = 2.0\n#"},
	} {
		if !strings.Contains(good, change[0]) {
			t.Errorf("the experiment has no %q", change[0])
		}
		if err := validate(strings.Replace(good, change[0], change[1], 1)); err == nil {
			t.Errorf("%q is valid", change[1])
		}
	}
}
