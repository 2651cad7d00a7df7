package results

import (
	"fmt"
	"strings"
)

// benchmarksHead says what the numbers of benchmarks.txt are, for programs that compare them.
const benchmarksHead = `Unit top1-pct better=higher
Unit test-loss better=lower
Unit device-sec better=lower
Unit device-calibrations better=lower
`

// benchmarks returns the finished cells in Go's benchmark format: one line for each, and one name for the seeds of a
// method at a budget, so that benchstat takes them for repetitions.
func benchmarks(records []*Record) string {
	var b strings.Builder
	b.WriteString(benchmarksHead)
	device := ""
	var names []string
	nameOf := map[[6]string]string{}
	for _, r := range records {
		f := r.Result.Final
		if f == nil {
			continue
		}
		if r.Result.Device != device {
			device = r.Result.Device
			fmt.Fprintf(&b, "device: %s\n", strings.ReplaceAll(device, "\n", " "))
		}
		series := seriesOf(&r.Result)
		if nameOf[series] == "" {
			nameOf[series] = unused(names, benchmarkName(series))
			names = append(names, nameOf[series])
		}
		fmt.Fprintf(&b, "BenchmarkCell%s 1 %v top1-pct %v test-loss %d flops %d params %v device-sec",
			nameOf[series], 100*f.TestTop1, f.TestLoss, f.FLOPs, f.Params, r.Run.DeviceSeconds)
		if c := r.Run.CalibrationSeconds; c > 0 {
			fmt.Fprintf(&b, " %v device-calibrations", r.Run.DeviceSeconds/c)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// seriesOf is what the seeds of a cell have in common.
func seriesOf(r *Result) [6]string {
	return [6]string{r.Network, fmt.Sprint(r.Width), r.Padding, r.Dataset, withVariant(r.Method, r.Variant), r.Budget}
}

// benchmarkName writes a series as key=value pairs.
func benchmarkName(series [6]string) string {
	var b strings.Builder
	for i, key := range []string{"network", "width", "padding", "dataset", "method", "budget"} {
		fmt.Fprintf(&b, "/%s=%s", key, slug(series[i]))
	}
	return b.String()
}
