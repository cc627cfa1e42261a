//go:build amd64 && !purego

package cpu

import "golang.org/x/sys/cpu"

var avx2Kernels = kernels{
	name:        "avx2",
	gemmKernels: gemmKernels{mr: 6, nr: 16, panel: panelAVX2, transpose: transposeAVX2, peak: peakAVX2, peakWidth: 12 * 8},
	rowKernels:  avx2Rows,
	bf16:        &avx2BF16,
	i8:          &avx2I8,
}

var avx512Kernels = kernels{
	name:        "avx512",
	gemmKernels: gemmKernels{mr: 12, nr: 32, panel: panelAVX512, transpose: transposeAVX2, peak: peakAVX512, peakWidth: 12 * 16},
	rowKernels:  avx512Rows,
	bf16:        &avx512BF16,
	i8:          &avx512I8,
}

// available returns the kernels that this machine runs, the fastest first.
func available() []kernels {
	var k []kernels
	hasAVX2 := cpu.X86.HasAVX2 && cpu.X86.HasFMA
	if hasAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ {
		best := avx512Kernels
		if !cpu.X86.HasAVX512BF16 {
			best.bf16, best.toBF16, best.interleave = &avx2BF16, toBF16Go, interleaveGo
		}
		if !cpu.X86.HasAVX512VNNI {
			best.i8 = &avx2I8
		}
		k = append(k, best)
	}
	if hasAVX2 {
		k = append(k, avx2Kernels)
	}
	return append(k, goKernels)
}
