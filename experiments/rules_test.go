package experiments

import (
	"encoding/json"
	"strings"
	"testing"
)

// Rules can be chosen one by one; the way in which they are written makes no other cell, and no rule leaves the id that
// cells had before there were any.
func TestRules(t *testing.T) {
	for _, tt := range []struct{ value, names, canonical string }{
		{"false", "", ""},
		{"true", strings.Join(RuleNames, " "), `"reference":true`},
		{`["ties"]`, "ties", `"reference":"ties"`},
		{`["budget", "ties"]`, "ties budget", `"reference":"ties,budget"`},
		{`["` + strings.Join(RuleNames, `", "`) + `"]`, strings.Join(RuleNames, " "), `"reference":true`},
	} {
		cells := parse(t, withRules(tt.value)).Cells
		c := cells[len(cells)-1]
		if got := strings.Join(c.Search.Reference.Names(), " "); got != tt.names {
			t.Errorf("%s: rules %q, want %q", tt.value, got, tt.names)
		}
		text := string(c.Canonical())
		if strings.Contains(text, `"reference"`) != (tt.canonical != "") || !strings.Contains(text, tt.canonical) {
			t.Errorf("%s: %s", tt.value, text)
		}
		var back Cell
		if err := json.Unmarshal([]byte(text), &back); err != nil || back.Search.Reference != c.Search.Reference {
			t.Errorf("%s reads back as %q, %v", tt.value, back.Search.Reference, err)
		}
	}
	for value, want := range map[string]string{
		`"ties"`:           `must be true, false or a list of rules (images, ties, `,
		`[]`:               `must be true, false or a list of rules (images, ties, `,
		`["tie"]`:          `unknown name "tie"; did you mean "ties"?`,
		`["ties", 1]`:      `must be one of images, ties, `,
		`["ties", "ties"]`: `names "ties" twice`,
		`1`:                `not 1`,
	} {
		_, err := Parse("t.toml", []byte(withRules(value)), catalog)
		if err == nil || !strings.Contains(err.Error(), "search.reference: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", value, err, want)
		}
	}
}

// withRules is an experiment with a search by rules.
func withRules(value string) string {
	return strings.Replace(all, "[search]", "[search]\nreference = "+value, 1)
}
