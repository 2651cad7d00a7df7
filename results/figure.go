package results

import (
	"image/color"
	"io"
	"path/filepath"
	"time"

	"codeberg.org/go-pdf/fpdf"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgpdf"
	"gonum.org/v1/plot/vg/vgsvg"

	"netadjust/internal/atomicfile"
)

// figure is one or more plots below each other with one legend above them.
type figure struct {
	name    string // file name without extension
	caption string
	legend  []legendEntry
	panels  []*plot.Plot
	height  vg.Length  // of one panel
	data    [][]string // the numbers that are shown, with a header row
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
		return vgsvg.NewWith(vgsvg.UseWH(w, h), vgsvg.EmbedFonts(true))
	}},
	{".pdf", func(w, h vg.Length) vg.CanvasWriterTo { return vgpdf.New(w, h) }},
}

// PDF files hold dates and lists in the order of maps unless told otherwise; the same records must give the same bytes.
func init() {
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
		canvas := format.canvas(columnWidth, f.totalHeight())
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

// totalHeight returns the height of the panels, the legend and the margins.
func (f figure) totalHeight() vg.Length {
	return f.height*vg.Length(len(f.panels)) + legendHeight(f.legend, columnWidth-2*margin) + 2*margin
}

// draw draws the figure on the whole of c, on white so that it can be read on any page.
func (f figure) draw(c draw.Canvas) {
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	c = draw.Crop(c, margin, -margin, margin, -margin)
	drawLegend(c, f.legend)
	c.Max.Y -= legendHeight(f.legend, c.Size().X)
	grid := make([][]*plot.Plot, len(f.panels))
	for i, p := range f.panels {
		grid[i] = []*plot.Plot{p}
	}
	for i, row := range plot.Align(grid, draw.Tiles{Rows: len(grid), Cols: 1}, c) {
		f.panels[i].Draw(row[0])
	}
}
