package suggest

import "testing"

func TestKnown(t *testing.T) {
	known := []string{"uniform", "l1", "adjust"}
	for name, want := range map[string]string{
		"adjsut":  `; did you mean "adjust"?; known: uniform, l1, adjust`,
		"l2":      `; did you mean "l1"?; known: uniform, l1, adjust`,
		"slimmer": `; known: uniform, l1, adjust`,
	} {
		if got := Known(name, known); got != want {
			t.Errorf("Known(%q) = %q, want %q", name, got, want)
		}
	}
	if got := Known("x", nil); got != "" {
		t.Errorf("nothing known: %q", got)
	}
}

func TestEdits(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"cifar-10", "cifar10", 1}} {
		if got := edits(test.a, test.b); got != test.want {
			t.Errorf("distance of %q and %q is %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
