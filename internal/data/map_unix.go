//go:build unix

package data

import (
	"os"

	"golang.org/x/sys/unix"
)

// mapFile maps a file into memory, for reading, until the process ends.
func mapFile(file *os.File, size int) ([]byte, error) {
	return unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
}
