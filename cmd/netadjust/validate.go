package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"netadjust/experiments"
	"netadjust/harness"
	"netadjust/internal/data"
)

func validateCommand(a *app, f *flags) error {
	dataDir := f.data()
	set := f.set()
	f.json()
	args, err := f.parse()
	if err != nil {
		return err
	}
	e, err := experiments.Load(args[0], harness.Catalog(data.Dir(*dataDir)), *set...)
	if err != nil {
		return err
	}
	p, err := harness.MakePlan(e)
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range p.Cells {
		if c.Problem != "" {
			errs = append(errs, fmt.Errorf("%s: %s will fail: %s", e.Path, c.ID, c.Problem))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return f.print(map[string]int{"cells": len(e.Cells), "merged": e.Merged}, func(w io.Writer) {
		fmt.Fprintf(w, "%s is valid: %d cells\n", e.Path, len(e.Cells))
	})
}

func schemaCommand(a *app, f *flags) error {
	dataDir := f.data()
	if _, err := f.parse(); err != nil {
		return err
	}
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(experiments.Schema(harness.Catalog(data.Dir(*dataDir))))
}
