package data

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseSums(t *testing.T) {
	a, b := strings.Repeat("a1", 32), strings.Repeat("B2", 32)
	got, remark, err := parseSums([]byte("# re-encoded as JPEG\r\n" + a + "  one.bin\n" + b + " *two words.bin\r\n#of quality 75\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "re-encoded as JPEG of quality 75"; remark != want {
		t.Errorf("remark %q, want %q", remark, want)
	}
	if diff := cmp.Diff(map[string]string{"one.bin": a, "two words.bin": strings.ToLower(b)}, got); diff != "" {
		t.Errorf("sums (-want +got):\n%s", diff)
	}
	for _, test := range []struct{ name, text, want string }{
		{"empty line", a + "  one.bin\n\n", "2: want a SHA-256 and a file name"},
		{"MD5", a[:32] + "  one.bin\n", "1: want a SHA-256 and a file name"},
		{"no name", a + "  \n", "1: want a SHA-256 and a file name"},
		{"one space", a + " one.bin\n", "1: want a SHA-256 and a file name"},
		{"no hexadecimal", strings.Repeat("xy", 32) + "  one.bin\n", "1: want a SHA-256 and a file name"},
		{"twice", a + "  one.bin\n" + b + "  one.bin\n", "2: one.bin is listed twice"},
	} {
		if _, _, err := parseSums([]byte(test.text)); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %s", test.name, err, test.want)
		}
	}
}

func TestChecksum(t *testing.T) {
	// printf 'aa  x\nbb  b\n' | sha256sum
	const want = "8d187dea48db9877a9606f2ed12243ee4eca0b1576ceeac11faa36cff20c633b"
	if got := checksum(map[string]string{"b": "bb", "x": "aa"}); got != want {
		t.Errorf("checksum %s, want %s", got, want)
	}
}
