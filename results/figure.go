package results

import (
	"bytes"
	"cmp"
	"image/color"
	"io"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/opentype"
	"gonum.org/v1/plot"
	plotfont "gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgpdf"
	"gonum.org/v1/plot/vg/vgsvg"

	"netadjust/internal/atomicfile"
	"netadjust/results/font"
)

// figure is a grid of plots with one legend or colour bar above them.
type figure struct {
	name    string // file name without extension
	caption string // what is shown and how to read it
	legend  []legendEntry
	bar     *colorBar    // nil if colours stand for no numbers
	panels  []*plot.Plot // row by row; nil leaves a place empty
	columns int          // panels in a row; 0 is 1
	width   vg.Length    // of the whole figure; 0 is columnWidth
	height  vg.Length    // of one row of panels
	xLabel  string       // of all panels together; empty if they have their own
	yLabel  string       // the same for the y axes
	data    [][]string   // the numbers that are shown, with a header row
}

// figureFormats are the file formats of a figure; each has all fonts inside.
var figureFormats = []struct {
	extension string
	canvas    func(w, h vg.Length) vg.CanvasWriterTo
}{
	{".png", func(w, h vg.Length) vg.CanvasWriterTo {
		return vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(w, h), vgimg.UseDPI(pngDPI))}
	}},
	{".svg", func(w, h vg.Length) vg.CanvasWriterTo {
		return svgCanvas{vgsvg.NewWith(vgsvg.UseWH(w, h))}
	}},
	{".pdf", func(w, h vg.Length) vg.CanvasWriterTo { return vgpdf.New(w, h) }},
}

// svgCanvas is an SVG canvas that writes the letters of the figures into the file, not the whole font as gonum does.
type svgCanvas struct{ *vgsvg.Canvas }

// WriteTo implements io.WriterTo.
func (c svgCanvas) WriteTo(w io.Writer) (int64, error) {
	var b bytes.Buffer
	if _, err := c.Canvas.WriteTo(&b); err != nil {
		return 0, err
	}
	element := bytes.Index(b.Bytes(), []byte("<svg"))
	body := element + bytes.IndexByte(b.Bytes()[element:], '>') + 1
	n, err := w.Write(slices.Insert(b.Bytes(), body, svgFont()...))
	return int64(n), err
}

// svgFont is the part of an SVG file that holds the letters.
var svgFont = sync.OnceValue(func() []byte { return []byte("\n<style>" + font.Face() + "</style>") })

// PDF files hold a font whole, so it has no letters but those of figures. They hold dates and lists in the order of maps
// unless told otherwise; the same records must give the same bytes.
func init() {
	face, err := opentype.Parse(font.TTF)
	if err != nil {
		panic(err) // the font is part of the program
	}
	plotfont.DefaultCache.Add(plotfont.Collection{{Font: fontFamily, Face: face}})
	epoch := time.Unix(0, 0).UTC()
	fpdf.SetDefaultCreationDate(epoch)
	fpdf.SetDefaultModificationDate(epoch)
	fpdf.SetDefaultCatalogSort(true)
}

// write writes the figure in all formats and its numbers as CSV into dir and returns the paths of the files.
func (f figure) write(dir string) ([]string, error) {
	path := filepath.Join(dir, f.name)
	files := []string{path + ".csv"}
	if err := writeCSV(files[0], f.data); err != nil {
		return nil, err
	}
	for _, format := range figureFormats {
		canvas := format.canvas(f.totalWidth(), f.totalHeight())
		f.draw(draw.New(canvas))
		file := path + format.extension
		if err := atomicfile.WriteTo(file, func(w io.Writer) error {
			_, err := canvas.WriteTo(w)
			return err
		}); err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// totalWidth returns the width of the figure with its margins.
func (f figure) totalWidth() vg.Length { return cmp.Or(f.width, columnWidth) }

// totalHeight returns the height of the panels, of what is around them and of the margins.
func (f figure) totalHeight() vg.Length {
	rows := vg.Length(len(f.panels) / max(1, f.columns))
	return f.height*rows + f.topHeight(f.totalWidth()-2*margin) + labelRoom(f.xLabel) + 2*margin
}

// topHeight returns the height of legend and colour bar in the given width.
func (f figure) topHeight(width vg.Length) vg.Length {
	return legendHeight(f.legend, width) + f.bar.height()
}

// labelRoom returns the room that a label beside all panels needs, none for no label.
func labelRoom(label string) vg.Length {
	if label == "" {
		return 0
	}
	return labelSize + 3
}

// draw draws the figure on the whole of c, on white so that it can be read on any page.
func (f figure) draw(c draw.Canvas) {
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	c = draw.Crop(c, margin, -margin, margin, -margin)
	drawLegend(c, f.legend)
	f.bar.draw(c)
	c.Max.Y -= f.topHeight(c.Size().X)
	c = f.drawLabels(c)
	columns := max(1, f.columns)
	grid := slices.Collect(slices.Chunk(f.panels, columns))
	tiles := draw.Tiles{Rows: len(grid), Cols: columns}
	if columns > 1 {
		tiles.PadX = panelGap
	}
	for i, row := range plot.Align(grid, tiles, c) {
		for j, at := range row {
			if p := grid[i][j]; p != nil {
				p.Draw(at)
			}
		}
	}
}

// drawLabels draws the labels that all panels share along the left and the bottom of c, and returns the rest of c.
func (f figure) drawLabels(c draw.Canvas) draw.Canvas {
	rest := draw.Crop(c, labelRoom(f.yLabel), 0, labelRoom(f.xLabel), 0)
	middle := rest.Center()
	sty := labelText
	c.FillText(sty, vg.Point{X: middle.X, Y: c.Min.Y + labelSize/2}, f.xLabel)
	sty.Rotation = math.Pi / 2
	c.FillText(sty, vg.Point{X: c.Min.X + labelSize/2, Y: middle.Y}, f.yLabel)
	return rest
}
