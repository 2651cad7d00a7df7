package harness

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
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
	End      time.Time    `json:"end,omitzero"`       // when the run that has the cell was expected to end, then

	record *results.Record // nil if there is none that can be read
}

// Record is the record of the cell, nil if there is none that can be read. It must not be changed.
func (c *CellStatus) Record() *results.Record { return c.record }

// Key is the id of the cell without its seed, and the seed.
func (c *CellStatus) Key() (combination string, seed int) {
	m := idParts.FindStringSubmatch(c.ID)
	if m == nil {
		return c.ID, 0
	}
	seed, _ = strconv.Atoi(m[2])
	return m[1], seed
}

// idParts are the coordinates of a cell but for its seed, and the seed, in its id.
var idParts = regexp.MustCompile(`^(.*)-s([0-9]+)-[0-9a-f]{12}$`)

// Status is how an output folder stands.
type Status struct {
	Name     string         `json:"name"`
	File     string         `json:"file"` // of the experiment
	Cells    []CellStatus   `json:"cells"`
	Counts   map[string]int `json:"counts"`             // of cells by state
	Others   []string       `json:"others,omitempty"`   // records of cells that the experiment does not have, or not any more
	Problems []string       `json:"problems,omitempty"` // damaged files beside the records, where all were verified
	End      time.Time      `json:"end,omitzero"`       // when the last of the running processes expects to be done
}

// States are those that a cell can have, in the order in which they are counted.
func States() []string {
	return []string{"done", "running", "stopped", "pending", "failed", "stale", "damaged"}
}

// ReadStatus tells how the cells in the output folder out stand, without a change to anything. Records made from other
// data than those in dataDir are stale; data that are not there are not compared. With verify it also checks the hashes
// of all other files that have one.
func ReadStatus(out, dataDir string, verify bool) (*Status, error) {
	s, err := Watch(out, dataDir).Status()
	if err == nil && verify {
		s.Problems, err = verifyFiles(out)
	}
	return s, err
}

// Watcher follows how an output folder stands. It reads a record again only when it has changed, so that it costs little
// to look often. It may be used by one goroutine at a time.
type Watcher struct {
	out     string
	library *library
	known   map[string]*known // by the path of the record
}

// known is a record as it was read.
type known struct {
	time   time.Time
	size   int64
	record *results.Record
	err    error
}

// Watch watches the output folder out. Datasets are compared with those in dataDir.
func Watch(out, dataDir string) *Watcher {
	return &Watcher{out, newLibrary(dataDir), map[string]*known{}}
}

// read is results.ReadCell for a record that may have been read before.
func (w *Watcher) read(folder string) (*results.Record, error) {
	path := filepath.Join(folder, results.RecordFile)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	k := w.known[path]
	if k == nil || !k.time.Equal(info.ModTime()) || k.size != info.Size() {
		k = &known{time: info.ModTime(), size: info.Size()}
		k.record, k.err = results.ReadCell(folder)
		w.known[path] = k
	}
	return k.record, k.err
}

// Status tells how the cells stand, without a change to anything.
func (w *Watcher) Status() (*Status, error) {
	p, err := readPlan(w.out)
	if err != nil {
		return nil, err
	}
	s := &Status{Name: p.Name, File: p.File, Counts: map[string]int{}}
	planned := map[string]bool{}
	for _, id := range p.Cells {
		c := w.cell(id)
		s.Cells = append(s.Cells, c)
		s.Counts[c.State]++
		planned[id] = true
		if c.State == "running" && c.End.After(s.End) {
			s.End = c.End
		}
	}
	folders, err := os.ReadDir(filepath.Join(w.out, results.CellsFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, f := range folders {
		if !planned[f.Name()] {
			s.Others = append(s.Others, f.Name())
		}
	}
	return s, nil
}

func (w *Watcher) folder(id string) string { return filepath.Join(w.out, results.CellsFolder, id) }

// cell tells how a cell stands.
func (w *Watcher) cell(id string) CellStatus {
	folder := w.folder(id)
	c := CellStatus{ID: id, State: "pending"}
	record, err := w.read(folder)
	c.record = record
	switch {
	case err == nil && record.Result.Failure != nil:
		c.State, c.Why = "failed", record.Result.Failure.Reason
	case err == nil:
		c.State, c.TestTop1 = "done", record.Result.Final.TestTop1
	case !errors.Is(err, fs.ErrNotExist):
		c.State, c.Why = "damaged", err.Error()
	}
	if err == nil {
		if why := staleness(&record.Result, w.library.checksum(record.Result.Dataset)); why != "" {
			c.State, c.Why = "stale", why
		}
	}
	if owner, alive, err := lease.Look(filepath.Join(folder, leaseFolder)); err == nil && alive {
		c.State, c.Owner = "running", &owner
	}
	if c.State == "pending" || c.State == "running" {
		if last := lastLine(filepath.Join(folder, logFile)); last != nil {
			c.Last, c.At, c.End = last.Msg, last.Time, last.End
			if c.State == "pending" {
				c.State = "stopped"
			}
		}
	}
	return c
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
