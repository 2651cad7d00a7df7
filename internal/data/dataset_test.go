package data

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tiny returns a dataset in CIFAR-10's layout with two training files of three images, two test images and no sources,
// and what its files hold. Image i has label i and pixels i, i+1, i+2 and so on.
func tiny() (*spec, map[string][]byte) {
	s := &spec{Info: Info{Name: "tiny", Title: "Tiny", Classes: 10, Channels: 3, Height: 32, Width: 32,
		TrainImages: 6, TestImages: 2}, archive: "tiny-bin", sumsCommand: cifarSumsCommand}
	contents := make(map[string][]byte)
	add := func(name string, first, images int) file {
		var content []byte
		for i := range images {
			content = append(content, byte(first+i))
			for p := range 3 * 32 * 32 {
				content = append(content, byte(first+i+p))
			}
		}
		contents[name] = content
		return cifarFile(name, first, images, 1, fmt.Sprintf("%x", sha256.Sum256(content)))
	}
	s.train = []file{add("one.bin", 0, 3), add("two.bin", 3, 3)}
	s.test = []file{add("test.bin", 0, 2)}
	return s, contents
}

// zipped turns the tiny dataset into one of gzipped files.
func zipped(s *spec, contents map[string][]byte) (*spec, map[string][]byte) {
	for _, files := range [][]file{s.train, s.test} {
		for i, f := range files {
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			if _, err := w.Write(contents[f.name]); err != nil {
				panic(err)
			}
			if err := w.Close(); err != nil {
				panic(err)
			}
			files[i].gzip = true
			contents[f.name+".gz"] = b.Bytes()
			delete(contents, f.name)
		}
	}
	return s, contents
}

// fill writes files into the folder, which it makes.
func fill(t *testing.T, folder string, contents map[string][]byte) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range contents {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func sumsText(contents map[string][]byte) []byte {
	var b bytes.Buffer
	for name, content := range contents {
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(content), name)
	}
	return b.Bytes()
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one with %q", parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q, want it to have %q", err, part)
		}
	}
}

