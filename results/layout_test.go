package results

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// layout is a canvas that only remembers where text goes and how thin the thinnest line is.
type layout struct {
	now      transform
	stack    []transform
	texts    []placedText
	width    vg.Length
	thinnest vg.Length
	lines    int
	areas    int
}

// transform maps (x, y) to (a x + b y + e, c x + d y + f).
type transform struct{ a, b, c, d, e, f float64 }

type placedText struct {
	text string
	box  vg.Rectangle
}

func newLayout() *layout {
	return &layout{now: transform{a: 1, d: 1}, thinnest: vg.Length(math.Inf(1))}
}

func (l *layout) SetLineWidth(w vg.Length)            { l.width = w }
func (l *layout) SetLineDash([]vg.Length, vg.Length)  {}
func (l *layout) SetColor(color.Color)                {}
func (l *layout) Stroke(vg.Path)                      { l.lines, l.thinnest = l.lines+1, min(l.thinnest, l.width) }
func (l *layout) Fill(vg.Path)                        { l.areas++ }
func (l *layout) DrawImage(vg.Rectangle, image.Image) {}
func (l *layout) Push()                               { l.stack = append(l.stack, l.now) }
func (l *layout) Translate(p vg.Point)                { l.apply(transform{1, 0, 0, 1, p.X.Points(), p.Y.Points()}) }
func (l *layout) Scale(x, y float64)                  { l.apply(transform{a: x, d: y}) }
func (l *layout) Pop() {
	last := len(l.stack) - 1
	l.now, l.stack = l.stack[last], l.stack[:last]
}

func (l *layout) Rotate(angle float64) {
	sin, cos := math.Sincos(angle)
	l.apply(transform{a: cos, b: -sin, c: sin, d: cos})
}

// apply makes t the first thing that happens to points from now on.
func (l *layout) apply(t transform) {
	m := l.now
	l.now = transform{m.a*t.a + m.b*t.c, m.a*t.b + m.b*t.d, m.c*t.a + m.d*t.c, m.c*t.b + m.d*t.d,
		m.a*t.e + m.b*t.f + m.e, m.c*t.e + m.d*t.f + m.f}
}

// FillString remembers the box of text from its base line to the height of capitals.
func (l *layout) FillString(face font.Face, at vg.Point, text string) {
	corner := func(dx, dy vg.Length) vg.Point {
		x, y := (at.X + dx).Points(), (at.Y + dy).Points()
		return vg.Point{X: vg.Length(l.now.a*x + l.now.b*y + l.now.e), Y: vg.Length(l.now.c*x + l.now.d*y + l.now.f)}
	}
	p, q := corner(0, 0), corner(face.Width(text), 0.7*face.Font.Size)
	l.texts = append(l.texts, placedText{text, vg.Rectangle{
		Min: vg.Point{X: min(p.X, q.X), Y: min(p.Y, q.Y)}, Max: vg.Point{X: max(p.X, q.X), Y: max(p.Y, q.Y)}}})
}

func TestLabelsNeitherOverlapNorAreCut(t *testing.T) {
	for name, records := range map[string][]*Record{
		"quick":         quick(t, []string{"1.0", "0.5", "0.25"}, 1, 2, 3),
		"one cell":      {cell(t, "adjust", "0.5", 1)},
		"paper":         paperLike(t),
		"all methods":   allMethods(t),
		"54 layers":     {deepened(cell(t, "adjust", "0.5", 1), 3, 10), deepened(cell(t, "adjust", "0.5", 2), 3, 10)},
		"108 layers":    {deepened(cell(t, "adjust", "0.5", 1), 6, 20)},
		"truth":         {truthful(t, 1, utilities(), 0.01), truthful(t, 2, utilities(), 0.01)},
		"truth, close":  {truthful(t, 1, make([]float64, 18), 0.01), truthful(t, 2, make([]float64, 18), 0.01)},
		"truth, alike":  {truthful(t, 1, make([]float64, 18), 0)},
		"large and low": {large(cell(t, "adjust", "1.0", 1)), large(cell(t, "adjust", "0.25", 1))},
	} {
		for _, f := range figuresOf(t, records) {
			l := newLayout()
			page := draw.NewCanvas(l, f.totalWidth(), f.totalHeight())
			f.draw(page)
			if l.thinnest < 0.75 {
				t.Errorf("%s, %s: a line of %g pt, want at least 0.75", name, f.name, l.thinnest.Points())
			}
			checkTexts(t, name+", "+f.name, page.Rectangle, l.texts)
		}
	}
}

