// Package kernels holds the texts of the GPU's kernels. Each is OpenCL C 1.2 and CUDA C++ at the same time, and wants
// its geometry, and the number T of threads in a group, as -D options.
package kernels

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed dialect.h *.cl
var files embed.FS

// Revision counts changes of the numbers that kernels give.
const Revision = 1

// The texts.
const (
	Depthwise = "depthwise"
	Elements  = "elements"
	Images    = "images"
	Loss      = "loss"
	Norm      = "norm"
	Planes    = "planes"
	Pool      = "pool"
	Update    = "update"
)

// Text returns a text with the header that makes it both languages.
func Text(name string) string { return read("dialect.h") + read(name+".cl") }

func read(file string) string {
	text, err := files.ReadFile(file)
	if err != nil {
		panic(err) // a text that the program does not have
	}
	return string(text)
}

// Tile is the part M x N of a matrix product that a group of threads has, K of the inner dimension at a time. A thread
// has RowsEach x ColumnsEach of it.
type Tile struct{ M, N, K, RowsEach, ColumnsEach int }

// Tiles are those that convolutions choose from.
var Tiles = []Tile{{16, 128, 16, 4, 4}, {64, 64, 16, 4, 4}, {128, 128, 8, 8, 8}}

// Name is a tile's part of the name of its kernel, conv_NAME.
func (t Tile) Name() string { return fmt.Sprintf("%dx%d", t.M, t.N) }

// Threads is the size of a group.
func (t Tile) Threads() int { return t.M / t.RowsEach * t.N / t.ColumnsEach }

// Conv returns the text of convolutions, with a kernel for each of the tiles: networks with other numbers of channels
// find their tile in the program that is there.
func Conv(tiles []Tile) string {
	body := read("conv.cl")
	var b strings.Builder
	b.WriteString(read("dialect.h"))
	for _, t := range tiles {
		for _, d := range []struct {
			name  string
			value int
		}{{"TM", t.M}, {"TN", t.N}, {"TK", t.K}, {"RM", t.RowsEach}, {"RN", t.ColumnsEach}, {"THREADS", t.Threads()}} {
			fmt.Fprintf(&b, "#undef %s\n#define %s %d\n", d.name, d.name, d.value)
		}
		b.WriteString(strings.ReplaceAll(body, "TILE", t.Name()))
	}
	return b.String()
}
