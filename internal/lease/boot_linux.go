package lease

import (
	"os"
	"strings"
)

// boot returns an id of this boot of this host, which containers on it share.
func boot() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}
