package results

import (
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// legendEntry names one style.
type legendEntry struct {
	name  string
	style style
}

const (
	legendSample = vg.Length(22) // width of the piece of line beside a name
	legendGap    = vg.Length(4)  // between sample and name
	legendRow    = tickSize + 3
	legendBelow  = vg.Length(4) // between legend and plots
)

// legendColumns returns how many columns of which width fit: all have the width of the widest entry.
func legendColumns(entries []legendEntry, width vg.Length) (int, vg.Length) {
	var widest vg.Length
	for _, e := range entries {
		widest = max(widest, legendSample+3*legendGap+legendText.Width(e.name))
	}
	return max(1, min(int(width/widest), len(entries))), widest
}

// legendHeight returns the height of the legend in the given width, 0 if it has no entries.
func legendHeight(entries []legendEntry, width vg.Length) vg.Length {
	if len(entries) == 0 {
		return 0
	}
	columns, _ := legendColumns(entries, width)
	rows := (len(entries) + columns - 1) / columns
	return vg.Length(rows)*legendRow + legendBelow
}

// drawLegend draws the entries along the top of c, row by row, so that they never lie over data.
func drawLegend(c draw.Canvas, entries []legendEntry) {
	if len(entries) == 0 {
		return
	}
	columns, width := legendColumns(entries, c.Size().X)
	left := c.Min.X + (c.Size().X-vg.Length(columns)*width)/2
	for i, e := range entries {
		at := vg.Point{X: left + vg.Length(i%columns)*width, Y: c.Max.Y - (vg.Length(i/columns)+0.5)*legendRow}
		if !e.style.hollow {
			c.StrokeLine2(e.style.line(), at.X, at.Y, at.X+legendSample, at.Y)
		}
		c.DrawGlyphNoClip(e.style.glyph(), at.Add(vg.Point{X: legendSample / 2}))
		c.FillText(legendText, at.Add(vg.Point{X: legendSample + legendGap, Y: -textDrop * tickSize}), e.name)
	}
}
