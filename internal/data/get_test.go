package data

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// listing returns the names in a folder, none if it does not exist.
func listing(t *testing.T, folder string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// tarball packs files as an archive would hold them, in a folder and among others.
func tarball(t *testing.T, contents map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h *tar.Header, content []byte) {
		h.Size, h.Mode = int64(len(content)), 0o644
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	add(&tar.Header{Name: "tiny-bin/", Typeflag: tar.TypeDir}, nil)
	add(&tar.Header{Name: "one.bin", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, nil)
	add(&tar.Header{Name: "../../escaped.txt", Typeflag: tar.TypeReg}, []byte("outside"))
	for name, content := range contents {
		add(&tar.Header{Name: "../tiny-bin/" + name, Typeflag: tar.TypeReg}, content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t *testing.T, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// serve starts a server on this machine that answers with files by path, and with "404 Not Found" otherwise.
func serve(t *testing.T, files map[string][]byte) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(content)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestGet(t *testing.T) {
	_, contents := tiny()
	published := filepath.Join(t.TempDir(), "published")
	fill(t, published, contents)
	rooted := make(map[string][]byte)
	for name, content := range contents {
		rooted["/"+name] = content
	}
	archive := tarball(t, contents)
	tests := []struct {
		name   string
		source source
	}{
		{"folder", localFolder(published)},
		{"download", download(serve(t, rooted) + "/")},
		{"archive", downloadArchive(serve(t, map[string][]byte{"/tiny.tar.gz": gzipped(t, archive)}) + "/tiny.tar.gz")},
	}
	if runtime.GOOS != "windows" {
		tests = append(tests, struct {
			name   string
			source source
		}{"Debian package", debianPackage("dataset-tiny")})
		fakeDebian(t, archive)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			s, contents := tiny()
			s.sources = []source{localFolder(filepath.Join(dir, "nowhere")), test.source, {"never", nil}}
			if err := s.get(t.Context(), dir, t.Logf); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"one.bin", "test.bin", "two.bin"}, listing(t, filepath.Join(dir, "tiny"))); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"tiny"}, listing(t, dir)); diff != "" {
				t.Errorf("data folder (-want +got):\n%s", diff)
			}
			d, err := s.open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Train(); err != nil {
				t.Error(err)
			}
			if _, err := d.Test(); err != nil {
				t.Error(err)
			}

			// What is complete needs no source; what is missing is got, the rest left alone.
			s.sources = nil
			if err := s.get(t.Context(), dir, t.Logf); err != nil {
				t.Errorf("second time: %v", err)
			}
			if err := os.Remove(filepath.Join(dir, "tiny", "two.bin")); err != nil {
				t.Fatal(err)
			}
			s.sources = []source{{"only two.bin", func(_ context.Context, want []string, put putFunc) error {
				if !slices.Equal(want, []string{"two.bin"}) {
					t.Errorf("wanted %v, want only two.bin", want)
				}
				return put("two.bin", bytes.NewReader(contents["two.bin"]))
			}}}
			if err := s.get(t.Context(), dir, t.Logf); err != nil {
				t.Errorf("after one file was removed: %v", err)
			}
		})
	}
}

