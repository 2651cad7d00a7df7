package results

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FrameSchema is the version of the columns of frame.csv, layers.csv and timing.csv; it stands in their first column.
const FrameSchema = 1

// kind is the type of a column.
type kind int

const (
	textKind kind = iota
	integerKind
	realKind
)

// column is one column of a frame made from rows of type R. of returns a string, an int or a float64 by kind, and nil
// where a row has no value.
type column[R any] struct {
	name string
	kind kind
	of   func(R) any
}

func texts[R any](name string, of func(R) string) column[R] {
	return column[R]{name, textKind, func(r R) any { return of(r) }}
}

func integers[R any, I int | int64](name string, of func(R) I) column[R] {
	return column[R]{name, integerKind, func(r R) any { return int(of(r)) }}
}

func reals[R any](name string, of func(R) float64) column[R] {
	return column[R]{name, realKind, func(r R) any { return of(r) }}
}

// optional reads a column from a part of a record that may be missing.
func optional[P any](part func(*Result) *P, c column[*P]) column[*Record] {
	return column[*Record]{c.name, c.kind, func(r *Record) any {
		if p := part(&r.Result); p != nil {
			return c.of(p)
		}
		if c.kind == textKind {
			return ""
		}
		return nil
	}}
}

// identityColumns say which cell a row belongs to.
func identityColumns[R any](record func(R) *Record) []column[R] {
	result := func(r R) *Result { return &record(r).Result }
	return []column[R]{
		integers("schema", func(R) int { return FrameSchema }),
		texts("id", func(r R) string { return result(r).ID }),
		texts("experiment", func(r R) string { return result(r).Experiment }),
		texts("network", func(r R) string { return result(r).Network }),
		reals("width", func(r R) float64 { return result(r).Width }),
		texts("padding", func(r R) string { return result(r).Padding }),
		texts("dataset", func(r R) string { return result(r).Dataset }),
		texts("method", func(r R) string { return result(r).Method }),
		texts("variant", func(r R) string { return result(r).Variant }),
		texts("budget", func(r R) string { return result(r).Budget }),
		integers("budget_flops", func(r R) int64 { return result(r).BudgetFLOPs }),
		texts("seed", func(r R) string { return strconv.FormatUint(result(r).Seed, 10) }),
		texts("state", func(r R) string { return result(r).State() }),
	}
}

func itself(r *Record) *Record { return r }

