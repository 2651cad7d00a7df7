// Package gate tells whether the results of a program have become worse: it compares the records of two runs of an
// experiment, cell by cell.
package gate

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"netadjust/results"
)

// Limits say what is still good.
type Limits struct {
	Accuracy float64 // by how many percentage points of top-1 a method may fall
	Speed    float64 // by which share a cell may get slower
	// JudgeSpeed makes a slowdown a regression. Otherwise it is a warning, because times depend on more than the program.
	JudgeSpeed bool
}

// Level is how bad a finding is.
type Level string

// Levels of findings.
const (
	Regression    Level = "regression"
	NotComparable Level = "not comparable"
	Warning       Level = "warning"
	Note          Level = "note"
)

// Finding is something that a reader has to know.
type Finding struct {
	Level Level  `json:"level"`
	Cell  string `json:"cell,omitempty"` // empty if it is about several cells
	Text  string `json:"text"`
}

// Report is the outcome of a comparison.
type Report struct {
	Verdict  Level      `json:"verdict"` // the worst level that stands for an exit code, or "ok"
	Cells    int        `json:"cells"`   // that both runs have
	Accuracy []Accuracy `json:"accuracy"`
	Speed    *Speed     `json:"speed,omitempty"` // nil if no times can be compared
	Findings []Finding  `json:"findings"`
}

// OK is the verdict of a comparison without regression.
const OK Level = "ok"

// pair holds the two records of a cell.
type pair struct{ base, new *results.Result }

// Compare compares the records of a new run with those of the base. Problems are what loading them has met.
func Compare(base, new []*results.Record, problems []error, l Limits) *Report {
	r := &Report{Verdict: OK, Accuracy: []Accuracy{}, Findings: []Finding{}}
	var pairs []pair
	var times []timedPair
	found := byID(new)
	for _, b := range base {
		n := found[b.Result.ID]
		if n == nil {
			r.find(NotComparable, b.Result.ID, "the new run has no record of this cell")
			continue
		}
		delete(found, b.Result.ID)
		r.Cells++
		p := pair{&b.Result, &n.Result}
		if r.exact(p) {
			pairs, times = append(pairs, p), append(times, timedPair{b, n})
		}
	}
	for _, n := range new {
		if found[n.Result.ID] != nil {
			r.find(Note, n.Result.ID, "the base has no record of this cell")
		}
	}
	for _, err := range problems {
		r.find(NotComparable, "", "a record cannot be used: %v", err)
	}
	if len(base) == 0 {
		r.find(NotComparable, "", "the base has no records")
	}
	r.accuracy(pairs, l)
	r.speed(times, l)
	for _, level := range []Level{NotComparable, Regression} { // the worst one last
		if slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Level == level }) {
			r.Verdict = level
		}
	}
	return r
}

func byID(records []*results.Record) map[string]*results.Record {
	m := make(map[string]*results.Record)
	for _, r := range records {
		m[r.Result.ID] = r
	}
	return m
}

func (r *Report) find(level Level, cell, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{level, cell, fmt.Sprintf(format, args...)})
}

// exact compares what has to be the same to the last digit. It tells whether both cells have finished, on the same data.
func (r *Report) exact(p pair) bool {
	id := p.base.ID
	if p.base.DatasetChecksum != p.new.DatasetChecksum {
		r.find(NotComparable, id, "the images of %s are others: their checksum is %.12s in the base, %.12s now",
			p.base.Dataset, p.base.DatasetChecksum, p.new.DatasetChecksum)
		return false
	}
	switch {
	case p.base.Failure != nil && p.new.Failure != nil:
		r.find(Note, id, "failed in both runs")
	case p.base.Failure != nil:
		r.find(Note, id, "failed in the base and finished now")
	case p.new.Failure != nil:
		r.find(Regression, id, "finished in the base and failed now: %s", p.new.Failure.Reason)
	}
	r.same(id, "budget in FLOPs", p.base.BudgetFLOPs, p.new.BudgetFLOPs)
	if p.base.Start != nil && p.new.Start != nil {
		r.same(id, "channels at the start", p.base.Start.Channels, p.new.Start.Channels)
		r.same(id, "FLOPs at the start", p.base.Start.FLOPs, p.new.Start.FLOPs)
		r.same(id, "parameters at the start", p.base.Start.Params, p.new.Start.Params)
	}
	b, n := p.base.Final, p.new.Final
	if b == nil || n == nil {
		return false
	}
	if reproducible(p) {
		r.same(id, "test loss on the plain Go kernels", b.TestLoss, n.TestLoss)
		r.same(id, "losses of the final training on the plain Go kernels", losses(b), losses(n))
	}
	switch {
	case slices.Equal(b.Channels, n.Channels):
		r.same(id, "FLOPs", b.FLOPs, n.FLOPs)
		r.same(id, "FLOPs without the stem", b.FLOPsWithoutStem, n.FLOPsWithoutStem)
		r.same(id, "parameters", b.Params, n.Params)
	case computed(p) || reproducible(p):
		r.same(id, "channels", b.Channels, n.Channels)
	default:
		r.find(Note, id, "the search has found other channels")
	}
	return true
}

// same finds a regression if two values differ.
func (r *Report) same(cell, what string, base, new any) {
	if !reflect.DeepEqual(base, new) {
		r.find(Regression, cell, "%s: %v in the base, %v now", what, base, new)
	}
}

// computed tells whether the widths of a cell do not depend on any training.
func computed(p pair) bool {
	return p.base.SearchCost == results.Cost{} && p.new.SearchCost == results.Cost{}
}

// reproducible tells whether both records come from the plain Go kernels in the same revision for the same processors,
// which give the same bits.
func reproducible(p pair) bool {
	return p.base.Device == p.new.Device && strings.HasPrefix(p.base.Device, "cpu (go/")
}

// losses returns the training loss of each epoch.
func losses(f *results.Final) []float64 {
	out := make([]float64, len(f.Epochs))
	for i, e := range f.Epochs {
		out[i] = e.TrainLoss
	}
	return out
}