// fakeDebian puts an apt-get and a dpkg into the path that hand out an archive as the files of any package, and that
// fail if they are not called as the real ones must be.
func fakeDebian(t *testing.T, archive []byte) {
	t.Helper()
	bin := t.TempDir()
	scripts := map[string]string{
		"apt-get": `#!/bin/sh
set -e
[ "$1" = -qq ] && [ "$2" = -c ] && [ -d state/lists/partial ] && [ -d cache/archives/partial ]
grep -q "Dir::State \"$PWD/state\";" "$3"
grep -q "Dir::Cache \"$PWD/cache\";" "$3"
case $4 in
update) touch state/lists/updated; echo "E: one repository is down" >&2; exit 100 ;;
download) [ -e state/lists/updated ]; cp "${0%/*}/archive.tar" "$5_1.0-1_all.deb" ;;
esac
`,
		"dpkg": `#!/bin/sh
[ "$1" = --fsys-tarfile ] && cat "$2"
`,
	}
	for name, text := range scripts {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(bin, "archive.tar"), archive, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// TestGetHalfWay checks that a source that breaks off in the middle of a file leaves nothing of that file, and that the
// next source goes on where it stopped.
func TestGetHalfWay(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "tiny")
	s, contents := tiny()
	half := source{"half", func(_ context.Context, _ []string, put putFunc) error {
		if err := put("one.bin", bytes.NewReader(contents["one.bin"])); err != nil {
			return err
		}
		return put("two.bin", io.MultiReader(bytes.NewReader(contents["two.bin"][:2000]), errorReader{}))
	}}
	short := source{"short", func(_ context.Context, _ []string, put putFunc) error {
		return put("two.bin", bytes.NewReader(contents["two.bin"][:2000]))
	}}
	wrong := source{"wrong", func(_ context.Context, _ []string, put putFunc) error {
		return put("two.bin", bytes.NewReader(contents["one.bin"]))
	}}
	none := source{"none", func(context.Context, []string, putFunc) error { return nil }}
	s.sources = []source{half, short, wrong, none}
	err := s.get(t.Context(), dir, t.Logf)
	wantError(t, err, "no source has all of Tiny:\n  half: ", "connection lost",
		"\n  short: ", "content has 2000 bytes, want 9219",
		"\n  wrong: ", "SHA-256 of the content is ",
		"\n  none: has no two.bin, test.bin",
		"\nput these files into "+folder+" by hand: two.bin, test.bin")
	if diff := cmp.Diff([]string{"one.bin"}, listing(t, folder)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	_, err = s.open(dir)
	wantError(t, err, "has no two.bin, test.bin")
}

func TestGetInterrupted(t *testing.T) {
	dir := t.TempDir()
	s, contents := tiny()
	ctx, cancel := context.WithCancel(t.Context())
	s.sources = []source{
		{"interrupted", func(ctx context.Context, _ []string, put putFunc) error {
			cancel()
			return put("one.bin", io.MultiReader(bytes.NewReader(contents["one.bin"][:10]), errorReader{}))
		}},
		{"next", func(context.Context, []string, putFunc) error {
			t.Error("another source was tried after the interrupt")
			return nil
		}},
	}
	if err := s.get(ctx, dir, t.Logf); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	if got := listing(t, filepath.Join(dir, "tiny")); len(got) > 0 {
		t.Errorf("left %v", got)
	}
}

func TestSourceErrors(t *testing.T) {
	url := serve(t, map[string][]byte{
		"/page": []byte("<html>nothing here</html>"),
		"/text": gzipped(t, bytes.Repeat([]byte("text"), 500)),
	})
	put := func(_ string, r io.Reader) error { return discard(r) }
	for _, test := range []struct {
		name   string
		source source
		want   string
	}{
		{"missing page", download(url + "/none/"), url + "/none/one.bin answers 404 Not Found"},
		{"not gzip", downloadArchive(url + "/page"), url + "/page: gzip: invalid header"},
		{"not tar", downloadArchive(url + "/text"), "tar archive: "},
		{"no server", download("http://127.0.0.1:1/"), "http://127.0.0.1:1/one.bin"},
		{"malformed URL", download("http://[/"), "missing ']'"},
	} {
		t.Run(test.name, func(t *testing.T) {
			wantError(t, test.source.fetch(t.Context(), []string{"one.bin"}, put), test.want)
		})
	}
	t.Run("module not in the cache", func(t *testing.T) {
		t.Setenv("GOPROXY", "off")
		err := goModule("example.invalid/none@v1.0.0", "data").fetch(t.Context(), []string{"one.bin"}, put)
		wantError(t, err, "example.invalid/none@v1.0.0", "disabled by GOPROXY=off")
	})
	t.Run("no tools", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		wantError(t, debianPackage("none").fetch(t.Context(), []string{"one.bin"}, put), `"apt-get"`, "not found")
		wantError(t, goModule("none@v1.0.0", "data").fetch(t.Context(), []string{"one.bin"}, put), `"go"`, "not found")
	})
}
