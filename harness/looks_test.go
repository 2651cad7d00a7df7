package harness

import (
	"testing"

	"netadjust/internal/train"
)

// What an interrupted search has computed counts for the same dataset only.
func TestLooksOfAnotherDataset(t *testing.T) {
	o, _ := options(parse(t, settings+matrix(`"synflow"`, "1")), t.TempDir())
	w := workerOf(t, o)
	life := 0
	for _, tt := range []struct {
		dataset string
		want    int
	}{{"a", 1}, {"a", 1}, {"b", 3}, {"a", 4}} { // the number of the first life whose value counts
		l := w.looks(w.cells[0], tt.dataset)
		var got int
		life++
		if err := l.recall(t.Context(), "round 1", &got, func(*train.Partial) error {
			got = life
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		l.end(t.Context())
		if got != tt.want {
			t.Errorf("life %d, dataset %s: that of life %d", life, tt.dataset, got)
		}
	}
}
