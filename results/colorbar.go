package results

import (
	"image/color"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// rootScale gives colours to numbers around 0: white for 0, ever darker blue below and ever darker vermillion above.
// The shade follows the square root of the number, because most ratios are small beside the largest ones.
type rootScale struct{ largest float64 } // largest magnitude, which gets the darkest colour

// position maps v to [-1, 1].
func (s rootScale) position(v float64) float64 {
	if s.largest == 0 {
		return 0
	}
	return math.Copysign(math.Sqrt(math.Abs(v)/s.largest), v)
}

// shade returns the colour of a position.
func shade(position float64) color.Color {
	side := warm
	if position < 0 {
		side = cold
	}
	at := min(math.Abs(position), 1) * float64(len(side)-1)
	i := min(int(at), len(side)-2)
	mix := func(a, b uint8) uint8 { return uint8(math.Round(float64(a) + (at-float64(i))*(float64(b)-float64(a)))) }
	a, b := side[i], side[i+1]
	return color.NRGBA{R: mix(a.R, b.R), G: mix(a.G, b.G), B: mix(a.B, b.B), A: 0xff}
}

// ink returns the colour of marks on a shade: black on the light ones, white on the dark ones.
func ink(position float64) color.Color {
	if math.Abs(position) > 0.6 {
		return color.White
	}
	return color.Black
}

// colorBar explains the colours of a figure from low to high, on a line above the panels.
type colorBar struct {
	label     string
	scale     rootScale
	low, high float64 // low <= 0 <= high
}

const (
	barHeight = vg.Length(7)
	barTick   = vg.Length(2)
	barEnd    = vg.Length(12) // room for half a tick label at each end
)

// height returns the height of the bar with its tick labels; a figure without a bar needs none.
func (b *colorBar) height() vg.Length {
	if b == nil {
		return 0
	}
	return barHeight + barTick + tickSize + legendBelow
}

// draw draws the bar along the top of c. Numbers below 0 have a dash in them, as in the figure.
func (b *colorBar) draw(c draw.Canvas) {
	if b == nil {
		return
	}
	top, bottom := c.Max.Y, c.Max.Y-barHeight
	c.FillText(legendText, vg.Point{X: c.Min.X, Y: (top+bottom)/2 - textDrop*tickSize}, b.label)
	left := c.Min.X + legendText.Width(b.label) + barEnd
	right := c.Max.X - barEnd
	from, to := b.scale.position(b.low), b.scale.position(b.high)
	if to == from {
		to = from + 1
	}
	at := func(position float64) vg.Length { return left + vg.Length((position-from)/(to-from))*(right-left) }
	const steps = 128
	for i := range steps {
		p, q := from+(to-from)*float64(i)/steps, from+(to-from)*float64(i+1)/steps
		fillBox(c, shade((p+q)/2), at(p), bottom, right, top) // up to the end: no gaps between the steps
	}
	dashInside(c, from/2, at(from), bottom, at(0), top)
	c.StrokeLines(axisStyle, []vg.Point{{X: left, Y: bottom}, {X: right, Y: bottom}, {X: right, Y: top},
		{X: left, Y: top}, {X: left, Y: bottom}})
	b.drawTicks(c, at, bottom)
}

// drawTicks labels 0, the ends and then, from the ends inwards, every round number that has room.
func (b *colorBar) drawTicks(c draw.Canvas, at func(float64) vg.Length, bottom vg.Length) {
	sty := legendText
	sty.XAlign = draw.XCenter
	var taken []label
	for _, v := range append([]float64{0, b.high, b.low}, roundNumbers(b.low, b.high)...) {
		text := strconv.FormatFloat(v, 'g', 2, 64)
		l := label{at(b.scale.position(v)), sty.Width(text)/2 + 1.5}
		if slices.ContainsFunc(taken, l.overlaps) {
			continue
		}
		taken = append(taken, l)
		c.StrokeLine2(axisStyle, l.x, bottom-barTick, l.x, bottom)
		c.FillText(sty, vg.Point{X: l.x, Y: bottom - barTick - tickSize}, text)
	}
}

// label is the place of a tick label along a bar: its middle and half its width.
type label struct{ x, half vg.Length }

// overlaps tells whether a label lies over another one.
func (l label) overlaps(o label) bool { return max(l.x-o.x, o.x-l.x) < l.half+o.half }

// roundNumbers returns the numbers 1, 2 or 5 times a power of ten between low and high, over three powers, the largest
// magnitudes first.
func roundNumbers(low, high float64) []float64 {
	most := max(-low, high)
	if most == 0 {
		return nil
	}
	var out []float64
	exponent := int(math.Floor(math.Log10(most)))
	for e := exponent; e > exponent-3; e-- {
		for _, factor := range []float64{5, 2, 1} {
			v := factor * math.Pow10(e)
			if v <= high {
				out = append(out, v)
			}
			if -v >= low {
				out = append(out, -v)
			}
		}
	}
	return out
}
