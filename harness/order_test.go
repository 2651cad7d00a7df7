package harness

import (
	"os"
	"slices"
	"testing"
)

// Jobs leave a cell for later that would wait for the start network that another one trains.
func TestJobsDoNotWaitForStartNetworks(t *testing.T) {
	const adjust, control, uniform, next = 0, 1, 2, 3
	for _, test := range []struct {
		name    string
		trained bool // the start network of the first seed
		failed  bool // the cell that trained it, before the second was picked
		want    []int
	}{
		{"at work", false, false, []int{adjust, uniform, next, control}},
		{"trained", true, false, []int{adjust, control, uniform, next}},
		{"failed", false, true, []int{adjust, control, uniform, next}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, _ := options(parse(t, settings+matrix(`"uniform", "adjust", "adjust_random_fur"`, "1")+
				matrix(`"adjust"`, "2")), t.TempDir())
			w := workerOf(t, o)
			w.queue = slices.Clone(w.cells)
			if test.trained {
				if err := os.MkdirAll(w.store.trainings, 0o755); err != nil {
					t.Fatal(err)
				}
				for _, path := range w.missing(w.cells[adjust]) {
					if err := os.WriteFile(path, nil, 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
			for i, want := range test.want {
				c := w.next(t.Context())
				if c != w.cells[want] {
					t.Fatalf("cell %d is %s, want %s", i, c.id, w.cells[want].id)
				}
				if test.failed {
					w.quit(c)
				}
			}
			if c := w.next(t.Context()); c != nil {
				t.Errorf("%s is run twice", c.id)
			}
		})
	}
}

// The files that cells wait for are those that their searches train.
func TestMissingIsWhatIsTrained(t *testing.T) {
	o, _ := options(parse(t, settings+matrix(`"adjust", "l1"`, "1")), t.TempDir())
	w := workerOf(t, o)
	missing := map[string]bool{}
	for _, c := range w.cells {
		for _, path := range w.missing(c) {
			missing[path] = true
		}
	}
	if len(missing) == 0 {
		t.Fatal("nothing has to be trained")
	}
	if s, err := Run(t.Context(), o); err != nil || s.Done != 2 {
		t.Fatal(s, err)
	}
	for _, path := range trainingFiles(t, o.Out) {
		delete(missing, path)
	}
	for path := range missing {
		t.Errorf("nobody has trained %s", path)
	}
	for _, c := range w.cells {
		if still := w.missing(c); len(still) > 0 {
			t.Errorf("%s: still missing %v", c.id, still)
		}
	}
}
