package main

import (
	"fmt"
	"io"
	"reflect"

	"netadjust/internal/device"
	"netadjust/internal/device/devicetest"
)

// checked is what checking one kind of operation gave.
type checked struct {
	Operation string   `json:"operation"`
	Cases     int      `json:"cases"`
	Worst     float64  `json:"worst_error"` // relative to the largest element and a tenth
	Failures  []string `json:"failures"`
}

// checkCommand runs the table of operations that every device must pass. It is what to run first on a new card.
func checkCommand(a *app, f *flags) error {
	deviceName := f.device()
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
	if !*f.asJSON {
		fmt.Fprintf(a.stdout, "%s (%s)\n%-28s %5s  %s\n", dev.Info().Name, dev.Info().Kernels, "operation", "cases",
			"worst error")
	}
	var list []*checked
	kinds := map[string]*checked{}
	table := devicetest.Operations()
	for _, o := range table {
		name := reflect.TypeOf(o.Kind).Name()
		if kinds[name] == nil {
			kinds[name] = &checked{Operation: name, Failures: []string{}}
			list = append(list, kinds[name])
		}
		kinds[name].Cases++
	}
	failed := 0
	for _, c := range list {
		if err := c.run(a, dev, table); err != nil {
			return err
		}
		failed += len(c.Failures)
		if !*f.asJSON {
			c.print(a.stdout)
		}
	}
	if err := f.print(list, func(io.Writer) {}); err != nil {
		return err
	}
	if failed > 0 {
		return failf(exitFailed, "%d of %d operations failed on %s", failed, len(table), dev.Info().Name)
	}
	return nil
}

// run checks the operations of the table that are of this kind.
func (c *checked) run(a *app, dev device.Device, table []devicetest.Operation) error {
	for _, o := range table {
		if reflect.TypeOf(o.Kind).Name() != c.Operation {
			continue
		}
		if err := a.ctx.Err(); err != nil {
			return err
		}
		worst, err := o.Check(dev)
		c.Worst = max(c.Worst, worst)
		if err != nil {
			c.Failures = append(c.Failures, fmt.Sprintf("%v: %v", o, err))
		}
	}
	return nil
}

func (c *checked) print(w io.Writer) {
	verdict := "pass"
	if len(c.Failures) > 0 {
		verdict = "FAIL"
	}
	fmt.Fprintf(w, "%-28s %5d  %11.1e  %s\n", c.Operation, c.Cases, c.Worst, verdict)
	for _, text := range c.Failures {
		fmt.Fprintln(w, "  "+text)
	}
}
