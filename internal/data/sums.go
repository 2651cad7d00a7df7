package data

import (
	"cmp"
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
// those of a SHA256SUMS file in folder. If these differ, note says so, and in which way as far as the file does.
func (s *spec) sums(folder string) (sums map[string]string, note string, err error) {
	official := make(map[string]string)
	for _, f := range s.files() {
		official[f.name] = f.sha256
	}
	path := filepath.Join(folder, sumsName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return official, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	listed, remark, err := parseSums(text)
	if err != nil {
		return nil, "", fmt.Errorf("%s:%w", path, err)
	}
	sums = make(map[string]string)
	for name, sum := range official {
		if sums[name] = listed[name]; sums[name] == "" {
			return nil, "", fmt.Errorf("%s does not list %s: make it again with `%s` in its folder", path, name,
				s.sumsCommand)
		}
		if sums[name] != sum {
			note = "not the official files: " + cmp.Or(remark, "checksums are those of "+sumsName+" in the data folder")
		}
	}
	return sums, note, nil
}

// parseSums reads lines as sha256sum prints them: 64 hexadecimal digits, a space, a space or an asterisk, the name. Lines
// that start with #, which sha256sum skips, are the remark. The sums are in lower case by name; an error starts with the
// number of the line.
func parseSums(text []byte) (sums map[string]string, remark string, err error) {
	sums = make(map[string]string)
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if comment, ok := strings.CutPrefix(line, "#"); ok {
			remark = strings.TrimSpace(remark + " " + strings.TrimSpace(comment))
			continue
		}
		sum, name, _ := strings.Cut(line, " ")
		digits, err := hex.DecodeString(sum)
		if err != nil || len(digits) != sha256.Size || len(name) < 2 || (name[0] != ' ' && name[0] != '*') {
			return nil, "", fmt.Errorf("%d: want a SHA-256 and a file name, as sha256sum prints them", number)
		}
		if _, twice := sums[name[1:]]; twice {
			return nil, "", fmt.Errorf("%d: %s is listed twice", number, name[1:])
		}
		sums[name[1:]] = hex.EncodeToString(digits)
	}
	return sums, remark, nil
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
