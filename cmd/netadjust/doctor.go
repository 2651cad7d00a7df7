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
	"netadjust/internal/host"
)

// diagnosis is what doctor finds.
type diagnosis struct {
	Version  string      `json:"version"`
	Platform string      `json:"platform"`
	Cores    int         `json:"cores"`  // that the program may use
	Memory   host.Memory `json:"memory"` // 0 where the system does not tell
	Disk     int64       `json:"disk"`   // bytes that can be written in the current folder
	Device   device.Info `json:"device"`
	Reason   string      `json:"reason"` // for this device, and against others, a line each
	DataDir  string      `json:"data_dir"`
	Datasets []dataset   `json:"datasets"`
	Problems []string    `json:"problems"` // each with its remedy
}

// What doctor takes for a problem.
const (
	littleMemory = 512 << 20
	littleDisk   = 1 << 30
)

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
	d.Memory, _ = host.ReadMemory()
	d.Disk, _ = host.FreeDisk(".")
	if m := d.Memory; m.Total > 0 && m.Free < littleMemory {
		d.Problems = append(d.Problems, fmt.Sprintf("only %d MiB of memory are free: end other programs, or run with --jobs 1",
			m.Free>>20))
	}
	if d.Disk > 0 && d.Disk < littleDisk {
		d.Problems = append(d.Problems, fmt.Sprintf("only %d MiB can be written in the current folder: make space, or give "+
			"run --out on another disk; a run waits when the disk is full", d.Disk>>20))
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
		if d.Memory.Total > 0 {
			fmt.Fprintf(w, "memory    %d MiB, %d MiB of them free\n", d.Memory.Total>>20, d.Memory.Free>>20)
		}
		if d.Disk > 0 {
			fmt.Fprintf(w, "disk      %d MiB free in the current folder\n", d.Disk>>20)
		}
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
