package harness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"netadjust/results"
)

// CellDetails is what is known of a cell, also before it is finished.
type CellDetails struct {
	CellStatus
	Layers  []string         `json:"layers"`  // that a search may change
	Updates []results.Update `json:"updates"` // of the search so far
	Epochs  []results.Epoch  `json:"epochs"`  // of the final training so far
	Search  []results.Epoch  `json:"search"`  // of the training that the search is at, or was at last
	Purpose string           `json:"purpose"` // of that training
	Log     []string         `json:"log"`     // the last lines
}

// ErrNoCell is the error for a cell that the experiment does not have.
var ErrNoCell = errors.New("the experiment has no such cell")

// Cell tells what is known of a cell: from its record, and while there is none from its log.
func (w *Watcher) Cell(id string) (*CellDetails, error) {
	p, err := readPlan(w.out)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(p.Cells, id) {
		return nil, fmt.Errorf("%q: %w", id, ErrNoCell)
	}
	d := &CellDetails{CellStatus: w.cell(id)}
	text, err := os.ReadFile(filepath.Join(w.folder(id), logFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	lines := readLog(text)
	d.follow(lines)
	for _, l := range lines[max(0, len(lines)-tailLines):] {
		d.Log = append(d.Log, l.String())
	}
	if d.record != nil {
		r := d.record.Result
		d.Layers, d.Updates = r.Layers, r.Updates
		if r.Final != nil {
			d.Epochs = r.Final.Epochs
		}
	}
	return d, nil
}

// follow takes from the log what a record will say. A search that was interrupted has told again what it had found, and
// an epoch can have been run again.
func (d *CellDetails) follow(lines []logLine) {
	for _, l := range lines {
		if l.Layers != nil {
			d.Layers = l.Layers
		}
		if u := l.Update; u != nil && u.Index <= len(d.Updates) {
			d.Updates = append(d.Updates[:u.Index], *u)
		}
		if t := l.Training; t != nil && l.Kind == "epoch" {
			epoch := results.Epoch{Index: t.Epoch - 1, TrainLoss: t.Loss, TrainTop1: t.Top1}
			if t.Purpose == "final" {
				d.Epochs = appendEpoch(d.Epochs, epoch)
				continue
			}
			if t.Purpose != d.Purpose {
				d.Purpose, d.Search = t.Purpose, nil
			}
			d.Search = appendEpoch(d.Search, epoch)
		}
	}
}

// appendEpoch adds an epoch in place of those that were run before and are not before it.
func appendEpoch(epochs []results.Epoch, e results.Epoch) []results.Epoch {
	for len(epochs) > 0 && epochs[len(epochs)-1].Index >= e.Index {
		epochs = epochs[:len(epochs)-1]
	}
	return append(epochs, e)
}
