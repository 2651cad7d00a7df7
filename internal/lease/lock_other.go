//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package lease

import (
	"errors"
	"os"
)

// locks tells whether this system has locks that end with the process.
const locks = false

// lock is not used on systems without flock: there a lease ends when it is stale.
func lock(*os.File) (bool, error) { return false, errors.ErrUnsupported }
