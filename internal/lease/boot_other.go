//go:build !linux && !darwin

package lease

// boot is not known: whether an owner is dead is judged by its signs of life alone.
func boot() string { return "" }
