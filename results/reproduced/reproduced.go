// Package reproduced sets the numbers of the paper beside those of records: for every row of its tables what was
// reported, what came out here and with which reductions, or the command that would tell.
package reproduced

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"

	"netadjust/results"
	"netadjust/results/published"
)

// recipe is what the paper trained and searched with, as far as the authors' code tells.
type recipe struct {
	dataset                string
	images, epochs         int
	iterations, iterEpochs int
}

var recipes = map[string]recipe{
	"cifar100": {"cifar100", 50000, 200, 10, 20},
	"imagenet": {"imagenet", 1281167, 90, 10, 10},
}

// settings are the parts of a cell's configuration that say how much it was reduced.
type settings struct {
	Data struct{ Train, Validation, Test int }
	// Train is the recipe of the final training and Search that of the search.
	Train  struct{ Epochs int }
	Search struct{ Iterations, Epochs int }
}

// Here is what records say about a row: the finished seeds of one cell.
type Here struct {
	Dataset   string
	Files     string // in what way they are others than the official ones, "" if they are not
	Width     float64
	Top1      map[uint64]float64 // percent, by seed
	MFLOPs    float64            // mean over seeds, counted as in the row
	MParams   float64
	Reduced   []string // in what way it is less than the paper's
	settings  settings
	recipe    string // what a cell has in common with one of another method that it can be compared with
	identical bool   // same dataset and width as the row, so that accuracies can be compared
}

// Mean returns the mean accuracy and the sample standard deviation over the seeds, NaN for one.
func (h *Here) Mean() (mean, std float64) {
	var x []float64
	for _, v := range h.Top1 {
		x = append(x, v)
	}
	slices.Sort(x) // the order of a map would show in the last digit
	if len(x) == 1 {
		return x[0], math.NaN()
	}
	return stat.MeanStdDev(x, nil)
}

// find returns what the records say about a row, nil if nothing: of several groups of seeds the one that is closest to
// the paper's.
func find(row published.Row, records []*results.Record) *Here {
	groups := make(map[string]*Here)
	for _, r := range records {
		if !matches(row, &r.Result) {
			continue
		}
		f := r.Result.Final
		var s settings
		if err := json.Unmarshal(r.Result.Config, &s); err != nil {
			continue // a record of another program
		}
		files, _, _ := strings.Cut(r.Result.DatasetNote, ":")
		key := fmt.Sprint(r.Result.Dataset, files, r.Result.Width, without(r.Result.Config, "seed"))
		h := groups[key]
		if h == nil {
			h = &Here{Dataset: r.Result.Dataset, Files: files, Width: r.Result.Width, Top1: map[uint64]float64{}, settings: s,
				recipe:    without(r.Result.Config, "seed", "method", "search", "prune"),
				identical: r.Result.Dataset == row.Table && r.Result.Width == row.Width}
			groups[key] = h
		}
		h.Top1[r.Result.Seed] = 100 * f.TestTop1
		n := float64(len(h.Top1))
		flops := f.FLOPs
		if row.WithoutStem() {
			flops = f.FLOPsWithoutStem
		}
		h.MFLOPs += (float64(flops)/1e6 - h.MFLOPs) / n
		h.MParams += (float64(f.Params)/1e6 - h.MParams) / n
	}
	var best *Here
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		h := groups[key]
		h.Reduced = h.reductions(row)
		if best == nil || closer(h, best) {
			best = h
		}
	}
	return best
}

// without returns a configuration without some of its keys, in a form that is the same for the same content.
func without(config json.RawMessage, keys ...string) string {
	var all map[string]any
	if json.Unmarshal(config, &all) != nil {
		return string(config)
	}
	for _, key := range keys {
		delete(all, key)
	}
	return fmt.Sprint(all)
}

// matches tells whether a record is of a row's network and method at the network's own FLOPs. Narrower networks stand
// for one of width 1, and CIFAR-10 for CIFAR-100.
func matches(row published.Row, r *results.Result) bool {
	family := row.Table
	if family == "cifar100" {
		family = "cifar"
	}
	return r.Final != nil && r.Network == row.Network && r.Method == row.Method && r.Variant == "" && r.Budget == "1" &&
		strings.HasPrefix(r.Dataset, family) && (r.Width == row.Width || row.Width == 1 && r.Width < 1)
}

// closer tells whether a is closer to the paper's row than b: by dataset and width, then epochs, images, seeds.
func closer(a, b *Here) bool {
	weight := func(h *Here) []float64 {
		same := 0.
		if h.identical {
			same = 1
		}
		return []float64{same, h.Width, float64(h.settings.Train.Epochs), float64(h.settings.Data.Train),
			float64(len(h.Top1)), float64(len(h.Dataset))}
	}
	return slices.Compare(weight(a), weight(b)) > 0
}

// reductions lists what is less than in the paper.
func (h *Here) reductions(row published.Row) []string {
	var out []string
	less := func(is bool, format string, args ...any) {
		if is {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	want, s := recipes[row.Table], h.settings
	less(h.Dataset != want.dataset, "%s", h.Dataset)
	less(h.Files != "", "%s", h.Files)
	less(h.Width != row.Width, "width %g", h.Width)
	less(s.Data.Train+s.Data.Validation < want.images, "%d images", s.Data.Train+s.Data.Validation)
	less(s.Train.Epochs < want.epochs, "%d epochs", s.Train.Epochs)
	less(row.Method != "uniform" && s.Search.Iterations*s.Search.Epochs < want.iterations*want.iterEpochs,
		"search of %d times %d epochs", s.Search.Iterations, s.Search.Epochs)
	return out
}

// gain returns by how many percentage points a searched network is better than the original one, in the paper and here:
// the mean over the seeds that both have, of runs with the same data, width and recipe.
func gain(original, searched published.Row, a, b *Here) (paper, here float64, n int) {
	paper, here = searched.Top1-original.Top1, math.NaN()
	if a == nil || b == nil || a.Dataset != b.Dataset || a.Files != b.Files || a.Width != b.Width || a.recipe != b.recipe {
		return paper, here, 0
	}
	var differences []float64
	for seed, top1 := range b.Top1 {
		if base, ok := a.Top1[seed]; ok {
			differences = append(differences, top1-base)
		}
	}
	if len(differences) > 0 {
		slices.Sort(differences)
		here = stat.Mean(differences, nil)
	}
	return paper, here, len(differences)
}