// cellColumns are the columns of frame.csv without the configuration.
func cellColumns() []column[*Record] {
	start := func(r *Result) *Start { return r.Start }
	final := func(r *Result) *Final { return r.Final }
	failure := func(r *Result) *Failure { return r.Failure }
	lastEpoch := func(r *Result) *Epoch {
		if r.Final == nil || len(r.Final.Epochs) == 0 {
			return nil
		}
		return &r.Final.Epochs[len(r.Final.Epochs)-1]
	}
	startTop1 := func(r *Result) *float64 {
		if r.Start == nil {
			return nil
		}
		return r.Start.ValidationTop1
	}
	return append(identityColumns(itself),
		optional(final, reals("test_top1", func(f *Final) float64 { return f.TestTop1 })),
		optional(final, reals("test_loss", func(f *Final) float64 { return f.TestLoss })),
		optional(final, integers("flops", func(f *Final) int64 { return f.FLOPs })),
		optional(final, integers("flops_without_stem", func(f *Final) int64 { return f.FLOPsWithoutStem })),
		optional(final, integers("params", func(f *Final) int64 { return f.Params })),
		optional(final, integers("epochs", func(f *Final) int { return len(f.Epochs) })),
		optional(lastEpoch, reals("train_top1", func(e *Epoch) float64 { return e.TrainTop1 })),
		optional(lastEpoch, reals("train_loss", func(e *Epoch) float64 { return e.TrainLoss })),
		integers("search_forward_images", func(r *Record) int64 { return r.Result.SearchCost.ForwardImages }),
		integers("search_backward_images", func(r *Record) int64 { return r.Result.SearchCost.BackwardImages }),
		integers("search_flops", func(r *Record) int64 { return r.Result.SearchCost.FLOPs }),
		optional(final, integers("final_forward_images", func(f *Final) int64 { return f.Cost.ForwardImages })),
		optional(final, integers("final_backward_images", func(f *Final) int64 { return f.Cost.BackwardImages })),
		optional(final, integers("final_flops", func(f *Final) int64 { return f.Cost.FLOPs })),
		integers("updates", func(r *Record) int { return len(r.Result.Updates) }),
		texts("stopped", func(r *Record) string { return r.Result.Stopped }),
		optional(start, integers("start_flops", func(s *Start) int64 { return s.FLOPs })),
		optional(start, integers("start_params", func(s *Start) int64 { return s.Params })),
		optional(startTop1, reals("start_validation_top1", func(v *float64) float64 { return *v })),
		texts("layers", func(r *Record) string { return strings.Join(r.Result.Layers, " ") }),
		optional(start, texts("start_channels", func(s *Start) string { return joinInts(s.Channels) })),
		optional(final, texts("channels", func(f *Final) string { return joinInts(f.Channels) })),
		optional(failure, texts("failure", func(f *Failure) string { return f.Reason })),
		optional(failure, integers("failure_epoch", func(f *Failure) int { return f.Epoch })),
		optional(failure, integers("failure_step", func(f *Failure) int { return f.Step })),
		optional(failure, reals("failure_learning_rate", func(f *Failure) float64 { return f.LearningRate })),
		texts("device", func(r *Record) string { return r.Result.Device }),
		texts("version", func(r *Record) string { return r.Result.Version }),
		texts("libraries", func(r *Record) string { return joinMap(r.Result.Libraries) }),
		texts("dataset_checksum", func(r *Record) string { return r.Result.DatasetChecksum }),
		texts("dataset_note", func(r *Record) string { return r.Result.DatasetNote }),
		texts("record_hash", func(r *Record) string { return r.Hash }),
	)
}

// timingColumns are the columns of timing.csv.
func timingColumns() []column[*Record] {
	return append(identityColumns(itself),
		texts("start", func(r *Record) string { return r.Run.Start.UTC().Format(time.RFC3339) }),
		reals("wall_seconds", func(r *Record) float64 { return r.Run.WallSeconds }),
		reals("device_seconds", func(r *Record) float64 { return r.Run.DeviceSeconds }),
		reals("search_wall_seconds", func(r *Record) float64 { return known(r.Run.SearchWallSeconds) }),
		reals("search_device_seconds", func(r *Record) float64 { return known(r.Run.SearchDeviceSeconds) }),
		reals("calibration_seconds", func(r *Record) float64 { return known(r.Run.CalibrationSeconds) }),
		texts("resumed", func(r *Record) string { return strconv.FormatBool(r.Run.Resumed) }),
		texts("host", func(r *Record) string { return r.Run.Host }),
		texts("job", func(r *Record) string { return r.Run.Job }),
		integers("jobs", func(r *Record) int { return r.Run.Jobs }),
		integers("threads", func(r *Record) int { return r.Run.Threads }),
		texts("processor", func(r *Record) string { return r.Run.Processor }),
		texts("go_version", func(r *Record) string { return r.Run.GoVersion }),
	)
}

// known returns a time that is not known where it is 0: the search took none, or the record is of an earlier program.
func known(seconds float64) float64 {
	if seconds == 0 {
		return math.NaN()
	}
	return seconds
}

// joinInts writes a width vector as numbers with spaces between.
func joinInts(v []int) string {
	s := make([]string, len(v))
	for i, x := range v {
		s[i] = strconv.Itoa(x)
	}
	return strings.Join(s, " ")
}

// splitNumbers reads what joinInts wrote.
func splitNumbers(s string) ([]float64, error) {
	fields := strings.Fields(s)
	out := make([]float64, len(fields))
	for i, f := range fields {
		x, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return nil, err
		}
		out[i] = x
	}
	return out, nil
}

// joinMap writes a map as "key value" pairs with commas between, sorted by key.
func joinMap(m map[string]string) string {
	s := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		s = append(s, k+" "+m[k])
	}
	return strings.Join(s, ", ")
}