// figuresOf returns the figures of the first comparison among records.
func figuresOf(t *testing.T, records []*Record) []figure {
	t.Helper()
	f, err := framesOf(records)
	if err != nil {
		t.Fatal(err)
	}
	sections, err := sectionsOf(f)
	if err != nil {
		t.Fatal(err)
	}
	return sections[0].figures
}

// checkTexts reports texts that leave the page or lie over each other.
func checkTexts(t *testing.T, name string, page vg.Rectangle, texts []placedText) {
	t.Helper()
	if len(texts) < 5 {
		t.Errorf("%s: only the texts %v", name, texts)
	}
	for i, a := range texts {
		if strings.ContainsFunc(a.text, func(r rune) bool { return r > unicode.MaxLatin1 }) {
			t.Errorf("%s: %q cannot be written in a PDF, whose fonts have a code page", name, a.text)
		}
		if !inside(a.box, page) {
			t.Errorf("%s: %q at %v leaves the page %v", name, a.text, a.box, page)
		}
		for _, b := range texts[:i] {
			if !apart(a.box, b.box) {
				t.Errorf("%s: %q at %v lies over %q at %v", name, a.text, a.box, b.text, b.box)
			}
		}
	}
}

func apart(a, b vg.Rectangle) bool {
	return a.Min.X >= b.Max.X || b.Min.X >= a.Max.X || a.Min.Y >= b.Max.Y || b.Min.Y >= a.Max.Y
}

func inside(a, b vg.Rectangle) bool {
	return a.Min.X >= b.Min.X && a.Max.X <= b.Max.X && a.Min.Y >= b.Min.Y && a.Max.Y <= b.Max.Y
}

// allMethods returns one cell of every method that has a style of its own.
func allMethods(t *testing.T) []*Record {
	var records []*Record
	for _, m := range methodOrder {
		records = append(records, cell(t, m, "0.5", 1), cell(t, m, "0.25", 1))
	}
	return records
}

// deepened repeats the layers and the updates of a record.
func deepened(r *Record, times, updates int) *Record {
	res := &r.Result
	names := res.Layers
	res.Layers = nil
	for _, n := range names {
		for i := range times {
			res.Layers = append(res.Layers, fmt.Sprint(n, "-", i))
		}
	}
	res.Start.Channels, res.Final.Channels = repeat(res.Start.Channels, times), repeat(res.Final.Channels, times)
	three := res.Updates
	res.Updates = nil
	for k := range updates {
		u := three[k%3]
		u.Index, u.Channels, u.Next = k, repeat(u.Channels, times), repeat(u.Next, times)
		u.FUR, u.FURStdErr = repeat(u.FUR, times), repeat(u.FURStdErr, times)
		u.DropRates, u.FLOPsPerChannel = repeat(u.DropRates, times), repeat(u.FLOPsPerChannel, times)
		res.Updates = append(res.Updates, u)
	}
	return r
}

// repeat returns v with each entry several times.
func repeat[T any](v []T, times int) []T {
	var out []T
	for _, x := range v {
		out = append(out, slices.Repeat([]T{x}, times)...)
	}
	return out
}

// large gives a record the FLOPs of an ImageNet network, an accuracy near zero and negative ratios.
func large(r *Record) *Record {
	r.Result.Final.FLOPs *= 1000
	r.Result.Final.TestTop1 -= 0.87
	for _, u := range r.Result.Updates {
		for l := range u.FUR {
			u.FUR[l] = -1e-4 * u.FUR[l]
		}
	}
	return r
}
