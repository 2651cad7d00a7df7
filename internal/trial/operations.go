package trial

import (
	"context"
	"fmt"
	"reflect"

	"netadjust/internal/device"
	"netadjust/internal/device/devicetest"
)

// Checked is what checking one kind of operation gave.
type Checked struct {
	Operation string   `json:"operation"`
	Cases     int      `json:"cases"`
	Worst     float64  `json:"worst_error"` // relative to the largest element and a tenth
	Failures  []string `json:"failures"`
}

// add checks one more case.
func (c *Checked) add(dev device.Device, o devicetest.Operation) {
	c.Cases++
	worst, err := o.Check(dev)
	c.Worst = max(c.Worst, worst)
	if err != nil {
		c.Failures = append(c.Failures, fmt.Sprintf("%v: %v", o, err))
	}
}

// Operations runs the table of operations that every device must pass, and tells of every kind when it is done.
func Operations(ctx context.Context, dev device.Device, done func(Checked)) ([]Checked, error) {
	var list []Checked
	at := map[string]int{}
	table := devicetest.Operations()
	for _, o := range table {
		name := kindOf(o)
		if _, ok := at[name]; !ok {
			at[name] = len(list)
			list = append(list, Checked{Operation: name, Failures: []string{}})
		}
	}
	for i := range list {
		c := &list[i]
		for _, o := range table {
			if kindOf(o) != c.Operation {
				continue
			}
			if err := ctx.Err(); err != nil {
				return list, err
			}
			c.add(dev, o)
		}
		done(*c)
	}
	return list, nil
}

func kindOf(o devicetest.Operation) string { return reflect.TypeOf(o.Kind).Name() }

// failures is an error if any operation has failed.
func failures(list []Checked) error {
	failed, cases, first := 0, 0, ""
	for _, c := range list {
		cases += c.Cases
		if failed += len(c.Failures); first == "" && len(c.Failures) > 0 {
			first = c.Failures[0]
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d operations failed, the first: %s", failed, cases, first)
	}
	return nil
}
