package main

import (
	"slices"
	"testing"

	"netadjust/internal/trial"
)

func TestCheck(t *testing.T) {
	r := call(t.Context(), "check", "--device", "cpu", "--json")
	r.check(t, 0, "", "")
	list := decode[[]trial.Checked](t, r.stdout)
	for _, c := range list {
		if c.Cases < 4 || len(c.Failures) > 0 || !(c.Worst <= 1e-5) {
			t.Errorf("%+v", c)
		}
	}
	if !slices.ContainsFunc(list, func(c trial.Checked) bool { return c.Operation == "Conv2D" && c.Worst > 0 }) {
		t.Errorf("no convolution, or one without rounding, in %+v", list)
	}
	r = call(t.Context(), "check", "--device", "abacus")
	r.check(t, exitUsage, "", `unknown device "abacus"`)
}
