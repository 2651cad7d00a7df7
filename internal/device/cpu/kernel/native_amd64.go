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

var avx512 = &Set{
	Name:  "avx512",
	conv:  convAVX512,
	wgrad: wgradAVX512,
	stats: statsAVX512,
	apply: [2][3]applyKernel{
		{applyLinearAVX512, applyReLUAVX512, applyMaskAVX512},
		{applyLinearResidualAVX512, applyReLUResidualAVX512, applyMaskResidualAVX512},
	},
	backStats: [2][2]backStatsKernel{
		{backStatsAVX512, backStatsMaskAVX512},
		{backStatsResidualAVX512, backStatsMaskResidualAVX512},
	},
	backApply: backApplyAVX512,
	addScaled: addScaledAVX512,
	sgd:       sgdAVX512,
	peak:      peakAVX512,
	peakFLOPs: 16 * 16 * 2,
}

var avx2 = &Set{
	Name:  "avx2",
	conv:  convAVX2,
	wgrad: wgradAVX2,
	stats: statsAVX2,
	apply: [2][3]applyKernel{
		{applyLinearAVX2, applyReLUAVX2, applyMaskAVX2},
		{applyLinearResidualAVX2, applyReLUResidualAVX2, applyMaskResidualAVX2},
	},
	backStats: [2][2]backStatsKernel{
		{backStatsAVX2, backStatsMaskAVX2},
		{backStatsResidualAVX2, backStatsMaskResidualAVX2},
	},
	backApply: backApplyAVX2,
	addScaled: addScaledAVX2,
	sgd:       sgdAVX2,
	peak:      peakAVX2,
	peakFLOPs: 12 * 8 * 2,
}
