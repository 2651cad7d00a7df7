package results

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// markdown collects a document.
type markdown struct{ strings.Builder }

// line writes a line of Markdown; escape everything in args that is not Markdown by itself.
func (m *markdown) line(format string, args ...any) {
	fmt.Fprintf(m, format+"\n", args...)
}

// table writes a table; the first left columns are flush left, the others right.
func (m *markdown) table(left int, header []string, rows [][]string) {
	m.line("| %s |", strings.Join(header, " | "))
	rule := make([]string, len(header))
	for i := range rule {
		rule[i] = "---"
		if i >= left {
			rule[i] = "---:"
		}
	}
	m.line("| %s |", strings.Join(rule, " | "))
	for _, row := range rows {
		m.line("| %s |", strings.Join(row, " | "))
	}
	m.line("")
}

var escaper = strings.NewReplacer(
	"\\", "\\\\", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]", "|", "\\|", "~", "\\~", "$", "\\$",
	"&", "&amp;", "<", "&lt;", ">", "&gt;", "\r\n", " ", "\n", " ", "\r", " ")

// escape makes text that Markdown shows as it is, in one line, inside tables too.
func escape(s string) string { return escaper.Replace(s) }

// noValue stands where there is no number.
const noValue = "–"

// fixed writes a number with a fixed count of decimals.
func fixed(v float64, decimals int) string {
	if math.IsNaN(v) {
		return noValue
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// signed writes a number with its sign, which a rounded zero does not have.
func signed(v float64, decimals int) string {
	s := fixed(v, decimals)
	switch {
	case strings.Trim(s, "-0.") == "":
		return strings.TrimPrefix(s, "-")
	case v > 0:
		return "+" + s
	}
	return s
}

// significant writes a number with at least three significant digits and no exponent.
func significant(v float64) string {
	if math.IsNaN(v) {
		return noValue
	}
	if v == 0 {
		return "0"
	}
	return strconv.FormatFloat(v, 'f', max(0, 2-int(math.Floor(math.Log10(math.Abs(v))))), 64)
}

// prefixes are those of powers of 1000.
var prefixes = []string{"", "k", "M", "G", "T", "P", "E"}

// scaled writes a count with four significant digits and a decimal prefix, counts below 1000 as they are.
func scaled(v float64) string {
	if math.IsNaN(v) {
		return noValue
	}
	if math.Abs(v) < 1000 {
		return strconv.FormatFloat(v, 'g', 4, 64)
	}
	power := 0
	for math.Abs(v) >= 999.95 && power < len(prefixes)-1 {
		v, power = v/1000, power+1
	}
	digits := 1 + max(0, int(math.Floor(math.Log10(math.Abs(v)))))
	return strconv.FormatFloat(v, 'f', max(0, 4-digits), 64) + " " + prefixes[power]
}

// spread writes a mean with its standard deviation.
func spread(m moments, factor float64, decimals int) string {
	return fixed(factor*m.mean, decimals) + " ± " + fixed(factor*m.std, decimals)
}
