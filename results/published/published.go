// Package published holds the rows of the paper's tables.
package published

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"math"
	"strconv"
)

//go:embed rows.csv
var rowsCSV []byte

// Row is a row of one of the paper's tables, or one that belongs there. What the paper does not tell is NaN.
type Row struct {
	Table   string // cifar100 or imagenet, which are the datasets, too
	Name    string // of the network, as the paper writes it
	Row     string // original, searched, or the method it was copied from
	Network string // Network, Width and Method are those of cells; empty if nothing here corresponds
	Width   float64
	Method  string
	Top1    float64 // percent
	Top5    float64
	MFLOPs  float64 // million multiply-adds of one image; on CIFAR without the stem, as the paper counts there
	MParams float64 // millions
	PFLOPs  float64 // 10^15 multiply-adds of search and final training of one seed, with the paper's recipe
	Remark  string
}

// WithoutStem tells whether the row's FLOPs leave out the network's first convolution.
func (r Row) WithoutStem() bool { return r.Table == "cifar100" }

// Rows returns the rows of the paper's tables in its order.
func Rows() []Row {
	lines, err := csv.NewReader(bytes.NewReader(rowsCSV)).ReadAll()
	if err != nil {
		panic(err) // the file is part of the program
	}
	var rows []Row
	for _, l := range lines[1:] {
		number := func(i int) float64 {
			if l[i] == "" {
				return math.NaN()
			}
			v, err := strconv.ParseFloat(l[i], 64)
			if err != nil {
				panic(err)
			}
			return v
		}
		rows = append(rows, Row{Table: l[0], Name: l[1], Row: l[2], Network: l[3], Width: number(4), Method: l[5],
			Top1: number(6), Top5: number(7), MFLOPs: number(8), MParams: number(9), PFLOPs: number(10), Remark: l[11]})
	}
	return rows
}
