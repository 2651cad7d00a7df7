// Package host tells what a process may use of the machine that it runs on.
package host

import "os"

// Memory is in bytes.
type Memory struct {
	Total int64 `json:"total"` // that the process may use
	Free  int64 `json:"free"`  // of that, what it could have more
}

// ReadMemory tells how much memory there is, by the system and by the control groups of the process, which a container or
// a cluster's scheduler has made. It is false where the system does not tell.
func ReadMemory() (Memory, bool) { return readMemory(os.DirFS("/")) }

// FreeDisk tells how many bytes can be written below a folder. It is false where the system does not tell.
func FreeDisk(dir string) (int64, bool) { return freeDisk(dir) }
