package driver_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/device/gpu/driver"
)

func TestKey(t *testing.T) {
	p := driver.Properties{Layer: "opencl", Name: "card", Vendor: "vendor", Version: "1", Compiler: "c 1"}
	keys := map[string]string{}
	add := func(what string, p driver.Properties, text string, options ...string) {
		key := p.Key(text, options)
		if other, ok := keys[key]; ok {
			t.Errorf("%s has the key of %s", what, other)
		}
		keys[key] = what
	}
	add("program", p, "text", "-DA=1", "-DB=2")
	add("another text", p, "texts", "-DA=1", "-DB=2")
	add("other options", p, "text", "-DA=1", "-DB=3")
	add("joined options", p, "text", "-DA=1 -DB=2")
	add("no options", p, "text")
	for _, change := range []func(p *driver.Properties){
		func(p *driver.Properties) { p.Layer = "cuda" },
		func(p *driver.Properties) { p.Name = "another card" },
		func(p *driver.Properties) { p.Vendor = "another vendor" },
		func(p *driver.Properties) { p.Version = "2" },
		func(p *driver.Properties) { p.Compiler = "c 2" },
	} {
		q := p
		change(&q)
		add("another property", q, "text", "-DA=1", "-DB=2")
	}
}

func TestCache(t *testing.T) {
	c := driver.Cache{Dir: filepath.Join(t.TempDir(), "new", "folder")}
	if got := c.Get("a"); got != nil {
		t.Errorf("an empty cache has %q", got)
	}
	c.Put("a", []byte("program a"))
	c.Put("b", []byte("program b"))
	if diff := cmp.Diff("program a program b", string(c.Get("a"))+" "+string(c.Get("b"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	whole, err := os.ReadFile(filepath.Join(c.Dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	changed := append([]byte{}, whole...)
	changed[len(changed)-1]++
	other, err := os.ReadFile(filepath.Join(c.Dir, "b"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{{}, whole[:20], whole[:len(whole)-1], changed, other, []byte(strings.Repeat("else", 20))} {
		if err := os.WriteFile(filepath.Join(c.Dir, "a"), b, 0o644); err != nil {
			t.Fatal(err)
		}
		if got := c.Get("a"); got != nil {
			t.Errorf("file %q gives %q", b, got)
		}
	}
	none := driver.Cache{}
	none.Put("a", []byte("program"))
	if got := none.Get("a"); got != nil {
		t.Errorf("no cache has %q", got)
	}
}

// memory is a chunk of which only the size counts.
type memory struct {
	driver.Chunk
	bytes int
}

func (m memory) Bytes() int { return m.bytes }

func TestCheckLaunch(t *testing.T) {
	const text = `
#if PASS == 0
KERNEL(T) sum(GLOBAL const float *restrict x, GLOBAL float *restrict y, int n) {
#else
KERNEL((TM / RM)) sum(GLOBAL const float *restrict x,
                    const uint n) {
#endif
KERNEL(T) odd(GLOBAL float *y, double a) {
`
	part := func(offset, bytes int) driver.Buffer {
		return driver.Buffer{Chunk: memory{bytes: 1024}, Offset: offset, Bytes: bytes}
	}
	b := part(512, 512)
	one := [3]int{1, 1, 1}
	for _, tt := range []struct {
		kernel  string
		grid    [3]int
		threads int
		args    []any
		want    string // of the error
	}{
		{"sum", one, 1, []any{b, b, int32(1)}, ""},
		{"sum", one, 1, []any{b, driver.Buffer{}, int32(1)}, ""},
		{"sum", one, 1, []any{b, uint32(1)}, ""},
		{"sum", one, 1, []any{b, int32(1)}, `argument 1 is a int32, and parameter "const uint n" wants a uint32`},
		{"sum", one, 1, []any{b}, "1 arguments for 2 parameters (GLOBAL const float *restrict x, const uint n)"},
		{"sum", one, 1, []any{float32(1), uint32(1)}, "wants a driver.Buffer"},
		{"sum", one, 0, []any{b, uint32(1)}, "of 0 threads, want 1 or more"},
		{"sum", [3]int{1, -1, 1}, 1, []any{b, uint32(1)}, "grid [1 -1 1]"},
		{"sum", [3]int{1 << 20, 1, 1}, 1, []any{b, uint32(1)}, ""},
		{"sum", [3]int{1, 1 << 16, 1}, 1, []any{b, uint32(1)}, "grid [1 65536 1], want at most 65535 in its second"},
		{"odd", one, 1, []any{b, float32(1)}, `parameter 1, "double a": want a pointer, or an int, uint or float`},
		{"none", one, 1, nil, "no kernel none in the text"},
		{"sum", one, 1, []any{part(512, 513), uint32(1)}, "513 bytes at offset"},
		{"sum", one, 1, []any{part(4, 4), uint32(1)}, "a multiple of 512"},
		{"sum", one, 1, []any{part(0, 0), uint32(1)}, "0 bytes"},
	} {
		err := driver.CheckLaunch(text, tt.kernel, tt.grid, tt.threads, tt.args)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s%v: error %v, want %q", tt.kernel, tt.args, err, tt.want)
		}
	}
}
