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
	Name:     "avx512",
	Channels: Lanes,

	conv:  convAVX512,
	wgrad: wgradAVX512,

	winogradIn:       winogradInAVX512,
	winogradMultiply: winogradMultiplyAVX512,
	winogradOut:      [2]winogradOutKernel{winogradOut1AVX512, winogradOut2AVX512},
	winogradGrad:     [2]winogradGradKernel{winogradGrad1AVX512, winogradGrad2AVX512},

	stats: statsAVX512,
	apply: [2][5]applyKernel{
		{applyLinearAVX512, applyReLUAVX512, applyMaskAVX512, applyReLU6AVX512, applyMask6AVX512},
		{applyLinearResidualAVX512, applyReLUResidualAVX512, applyMaskResidualAVX512, applyReLU6ResidualAVX512,
			applyMask6ResidualAVX512},
	},
	backStats: [2][2]backStatsKernel{
		{backStatsAVX512, backStatsMaskAVX512},
		{backStatsResidualAVX512, backStatsMaskResidualAVX512},
	},
	backApply: backApplyAVX512,
	addScaled: addScaledAVX512,
	dot:       dotAVX512,
	sgd:       sgdAVX512,

	depthwise:     depthwiseAVX512,
	depthwiseGrad: depthwiseGradAVX512,
	maxPool:       maxPoolAVX512,
	avgPool:       avgPoolAVX512,
	maxPoolGrad:   maxPoolGradAVX512,

	peak:      peakAVX512,
	peakFLOPs: 16 * 16 * 2,
}

var avx2 = &Set{
	Name:     "avx2",
	Channels: Lanes,
	half:     avx2Half,

	conv:  convAVX2,
	wgrad: wgradAVX2,

	winogradIn:       winogradInAVX2,
	winogradMultiply: winogradMultiplyAVX2,
	winogradOut:      [2]winogradOutKernel{winogradOut1AVX2, winogradOut2AVX2},
	winogradGrad:     [2]winogradGradKernel{winogradGrad1AVX2, winogradGrad2AVX2},

	stats: statsAVX2,
	apply: [2][5]applyKernel{
		{applyLinearAVX2, applyReLUAVX2, applyMaskAVX2, applyReLU6AVX2, applyMask6AVX2},
		{applyLinearResidualAVX2, applyReLUResidualAVX2, applyMaskResidualAVX2, applyReLU6ResidualAVX2,
			applyMask6ResidualAVX2},
	},
	backStats: [2][2]backStatsKernel{
		{backStatsAVX2, backStatsMaskAVX2},
		{backStatsResidualAVX2, backStatsMaskResidualAVX2},
	},
	backApply: backApplyAVX2,
	addScaled: addScaledAVX2,
	dot:       dotAVX2,
	sgd:       sgdAVX2,

	depthwise:     depthwiseAVX2,
	depthwiseGrad: depthwiseGradAVX2,
	maxPool:       maxPoolAVX2,
	avgPool:       avgPoolAVX2,
	maxPoolGrad:   maxPoolGradAVX2,

	peak:      peakAVX2,
	peakFLOPs: 12 * 8 * 2,
}

// avx2Half has neither what works on arrays that have no channels nor what measures.
var avx2Half = &Set{
	Channels: Lanes / 2,

	conv:  convAVX2Half,
	wgrad: wgradAVX2Half,

	winogradIn:       winogradInAVX2Half,
	winogradMultiply: winogradMultiplyAVX2Half,
	winogradOut:      [2]winogradOutKernel{winogradOut1AVX2Half, winogradOut2AVX2Half},
	winogradGrad:     [2]winogradGradKernel{winogradGrad1AVX2Half, winogradGrad2AVX2Half},

	stats: statsAVX2Half,
	apply: [2][5]applyKernel{
		{applyLinearAVX2Half, applyReLUAVX2Half, applyMaskAVX2Half, applyReLU6AVX2Half, applyMask6AVX2Half},
		{applyLinearResidualAVX2Half, applyReLUResidualAVX2Half, applyMaskResidualAVX2Half, applyReLU6ResidualAVX2Half,
			applyMask6ResidualAVX2Half},
	},
	backStats: [2][2]backStatsKernel{
		{backStatsAVX2Half, backStatsMaskAVX2Half},
		{backStatsResidualAVX2Half, backStatsMaskResidualAVX2Half},
	},
	backApply: backApplyAVX2Half,
	addScaled: addScaledAVX2Half,
	dot:       dotAVX2Half,

	depthwise:     depthwiseAVX2Half,
	depthwiseGrad: depthwiseGradAVX2Half,
	maxPool:       maxPoolAVX2Half,
	avgPool:       avgPoolAVX2Half,
	maxPoolGrad:   maxPoolGradAVX2Half,
}
