package results

import (
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"

	"netadjust/results/markdown"
)

// roundTicks puts labelled ticks at multiples of 1, 2 or 5 times a power of ten, at most max of them, and none between.
type roundTicks struct {
	max     int
	integer bool // no fractions, for counts
}

// Ticks implements plot.Ticker.
func (t roundTicks) Ticks(low, high float64) []plot.Tick {
	step, decimals := t.step(high - low)
	var ticks []plot.Tick
	for i := math.Ceil(low/step - 1e-9); i*step <= high+1e-9*step; i++ {
		v := i*step + 0 // no negative zero
		label := strconv.FormatFloat(v, 'f', decimals, 64)
		ticks = append(ticks, plot.Tick{Value: v, Label: label})
	}
	return ticks
}

// step returns the smallest round step with at most max ticks over the range, and the decimals its multiples need.
func (t roundTicks) step(width float64) (float64, int) {
	exponent := int(math.Floor(math.Log10(width/float64(t.max)))) - 1
	if t.integer {
		exponent = max(exponent, 0)
	}
	for ; ; exponent++ {
		for _, factor := range []float64{1, 2, 5} {
			step := factor * math.Pow10(exponent)
			if math.Floor(width/step)+1 <= float64(t.max) {
				return step, max(0, -exponent)
			}
		}
	}
}

// logTicks puts labelled ticks at 1, 2 and 5 times the powers of ten, or at every power of ten, every second one and so
// on if there would be more than max. Labels have decimal prefixes.
type logTicks struct{ max int }

// Ticks implements plot.Ticker.
func (t logTicks) Ticks(low, high float64) []plot.Tick {
	ticks := ticksAt(low, high, 1, 1, 2, 5)
	for step := 1; len(ticks) > t.max; step++ {
		ticks = ticksAt(low, high, step, 1)
	}
	return ticks
}

// ticksAt returns the ticks from low to high at the multiples of powers of ten whose exponent divides by step.
func ticksAt(low, high float64, step int, multiples ...float64) []plot.Tick {
	var ticks []plot.Tick
	for e := step * int(math.Floor(math.Log10(low)/float64(step))); math.Pow10(e) <= high; e += step {
		for _, m := range multiples {
			if v := m * math.Pow10(e); low <= v && v <= high {
				ticks = append(ticks, plot.Tick{Value: v, Label: prefixed(v)})
			}
		}
	}
	return ticks
}

// prefixed writes a count with a decimal prefix.
func prefixed(v float64) string {
	power := 0
	for v >= 1000 && power < len(markdown.Prefixes)-1 {
		v, power = v/1000, power+1
	}
	return strings.TrimSpace(strconv.FormatFloat(v, 'g', 4, 64) + " " + markdown.Prefixes[power])
}

// unlabelled puts the ticks of another ticker without their labels.
type unlabelled struct{ plot.Ticker }

// Ticks implements plot.Ticker.
func (t unlabelled) Ticks(low, high float64) []plot.Tick {
	ticks := t.Ticker.Ticks(low, high)
	for i := range ticks {
		ticks[i].Label = ""
	}
	return ticks
}

// widen extends an axis on both sides by a share of its range, which is first made at least the given one.
func widen(a *plot.Axis, share, least float64) {
	room := share*(a.Max-a.Min) + max(0, least-(a.Max-a.Min))/2
	a.Min, a.Max = a.Min-room, a.Max+room
}

// widenLog extends a logarithmic axis on both sides by a factor, and further until its ends differ by the least factor.
func widenLog(a *plot.Axis, factor, least float64) {
	room := max(factor, math.Sqrt(least*a.Min/a.Max))
	a.Min, a.Max = a.Min/room, a.Max*room
}
