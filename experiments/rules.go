package experiments

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Rules are rules of network adjustment that follow the paper's code: "" for none, "true" for all, or names that are
// joined by commas in the order of RuleNames.
type Rules string

// RuleNames are the names of the rules that can be chosen one by one.
var RuleNames = []string{"images", "ties", "drop-rates", "nan", "overlap", "pairs", "steps", "budget"}

const allRules Rules = "true"

// Names returns the names of the rules.
func (r Rules) Names() []string {
	switch r {
	case "":
		return nil
	case allRules:
		return slices.Clone(RuleNames)
	}
	return strings.Split(string(r), ",")
}

// MarshalJSON writes true for all rules, and the names otherwise.
func (r Rules) MarshalJSON() ([]byte, error) {
	if r == allRules {
		return json.Marshal(true)
	}
	return json.Marshal(string(r))
}

// UnmarshalJSON reads what MarshalJSON has written.
func (r *Rules) UnmarshalJSON(text []byte) error {
	if string(text) == "true" {
		*r = allRules
		return nil
	}
	return json.Unmarshal(text, (*string)(r))
}

// readRules reads true, false, or a list of names.
func readRules(v any) (Rules, error) {
	name := oneOf(RuleNames...)
	if v == shapeWanted {
		return "", shape{"oneOf": []any{
			shape{"type": "boolean"}, shape{"type": "array", "items": ask(name), "minItems": 1, "uniqueItems": true},
		}}
	}
	var chosen []string
	switch v := v.(type) {
	case bool:
		if v {
			return allRules, nil
		}
		return "", nil
	case []any:
		for _, item := range v {
			n, err := name(item)
			if err != nil {
				return "", err
			}
			if slices.Contains(chosen, n) {
				return "", fmt.Errorf("names %q twice", n)
			}
			chosen = append(chosen, n)
		}
	}
	if len(chosen) == 0 {
		return "", fmt.Errorf("must be true, false or a list of rules (%s), not %s", strings.Join(RuleNames, ", "), describe(v))
	}
	if len(chosen) == len(RuleNames) {
		return allRules, nil
	}
	slices.SortFunc(chosen, func(a, b string) int { return slices.Index(RuleNames, a) - slices.Index(RuleNames, b) })
	return Rules(strings.Join(chosen, ",")), nil
}
