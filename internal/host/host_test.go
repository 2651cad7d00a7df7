package host

import (
	"runtime"
	"testing"
	"testing/fstest"
)

func TestMemory(t *testing.T) {
	const meminfo = "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    600 kB\n"
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  Memory
		ok    bool
	}{
		{"no Linux", nil, Memory{}, false},
		{"no groups", map[string]string{"proc/meminfo": meminfo}, Memory{1000 << 10, 600 << 10}, true},
		{"no limit", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n",
		}, Memory{1000 << 10, 600 << 10}, true},
		{"limit of a job", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/job/step\n",
			"sys/fs/cgroup/job/memory.max": "500000\n", "sys/fs/cgroup/job/memory.current": "400000\n",
			"sys/fs/cgroup/job/memory.stat": "anon 1\ninactive_file 50000\n", "sys/fs/cgroup/job/step/memory.max": "max\n",
		}, Memory{500000, 150000}, true},
		{"container", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n",
			"sys/fs/cgroup/memory.max": "300000\n", "sys/fs/cgroup/memory.current": "400000\n",
		}, Memory{300000, 0}, true},
		{"older groups", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "5:cpu,memory:/x\n0::/\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "500000\n", "sys/fs/cgroup/memory/x/memory.usage_in_bytes": "100000\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, Memory{500000, 400000}, true},
	} {
		root := fstest.MapFS{}
		for name, text := range tt.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if got, ok := readMemory(root); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %+v, %v, want %+v", tt.name, got, ok, tt.want)
		}
	}
}

func TestThisMachine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells all")
	}
	if m, ok := ReadMemory(); !ok || m.Free <= 0 || m.Total < m.Free {
		t.Errorf("%+v, %v", m, ok)
	}
	if free, ok := FreeDisk(t.TempDir()); !ok || free <= 0 {
		t.Errorf("%d, %v", free, ok)
	}
	if _, ok := FreeDisk("/no/such/folder"); ok {
		t.Error("a folder that is not there has space")
	}
}
