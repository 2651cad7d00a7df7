package experiments

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"netadjust/internal/suggest"
)

// interval is a range of numbers.
type interval struct {
	holds func(x float64) bool
	text  string
	shape shape // without the type
}

// atLeast returns the interval [low, high].
func atLeast(low, high float64) interval {
	return interval{
		func(x float64) bool { return low <= x && x <= high },
		fmt.Sprintf("at least %v and at most %v", low, high),
		shape{"minimum": low, "maximum": high},
	}
}

// atLeastBelow returns the interval [low, high).
func atLeastBelow(low, high float64) interval {
	return interval{
		func(x float64) bool { return low <= x && x < high },
		fmt.Sprintf("at least %v and less than %v", low, high),
		shape{"minimum": low, "exclusiveMaximum": high},
	}
}

// moreThan returns the interval (low, high].
func moreThan(low, high float64) interval {
	return interval{
		func(x float64) bool { return low < x && x <= high },
		fmt.Sprintf("more than %v and at most %v", low, high),
		shape{"exclusiveMinimum": low, "maximum": high},
	}
}

// integer returns a reader of TOML integers.
func integer(in interval) func(any) (int, error) {
	return func(v any) (int, error) {
		if v == shapeWanted {
			return 0, in.shape.of("integer")
		}
		n, ok := v.(int64)
		if !ok || !in.holds(float64(n)) {
			return 0, fmt.Errorf("must be an integer, %s, not %s", in.text, describe(v))
		}
		return int(n), nil
	}
}

// number returns a reader of TOML floats and integers; no interval holds a NaN.
func number(in interval) func(any) (float64, error) {
	return func(v any) (float64, error) {
		if v == shapeWanted {
			return 0, in.shape.of("number")
		}
		x := math.NaN()
		switch v := v.(type) {
		case int64:
			x = float64(v)
		case float64:
			x = v
		}
		if !in.holds(x) {
			return 0, fmt.Errorf("must be a number, %s, not %s", in.text, describe(v))
		}
		if x == 0 {
			x = 0 // -0.0 and 0.0 are one setting and must not make two ids
		}
		return x, nil
	}
}

// oneOf returns a reader of the given names.
func oneOf(names ...string) func(any) (string, error) {
	return func(v any) (string, error) {
		if v == shapeWanted {
			return "", shape{"enum": names}
		}
		name, ok := v.(string)
		if !ok {
			return "", fmt.Errorf("must be one of %s, not %s", strings.Join(names, ", "), describe(v))
		}
		if !slices.Contains(names, name) {
			return "", fmt.Errorf("unknown name %q%s", name, suggest.Known(name, names))
		}
		return name, nil
	}
}

// oneOfOr returns a reader of the given names and of standard, which stands for what no name does and is read as "".
func oneOfOr(standard string, names ...string) func(any) (string, error) {
	read := oneOf(append([]string{standard}, names...)...)
	return func(v any) (string, error) {
		name, err := read(v)
		if name == standard {
			name = ""
		}
		return name, err
	}
}

// maxVariant is the length of the longest name of a variant that fits into tables, legends and folder names.
const maxVariant = 40

// variant reads the name of a variant.
func variant(v any) (string, error) {
	if v == shapeWanted {
		return "", shape{"type": "string", "minLength": 1, "maxLength": maxVariant}
	}
	name, ok := v.(string)
	printable := !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
	if !ok || name == "" || len(name) > maxVariant || !printable || strings.TrimSpace(name) != name {
		return "", fmt.Errorf("must be a name of at most %d printable characters for the settings of these cells, not %s",
			maxVariant, describe(v))
	}
	return name, nil
}

// boolean reads true or false.
func boolean(v any) (bool, error) {
	if v == shapeWanted {
		return false, shape{"type": "boolean"}
	}
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("must be true or false, not %s", describe(v))
	}
	return b, nil
}

// seed reads a seed.
func seed(v any) (uint64, error) {
	if v == shapeWanted {
		return 0, shape{"type": "integer", "minimum": 0}
	}
	n, ok := v.(int64)
	if !ok || n < 0 {
		return 0, fmt.Errorf("must be an integer of at least 0, not %s", describe(v))
	}
	return uint64(n), nil
}

// describe says what a TOML value is, in a message.
func describe(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case int64, bool:
		return fmt.Sprint(v)
	case float64:
		text := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(text, ".eIN") {
			text += ".0" // so that it is seen not to be an integer
		}
		return text
	case []any, []map[string]any:
		return "a list"
	case map[string]any:
		return "a table"
	}
	return "a date or time"
}
