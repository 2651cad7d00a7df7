package results

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/go-gota/gota/dataframe"
	"github.com/go-gota/gota/series"
)

// This is the only file that knows gota. The rest of the package sees a table, which hides what to beware of: errors
// sit in the frame, String() and WriteCSV cut floats to six decimals, and grouping goes through a map.

// Frame returns the frame of cells: one row per record with every scalar that configuration and seed determine. Columns
// are described in docs/results.md. Failed cells have state "failed" and nothing of a final network.
func Frame(records []*Record) (dataframe.DataFrame, error) {
	t, err := cellTable(records)
	return t.df, err
}

// Layers returns the frame of updates: one row per (cell, update, layer) of network adjustment.
func Layers(records []*Record) (dataframe.DataFrame, error) {
	t, err := layerTable(records)
	return t.df, err
}

// Epochs returns the frame of final trainings: one row per (cell, epoch).
func Epochs(records []*Record) (dataframe.DataFrame, error) {
	t, err := epochTable(records)
	return t.df, err
}

// Timing returns the frame of what differs between two runs of the same cell: one row per record.
func Timing(records []*Record) (dataframe.DataFrame, error) {
	t, err := timingTable(records)
	return t.df, err
}

// table is a frame whose columns and types are known to be right.
type table struct{ df dataframe.DataFrame }

var seriesTypes = map[kind]series.Type{textKind: series.String, integerKind: series.Int, realKind: series.Float}

// build evaluates every column on every row.
func build[R any](columns []column[R], rows []R) (table, error) {
	all := make([]series.Series, len(columns))
	for i, c := range columns {
		values := make([]any, len(rows))
		for j, row := range rows {
			values[j] = c.of(row)
		}
		all[i] = series.New(values, seriesTypes[c.kind], c.name)
		if err := all[i].Err; err != nil {
			return table{}, fmt.Errorf("column %s: %w", c.name, err)
		}
	}
	df := dataframe.New(all...)
	if df.Err != nil {
		return table{}, fmt.Errorf("make frame: %w", df.Err)
	}
	return table{df}, nil
}

func cellTable(records []*Record) (table, error) {
	return build(slices.Concat(cellColumns(), configColumns(records)), records)
}

func layerTable(records []*Record) (table, error) { return build(layerColumns(), layerRows(records)) }

func epochTable(records []*Record) (table, error) { return build(epochColumns(), epochRows(records)) }

func timingTable(records []*Record) (table, error) { return build(timingColumns(), records) }

// rows returns the number of rows.
func (t table) rows() int { return t.df.Nrow() }

// names returns the column names.
func (t table) names() []string { return t.df.Names() }

// column returns one column; asking for one that is not there is a programmer's error.
func (t table) column(name string) series.Series {
	s := t.df.Col(name)
	if s.Err != nil {
		panic("results: " + s.Err.Error())
	}
	return s
}

// numbers returns a numeric column; cells without a number are NaN.
func (t table) numbers(name string) []float64 { return t.column(name).Float() }

// strings returns a column as it is written to CSV: floats in full precision, nothing where there is no value.
func (t table) strings(name string) []string {
	s := t.column(name)
	out := make([]string, s.Len())
	for i := range out {
		switch e := s.Elem(i); {
		case s.Type() != series.String && e.IsNA():
		case s.Type() == series.Float:
			out[i] = strconv.FormatFloat(e.Float(), 'g', -1, 64)
		default:
			out[i] = e.String()
		}
	}
	return out
}

// in returns the rows whose column has one of the values.
func (t table) in(column string, values []string) table {
	var keep []int
	for i, v := range t.strings(column) {
		if slices.Contains(values, v) {
			keep = append(keep, i)
		}
	}
	return t.at(keep)
}

// at returns the given rows.
func (t table) at(rows []int) table {
	df := t.df.Subset(slices.Concat([]int{}, rows))
	if df.Err != nil {
		panic("results: " + df.Err.Error())
	}
	return table{df}
}

// csv returns the table with a header row.
func (t table) csv() [][]string {
	names := t.names()
	out := make([][]string, t.rows()+1)
	out[0] = names
	for i := range t.rows() {
		out[i+1] = make([]string, len(names))
	}
	for c, name := range names {
		for r, v := range t.strings(name) {
			out[r+1][c] = v
		}
	}
	return out
}
