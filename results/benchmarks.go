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
	for _, r := range records {
		f := r.Result.Final
		if f == nil {
			continue
		}
		if r.Result.Device != device {
			device = r.Result.Device
			fmt.Fprintf(&b, "device: %s\n", strings.ReplaceAll(device, "\n", " "))
		}
		fmt.Fprintf(&b, "BenchmarkCell%s 1 %v top1-pct %v test-loss %d flops %d params %v device-sec",
			benchmarkName(&r.Result), 100*f.TestTop1, f.TestLoss, f.FLOPs, f.Params, r.Run.DeviceSeconds)
		if c := r.Run.CalibrationSeconds; c > 0 {
			fmt.Fprintf(&b, " %v device-calibrations", r.Run.DeviceSeconds/c)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// benchmarkName is what the seeds of a cell have in common, as key=value pairs.
func benchmarkName(r *Result) string {
	var b strings.Builder
	for _, part := range []struct{ key, value string }{
		{"network", r.Network}, {"width", fmt.Sprint(r.Width)}, {"padding", r.Padding}, {"dataset", r.Dataset},
		{"method", withVariant(r.Method, r.Variant)}, {"budget", r.Budget},
	} {
		fmt.Fprintf(&b, "/%s=%s", part.key, slug(part.value))
	}
	return b.String()
}
