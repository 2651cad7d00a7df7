package markdown

import (
	"math"
	"testing"
)

func TestNumberFormats(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct{ got, want string }{
		{Scaled(0), "0"}, {Scaled(999), "999"}, {Scaled(1000), "1.000 k"}, {Scaled(68_316), "68.32 k"},
		{Scaled(999_960), "1.000 M"}, {Scaled(40_560_000), "40.56 M"}, {Scaled(1.82e9), "1.820 G"}, {Scaled(nan), "–"},
		{Significant(0), "0"}, {Significant(0.001234), "0.00123"}, {Significant(4.692), "4.69"},
		{Significant(12345), "12345"}, {Significant(nan), "–"},
		{Signed(0.426, 2), "+0.43"}, {Signed(-0.426, 2), "-0.43"}, {Signed(-0.001, 2), "0.00"},
		{Signed(0.001, 2), "0.00"}, {Signed(0, 2), "0.00"}, {Signed(nan, 2), "–"},
		{Fixed(81.725, 2), "81.72"}, {Fixed(math.Nextafter(81.725, 100), 2), "81.72"}, {Fixed(nan, 2), "–"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
