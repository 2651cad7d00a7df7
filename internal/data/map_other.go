//go:build !unix

package data

import (
	"io"
	"os"
)

// mapFile reads a file into memory, on systems where it cannot be mapped.
func mapFile(file *os.File, size int) ([]byte, error) {
	content := make([]byte, size)
	_, err := io.ReadFull(io.NewSectionReader(file, 0, int64(size)), content)
	return content, err
}
