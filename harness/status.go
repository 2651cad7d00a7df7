package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"netadjust/internal/lease"
	"netadjust/internal/safetensors"
	"netadjust/results"
)

// CellStatus is how a cell stands.
type CellStatus struct {
	ID       string       `json:"id"`
	State    string       `json:"state"`              // done, failed, running, stopped, pending, stale or damaged
	Why      string       `json:"why,omitempty"`      // it failed, or is stale or damaged
	TestTop1 float64      `json:"test_top1,omitzero"` // of a done or stale cell
	Owner    *lease.Owner `json:"owner,omitempty"`    // who runs it
	Last     string       `json:"last,omitempty"`     // the last line in the log of a cell that is running or stopped
	At       time.Time    `json:"at,omitzero"`        // time of that line
}

// Status is how an output folder stands.
type Status struct {
	Name     string         `json:"name"`
	File     string         `json:"file"` // of the experiment
	Cells    []CellStatus   `json:"cells"`
	Counts   map[string]int `json:"counts"`             // of cells by state
	Others   []string       `json:"others,omitempty"`   // records of cells that the experiment does not have, or not any more
	Problems []string       `json:"problems,omitempty"` // damaged files beside the records, where all were verified
}

// ReadStatus tells how the cells in the output folder out stand, without a change to anything. Records made from other
// data than those in dataDir are stale; data that are not there are not compared. With verify it also checks the hashes
// of all other files that have one.
func ReadStatus(out, dataDir string, verify bool) (*Status, error) {
	p, err := readPlan(out)
	if err != nil {
		return nil, err
	}
	s := &Status{Name: p.Name, File: p.File, Counts: map[string]int{}}
	library, planned := newLibrary(dataDir), map[string]bool{}
	for _, id := range p.Cells {
		c := statusOf(filepath.Join(out, results.CellsFolder, id), id, library)
		s.Cells = append(s.Cells, c)
		s.Counts[c.State]++
		planned[id] = true
	}
	folders, err := os.ReadDir(filepath.Join(out, results.CellsFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, f := range folders {
		if !planned[f.Name()] {
			s.Others = append(s.Others, f.Name())
		}
	}
	if verify {
		s.Problems, err = verifyFiles(out)
	}
	return s, err
}

// statusOf tells how the cell in a folder stands.
func statusOf(folder, id string, library *library) CellStatus {
	c := CellStatus{ID: id, State: "pending"}
	record, err := results.Read(filepath.Join(folder, results.RecordFile))
	switch {
	case err == nil && record.Result.Failure != nil:
		c.State, c.Why = "failed", record.Result.Failure.Reason
	case err == nil:
		c.State, c.TestTop1 = "done", record.Result.Final.TestTop1
	case !errors.Is(err, fs.ErrNotExist):
		c.State, c.Why = "damaged", err.Error()
	}
	if err == nil {
		if why := staleness(&record.Result, library.checksum(record.Result.Dataset)); why != "" {
			c.State, c.Why = "stale", why
		}
	}
	if owner, alive, err := lease.Look(filepath.Join(folder, leaseFolder)); err == nil && alive {
		c.State, c.Owner = "running", &owner
	}
	if c.State == "pending" || c.State == "running" {
		if c.Last, c.At = lastLine(filepath.Join(folder, logFile)); c.Last != "" && c.State == "pending" {
			c.State = "stopped"
		}
	}
	return c
}

// lastLine returns message and time of the last complete line of a cell's log.
func lastLine(path string) (string, time.Time) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", time.Time{}
	}
	lines := bytes.Split(text, []byte("\n"))
	for i := len(lines) - 1; i >= 0; i-- {
		var line struct {
			Time time.Time
			Kind string
			Msg  string
		}
		if err := json.Unmarshal(lines[i], &line); err == nil {
			if line.Msg == "" {
				line.Msg = line.Kind
			}
			return line.Msg, line.Time
		}
	}
	return "", time.Time{}
}

// verifyFiles reads all files below out that hold a checksum and are no records, and tells which are damaged.
func verifyFiles(out string) (problems []string, err error) {
	err = filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		damage := verifyFile(path)
		if damage != nil && !errors.Is(damage, fs.ErrNotExist) { // a checkpoint may go at any time
			problems = append(problems, damage.Error())
		}
		return nil
	})
	return problems, err
}

// verifyFile reads a file that holds a checksum.
func verifyFile(path string) (err error) {
	switch {
	case filepath.Ext(path) == ".safetensors":
		_, err = safetensors.Read(path)
	case filepath.Base(filepath.Dir(path)) == evaluationsFolder && filepath.Ext(path) == ".json":
		_, err = readKept(path)
	}
	return err
}
