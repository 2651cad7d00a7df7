// Package markdown writes Markdown documents and the numbers in them.
package markdown

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Document collects a document in GitHub's Markdown.
type Document struct{ strings.Builder }

// Line writes a line of Markdown; Escape everything in args that is not Markdown by itself.
func (d *Document) Line(format string, args ...any) {
	fmt.Fprintf(d, format+"\n", args...)
}

// Table writes a table; the first left columns are flush left, the others right.
func (d *Document) Table(left int, header []string, rows [][]string) {
	d.Line("| %s |", strings.Join(header, " | "))
	rule := make([]string, len(header))
	for i := range rule {
		rule[i] = "---"
		if i >= left {
			rule[i] = "---:"
		}
	}
	d.Line("| %s |", strings.Join(rule, " | "))
	for _, row := range rows {
		d.Line("| %s |", strings.Join(row, " | "))
	}
	d.Line("")
}

var escaper = strings.NewReplacer(
	"\\", "\\\\", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]", "|", "\\|", "~", "\\~", "$", "\\$",
	"&", "&amp;", "<", "&lt;", ">", "&gt;", "\r\n", " ", "\n", " ", "\r", " ")

// Escape makes text that Markdown shows as it is, in one line, inside tables too.
func Escape(s string) string { return escaper.Replace(s) }

// NoValue stands where there is no number.
const NoValue = "–"

// Fixed writes a number with a fixed count of decimals. Numbers that are the same to 12 digits are written the same: a mean
// that lies half-way between two numbers of so many decimals would else be rounded by its last bit, which depends on the
// order of the sum.
func Fixed(v float64, decimals int) string {
	if math.IsNaN(v) {
		return NoValue
	}
	if r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 12, 64), 64); err == nil {
		v = r
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// Signed writes a number with its sign, which a rounded zero does not have.
func Signed(v float64, decimals int) string {
	s := Fixed(v, decimals)
	switch {
	case strings.Trim(s, "-0.") == "":
		return strings.TrimPrefix(s, "-")
	case v > 0:
		return "+" + s
	}
	return s
}

// Significant writes a number with at least three Significant digits and no exponent.
func Significant(v float64) string {
	if math.IsNaN(v) {
		return NoValue
	}
	if v == 0 {
		return "0"
	}
	return strconv.FormatFloat(v, 'f', max(0, 2-int(math.Floor(math.Log10(math.Abs(v))))), 64)
}

// Prefixes are those of powers of 1000.
var Prefixes = []string{"", "k", "M", "G", "T", "P", "E"}

// Scaled writes a count with four Significant digits and a decimal prefix, counts below 1000 as they are.
func Scaled(v float64) string {
	if math.IsNaN(v) {
		return NoValue
	}
	if math.Abs(v) < 1000 {
		return strconv.FormatFloat(v, 'g', 4, 64)
	}
	power := 0
	for math.Abs(v) >= 999.95 && power < len(Prefixes)-1 {
		v, power = v/1000, power+1
	}
	digits := 1 + max(0, int(math.Floor(math.Log10(math.Abs(v)))))
	return strconv.FormatFloat(v, 'f', max(0, 4-digits), 64) + " " + Prefixes[power]
}
