package host

import (
	"bufio"
	"bytes"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// readMemory reads what Linux tells, from the root of its file system.
func readMemory(root fs.FS) (m Memory, ok bool) {
	text, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return m, false
	}
	info := fields(text)
	m.Total, m.Free = info["MemTotal:"]<<10, info["MemAvailable:"]<<10
	if m.Total == 0 || m.Free == 0 {
		return m, false
	}
	groups, _ := fs.ReadFile(root, "proc/self/cgroup")
	for line := range strings.Lines(string(groups)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) < 3 {
			continue
		}
		switch {
		case part[0] == "0":
			m.within(root, "sys/fs/cgroup", part[2], "memory.max", "memory.current", "inactive_file")
		case strings.Contains(","+part[1]+",", ",memory,"):
			m.within(root, "sys/fs/cgroup/memory", part[2], "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
		}
	}
	return m, true
}

// within lowers the memory to what a control group and all above it leave. Pages of files that nobody has looked at for
// long count as used there, but go when memory is wanted.
func (m *Memory) within(root fs.FS, mount, group, limit, usage, inactive string) {
	for {
		dir := path.Join(mount, group)
		if most, ok := number(root, dir, limit); ok {
			used, _ := number(root, dir, usage)
			stat, _ := fs.ReadFile(root, path.Join(dir, "memory.stat"))
			used -= fields(stat)[inactive]
			m.Total, m.Free = min(m.Total, most), min(m.Free, max(most-used, 0))
		}
		if group == "/" || group == "." || group == "" {
			return
		}
		group = path.Dir(group)
	}
}

func number(root fs.FS, dir, name string) (int64, bool) {
	text, err := fs.ReadFile(root, path.Join(dir, name))
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) // "max" is no limit
	return n, err == nil
}

// fields reads lines of a name and a number.
func fields(text []byte) map[string]int64 {
	all := map[string]int64{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) >= 2 {
			all[f[0]], _ = strconv.ParseInt(f[1], 10, 64)
		}
	}
	return all
}
