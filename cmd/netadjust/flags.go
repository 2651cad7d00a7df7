package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"netadjust/internal/device/gpu/choose"
	"netadjust/networks"
)

// flags parses the rest of a command line. Flags may stand before and after arguments.
type flags struct {
	*flag.FlagSet
	app     *app
	command command
	rest    []string
	asJSON  *bool
}

func newFlags(a *app, c command, rest []string) *flags {
	f := &flags{FlagSet: flag.NewFlagSet(c.name, flag.ContinueOnError), app: a, command: c, rest: rest}
	f.SetOutput(io.Discard)
	return f
}

// json adds the flag for output that programs can read.
func (f *flags) json() { f.asJSON = f.Bool("json", false, "print JSON") }

// device adds the flag that chooses a device.
func (f *flags) device() *string {
	return f.String("device", "auto", "device to compute on: auto, cpu, "+choose.Names)
}

func (f *flags) data() *string {
	return f.String("data", "", "folder of the datasets (default: $NETADJUST_DATA, else data)")
}

// set adds the flag that changes settings of an experiment.
func (f *flags) set() *[]string {
	var all []string
	f.Func("set", "override a setting for all cells, as `KEY=VALUE`, such as train.epochs=5; may be repeated",
		func(s string) error {
			all = append(all, s)
			return nil
		})
	return &all
}

// network adds the flags that describe a network, and returns what reads them once they are parsed.
func (f *flags) network() func(name string) (networks.Spec, error) {
	width := f.Float64("width", 1, "multiplier of the network's own widths")
	input := f.String("input", "", "shape of an image, as `3x32x32` (default: the family's)")
	classes := f.Int("classes", 0, "number of classes (default: the family's)")
	return func(name string) (networks.Spec, error) {
		s, err := networks.Read(name)
		if err != nil {
			return s, err
		}
		s.Width, s.Classes = *width, *classes
		given := false
		f.Visit(func(x *flag.Flag) { given = given || x.Name == "classes" })
		if given && *classes == 0 {
			return s, failf(exitUsage, "--classes 0: want 2 or more")
		}
		if *width <= 0 {
			return s, failf(exitUsage, "--width %v: want more than 0", *width)
		}
		if *input != "" {
			shape, err := numbers(*input, "x")
			if err != nil || len(shape) != 3 || slices.Max(shape) == 0 {
				return s, failf(exitUsage, "--input %q: want channels x height x width, as in 3x32x32", *input)
			}
			s.Input = [3]int(shape)
		}
		return s, nil
	}
}

// parse returns the positional arguments, of which there must be as many as the command has.
func (f *flags) parse() ([]string, error) {
	var args []string
	for rest := f.rest; len(rest) > 0; {
		if err := f.Parse(rest); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				f.help(f.app.stdout)
				return nil, err
			}
			return nil, failf(exitUsage, "%s: %w; netadjust %s --help lists its flags", f.command.name, err, f.command.name)
		}
		rest = f.Args()
		if len(rest) > 0 {
			args, rest = append(args, rest[0]), rest[1:]
		}
	}
	if want := strings.Fields(f.command.args); len(args) != len(want) && !strings.ContainsRune(f.command.args, '…') {
		return nil, failf(exitUsage, "number of arguments is %d, not %d; it is netadjust %s",
			len(args), len(want), f.command.usage())
	}
	return args, nil
}

func (f *flags) help(w io.Writer) {
	fmt.Fprintf(w, "Usage: netadjust %s [FLAGS]\n\n%s.\n", f.command.usage(),
		strings.ToUpper(f.command.summary[:1])+f.command.summary[1:])
	f.VisitAll(func(x *flag.Flag) {
		name, text := flag.UnquoteUsage(x)
		fmt.Fprintf(w, "\n  %s\n        %s", strings.TrimSpace("--"+x.Name+" "+name), text)
		if x.DefValue != "" && x.DefValue != "false" && x.DefValue != "0" {
			fmt.Fprintf(w, " (default %s)", x.DefValue)
		}
	})
	fmt.Fprintln(w)
}

// print writes v as JSON if that is asked for, else calls text.
func (f *flags) print(v any, text func(w io.Writer)) error {
	if *f.asJSON {
		enc := json.NewEncoder(f.app.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	text(f.app.stdout)
	return nil
}