func TestOpenAndRead(t *testing.T) {
	for _, where := range []string{"tiny", filepath.Join("tiny", "tiny-bin")} {
		for name, form := range map[string]func(*spec, map[string][]byte) (*spec, map[string][]byte){
			"plain": func(s *spec, c map[string][]byte) (*spec, map[string][]byte) { return s, c }, "gzip": zipped,
		} {
			t.Run(where+" "+name, func(t *testing.T) {
				dir := t.TempDir()
				s, contents := form(tiny())
				fill(t, filepath.Join(dir, where), contents)
				d, err := s.open(dir)
				if err != nil {
					t.Fatal(err)
				}
				if d.Modified {
					t.Error("official files count as modified")
				}
				train, err := d.Train()
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]int32{0, 1, 2, 3, 4, 5}, train.Labels); diff != "" {
					t.Errorf("training labels (-want +got):\n%s", diff)
				}
				for i := range train.Len() {
					if got := train.Pixels[i*3072+100]; got != byte(i+100) {
						t.Errorf("pixel 100 of image %d is %d, want %d", i, got, i+100)
					}
				}
				test, err := d.Test()
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]int32{0, 1}, test.Labels); diff != "" {
					t.Errorf("test labels (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestOpenUnknown(t *testing.T) {
	_, err := Open("../mnist", t.TempDir())
	wantError(t, err, `unknown dataset "../mnist"`, `did you mean "mnist"`)
}

func TestOpenMissing(t *testing.T) {
	t.Setenv("NETADJUST_DATA", "")
	dir := t.TempDir()
	s, contents := tiny()
	_, err := s.open(dir)
	wantError(t, err, "Tiny is not complete: "+filepath.Join(dir, "tiny")+" has no one.bin, two.bin, test.bin",
		"run `netadjust data get tiny --data "+dir+"`")
	delete(contents, "two.bin")
	fill(t, filepath.Join(dir, "tiny"), contents)
	_, err = s.open(dir)
	wantError(t, err, "has no two.bin;")
	t.Setenv("NETADJUST_DATA", dir)
	_, err = s.open(dir)
	wantError(t, err, "run `netadjust data get tiny`")
}

// TestDamaged checks that no broken file gets through, whatever is wrong with it, and that the error names it and says
// how to go on.
func TestDamaged(t *testing.T) {
	flip := func(b []byte) []byte { b = bytes.Clone(b); b[len(b)/2] ^= 1; return b }
	cut := func(b []byte) []byte { return b[:len(b)-1] }
	long := func(b []byte) []byte { return append(bytes.Clone(b), 0) }
	twice := func(b []byte) []byte { return append(bytes.Clone(b), b...) }
	foreign := func([]byte) []byte { return []byte("<html>not found</html>") }
	tests := []struct {
		name   string
		gzip   bool
		damage func([]byte) []byte
		want   string
	}{
		{"bit flipped", false, flip, "two.bin: SHA-256 of the content is "},
		{"cut", false, cut, "two.bin has 9218 bytes, want 9219"},
		{"too long", false, long, "two.bin has 9220 bytes, want 9219"},
		{"foreign", false, foreign, "two.bin has 22 bytes, want 9219"},
		{"bit flipped, gzip", true, flip, "two.bin.gz: "},
		{"cut, gzip", true, cut, "two.bin.gz: unexpected EOF"},
		{"too long, gzip", true, long, "two.bin.gz: "},
		{"twice, gzip", true, twice, "two.bin.gz: content has more than the 9219 bytes wanted"},
		{"foreign, gzip", true, foreign, "two.bin.gz: gzip: invalid header"},
		{"empty, gzip", true, func([]byte) []byte { return nil }, "two.bin.gz: EOF"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			folder := filepath.Join(dir, "tiny")
			s, contents := tiny()
			name := "two.bin"
			if test.gzip {
				zipped(s, contents)
				name = "two.bin.gz"
			}
			contents[name] = test.damage(contents[name])
			fill(t, folder, contents)
			d, err := s.open(dir)
			if err == nil {
				_, err = d.Train()
			}
			advice := "delete the file and run `netadjust data get tiny --data " + dir + "`; if " + folder +
				" is meant to differ from the official data, run there `sha256sum *.bin > SHA256SUMS`"
			wantError(t, err, folder, test.want, advice)
			wantError(t, s.get(t.Context(), dir, t.Logf), folder, test.want, advice)
			if after, err := os.ReadFile(filepath.Join(folder, name)); err != nil || !bytes.Equal(after, contents[name]) {
				t.Errorf("get touched the damaged file (%v)", err)
			}
		})
	}
}

func TestNotAFile(t *testing.T) {
	dir := t.TempDir()
	s, contents := tiny()
	delete(contents, "one.bin")
	fill(t, filepath.Join(dir, "tiny"), contents)
	if err := os.Mkdir(filepath.Join(dir, "tiny", "one.bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := s.open(dir)
	wantError(t, err, filepath.Join(dir, "tiny", "one.bin")+" is not a regular file")
}

// TestOnlyTestReadsTestFiles puts garbage of the right size in the place of the test file: nothing must notice until
// the test images are asked for.
func TestOnlyTestReadsTestFiles(t *testing.T) {
	dir := t.TempDir()
	s, contents := tiny()
	contents["test.bin"] = bytes.Repeat([]byte{0xff}, len(contents["test.bin"]))
	fill(t, filepath.Join(dir, "tiny"), contents)
	d, err := s.open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Train(); err != nil {
		t.Fatal(err)
	}
	_, err = d.Test()
	wantError(t, err, filepath.Join(dir, "tiny", "test.bin")+": SHA-256 of the content is ")
}

func TestModified(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "tiny")
	s, contents := tiny()
	fill(t, folder, contents)
	official, err := s.open(dir)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, folder, map[string][]byte{"SHA256SUMS": sumsText(contents)})
	listed, err := s.open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if listed.Modified || listed.Note != "" || listed.Checksum != official.Checksum {
		t.Error("official data count as modified because their sums are listed")
	}

	contents["one.bin"][5]++
	fill(t, folder, contents)
	fill(t, folder, map[string][]byte{"SHA256SUMS": sumsText(contents)})
	d, err := s.open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !d.Modified || d.Checksum == official.Checksum {
		t.Error("data with sums of their own do not count as modified")
	}
	if want := "not the official files: checksums are those of SHA256SUMS in the data folder"; d.Note != want {
		t.Errorf("note %q, want %q", d.Note, want)
	}
	fill(t, folder, map[string][]byte{"SHA256SUMS": append([]byte("# one pixel is brighter\n"), sumsText(contents)...)})
	if d, err = s.open(dir); err != nil {
		t.Fatal(err)
	}
	if want := "not the official files: one pixel is brighter"; d.Note != want {
		t.Errorf("note %q, want %q", d.Note, want)
	}
	train, err := d.Train()
	if err != nil {
		t.Fatal(err)
	}
	if train.Pixels[4] != 5 {
		t.Errorf("pixel 4 is %d, want the modified 5", train.Pixels[4])
	}
	if err := s.get(t.Context(), dir, t.Logf); err != nil {
		t.Errorf("get of complete modified data: %v", err)
	}

	contents["one.bin"][5]++
	fill(t, folder, contents)
	_, err = d.Train()
	wantError(t, err, "one.bin: SHA-256 of the content is ", "restore the file that SHA256SUMS there describes")

	if err := os.Remove(filepath.Join(folder, "one.bin")); err != nil {
		t.Fatal(err)
	}
	wantError(t, s.get(t.Context(), dir, t.Logf), folder+" has no one.bin", "not the official data")

	delete(contents, "two.bin")
	fill(t, folder, map[string][]byte{"SHA256SUMS": sumsText(contents)})
	_, err = s.open(dir)
	wantError(t, err, filepath.Join(folder, "SHA256SUMS")+" does not list two.bin", "`sha256sum *.bin > SHA256SUMS`")
	fill(t, folder, map[string][]byte{"SHA256SUMS": []byte("abc\n")})
	_, err = s.open(dir)
	wantError(t, err, filepath.Join(folder, "SHA256SUMS")+":1: want a SHA-256")
}

// TestBadContentWithGoodSum checks that data which were put under sums of their own must still follow the layout.
func TestBadContentWithGoodSum(t *testing.T) {
	dir := t.TempDir()
	s, contents := tiny()
	contents["two.bin"][3073] = 10
	fill(t, filepath.Join(dir, "tiny"), contents)
	fill(t, filepath.Join(dir, "tiny"), map[string][]byte{"SHA256SUMS": sumsText(contents)})
	d, err := s.open(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Train()
	wantError(t, err, "two.bin: image 1 has label 10, want 0 to 9")
}

func TestDir(t *testing.T) {
	t.Setenv("NETADJUST_DATA", "")
	if got := Dir(""); got != "data" {
		t.Errorf("folder %q without flag and environment, want data", got)
	}
	t.Setenv("NETADJUST_DATA", "env")
	if got := Dir(""); got != "env" {
		t.Errorf("folder %q, want that of the environment", got)
	}
	if got := Dir("flag"); got != "flag" {
		t.Errorf("folder %q, want that of the flag", got)
	}
}

func TestFileFailures(t *testing.T) {
	s, contents := tiny()
	f := s.train[0]
	broken := io.MultiReader(bytes.NewReader(contents["one.bin"][:100]), errorReader{})
	folder := t.TempDir()
	wantError(t, f.write(folder, broken), "connection lost")
	if entries, err := os.ReadDir(folder); err != nil || len(entries) > 0 {
		t.Errorf("a file that failed half-way left %v (%v)", entries, err)
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, fmt.Errorf("connection lost") }
