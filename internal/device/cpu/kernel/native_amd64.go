package kernel

import "golang.org/x/sys/cpu"

// native returns the assembly sets that this processor runs, best first.
func native() []*Set {
	var have []*Set
	if cpu.X86.HasAVX512F && cpu.X86.HasFMA {
		have = append(have, avx512)
	}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		have = append(have, avx2)
	}
	return have
}
