package results

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
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
