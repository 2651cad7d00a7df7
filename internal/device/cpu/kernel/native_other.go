//go:build !amd64

package kernel

// native returns no sets: there is assembly for amd64 only.
func native() []*Set { return nil }
