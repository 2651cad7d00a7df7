package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"netadjust/internal/data"
	"netadjust/internal/device"
)

// diagnosis is what doctor finds.
type diagnosis struct {
	Version  string      `json:"version"`
	Platform string      `json:"platform"`
	Cores    int         `json:"cores"` // that the program may use
	Device   device.Info `json:"device"`
	Reason   string      `json:"reason"` // for this device, and against others, a line each
	DataDir  string      `json:"data_dir"`
	Datasets []dataset   `json:"datasets"`
	Problems []string    `json:"problems"` // each with its remedy
}

func doctorCommand(a *app, f *flags) error {
	deviceName := f.device()
	dir := f.data()
	f.json()
	if _, err := f.parse(); err != nil {
		return err
	}
	choice, err := openDevice(*deviceName)
	if err != nil {
		return err
	}
	dev, err := choice.open(0)
	if err != nil {
		return err
	}
	defer dev.Close()
	d := diagnosis{
		Version: version, Platform: runtime.GOOS + "/" + runtime.GOARCH + " " + runtime.Version(),
		Cores: runtime.GOMAXPROCS(0), Device: dev.Info(), DataDir: data.Dir(*dir), Datasets: datasets(data.Dir(*dir)),
		Reason:   choice.reason,
		Problems: []string{},
	}
	for _, x := range d.Datasets {
		if !x.Present {
			d.Problems = append(d.Problems, x.Problem)
		}
	}
	if err := writable("."); err != nil {
		d.Problems = append(d.Problems, fmt.Sprintf("the current folder cannot be written, so give run --out: %v", err))
	}
	return f.print(d, func(w io.Writer) {
		fmt.Fprintf(w, "netadjust %s, %s, %d cores\n", d.Version, d.Platform, d.Cores)
		fmt.Fprintf(w, "device    %s (%s), %d threads\n", d.Device.Name, d.Device.Kernels, d.Device.Threads)
		for _, line := range strings.Split(d.Reason, "\n") {
			fmt.Fprintf(w, "          %s\n", line)
		}
		for _, x := range d.Datasets {
			if x.Present {
				fmt.Fprintf(w, "dataset   %s in %s\n", x.Name, d.DataDir)
			}
		}
		for _, p := range d.Problems {
			fmt.Fprintf(w, "problem   %s\n", p)
		}
	})
}

func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".netadjust-*")
	if err != nil {
		return err
	}
	f.Close()
	return os.Remove(f.Name())
}

func versionCommand(a *app, f *flags) error {
	f.json()
	if _, err := f.parse(); err != nil {
		return err
	}
	v := struct {
		Version  string            `json:"version"`
		Platform string            `json:"platform"`
		Modules  map[string]string `json:"modules"`
	}{version, runtime.GOOS + "/" + runtime.GOARCH + " " + runtime.Version(), map[string]string{}}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			v.Modules[m.Path] = m.Version
		}
	}
	return f.print(v, func(w io.Writer) { fmt.Fprintf(w, "netadjust %s, %s\n", v.Version, v.Platform) })
}
