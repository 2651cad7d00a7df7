package results

import (
	"cmp"
	"hash/fnv"
	"image/color"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Sizes of all figures, made for one column of a two-column paper and meant to be shown at their own size.
const (
	columnWidth = 3.25 * vg.Inch
	pageWidth   = 6.875 * vg.Inch // both columns
	pageHeight  = 8.5 * vg.Inch   // what the panels of a tall figure may take
	labelSize   = vg.Length(9)    // axis labels
	tickSize    = vg.Length(8)    // tick labels and legend
	smallSize   = vg.Length(7)    // titles of small panels
	axisLine    = vg.Length(0.75)
	dataLine    = vg.Length(1)
	panelGap    = vg.Length(8)   // between panels side by side
	markSize    = vg.Length(2.6) // radius of marks
	margin      = vg.Length(3)
	pngDPI      = 150
)

// fontFamily is metric-compatible with Times, the text face of most conference papers.
var fontFamily = font.Font{Typeface: "Liberation", Variant: "Serif"}

// palette holds the Okabe-Ito colours that are dark enough for lines on white.
var palette = []color.Color{
	color.NRGBA{R: 0x00, G: 0x00, B: 0x00, A: 0xff}, // black
	color.NRGBA{R: 0xd5, G: 0x5e, B: 0x00, A: 0xff}, // vermillion
	color.NRGBA{R: 0x00, G: 0x72, B: 0xb2, A: 0xff}, // blue
	color.NRGBA{R: 0x00, G: 0x9e, B: 0x73, A: 0xff}, // bluish green
	color.NRGBA{R: 0xcc, G: 0x79, B: 0xa7, A: 0xff}, // reddish purple
	color.NRGBA{R: 0xe6, G: 0x9f, B: 0x00, A: 0xff}, // orange
	color.NRGBA{R: 0x56, G: 0xb4, B: 0xe9, A: 0xff}, // sky blue
}

// cold and warm are the colours of numbers below and above 0, from light to dark: blue and vermillion, which differ for
// colour-blind readers too. As both get dark alike in grey, numbers below 0 also carry a dash.
var (
	cold = []color.NRGBA{
		{R: 0xf7, G: 0xf7, B: 0xf7}, {R: 0x9c, G: 0xc9, B: 0xe3},
		{R: 0x1c, G: 0x78, B: 0xb4}, {R: 0x00, G: 0x25, B: 0x4d},
	}
	warm = []color.NRGBA{
		{R: 0xf7, G: 0xf7, B: 0xf7}, {R: 0xfa, G: 0xc0, B: 0x8f},
		{R: 0xd5, G: 0x5e, B: 0x00}, {R: 0x58, G: 0x1c, B: 0x00},
	}
)

var grey = color.NRGBA{R: 0xb0, G: 0xb0, B: 0xb0, A: 0xff}

// dashes tell lines apart in grey; nil is solid.
var dashes = [][]vg.Length{{5, 2}, nil, {6, 2, 1.5, 2}, {1.5, 1.5}}

// methodOrder fixes the order of methods in tables and legends, and their styles. Methods that are not named here
// follow in alphabetical order.
var methodOrder = []string{
	"uniform", "adjust", "l1", "random", "slimming", "taylor_per_flop", "morphnet", "adjust_random_fur", "random_best",
	"taylor", "l1_per_flop", "fpgm", "sfp", "random_ratio", "autoslim", "synflow", "snip_channel",
	"adjust_no_flops_norm", "adjust_one_shot", "evolution", "fur_truth",
}

// style is how a series is drawn; without a marker only its line shows.
type style struct {
	color  color.Color
	marker polygon
	size   vg.Length // radius of the marker
	dashes []vg.Length
	hollow bool // only the outline of the marker
}

// styleOf returns the style of a method, which depends on its name alone so that it is the same in every figure.
func styleOf(method string) style {
	i := slices.Index(methodOrder, method)
	if i < 0 {
		h := fnv.New32a()
		h.Write([]byte(method))
		i = int(h.Sum32()) % (len(palette) * len(markers))
	}
	// 7 colours and 8 markers have no common divisor, so that 56 methods differ in one or the other.
	return style{
		color: palette[i%len(palette)], marker: markers[i%len(markers)], size: markSize,
		dashes: dashes[(i+3*(i/len(markers)))%len(dashes)],
	}
}

// lighten mixes a colour with white, for areas behind lines.
func lighten(c color.Color) color.Color {
	r, g, b, _ := c.RGBA()
	mix := func(v uint32) uint8 { return uint8((v>>8)*3/10 + 255*7/10) }
	return color.NRGBA{R: mix(r), G: mix(g), B: mix(b), A: 0xff}
}

// line returns the style of lines between points.
func (s style) line() draw.LineStyle {
	return draw.LineStyle{Color: s.color, Width: dataLine, Dashes: s.dashes}
}

// bar returns the style of error bars.
func (s style) bar() draw.LineStyle { return draw.LineStyle{Color: s.color, Width: axisLine} }

// glyph returns the style of points.
func (s style) glyph() draw.GlyphStyle {
	g := draw.GlyphStyle{Color: s.color, Radius: s.size, Shape: s.marker}
	if s.hollow {
		g.Shape = outline(s.marker)
	}
	return g
}

// compareMethods orders methods as methodOrder does.
func compareMethods(a, b string) int {
	rank := func(name string) int {
		method, _, _ := strings.Cut(name, ", ") // of a variant
		if i := slices.Index(methodOrder, method); i >= 0 {
			return i
		}
		return len(methodOrder)
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
}

// legendText is the style of text in legends, anchored at the left end of its base line.
var legendText = text.Style{
	Color: color.Black, Font: font.From(fontFamily, tickSize), Handler: plot.DefaultTextHandler,
}

// labelText is the style of labels that stand beside several panels, anchored at their middle.
var labelText = text.Style{
	Color: color.Black, Font: font.From(fontFamily, labelSize), Handler: plot.DefaultTextHandler,
	XAlign: draw.XCenter, YAlign: draw.YCenter,
}

// textDrop is how far below the middle of a line of capitals gonum wants the point where the text starts, as a share of
// the font size: half the height of capitals, and what it leaves for descenders.
const textDrop = 0.33 + 0.1

// axisStyle is the style of axis lines and ticks.
var axisStyle = draw.LineStyle{Color: color.Black, Width: axisLine}

// newPlot returns an empty plot with axes in the style of all figures.
func newPlot(xLabel, yLabel string) *plot.Plot {
	p := plot.New()
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font = font.From(fontFamily, labelSize)
		axis.Label.Padding = 2
		axis.Tick.Label.Font = font.From(fontFamily, tickSize)
		axis.Tick.Length = 3
		axis.Tick.LineStyle = axisStyle
		axis.LineStyle = axisStyle
		axis.Padding = 0
	}
	p.X.Label.Text, p.Y.Label.Text = xLabel, yLabel
	p.Y.Tick.Label.YAlign = draw.YCenter - 0.1 // digits have no descenders
	p.Title.TextStyle.Font = font.From(fontFamily, tickSize)
	p.Title.Padding = 1
	p.Add(corner{})
	return p
}
