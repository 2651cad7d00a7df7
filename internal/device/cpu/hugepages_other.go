//go:build !linux

package cpu

func useHugePages([]float32) {}
