package serve

import (
	"fmt"
	"strings"

	"netadjust/harness"
	"netadjust/results"
)

// shown is what the page knows of all cells.
type shown struct {
	*harness.Status
	Cells  []cell   `json:"cells"`
	States []string `json:"states"` // in the order in which they are counted
}

// cell is a place in the matrix, and a point in a figure when it is done.
type cell struct {
	harness.CellStatus
	Row   string `json:"row"`
	Seed  int    `json:"seed"`
	Point *point `json:"point,omitempty"`
}

// point is the accuracy of a finished cell. Those of one figure may be compared.
type point struct {
	Figure string  `json:"figure"`
	Series string  `json:"series"`
	Budget string  `json:"budget"`
	FLOPs  int64   `json:"flops"`
	Top1   float64 `json:"top1"`
}

// summary is what the page is told of a status.
func summary(s *harness.Status) *shown {
	if s == nil {
		return nil
	}
	all := &shown{Status: s, Cells: []cell{}, States: harness.States()}
	for _, c := range s.Cells {
		row, seed := c.Key()
		all.Cells = append(all.Cells, cell{c, row, seed, pointOf(c.Record())})
	}
	return all
}

// pointOf returns the point of a cell's record, nil if it has none.
func pointOf(r *results.Record) *point {
	if r == nil || r.Result.Final == nil {
		return nil
	}
	x := &r.Result
	figure := fmt.Sprintf("%s, width %v, on %s", x.Network, x.Width, x.Dataset)
	if x.Padding != "" && x.Padding != "max" {
		figure += ", " + x.Padding + " padding"
	}
	series := strings.TrimSuffix(x.Method+" "+x.Variant, " ")
	return &point{figure, series, x.Budget, x.Final.FLOPs, x.Final.TestTop1}
}
