package data

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sumsName is the file that says which content a folder is meant to hold, where that is not the official one.
const sumsName = "SHA256SUMS"

// sums returns the SHA-256 that the content of every file of the dataset must have, by file.name: the official ones, or
// those of a SHA256SUMS file in folder; modified tells whether they differ from the official ones.
func (s *spec) sums(folder string) (sums map[string]string, modified bool, err error) {
	official := make(map[string]string)
	for _, f := range s.files() {
		official[f.name] = f.sha256
	}
	path := filepath.Join(folder, sumsName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return official, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	listed, err := parseSums(text)
	if err != nil {
		return nil, false, fmt.Errorf("%s:%w", path, err)
	}
	sums = make(map[string]string)
	for name, sum := range official {
		if sums[name] = listed[name]; sums[name] == "" {
			return nil, false, fmt.Errorf("%s does not list %s: make it again with `%s` in its folder", path, name,
				s.sumsCommand)
		}
		modified = modified || sums[name] != sum
	}
	return sums, modified, nil
}

// parseSums reads lines as sha256sum prints them: 64 hexadecimal digits, a space, a space or an asterisk, the name. The
// result has the sums in lower case by name; an error starts with the number of the line.
func parseSums(text []byte) (map[string]string, error) {
	sums := make(map[string]string)
	number := 0
	for line := range bytes.Lines(text) {
		number++
		sum, name, _ := strings.Cut(strings.TrimRight(string(line), "\r\n"), " ")
		digits, err := hex.DecodeString(sum)
		if err != nil || len(digits) != sha256.Size || len(name) < 2 || (name[0] != ' ' && name[0] != '*') {
			return nil, fmt.Errorf("%d: want a SHA-256 and a file name, as sha256sum prints them", number)
		}
		if _, twice := sums[name[1:]]; twice {
			return nil, fmt.Errorf("%d: %s is listed twice", number, name[1:])
		}
		sums[name[1:]] = hex.EncodeToString(digits)
	}
	return sums, nil
}

// checksum is the hexadecimal SHA-256 over the lines "sum  name\n", sorted.
func checksum(sums map[string]string) string {
	var lines []string
	for name, sum := range sums {
		lines = append(lines, sum+"  "+name+"\n")
	}
	slices.Sort(lines)
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(lines, ""))))
}
