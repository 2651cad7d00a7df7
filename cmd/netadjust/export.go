package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"netadjust/harness"
	"netadjust/internal/export"
)

func exportCommand(a *app, f *flags) error {
	open := f.trained()
	format := f.String("format", "onnx", "onnx; torch, a PyTorch module and its weights; or widths, as JSON or TOML")
	out := f.String("out", "", "`FILE` to write: NAME.onnx, NAME.py, NAME.json or NAME.toml")
	fold := f.Bool("fold", false, "make batch norm part of the convolutions")
	normalize := f.Bool("normalize", false, "let the network take pixels from 0 to 255 and normalize them itself")
	args, err := f.parse()
	if err != nil {
		return err
	}
	if *out == "" {
		return failf(exitUsage, "--out is missing: the file to write")
	}
	t, err := open(args[0])
	if err != nil {
		return err
	}
	targets := []string{*out}
	if *format == "torch" {
		targets = append(targets, strings.TrimSuffix(*out, ".py")+".safetensors")
	}
	for _, target := range targets {
		for _, own := range t.Files {
			if sameFile(target, own) {
				return failf(exitUsage, "--out %s: %s belongs to what is exported; name another file", *out, target)
			}
		}
	}
	o := export.Options{FoldBatchNorm: *fold, Normalize: *normalize, Provenance: t.Provenance()}
	switch *format {
	case "onnx":
		err = export.WriteONNX(*out, t.Model, o)
	case "torch":
		err = export.WriteTorch(*out, t.Model, o)
	case "widths":
		if *fold || *normalize {
			return failf(exitUsage, "--format widths holds no weights: --fold and --normalize mean nothing")
		}
		err = export.WriteWidths(*out, t.Model.Network, t.Model.Channels, o.Provenance)
	default:
		return failf(exitUsage, "unknown format %q; formats are onnx, torch and widths", *format)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, *out)
	return nil
}

// sameFile tells whether two paths are of one file or folder that is there.
func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// trained adds the flag that says where cells are, and returns what opens a trained network once flags are parsed.
func (f *flags) trained() func(name string) (*harness.Trained, error) {
	in := f.String("in", "", "output `DIR` of an experiment: the cell is then named by its id alone")
	return func(name string) (*harness.Trained, error) {
		if *in != "" {
			name = filepath.Join(*in, "cells", name)
		}
		return harness.OpenTrained(name)
	}
}
