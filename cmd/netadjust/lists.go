package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"netadjust/experiments"
	"netadjust/harness"
	"netadjust/internal/data"
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
		Params   int64            `json:"params"`
		Layers   []networks.Layer `json:"layers"`
	}{n.Name, c, n.FLOPs(c), n.FLOPsWithoutStem(c), n.Params(c), n.Layers(c)}
	return f.print(result, func(w io.Writer) {
		fmt.Fprintf(w, "%-28s %-14s %-14s %14s %7s %12s  %s\n", "layer", "kind", "output", "FLOPs", "share", "parameters",
			"width")
		for _, l := range result.Layers {
			adjustable := ""
			if l.Kind == networks.Conv && l.Adjustable >= 0 {
				adjustable = fmt.Sprintf("adjustable %d", l.Adjustable)
			}
			line := fmt.Sprintf("%-28s %-14s %-14s %14d %6.2f%% %12d  %s", l.Name, l.Kind,
				fmt.Sprintf("%dx%dx%d", l.Output[0], l.Output[1], l.Output[2]), l.FLOPs,
				100*float64(l.FLOPs)/float64(result.FLOPs), l.Params, adjustable)
			fmt.Fprintln(w, strings.TrimRight(line, " "))
		}
		fmt.Fprintf(w, "\n%s with widths %v\n%d FLOPs (multiply-adds), %d without the stem, %d parameters\n",
			n.Name, c, result.FLOPs, result.NoStem, result.Params)
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
			fmt.Fprintf(w, "%-20s %s; images %dx%dx%d, %d classes unless told otherwise; adjustable: %s\n", x.Pattern, x.Title,
				x.Input[0], x.Input[1], x.Input[2], x.Classes, x.Adjustable)
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

// dataset is a row of the list of datasets.
type dataset struct {
	data.Info
	Present  bool   `json:"present"`
	Problem  string `json:"problem,omitempty"`
	Modified bool   `json:"modified"` // its checksums are not the official ones
}

func datasets(dir string) []dataset {
	var list []dataset
	for _, info := range data.Known() {
		row := dataset{Info: info}
		if d, err := data.Open(info.Name, dir); err != nil {
			row.Problem = err.Error()
		} else {
			row.Present, row.Modified = true, d.Modified
		}
		list = append(list, row)
	}
	return list
}

func datasetsCommand(a *app, f *flags) error {
	dir := f.data()
	f.json()
	if _, err := f.parse(); err != nil {
		return err
	}
	list := datasets(data.Dir(*dir))
	return f.print(list, func(w io.Writer) {
		for _, d := range list {
			state := "present"
			switch {
			case !d.Present:
				state = "missing: " + d.Problem
			case d.Modified:
				state = "present, not the official files"
			}
			fmt.Fprintf(w, "%-14s %dx%dx%d, %d classes, %d training and %d test images; %s\n", d.Name, d.Channels, d.Height,
				d.Width, d.Classes, d.TrainImages, d.TestImages, state)
		}
	})
}

func dataCommand(a *app, f *flags) error {
	dir := f.data()
	args, err := f.parse()
	if err != nil {
		return err
	}
	if args[0] != "get" {
		return failf(exitUsage, "unknown data command %q; it is netadjust data get NAME", args[0])
	}
	names := []string{args[1]}
	if strings.HasSuffix(args[1], ".toml") {
		if names, err = datasetsOf(args[1]); err != nil {
			return err
		}
	}
	log := func(format string, args ...any) { fmt.Fprintf(a.stderr, format+"\n", args...) }
	for _, name := range names {
		if err := data.Get(a.ctx, name, data.Dir(*dir), log); err != nil {
			if a.ctx.Err() != nil {
				return failf(exitStopped, "%w; files that are complete are kept", err)
			}
			if errors.Is(err, data.ErrNoSource) {
				return failf(exitFailed, "%w", err)
			}
			return err
		}
		fmt.Fprintf(a.stdout, "%s is complete in %s\n", name, data.Dir(*dir))
	}
	return nil
}

// datasetsOf returns the datasets that an experiment file names, in its order.
func datasetsOf(path string) ([]string, error) {
	e, err := experiments.Load(path, harness.Catalog())
	if err != nil {
		return nil, err
	}
	var names []string
	for _, c := range e.Cells {
		if !slices.Contains(names, c.Dataset) {
			names = append(names, c.Dataset)
		}
	}
	return names, nil
}
