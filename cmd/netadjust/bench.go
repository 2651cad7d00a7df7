package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"netadjust/internal/bench"
	"netadjust/networks"
)

// benchmark is a network to be measured.
type benchmark struct {
	network string
	widths  []int // of the stages, all layers of a stage alike; nil for the network's own
}

// benchmarks are what is measured if no network is named: the paper's small and large networks, and widths that are no
// multiples of anything, as searches find them, and networks of other kinds of layers.
var benchmarks = []benchmark{
	{"resnet20", nil}, {"resnet20", []int{13, 27, 51}}, {"resnet56", nil}, {"resnet18", nil},
	{"mobilenet_v2", nil}, {"densenet40", nil},
}

// furBenchmarks are what is measured of the utilization pass: its gain depends on the depth.
var furBenchmarks = []benchmark{{"resnet20", nil}, {"resnet56", nil}, {"resnet18", nil}}

func benchCommand(a *app, f *flags) error {
	widths := f.String("widths", "", "widths of the stages, as `a,b,c` (default: the network's own)")
	mode := f.String("mode", "", "train, eval, or fur: the utilization ratios of all layers in one pass, against one "+
		"pass for each layer and repeat (default: train and eval)")
	batch := f.Int("batch", 0, "images in a batch (default: 128, or 32 if they are large; for fur 48)")
	threads := f.Int("threads", 0, "threads (default: one per core)")
	seconds := f.Float64("seconds", 3, "time for each measurement")
	deviceName := f.device()
	f.json()
	names, err := f.parse()
	if err != nil {
		return err
	}
	if !(*seconds > 0) || *threads < 0 || *batch < 0 {
		return failf(exitUsage, "--seconds %v, --threads %d and --batch %d: none may be negative, and some time is needed",
			*seconds, *threads, *batch)
	}
	modes := []bench.Mode{bench.Train, bench.Eval}
	if *mode != "" {
		if modes = []bench.Mode{bench.Mode(*mode)}; !slices.Contains([]string{"train", "eval", "fur"}, *mode) {
			return failf(exitUsage, "--mode %q: want train, eval or fur", *mode)
		}
	}
	list, err := benchmarksOf(names, *widths, modes)
	if err != nil {
		return err
	}
	choice, err := openDevice(*deviceName)
	if err != nil {
		return err
	}
	dev, err := choice.open(*threads)
	if err != nil {
		return err
	}
	defer dev.Close()
	if !*f.asJSON {
		fmt.Fprintf(a.stdout, "%s (%s), %d threads\n", dev.Info().Name, dev.Info().Kernels, dev.Info().Threads)
		fmt.Fprintf(a.stdout, "%-10s %-12s %-6s %6s %12s %10s %6s\n", "network", "widths", "mode", "batch", "images/s",
			"GFLOP/s", "peak")
	}
	var results []bench.Result
	for _, b := range list {
		n, c, err := b.build()
		if err != nil {
			return err
		}
		for _, mode := range modes {
			r, err := bench.Run(a.ctx, dev, n, c, mode, batchSize(*batch, n, mode), time.Duration(*seconds*float64(time.Second)))
			if err != nil {
				return err
			}
			results = append(results, r)
			if !*f.asJSON {
				printBench(a.stdout, b, r)
			}
		}
	}
	if *f.asJSON {
		return f.print(results, func(io.Writer) {})
	}
	return nil
}

// benchmarksOf returns the networks that are named, or those that are measured otherwise.
func benchmarksOf(names []string, widths string, modes []bench.Mode) ([]benchmark, error) {
	switch {
	case len(names) == 0 && widths != "":
		return nil, failf(exitUsage, "--widths needs a network")
	case len(names) == 0 && slices.Contains(modes, bench.FUR):
		return furBenchmarks, nil
	case len(names) == 0:
		return benchmarks, nil
	}
	var list []benchmark
	for _, name := range names {
		stages, err := stageWidths(widths)
		if err != nil {
			return nil, err
		}
		list = append(list, benchmark{name, stages})
	}
	return list, nil
}

// stageWidths reads the flag --widths; it gives nil if that is empty.
func stageWidths(text string) ([]int, error) {
	if text == "" {
		return nil, nil
	}
	widths, err := numbers(text, ",")
	if err != nil {
		return nil, failf(exitUsage, "--widths %q: want numbers separated by commas, as in 16,32,64", text)
	}
	return widths, nil
}

// batchSize is the given size, or that for the network and the mode. Mode fur evaluates a batch hundreds of times.
func batchSize(given int, n *networks.Network, mode bench.Mode) int {
	switch {
	case given > 0:
		return given
	case mode == bench.FUR:
		return 48
	case n.Input[1] > 64:
		return 32
	}
	return 128
}

// printBench prints a result, then what its time goes to.
func printBench(w io.Writer, b benchmark, r bench.Result) {
	peak := "-"
	if r.PeakShare > 0 {
		peak = fmt.Sprintf("%.0f%%", 100*r.PeakShare)
	}
	fmt.Fprintf(w, "%-10s %-12s %-6s %6d %12.1f %10.1f %6s\n", r.Network, b.label(), r.Mode, r.Batch,
		r.ImagesPerSecond, r.GFLOPS, peak)
	for _, p := range r.Phases {
		line := fmt.Sprintf("  %-20s %5.1f%%", p.Work, 100*p.Share)
		if p.GFLOPS > 0 {
			line += fmt.Sprintf(" %8.1f GFLOP/s", p.GFLOPS)
		}
		fmt.Fprintln(w, line)
	}
	if q := r.Queue; q != nil {
		fmt.Fprintf(w, "  the host hands a step over in %.2f ms; from new widths to their first step it is %.2f s\n",
			1000*q.Step, q.NewWidths)
	}
	if x := r.Comparison; x != nil {
		fmt.Fprintf(w, "  one pass for all layers and %d repeats takes %.1f%% of the time of one for each (%.1f images/s),\n"+
			"  and does %.1f%% of its multiply-adds: those behind the dropped layers\n",
			x.Repeats, 100*x.TimeShare, x.NaiveImagesPerSecond, 100*x.Bound)
	}
}

func (b benchmark) label() string {
	if b.widths == nil {
		return "own"
	}
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(b.widths), " ", ","), "[]")
}

// build makes the network and its width vector.
func (b benchmark) build() (*networks.Network, []int, error) {
	s, err := networks.Read(b.network)
	if err != nil {
		return nil, nil, err
	}
	n, err := networks.New(s)
	if err != nil {
		return nil, nil, err
	}
	if n.Classes == 100 { // CIFAR-10 is what others measure
		s.Classes = 10
		if n, err = networks.New(s); err != nil {
			return nil, nil, err
		}
	}
	c, err := widthVector(n, b.widths)
	return n, c, err
}

// widthVector gives all layers of a stage the width of that stage; nil stands for the network's own widths. A stage
// ends where these change.
func widthVector(n *networks.Network, stages []int) ([]int, error) {
	c, own := n.Start(), n.Start()
	if stages == nil {
		return c, nil
	}
	stage := 0
	for i := range own {
		if i > 0 && own[i] != own[i-1] {
			stage++
		}
		if stage < len(stages) {
			c[i] = stages[stage]
		}
	}
	if stage != len(stages)-1 {
		return nil, failf(exitUsage, "--widths: %d widths for the %d stages of %s", len(stages), stage+1, n.Name)
	}
	return c, n.Check(c)
}
