//go:build !guard || !(linux || darwin)

package cpu

import "unsafe"

// What a build with the tag guard does more, see guard.go: nothing here.

func allocate[T float32 | float64](n int) []T { return make([]T, n) }

// aligned allocates memory that begins at a cache line.
func aligned(n int) []float32 {
	b := make([]float32, n+16)
	skip := 0
	for uintptr(unsafe.Pointer(&b[skip]))%64 != 0 {
		skip++
	}
	return b[skip : skip+n : skip+n]
}

func (e *executable) isolate() {}

func (e *executable) poison() {}

func (e *executable) poisonChunk(*compiled, *worker) {}

func (e *executable) checkCanaries() {}
