package results

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"

	"netadjust/results/markdown"
)

// truthRow is one row of truth.csv: the utilization ratio of one layer beside what retraining it has shown.
type truthRow struct {
	record *Record
	layer  int
}

// truthRows lists the rows of all records that have a truth.
func truthRows(records []*Record) []truthRow {
	var rows []truthRow
	for _, r := range records {
		if r.Result.Truth == nil {
			continue
		}
		for l := range r.Result.Layers {
			rows = append(rows, truthRow{r, l})
		}
	}
	return rows
}

// truthColumns are the columns of truth.csv.
func truthColumns() []column[truthRow] {
	truth := func(r truthRow) *Truth { return r.record.Result.Truth }
	narrower := func(r truthRow) Neighbour { return truth(r).Narrower[r.layer] }
	wider := func(r truthRow) Neighbour { return truth(r).Wider[r.layer] }
	base := func(r truthRow) Neighbour {
		t := truth(r)
		return Neighbour{t.Channels[r.layer], t.FLOPs, t.ValidationLoss, t.ValidationTop1}
	}
	columns := append(identityColumns(func(r truthRow) *Record { return r.record }),
		integers("layer", func(r truthRow) int { return r.layer }),
		texts("layer_name", func(r truthRow) string { return r.record.Result.Layers[r.layer] }),
		reals("fur", func(r truthRow) float64 { return truth(r).FUR[r.layer] }),
		reals("fur_std_err", func(r truthRow) float64 { return truth(r).FURStdErr[r.layer] }),
		reals("fur_image_std_err", func(r truthRow) float64 { return truth(r).FURImageStdErr[r.layer] }),
		reals("drop_rate", func(r truthRow) float64 { return truth(r).DropRates[r.layer] }),
		reals("flops_per_channel", func(r truthRow) float64 { return truth(r).FLOPsPerChannel[r.layer] }),
	)
	for _, side := range []struct {
		suffix string
		of     func(truthRow) Neighbour
	}{{"", base}, {"_narrower", narrower}, {"_wider", wider}} {
		columns = append(columns,
			integers("channels"+side.suffix, func(r truthRow) int { return side.of(r).Channels }),
			integers("flops"+side.suffix, func(r truthRow) int64 { return side.of(r).FLOPs }),
			reals("validation_loss"+side.suffix, func(r truthRow) float64 { return side.of(r).ValidationLoss }),
			reals("validation_top1"+side.suffix, func(r truthRow) float64 { return side.of(r).ValidationTop1 }),
		)
	}
	return append(columns,
		reals("shrinking", func(r truthRow) float64 { return lossPerMFLOP(narrower(r), base(r)) }),
		reals("growing", func(r truthRow) float64 { return lossPerMFLOP(base(r), wider(r)) }),
		reals("both", func(r truthRow) float64 { return lossPerMFLOP(narrower(r), wider(r)) }),
	)
}

// lossPerMFLOP returns by how much the validation loss falls per million FLOPs from one network to a larger one.
func lossPerMFLOP(from, to Neighbour) float64 {
	return (from.ValidationLoss - to.ValidationLoss) / (float64(to.FLOPs-from.FLOPs) / 1e6)
}

func truthTable(records []*Record) (table, error) { return build(truthColumns(), truthRows(records)) }

// directions are the columns of truth.csv that a utilization ratio is to predict.
var directions = []string{"shrinking", "growing", "both"}

// truth is what the seeds of one point say about utilization ratios. Matrices have a row for each seed and a column for
// each layer.
type truth struct {
	point  point
	layers []string
	seeds  []string
	fur    [][]float64
	gains  map[string][][]float64 // by direction: fall of the loss per million FLOPs
}

// truthOf returns the truth of a point; it has no seeds if none of the cells measured one.
func truthOf(pt point, rows table) truth {
	t := truth{point: pt, gains: map[string][][]float64{}}
	for _, g := range groupBy(rows.in("id", pt.cells.strings("id")), "id", "seed") {
		t.seeds, t.layers = append(t.seeds, g.key[1]), g.rows.strings("layer_name")
		t.fur = append(t.fur, g.rows.numbers("fur"))
		for _, d := range directions {
			t.gains[d] = append(t.gains[d], g.rows.numbers(d))
		}
	}
	return t
}

// agreement says how well the order of the layers by utilization ratio is that by the truth in one direction. All but
// n are rank correlations; what cannot be computed is NaN.
type agreement struct {
	direction   string
	n           int     // seeds
	spearman    float64 // of the means over seeds
	low, high   float64 // its 95 % interval for other layers, see spearmanInterval
	kendall     float64 // tau-a of the means over seeds
	single      moments // Spearman of the ratios of one seed with the mean truth
	reliability float64 // Spearman of the truth with another one from as many seeds, see reliability
}

// agreement compares ratios and truth in one direction.
func (t truth) agreement(direction string) agreement {
	gains := t.gains[direction]
	fur, gain := meanRows(t.fur), meanRows(gains)
	a := agreement{
		direction: direction, n: len(t.seeds), spearman: spearman(fur, gain), kendall: stat.Kendall(fur, gain, nil),
	}
	a.low, a.high = spearmanInterval(a.spearman, len(fur))
	var single []float64
	for _, f := range t.fur {
		single = append(single, spearman(f, gain))
	}
	a.single = momentsOf(single)
	a.reliability = reliability(gains)
	return a
}

