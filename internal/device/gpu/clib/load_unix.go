//go:build !windows

package clib

import (
	"runtime"
	"strings"

	"github.com/ebitengine/purego"
)

// C keeps the message of an error for the thread in which it happened, so load and symbol stay in one.

func load(file string) (uintptr, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return purego.Dlopen(file, purego.RTLD_NOW|purego.RTLD_LOCAL)
}

func symbol(handle uintptr, name string) (uintptr, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return purego.Dlsym(handle, name)
}

// absent goes by the message, for dlopen has no codes: the file that is missing comes first in glibc's, and macOS lists
// where it has looked.
func absent(file string, err error) bool {
	return strings.HasPrefix(err.Error(), file+": cannot open shared object file") ||
		strings.HasPrefix(err.Error(), "dlopen("+file) && strings.Contains(err.Error(), "no such file")
}
