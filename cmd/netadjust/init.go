package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"netadjust/experiments"
	"netadjust/harness"
	"netadjust/internal/atomicfile"
	"netadjust/internal/data"
	"netadjust/internal/suggest"
	"netadjust/networks"
)

//go:embed init.toml
var initText string

// experimentTemplate is an experiment file to start from.
var experimentTemplate = template.Must(template.New("experiment").Parse(initText))

// start is what is written into that file.
type start struct {
	experiments.Settings
	File, Name, Network, Dataset string
	Layers                       int // adjustable
	FLOPs, Params                int64
}

func initCommand(a *app, f *flags) error {
	out := f.String("out", "", "`FILE` to write (default: NETWORK-DATASET.toml in this folder)")
	dir := f.data()
	args, err := f.parse()
	if err != nil {
		return err
	}
	catalog := harness.Catalog(data.Dir(*dir))
	var names []string
	for _, d := range catalog.Datasets {
		names = append(names, d.Name)
	}
	known := slices.Index(names, args[1])
	if known < 0 {
		return failf(exitUsage, "unknown dataset %q%s", args[1], suggest.Known(args[1], names))
	}
	d := catalog.Datasets[known]
	if d.Problem != nil {
		return d.Problem
	}
	s, err := networks.Read(args[0])
	if err != nil {
		return err
	}
	s.Input, s.Classes = d.Input, d.Classes
	n, err := networks.New(s)
	if err != nil {
		return err
	}
	if *out == "" {
		*out = n.Name + "-" + d.Name + ".toml"
	}
	network, err := pathFrom(*out, args[0])
	if err != nil {
		return err
	}
	text, err := experimentText(*out, network, n, d)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(*out); !errors.Is(err, fs.ErrNotExist) {
		return failf(exitUsage, "%s is there already, and is not overwritten; --out names another file", *out)
	}
	if err := atomicfile.Write(*out, []byte(text)); err != nil {
		return failf(exitFailed, "%w", err)
	}
	if _, err := experiments.Load(*out, catalog); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "wrote %s; netadjust plan %s lists what it would run\n", *out, *out)
	return nil
}

// pathFrom returns a network as an experiment file names it: a file by its path from there, others by their names.
func pathFrom(file, network string) (string, error) {
	if !strings.HasSuffix(network, ".toml") {
		return network, nil
	}
	folder, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return "", err
	}
	if network, err = filepath.Abs(network); err != nil {
		return "", err
	}
	if relative, err := filepath.Rel(folder, network); err == nil {
		network = relative
	}
	return filepath.ToSlash(network), nil
}

// experimentText is the text of an experiment file.
func experimentText(file, network string, n *networks.Network, d experiments.Dataset) (string, error) {
	c := n.Start()
	x := start{
		Settings: experiments.Defaults(), File: file, Name: n.Name + "-" + d.Name, Network: network, Dataset: d.Name,
		Layers: len(c), FLOPs: n.FLOPs(c), Params: n.Params(c),
	}
	switch {
	case d.Name == "mnist":
		x.Train.Augment = "pad-crop" // digits must not be mirrored
	case min(d.Input[1], d.Input[2]) > 64:
		x.Train.Augment = "resized-crop-flip"
	}
	x.Search.LayersPerUpdate = max(1, min(x.Search.LayersPerUpdate, len(c)/2))
	var b strings.Builder
	err := experimentTemplate.Execute(&b, x)
	return b.String(), err
}
