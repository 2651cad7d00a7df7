package results

// epochRow is one row of epochs.csv: one epoch of a final training.
type epochRow struct {
	record *Record
	epoch  *Epoch
}

// epochRows lists the epochs of all final trainings.
func epochRows(records []*Record) []epochRow {
	var rows []epochRow
	for _, r := range records {
		if r.Result.Final == nil {
			continue
		}
		for i := range r.Result.Final.Epochs {
			rows = append(rows, epochRow{r, &r.Result.Final.Epochs[i]})
		}
	}
	return rows
}

// epochColumns are the columns of epochs.csv.
func epochColumns() []column[epochRow] {
	return append(identityColumns(func(r epochRow) *Record { return r.record }),
		integers("epoch", func(r epochRow) int { return r.epoch.Index }),
		reals("learning_rate", func(r epochRow) float64 { return r.epoch.LearningRate }),
		reals("train_loss", func(r epochRow) float64 { return r.epoch.TrainLoss }),
		reals("train_top1", func(r epochRow) float64 { return r.epoch.TrainTop1 }),
	)
}
