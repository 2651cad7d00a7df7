package results

import (
	"math"
	"slices"
)

// layerRow is one row of layers.csv: what one update saw and did in one layer.
type layerRow struct {
	record *Record
	update *Update
	layer  int
}

// layerRows lists the rows of all updates of all records.
func layerRows(records []*Record) []layerRow {
	var rows []layerRow
	for _, r := range records {
		for i := range r.Result.Updates {
			for l := range r.Result.Layers {
				rows = append(rows, layerRow{r, &r.Result.Updates[i], l})
			}
		}
	}
	return rows
}

// layerColumns are the columns of layers.csv.
func layerColumns() []column[layerRow] {
	return append(identityColumns(func(r layerRow) *Record { return r.record }),
		integers("update", func(r layerRow) int { return r.update.Index }),
		integers("update_flops", func(r layerRow) int64 { return r.update.FLOPs }),
		reals("validation_loss", func(r layerRow) float64 { return r.update.ValidationLoss }),
		reals("validation_top1", func(r layerRow) float64 { return r.update.ValidationTop1 }),
		integers("layer", func(r layerRow) int { return r.layer }),
		texts("layer_name", func(r layerRow) string { return r.record.Result.Layers[r.layer] }),
		reals("fur", func(r layerRow) float64 { return r.update.FUR[r.layer] }),
		reals("fur_std_err", func(r layerRow) float64 { return r.update.FURStdErr[r.layer] }),
		reals("fur_image_std_err", func(r layerRow) float64 {
			if r.update.FURImageStdErr == nil {
				return math.NaN()
			}
			return r.update.FURImageStdErr[r.layer]
		}),
		reals("drop_rate", func(r layerRow) float64 { return r.update.DropRates[r.layer] }),
		reals("flops_per_channel", func(r layerRow) float64 { return r.update.FLOPsPerChannel[r.layer] }),
		texts("moved", func(r layerRow) string { return moved(r.update, r.layer) }),
		integers("channels_before", func(r layerRow) int { return r.update.Channels[r.layer] }),
		integers("channels_after", func(r layerRow) int { return r.update.Next[r.layer] }),
		column[layerRow]{"search_flops_so_far", integerKind, func(r layerRow) any {
			if r.update.Cost == (Cost{}) {
				return nil
			}
			return int(r.update.Cost.FLOPs)
		}},
	)
}

// moved says what an update did to a layer before the widths were brought back on the budget.
func moved(u *Update, layer int) string {
	grown, shrunk := slices.Contains(u.Grown, layer), slices.Contains(u.Shrunk, layer)
	switch {
	case grown && shrunk:
		return "grown, shrunk"
	case grown:
		return "grown"
	case shrunk:
		return "shrunk"
	}
	return ""
}
