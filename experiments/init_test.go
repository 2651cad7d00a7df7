package experiments

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestInit checks the three ways to say where a search starts, and that the widths are what makes the cell.
func TestInit(t *testing.T) {
	named := catalog
	named.Widths = func(folder string) ([]int, error) {
		if folder != filepath.Join("some", "out", "cells", "x") {
			return nil, errors.New("no record in " + folder)
		}
		return []int{4, 8, 15}, nil
	}
	text := func(init string) string {
		return strings.Replace(minimal, `"uniform"`, `"adjust"`, 1) + "set = [{ values.search.init = " + init + " }]"
	}
	for _, tt := range []struct {
		init string
		want []int
	}{{`"uniform"`, nil}, {`[4, 8, 15]`, []int{4, 8, 15}}, {`"out/cells/x"`, []int{4, 8, 15}}} {
		for _, text := range []string{
			text(tt.init), "[search]\ninit = " + tt.init + "\n" + strings.Replace(minimal, `"uniform"`, `"adjust"`, 1),
		} {
			name := `name = "t"` // has to come first
			text = name + "\n" + strings.Replace(text, name, "", 1)
			e, err := Parse(filepath.Join("some", "t.toml"), []byte(text), named)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, e.Cells[0].Search.Init); diff != "" {
				t.Errorf("%s (-want +got):\n%s", text, diff)
			}
		}
	}
	plain, from := ids(parse(t, strings.Replace(minimal, `"uniform"`, `"adjust"`, 1))), ids(parse(t, text(`"uniform"`)))
	if diff := cmp.Diff(plain, from); diff != "" {
		t.Errorf("init = uniform changes the id:\n%s", diff)
	}
	for init, want := range map[string]string{
		`"out/cells/y"`: "search.init: no record in " + filepath.Join("some", "out", "cells", "y"),
		`[]`:            `search.init: must be "uniform", a list with the channels of each adjustable layer, or the folder of a`,
		`3`:             "or the folder of a finished cell, not 3",
		`""`:            `or the folder of a finished cell, not ""`,
		`[4, 0]`:        "search.init[2]: must be an integer, at least 1",
	} {
		if _, err := Parse(filepath.Join("some", "t.toml"), []byte(text(init)), named); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("init = %s: error %v, want %q", init, err, want)
		}
	}
}
