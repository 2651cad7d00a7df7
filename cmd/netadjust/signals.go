//go:build !windows

package main

import (
	"os"
	"syscall"
)

// stopSignals ask the program to keep what it has and end.
var stopSignals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGUSR1}