// meanRows returns the mean of the rows of m, column by column.
func meanRows(m [][]float64) []float64 {
	mean := make([]float64, len(m[0]))
	for i := range mean {
		column := make([]float64, len(m))
		for r := range m {
			column[r] = m[r][i]
		}
		mean[i] = stat.Mean(column, nil)
	}
	return mean
}

// spearman returns the rank correlation of x and y, NaN if one of them is constant.
func spearman(x, y []float64) float64 { return stat.Correlation(ranks(x), ranks(y), nil) }

// ranks returns the ranks of x from 1, equal values sharing the mean of theirs.
func ranks(x []float64) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		for _, w := range x {
			switch {
			case w < v:
				out[i]++
			case w == v:
				out[i] += 0.5
			}
		}
		out[i] += 0.5
	}
	return out
}

// spearmanInterval returns the 95 % interval of a rank correlation of n pairs by Fisher's transformation, with the
// variance (1 + r^2/2) / (n - 3) of Bonett and Wright (Psychometrika 65, 2000). It is NaN for n < 4.
func spearmanInterval(r float64, n int) (low, high float64) {
	if n < 4 {
		return math.NaN(), math.NaN()
	}
	const normal = 1.959964 // 97.5 % quantile
	half := normal * math.Sqrt((1+r*r/2)/float64(n-3))
	return math.Tanh(math.Atanh(r) - half), math.Tanh(math.Atanh(r) + half)
}

// splits is the number of random halves that reliability averages over.
const splits = 1000

// reliability returns how well a truth from so many seeds agrees with itself: the rank correlation between the means of
// two random halves of the seeds, averaged over many halves, and corrected by the formula of Spearman and Brown,
// 2r / (1 + r), because a half has half of the seeds. It is 0 if the halves do not agree, and NaN for a single seed.
// The halves are drawn from a fixed seed, so that the same records give the same number.
func reliability(gains [][]float64) float64 {
	n := len(gains)
	if n < 2 {
		return math.NaN()
	}
	random := rand.New(rand.NewPCG(1, 2))
	var r []float64
	for range splits {
		order := random.Perm(n)
		var halves [2][][]float64
		for i, seed := range order {
			half := i * 2 / n
			halves[half] = append(halves[half], gains[seed])
		}
		r = append(r, spearman(meanRows(halves[0]), meanRows(halves[1])))
	}
	mean := max(stat.Mean(r, nil), 0)
	return 2 * mean / (1 + mean)
}

// write writes what the truth says about utilization ratios.
func (t truth) write(m *markdown.Document) {
	m.Line("### What the utilization ratio is worth: %s at budget %s\n", markdown.Escape(t.point.method), markdown.Escape(t.point.budget))
	m.Line("Each layer was trained half and one and a half times as wide, the others unchanged, with %s. The truth is "+
		"the fall of the validation loss per million FLOPs: from half the width to the width (shrinking), from there to one "+
		"and a half times the width (growing), and from end to end (both). The table compares the order of the %d "+
		"layers by utilization ratio, measured by dropout in the unchanged network, with their order by truth.\n",
		seeds(len(t.seeds)), len(t.layers))
	var rows [][]string
	for _, d := range directions {
		a := t.agreement(d)
		rows = append(rows, []string{a.direction, markdown.Signed(a.spearman, 2),
			markdown.Signed(a.low, 2) + " to " + markdown.Signed(a.high, 2), markdown.Signed(a.kendall, 2), markdown.Signed(a.single.mean, 2) + " ± " +
				markdown.Fixed(a.single.std, 2), markdown.Signed(a.reliability, 2), markdown.Signed(math.Sqrt(a.reliability), 2), fmt.Sprint(a.n)})
	}
	m.Table(1, []string{"Direction", "Spearman", "95 % interval", "Kendall", "Spearman, ratios of one seed",
		"Reliability of the truth", "Ceiling", "n"}, rows)
	m.Line("Spearman and Kendall are of the means over seeds; the interval is Fisher's with the variance of Bonett and "+
		"Wright and speaks of other layers, not of other seeds. A search sees the ratios of one seed: their correlation "+
		"with the mean truth is given as mean ± standard deviation. Reliability is the rank correlation of the truth "+
		"with one from other seeds: between random halves of the seeds (mean over %d splits), corrected for their size by "+
		"2r / (1 + r). Its root is about what a perfect prediction would reach. Numbers by cell and layer: "+
		"[truth.csv](truth.csv).\n", splits)
}

// truthsOf returns the truths of the points of a comparison that have one.
func truthsOf(c comparison, rows table) []truth {
	var out []truth
	for _, pt := range c.points {
		if len(distinct(pt.cells.strings("layers"))) > 1 {
			continue // the layers cannot be put side by side
		}
		if t := truthOf(pt, rows); len(t.seeds) > 0 {
			out = append(out, t)
		}
	}
	return out
}

// ids returns the cells of the truth.
func (t truth) ids() string {
	return strings.Join(slices.Sorted(slices.Values(t.point.cells.strings("id"))), " ")
}
