package results

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"netadjust/internal/atomicfile"
)

// RecordFile is the name of a record inside the folder of its cell.
const RecordFile = "record.json"

// CellsFolder is the folder of all cells inside the output folder of an experiment.
const CellsFolder = "cells"

// CorruptError says that a record is damaged: cut short, altered, or inconsistent in itself. The cell has to be run
// again; the damaged file can be set aside.
type CorruptError struct {
	Path string
	Err  error
}

// Error names the file and what is wrong with it.
func (e *CorruptError) Error() string { return fmt.Sprintf("%s: damaged record: %v", e.Path, e.Err) }

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Err }

// Seal checks the result and sets Schema and Hash. Numbers that JSON cannot hold (NaN, infinities) are an error: a cell
// that ends with one has failed and has no Final. The result is left as it will be read back.
func (r *Record) Seal() error {
	if err := r.Result.check(); err != nil {
		return fmt.Errorf("seal record of cell %q: %w", r.Result.ID, err)
	}
	data, err := json.Marshal(&r.Result)
	if err != nil {
		return fmt.Errorf("seal record of cell %q: %w", r.Result.ID, err)
	}
	// Reading back first makes the hash that of the stored content: JSON replaces invalid UTF-8, for example.
	var stored Result
	if err := json.Unmarshal(data, &stored); err != nil {
		return fmt.Errorf("seal record of cell %q: %w", r.Result.ID, err)
	}
	hash, err := stored.hash()
	if err != nil {
		return fmt.Errorf("seal record of cell %q: %w", r.Result.ID, err)
	}
	r.Result, r.Schema, r.Hash = stored, RecordSchema, hash
	return nil
}

// hash returns the hex SHA-256 of the JSON of r: fields in the order of the type, no white space.
func (r *Result) hash() (string, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// Write seals r and writes it to the file record.json in the folder dir, which must exist. Readers see the whole record
// or none.
func Write(dir string, r *Record) error {
	if err := r.Seal(); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return fmt.Errorf("write record of cell %q: %w", r.Result.ID, err)
	}
	return atomicfile.Write(filepath.Join(dir, RecordFile), append(data, '\n'))
}

// Read reads the record at path and checks its schema, its hash and its consistency. The error is a *CorruptError if
// the file is cut short or altered, and another one if it cannot be read or was written with another schema.
func Read(path string) (*Record, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	var head struct{ Schema int }
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, &CorruptError{path, err}
	}
	if head.Schema > 0 && head.Schema != RecordSchema {
		return nil, fmt.Errorf("%s: record has schema %d, this program reads schema %d; "+
			"use the program that wrote it or another output folder", path, head.Schema, RecordSchema)
	}
	r, err := decode(data)
	if err != nil {
		return nil, &CorruptError{path, err}
	}
	return r, nil
}

// ReadCell reads the record in the folder of a cell, which is named by the cell's id. Its errors are those of Read; the
// record of another cell is damage, too.
func ReadCell(folder string) (*Record, error) {
	path := filepath.Join(folder, RecordFile)
	r, err := Read(path)
	if err == nil && r.Result.ID != filepath.Base(folder) {
		return nil, &CorruptError{path, fmt.Errorf("it is that of cell %s", r.Result.ID)}
	}
	return r, err
}

// Widths returns the channels that the cell ended with whose record is at path, which may also be the cell's folder.
func Widths(path string) ([]int, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, RecordFile)
	}
	r, err := Read(path)
	if err != nil {
		return nil, err
	}
	if r.Result.Final == nil {
		return nil, fmt.Errorf("%s: the cell has failed and has no widths", path)
	}
	return r.Result.Final.Channels, nil
}

// decode parses and checks one record; data is valid JSON.
func decode(data []byte) (*Record, error) {
	r := new(Record)
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(r); err != nil {
		return nil, err
	}
	if r.Schema != RecordSchema {
		return nil, errors.New("schema is missing")
	}
	hash, err := r.Result.hash()
	if err != nil {
		return nil, err
	}
	if hash != r.Hash {
		return nil, fmt.Errorf("hash of the content is %.12s, the record says %.12s", hash, r.Hash)
	}
	return r, r.Result.check()
}

// Load reads the records outDir/cells/*/record.json, sorted by network, width, padding, dataset, budget, method and
// seed. Folders without a record are cells that have not finished. A record that cannot be used is left out and
// reported in the errors.
func Load(outDir string) ([]*Record, []error) {
	cells := filepath.Join(outDir, CellsFolder)
	entries, err := os.ReadDir(cells)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, []error{fmt.Errorf("load records: %w", err)}
	}
	var records []*Record
	var errs []error
	for _, entry := range entries {
		r, err := ReadCell(filepath.Join(cells, entry.Name()))
		switch {
		case errors.Is(err, fs.ErrNotExist) || !entry.IsDir():
		case err != nil:
			errs = append(errs, err)
		default:
			records = append(records, r)
		}
	}
	slices.SortFunc(records, compareRecords)
	return records, errs
}

// checkDistinct returns an error if two records of different cells have everything in common that tables tell cells apart
// by: they are of two recipes and must not be taken for each other's seeds.
func checkDistinct(records []*Record) error {
	type place struct {
		network, padding, dataset, method, variant, budget string
		width                                              float64
		seed                                               uint64
	}
	found := make(map[place]string)
	for _, r := range records {
		c := &r.Result
		at := place{c.Network, c.Padding, c.Dataset, c.Method, c.Variant, c.Budget, c.Width, c.Seed}
		if other := found[at]; other != "" && other != c.ID {
			return fmt.Errorf("cells %s and %s differ in settings alone, so that tables would take them for the same; give "+
				"one a variant in its experiment, or keep them in different folders", other, c.ID)
		}
		found[at] = c.ID
	}
	return nil
}

// compareRecords is the order of cells in every table: by network, dataset and budget, methods in their usual order.
func compareRecords(a, b *Record) int {
	x, y := &a.Result, &b.Result
	return cmp.Or(
		cmp.Compare(x.Network, y.Network), cmp.Compare(x.Width, y.Width), cmp.Compare(x.Padding, y.Padding),
		cmp.Compare(x.Dataset, y.Dataset), cmp.Compare(x.BudgetFLOPs, y.BudgetFLOPs), cmp.Compare(x.Budget, y.Budget),
		compareMethods(x.Method, y.Method), cmp.Compare(x.Seed, y.Seed), cmp.Compare(x.ID, y.ID))
}
