package clib

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

// libc opens the C library, which every process here has.
func libc(t *testing.T) *Library {
	t.Helper()
	name := map[string]string{"linux": "libc.so.6", "darwin": "libSystem.B.dylib", "windows": "msvcrt.dll"}[runtime.GOOS]
	l, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestCall compares texts in C, whose results have signs.
func TestCall(t *testing.T) {
	compare, err := libc(t).Symbol("strcmp")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		a, b string
		want int
	}{{"width", "width", 0}, {"a", "b", -1}, {"wide", "wid", 1}, {"", "", 0}} {
		got := int32(Call(compare, uintptr(unsafe.Pointer(CString(tt.a))), uintptr(unsafe.Pointer(CString(tt.b)))))
		if got < 0 && tt.want >= 0 || got > 0 && tt.want <= 0 || got == 0 && tt.want != 0 {
			t.Errorf("%q and %q compare as %d", tt.a, tt.b, got)
		}
	}
}

// TestText takes texts apart that C keeps in a list.
func TestText(t *testing.T) {
	s := NewStrings("-DHI=32", "", "-DWI=8")
	defer s.Unpin()
	for i, want := range []string{"-DHI=32", "", "-DWI=8"} {
		if got := Text(s.List[i]); got != want {
			t.Errorf("text %d is %q, want %q", i, got, want)
		}
	}
	if got := Text(0); got != "" {
		t.Errorf("no text is %q", got)
	}
}

// TestErrors opens what is no library, often enough to meet several threads.
func TestErrors(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text.so")
	if err := os.WriteFile(text, []byte("no library"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := Open("libnone.so.1"); !Absent(err) || err.Error() != "libnone.so.1 is not installed" {
			t.Fatalf("no file: %v", err)
		}
		if _, err := Open(text); err == nil || Absent(err) || len(err.Error()) < len(text)+len(" cannot be loaded: ")+5 {
			t.Fatalf("no library: %v", err)
		}
	}
	if _, err := libc(t).Symbol("no_such_function"); err == nil || !strings.Contains(err.Error(), "no function no_such") {
		t.Errorf("no function: %v", err)
	}
}
