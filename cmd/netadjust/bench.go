package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"netadjust/internal/bench"
	"netadjust/networks"
)

// benchmark is a network to be measured.
type benchmark struct {
	network string
	widths  []int // of the stages, all layers of a stage alike; nil for the network's own
	batch   int
}

// benchmarks are what is measured if no network is named: the paper's small and large networks, and widths that are no
// multiples of anything, as searches find them.
var benchmarks = []benchmark{
	{"resnet20", nil, 128}, {"resnet20", []int{13, 27, 51}, 128}, {"resnet56", nil, 128}, {"resnet18", nil, 32},
}

func benchCommand(a *app, f *flags) error {
	widths := f.String("widths", "", "widths of the stages, as `a,b,c` (default: the network's own)")
	threads := f.Int("threads", 0, "threads (default: one per core)")
	seconds := f.Float64("seconds", 3, "time for each measurement")
	deviceName := f.device()
	f.json()
	names, err := f.parse()
	if err != nil {
		return err
	}
	if *seconds <= 0 || *threads < 0 {
		return failf(exitUsage, "--seconds %v and --threads %d: neither may be negative, and some time is needed", *seconds,
			*threads)
	}
	list := benchmarks
	if len(names) > 0 {
		list = nil
		for _, name := range names {
			b := benchmark{network: name}
			if *widths != "" {
				if b.widths, err = numbers(*widths, ","); err != nil {
					return failf(exitUsage, "--widths %q: want numbers separated by commas, as in 16,32,64", *widths)
				}
			}
			list = append(list, b)
		}
	} else if *widths != "" {
		return failf(exitUsage, "--widths needs a network")
	}
	open, err := openDevice(*deviceName)
	if err != nil {
		return err
	}
	dev, err := open(*threads)
	if err != nil {
		return err
	}
	defer dev.Close()
	if !*f.asJSON {
		fmt.Fprintf(a.stdout, "%s (%s), %d threads\n", dev.Info().Name, dev.Info().Kernels, dev.Info().Threads)
		fmt.Fprintf(a.stdout, "%-10s %-12s %-6s %6s %12s %10s %6s\n", "network", "widths", "mode", "batch", "images/s", "GFLOP/s",
			"peak")
	}
	var results []bench.Result
	for _, b := range list {
		n, c, err := b.build()
		if err != nil {
			return err
		}
		batch := cmp.Or(b.batch, 128)
		if b.batch == 0 && n.Input[1] > 64 {
			batch = 32
		}
		for _, mode := range []bench.Mode{bench.Train, bench.Eval} {
			r, err := bench.Run(a.ctx, dev, n, c, mode, batch, time.Duration(*seconds*float64(time.Second)))
			if err != nil {
				return err
			}
			results = append(results, r)
			if !*f.asJSON {
				fmt.Fprintf(a.stdout, "%-10s %-12s %-6s %6d %12.1f %10.1f %5.0f%%\n", r.Network, b.label(), r.Mode, r.Batch,
					r.ImagesPerSecond, r.GFLOPS, 100*r.PeakShare)
			}
		}
	}
	if *f.asJSON {
		return f.print(results, func(io.Writer) {})
	}
	return nil
}

func (b benchmark) label() string {
	if b.widths == nil {
		return "own"
	}
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(b.widths), " ", ","), "[]")
}

// build makes the network and its width vector.
func (b benchmark) build() (*networks.Network, []int, error) {
	s := networks.Spec{Name: b.network}
	if b.network != "resnet18" && b.network != "resnet34" {
		s.Classes = 10
	}
	n, err := networks.New(s)
	if err != nil {
		return nil, nil, err
	}
	c := n.Start()
	if b.widths == nil {
		return n, c, nil
	}
	stages := 0
	for i, own := range n.Start() {
		if i == 0 || own != n.Start()[i-1] {
			stages++
		}
		if stages > len(b.widths) {
			break
		}
		c[i] = b.widths[stages-1]
	}
	if stages != len(b.widths) {
		return nil, nil, failf(exitUsage, "--widths %s: %s has another number of stages", b.label(), b.network)
	}
	return n, c, n.Check(c)
}
