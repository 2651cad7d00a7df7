package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"netadjust/harness"
	"netadjust/networks"
)

func flopsCommand(a *app, f *flags) error {
	spec := f.network()
	channels := f.String("channels", "", "widths of the adjustable layers, as `a,b,…` (default: the network's own)")
	padding := f.String("padding", networks.PaddingMax, "residual width rule: max or local")
	f.json()
	args, err := f.parse()
	if err != nil {
		return err
	}
	s, err := spec(args[0])
	if err != nil {
		return err
	}
	s.Padding = *padding
	n, err := networks.New(s)
	if err != nil {
		return err
	}
	c := n.Start()
	if *channels != "" {
		if c, err = numbers(*channels, ","); err != nil {
			return failf(exitUsage, "--channels %q: want widths separated by commas, as in 16,16,32", *channels)
		}
	}
	if err := n.Check(c); err != nil {
		return err
	}
	result := struct {
		Network  string           `json:"network"`
		Channels []int            `json:"channels"`
		FLOPs    int64            `json:"flops"`
		NoStem   int64            `json:"flops_without_stem"`
		All      int64            `json:"flops_everything"` // see networks.Network.AllFLOPs
		Params   int64            `json:"params"`
		Layers   []networks.Layer `json:"layers"`
	}{n.Name, c, n.FLOPs(c), n.FLOPsWithoutStem(c), n.AllFLOPs(c), n.Params(c), n.Layers(c)}
	return f.print(result, func(w io.Writer) {
		const row = "%-36s %-14s %-14s %14v %7s %12v  %s"
		line := func(cells ...any) { fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf(row, cells...), " ")) }
		line("layer", "kind", "output", "FLOPs", "share", "parameters", "width")
		for _, l := range result.Layers {
			width := ""
			switch {
			case l.Tied != "":
				width = "tied to " + l.Tied
			case l.Kind == networks.Conv && l.Adjustable >= 0:
				width = fmt.Sprintf("adjustable %d", l.Adjustable)
			}
			line(l.Name, l.Kind, fmt.Sprintf("%dx%dx%d", l.Output[0], l.Output[1], l.Output[2]), l.FLOPs,
				fmt.Sprintf("%.2f%%", 100*float64(l.FLOPs)/float64(result.FLOPs)), l.Params, width)
		}
		fmt.Fprintf(w, "\n%s with widths %v\n%d FLOPs (multiply-adds), %d without the stem, %d with everything counted, "+
			"%d parameters\n", n.Name, c, result.FLOPs, result.NoStem, result.All, result.Params)
	})
}

func numbers(text, separator string) ([]int, error) {
	var list []int
	for _, word := range strings.Split(text, separator) {
		v, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func networksCommand(a *app, f *flags) error {
	f.json()
	if _, err := f.parse(); err != nil {
		return err
	}
	families := networks.Families()
	return f.print(families, func(w io.Writer) {
		for _, x := range families {
			fmt.Fprintf(w, "%-20s %s\n%21s%s\n%21simages %dx%dx%d, %d classes unless told otherwise; adjustable: %s\n",
				x.Pattern, x.Title, "", x.Source, "", x.Input[0], x.Input[1], x.Input[2], x.Classes, x.Adjustable)
		}
	})
}

func methodsCommand(a *app, f *flags) error {
	f.json()
	if _, err := f.parse(); err != nil {
		return err
	}
	methods := harness.Methods()
	return f.print(methods, func(w io.Writer) {
		for _, m := range methods {
			fmt.Fprintf(w, "%-20s %s\n", m.Name, m.Title)
			row := func(what, text string) {
				if text != "" {
					fmt.Fprintf(w, "  %-8s %s\n", what, text)
				}
			}
			row("source", strings.TrimPrefix(m.Source, "-"))
			row("needs", strings.Join(m.Needs, ", "))
			row("cost", m.Cost)
			var can []string
			if m.Grows {
				can = append(can, "grow layers")
			}
			if m.Inherits {
				can = append(can, "go on with inherited weights")
			}
			row("can", strings.Join(can, ", "))
		}
	})
}
