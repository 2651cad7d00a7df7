//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package lease

import (
	"errors"
	"os"
	"syscall"
)

// locks tells whether this system has locks that end with the process.
const locks = true

// lock locks an open file and tells whether it did, which it does not if another process has locked it. The lock ends
// with the process.
func lock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
