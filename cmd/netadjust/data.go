package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"netadjust/experiments"
	"netadjust/harness"
	"netadjust/internal/data"
)

// dataset is a row of the list of datasets.
type dataset struct {
	data.Info
	Present  bool   `json:"present"`
	Problem  string `json:"problem,omitempty"`
	Modified bool   `json:"modified"` // its checksums are not the official ones
	Note     string `json:"note,omitempty"`
}

func datasets(dir string) []dataset {
	var list []dataset
	for _, info := range data.List(dir) {
		row := dataset{Info: info}
		if d, err := data.Open(info.Name, dir); err != nil {
			row.Problem = err.Error()
		} else {
			row.Present, row.Modified, row.Note = true, d.Modified, d.Note
		}
		list = append(list, row)
	}
	return list
}

func dataListCommand(a *app, f *flags) error {
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
				state = "present, " + d.Note
			}
			if d.TrainImages == 0 {
				fmt.Fprintf(w, "%-14s %s\n", d.Name, state)
				continue
			}
			fmt.Fprintf(w, "%-14s %dx%dx%d, %d classes, %d training and %d test images; %s\n", d.Name, d.Channels, d.Height,
				d.Width, d.Classes, d.TrainImages, d.TestImages, state)
		}
	})
}

func dataGetCommand(a *app, f *flags) error {
	dir := f.data()
	args, err := f.parse()
	if err != nil {
		return err
	}
	names := args
	if strings.HasSuffix(args[0], ".toml") {
		if names, err = datasetsOf(args[0], *dir); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := data.Get(a.ctx, name, data.Dir(*dir), a.log); err != nil {
			if errors.Is(err, data.ErrNoSource) {
				return failf(exitFailed, "%w", err)
			}
			return a.stopped(err)
		}
		fmt.Fprintf(a.stdout, "%s is complete in %s\n", name, data.Dir(*dir))
	}
	return nil
}

func (a *app) log(format string, args ...any) { fmt.Fprintf(a.stderr, format+"\n", args...) }

// stopped gives an error the exit code of a command that was interrupted, if it was.
func (a *app) stopped(err error) error {
	if a.ctx.Err() != nil {
		return failf(exitStopped, "%w; what is complete is kept, and the same command goes on from there", err)
	}
	return err
}

// datasetsOf returns the datasets that an experiment file names, in its order.
func datasetsOf(path, dir string) ([]string, error) {
	e, err := experiments.Load(path, harness.Catalog(data.Dir(dir)))
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

// verified is what netadjust data verify tells of a dataset.
type verified struct {
	Name        string    `json:"name"`
	Checksum    string    `json:"checksum"`
	TrainImages []int     `json:"train_images"` // of each class
	TestImages  []int     `json:"test_images"`
	Mean        []float64 `json:"mean"` // of the training images, by channel, where white is 1
	Std         []float64 `json:"std"`
}

func dataVerifyCommand(a *app, f *flags) error {
	dir := f.data()
	f.json()
	args, err := f.parse()
	if err != nil {
		return err
	}
	switch err := data.Verify(args[0], data.Dir(*dir)); {
	case errors.Is(err, data.ErrUnknown):
		return err
	case err != nil:
		return failf(exitFailed, "%w", err)
	}
	d, err := data.Open(args[0], data.Dir(*dir))
	if err != nil {
		return err
	}
	train, err := d.Train()
	if err != nil {
		return err
	}
	test, err := d.Test()
	if err != nil {
		return err
	}
	v := verified{
		Name: d.Name, Checksum: d.Checksum, TrainImages: train.Count(d.Classes), TestImages: test.Count(d.Classes),
	}
	v.Mean, v.Std = train.Statistics()
	return f.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s is as its checksums say: %s\n", v.Name, v.Checksum)
		for _, split := range []struct {
			name   string
			images []int
		}{{"training", v.TrainImages}, {"test", v.TestImages}} {
			fmt.Fprintf(w, "%d to %d %s images in each of %d classes\n", slices.Min(split.images), slices.Max(split.images),
				split.name, d.Classes)
		}
		fmt.Fprintf(w, "mean %.4f, standard deviation %.4f of the channels\n", v.Mean, v.Std)
	})
}

func dataPackCommand(a *app, f *flags) error {
	dir := f.data()
	name := f.String("name", "", "`name` of the dataset (default: that of the folder)")
	size := f.Int("size", 224, "side of the square that networks see")
	side := f.Int("side", 0, "short side of images as they are stored; longer ones are scaled down (default: 8/7 size)")
	skip := f.Bool("skip-corrupt", false, "leave out files that cannot be decoded")
	args, err := f.parse()
	if err != nil {
		return err
	}
	folder, err := filepath.Abs(args[0])
	if err != nil {
		return err
	}
	err = data.Pack(a.ctx, data.PackOptions{
		Folder: folder, Dir: data.Dir(*dir), Name: cmp.Or(*name, filepath.Base(folder)), Size: *size,
		Side: cmp.Or(*side, (*size*8+6)/7), SkipCorrupt: *skip, Log: a.log,
	})
	if corrupt := (*data.CorruptError)(nil); errors.As(err, &corrupt) {
		return failf(exitFailed, "%w\nmend or remove them, or leave them out with --skip-corrupt", err)
	}
	if err != nil {
		return a.stopped(err)
	}
	return nil
}
