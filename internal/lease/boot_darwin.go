package lease

import "syscall"

// boot returns an id of this boot of this host.
func boot() string {
	id, _ := syscall.Sysctl("kern.bootsessionuuid")
	return id
}
