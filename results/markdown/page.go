package markdown

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/util"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

//go:embed page.js
var pageScript string

var page = template.Must(template.New("page").Parse(pageText))

// Page returns a Markdown document as one HTML page that loads nothing: what image returns for the destination of an
// image, an SVG document, becomes part of it. The style is added to that of the page. Tables can be sorted by a click
// on their headers.
func Page(title string, document []byte, style string, image func(path string) ([]byte, error)) ([]byte, error) {
	images := &inliner{image: image}
	tables := extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute))
	converter := goldmark.New(
		goldmark.WithExtensions(tables),
		goldmark.WithParserOptions(parser.WithAutoHeadingID()),
		goldmark.WithRendererOptions(renderer.WithNodeRenderers(util.Prioritized(images, 100))))
	var body, out bytes.Buffer
	if err := converter.Convert(document, &body); err != nil {
		return nil, fmt.Errorf("make page %s: %w", title, err)
	}
	err := page.Execute(&out, map[string]any{
		"Title": title, "Body": template.HTML(body.String()), "Style": template.CSS(pageStyle + style),
		"Script": template.JS(pageScript),
	})
	return out.Bytes(), err
}

// inliner renders images as what they show.
type inliner struct{ image func(string) ([]byte, error) }

// RegisterFuncs implements renderer.NodeRenderer.
func (i *inliner) RegisterFuncs(r renderer.NodeRendererFuncRegisterer) {
	r.Register(ast.KindImage, i.render)
}

func (i *inliner) render(w util.BufWriter, source []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		return ast.WalkContinue, nil
	}
	svg, err := i.image(string(n.(*ast.Image).Destination))
	if err != nil {
		return ast.WalkStop, err
	}
	// What comes before the element belongs to a file.
	start := max(0, bytes.Index(svg, []byte("<svg")))
	_, err = w.Write(svg[start:])
	return ast.WalkSkipChildren, err
}
