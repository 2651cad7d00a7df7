// Command netadjust compares network adjustment with channel pruning under FLOPs budgets: it runs experiments described
// in TOML files, records every run, and draws accuracy over FLOPs.
//
// Exit codes: 0 complete, 1 some cells failed, no source has the data or results have become worse, 2 wrong usage or
// configuration, 3 results that cannot be compared, 75 stopped and resumable: by an interrupt, TERM or USR1, which
// schedulers send when time is nearly up, or by a disk or data that fail.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"

	"netadjust/internal/suggest"
)

// version is set by the linker.
var version = "unknown"

const (
	exitFailed  = 1
	exitUsage   = 2
	exitStopped = 75
)

// app is what commands share.
type app struct {
	ctx    context.Context
	stdout io.Writer
	stderr io.Writer
}

// command is a verb of the command line, of one word or two.
type command struct {
	name, args, summary string
	run                 func(a *app, f *flags) error
}

func commands() []command {
	return []command{
		{"init", "NETWORK DATASET", "write a commented experiment file to start from", initCommand},
		{"run", "FILE", "run an experiment: make every cell complete, then write frame, figures and report", runCommand},
		{"plan", "FILE", "list an experiment's cells with FLOPs, images and estimated time", planCommand},
		{"status", "DIR", "tell how the cells in an output folder stand, also while they run", statusCommand},
		{"serve", "DIR", "show the same in a web page that updates by itself", serveCommand},
		{"merge", "DIR…", "copy the finished cells of the other folders into the first, and write its report", mergeCommand},
		{"validate", "FILE", "find the mistakes in an experiment file", validateCommand},
		{"schema", "", "print the JSON schema of experiment files, for editors", schemaCommand},
		{"slurm", "FILE", "print a batch script that runs an experiment as a job array of Slurm", slurmCommand},
		{"explain", "FILE", "print every setting, where it comes from and what the paper used", explainCommand},
		{"report", "DIR", "write frame, figures and report again from the records in DIR", reportCommand},
		{"compare", "BASE NEW", "tell whether the results in folder NEW are worse than those in BASE", compareCommand},
		{"paper", "[DIR…]", "print the paper's tables beside what the records in any folders give", paperCommand},
		{"eval", "CELL", "test a trained network: a finished cell's folder, or a weights file", evalCommand},
		{"export", "CELL", "write a trained network as ONNX, as a PyTorch module, or as plain widths", exportCommand},
		{"flops", "NETWORK", "print FLOPs and parameters of every layer", flopsCommand},
		{"graph", "NETWORK", "print the phases that a network runs in, with their instructions and memory", graphCommand},
		{"step", "FILE", "make one update of widths, given in a JSON file (- for standard input)", stepCommand},
		{"networks", "", "list the networks", networksCommand},
		{"methods", "", "list the methods", methodsCommand},
		{"data list", "", "list the datasets and whether they are there", dataListCommand},
		{"data get", "NAME", "get and verify a dataset, or all that the experiment file NAME.toml names", dataGetCommand},
		{"data verify", "NAME", "compare all files of a dataset with their checksums, and tell what it holds",
			dataVerifyCommand},
		{"data pack", "FOLDER", "make a folder of images, train/CLASS/FILE and val/CLASS/FILE, a dataset of one file",
			dataPackCommand},
		{"check", "", "run every operation on a device and compare it with its reference", checkCommand},
		{"bench", "[NETWORK…]", "measure training and evaluation speed", benchCommand},
		{"doctor", "", "tell which device is used, and what is missing", doctorCommand},
		{"version", "", "print version and libraries", versionCommand},
	}
}

// usage is how the command is typed.
func (c command) usage() string { return strings.TrimSpace(c.name + " " + c.args) }

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func failf(code int, format string, args ...any) error {
	return &exitError{code, fmt.Errorf(format, args...)}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals...)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := dispatch(&app{ctx, stdout, stderr}, args)
	var exit *exitError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &exit):
		fmt.Fprintln(stderr, "netadjust:", err)
		return exit.code
	default:
		fmt.Fprintln(stderr, "netadjust:", err)
		return exitUsage
	}
}

func dispatch(a *app, args []string) error {
	if len(args) == 0 {
		usage(a.stderr, commands())
		return failf(exitUsage, "a command is missing")
	}
	if asksHelp(args[0]) {
		usage(a.stdout, commands())
		return nil
	}
	group := slices.DeleteFunc(commands(), func(c command) bool { return !strings.HasPrefix(c.name, args[0]+" ") })
	if len(group) > 0 && len(args) > 1 && asksHelp(args[1]) {
		usage(a.stdout, group)
		return nil
	}
	name := args[0]
	var names []string
	for _, c := range commands() {
		words := strings.Fields(c.name)
		if len(args) >= len(words) && slices.Equal(args[:len(words)], words) {
			return c.run(a, newFlags(a, c, args[len(words):]))
		}
		if len(words) > 1 && words[0] == args[0] {
			name = strings.Join(args[:min(2, len(args))], " ")
		}
		names = append(names, c.name)
	}
	return failf(exitUsage, "unknown command %q%s", name, suggest.Known(name, names))
}

func asksHelp(arg string) bool {
	return slices.Contains([]string{"help", "-h", "-help", "--help"}, arg)
}

func usage(w io.Writer, list []command) {
	fmt.Fprint(w, "Usage: netadjust COMMAND [ARGUMENT] [FLAGS]\n\n")
	for _, c := range list {
		fmt.Fprintf(w, "  %-18s %s\n", c.usage(), c.summary)
	}
	fmt.Fprint(w, "\nnetadjust COMMAND --help lists the flags of a command.\n")
}
