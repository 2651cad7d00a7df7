package gate

import (
	"fmt"
	"math"
	"strings"

	"netadjust/results"
	"netadjust/results/paired"
)

// confidence is the level of the intervals of all methods together, or of the speed.
const confidence = 0.95

// Accuracy is the change of one method at one budget, over the seeds that both runs have.
type Accuracy struct {
	Method  string    `json:"method"` // with its variant
	Network string    `json:"network"`
	Dataset string    `json:"dataset"`
	Budget  string    `json:"budget"`
	Seeds   int       `json:"seeds"`
	Base    float64   `json:"base_top1_percent"` // mean
	New     float64   `json:"new_top1_percent"`
	Changes []float64 `json:"changes"` // in percentage points, seed by seed
	Low     *float64  `json:"low"`     // interval of the mean change; null for one seed
	High    *float64  `json:"high"`
	Verdict string    `json:"verdict"`
}

// accuracy judges each method at each budget: it has become worse if the mean loss is beyond the limit and its
// interval, which the spread over seeds decides, excludes 0. The intervals hold for all methods and budgets together.
func (r *Report) accuracy(pairs []pair, l Limits) {
	var keys []string
	groups := make(map[string][]pair)
	for _, p := range pairs {
		b := p.base
		key := fmt.Sprint([]any{b.Network, b.Width, b.Padding, b.Dataset, b.Method, b.Variant, b.Budget})
		if groups[key] == nil {
			keys = append(keys, key)
		}
		groups[key] = append(groups[key], p)
	}
	level := 1 - (1-confidence)/float64(len(keys))
	for _, key := range keys {
		a := accuracyOf(groups[key], level)
		loss := -mean(a.Changes)
		switch {
		case unchanged(a.Changes):
			a.Verdict = "unchanged"
		case a.Low == nil:
			a.Verdict = "not judged: one seed"
		case loss <= l.Accuracy:
			a.Verdict = "within the limit"
		case *a.High < 0:
			a.Verdict = "worse"
			r.find(Regression, "", "%s: top-1 has fallen by %.2f points (%.2f to %.2f), the limit is %.2f", a.name(), loss,
				-*a.High, -*a.Low, l.Accuracy)
		default:
			a.Verdict = "may be noise"
			r.find(Warning, "", "%s: top-1 is lower by %.2f points, which may be noise (%.2f to %.2f); more seeds would tell",
				a.name(), loss, -*a.High, -*a.Low)
		}
		r.Accuracy = append(r.Accuracy, a)
	}
}

func accuracyOf(pairs []pair, level float64) Accuracy {
	first := pairs[0].base
	a := Accuracy{Method: first.Method, Network: first.Network, Dataset: first.Dataset, Budget: first.Budget,
		Seeds: len(pairs)}
	if first.Variant != "" {
		a.Method += ", " + first.Variant
	}
	for _, p := range pairs {
		b, n := 100*p.base.Final.TestTop1, 100*p.new.Final.TestTop1
		a.Base += b / float64(len(pairs))
		a.New += n / float64(len(pairs))
		a.Changes = append(a.Changes, n-b)
	}
	a.Low, a.High = interval(a.Changes, level)
	return a
}

// name says what an accuracy is of.
func (a Accuracy) name() string {
	return strings.Join([]string{a.Method, "at budget", a.Budget, "on", a.Dataset}, " ")
}

// interval returns the ends of an interval that there may not be.
func interval(d []float64, level float64) (low, high *float64) {
	l, h := paired.Interval(d, level)
	if math.IsNaN(l) {
		return nil, nil
	}
	return &l, &h
}

func mean(x []float64) float64 { return paired.Sample{x}.Mean() }

func unchanged(x []float64) bool {
	for _, v := range x {
		if v != 0 {
			return false
		}
	}
	return true
}

// Speed is the change of the device time of the cells, each in units of the calibration kernel of its own run.
type Speed struct {
	Cells   int     `json:"cells"`
	Ratio   float64 `json:"ratio"` // new time over base time, geometric mean; above 1 is slower
	Low     float64 `json:"low"`   // interval of the ratio
	High    float64 `json:"high"`
	Verdict string  `json:"verdict"`
}

// timedPair holds the two records of a finished cell.
type timedPair struct{ base, new *results.Record }

// speed judges the device times of all cells together. Cells that ran on another kind of device, with another number of
// threads, or without a calibration, are left out, and so are those that were interrupted: their times are not of all
// their work.
func (r *Report) speed(pairs []timedPair, l Limits) {
	var logs []float64
	for _, p := range pairs {
		b, n := &p.base.Run, &p.new.Run
		if p.base.Result.Device != p.new.Result.Device || b.Threads != n.Threads || b.Jobs != n.Jobs ||
			b.Resumed || n.Resumed || !(units(b) > 0) || !(units(n) > 0) {
			continue
		}
		logs = append(logs, math.Log(units(n)/units(b)))
	}
	low, high := paired.Interval(logs, confidence)
	if math.IsNaN(low) {
		r.find(Note, "", "speed is not judged: fewer than two cells have times, without an interruption, on the same device "+
			"with as many threads and jobs")
		return
	}
	s := &Speed{len(logs), math.Exp(mean(logs)), math.Exp(low), math.Exp(high), "within the limit"}
	if s.Ratio > 1+l.Speed {
		s.Verdict = "may be noise"
		if s.Low > 1 {
			s.Verdict = "slower"
		}
		level := Warning
		if l.JudgeSpeed && s.Low > 1 {
			level = Regression
		}
		r.find(level, "", "%s: device time is %.2f times that of the base (%.2f to %.2f), the limit is %.2f", s.Verdict,
			s.Ratio, s.Low, s.High, 1+l.Speed)
	}
	r.Speed = s
}

// units returns the device time of a run in units of its calibration kernel, 0 or NaN if it has none.
func units(r *results.Run) float64 {
	if r.CalibrationSeconds == 0 {
		return 0
	}
	return r.DeviceSeconds / r.CalibrationSeconds
}
