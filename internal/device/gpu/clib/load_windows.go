package clib

import (
	"errors"

	"golang.org/x/sys/windows"
)

func load(file string) (uintptr, error) {
	handle, err := windows.LoadLibrary(file)
	return uintptr(handle), err
}

func symbol(handle uintptr, name string) (uintptr, error) {
	return windows.GetProcAddress(windows.Handle(handle), name)
}

func absent(_ string, err error) bool { return errors.Is(err, windows.ERROR_MOD_NOT_FOUND) }
