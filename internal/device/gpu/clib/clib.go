// Package clib loads shared libraries and calls their functions, without cgo.
package clib

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Library is a loaded shared library. It stays loaded, for drivers keep threads of their own.
type Library struct {
	File   string
	handle uintptr
}

// Open loads a library by its file name, along the system's search path unless it is a path.
func Open(file string) (*Library, error) {
	handle, err := load(file)
	if err != nil {
		return nil, &loadError{file, err}
	}
	return &Library{file, handle}, nil
}

// loadError is a library that cannot be loaded.
type loadError struct {
	file string
	err  error
}

func (e *loadError) Error() string {
	if Absent(e) {
		return e.file + " is not installed"
	}
	return fmt.Sprintf("%s cannot be loaded: %v", e.file, e.err)
}

// Absent tells whether err says that there is no such library. One that lacks another library is not absent.
func Absent(err error) bool {
	var e *loadError
	return errors.As(err, &e) && absent(e.file, e.err)
}

// Symbol returns the address of a function.
func (l *Library) Symbol(name string) (uintptr, error) {
	address, err := symbol(l.handle, name)
	if err != nil {
		return 0, fmt.Errorf("%s has no function %s: %w", l.File, name, err)
	}
	return address, nil
}

// Call calls a C function whose parameters are all integers and pointers, and returns what the result register holds; a
// C int is the lower half of that. What an argument points to stays alive and in place only if its conversion to
// uintptr is written in the call itself; a pointer that gets here inside a slice or a struct has to be pinned.
//
//go:uintptrescapes
func Call(function uintptr, args ...uintptr) uintptr {
	result, _, _ := purego.SyscallN(function, args...)
	return result
}

// Bytes is C's memory as a slice.
func Bytes(address uintptr, n int) []byte {
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&address)), n)
}

// Text is a string of C's, up to its zero byte.
func Text(address uintptr) string {
	n := 0
	for at := address; at != 0 && Bytes(at, 1)[0] != 0; at++ {
		n++
	}
	return string(Bytes(address, n))
}

// CString returns text with the zero byte that C wants behind it.
func CString(text string) *byte { return &append([]byte(text), 0)[0] }

// Strings is a char ** for C: texts that stay alive and in place until Unpin.
type Strings struct {
	runtime.Pinner
	List []uintptr
}

// NewStrings returns texts as C wants them. There must be at least one.
func NewStrings(texts ...string) *Strings {
	s := &Strings{List: make([]uintptr, len(texts))}
	for i, text := range texts {
		c := CString(text)
		s.Pin(c)
		s.List[i] = uintptr(unsafe.Pointer(c))
	}
	return s
}
