//go:build amd64 && !purego

package cpu

import (
	"golang.org/x/sys/cpu"

	"glossa/whisper/tensor"
)

var avx2Kernels = kernels{
	name:        "avx2",
	gemmKernels: gemmKernels{mr: 6, nr: 16, panel: panelAVX2, transpose: transposeAVX2},
	rowKernels:  avx2Rows,
	formats:     avx2Formats,
}

var avx512Kernels = kernels{
	name:        "avx512",
	gemmKernels: gemmKernels{mr: 12, nr: 32, panel: panelAVX512, transpose: transposeAVX2},
	rowKernels:  avx512Rows,
	formats:     avx512Formats,
}

// available returns the kernels that this machine runs, the fastest first.
func available() []kernels {
	var k []kernels
	hasAVX2 := cpu.X86.HasAVX2 && cpu.X86.HasFMA
	if hasAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ {
		best := avx512Kernels
		if !cpu.X86.HasAVX512BF16 {
			best.formats[tensor.BF16] = avx2Formats[tensor.BF16]
			best.toBF16, best.interleave, best.exp2SumBF16, best.pairRows = toBF16Go, interleaveGo, nil, nil
		}
		if !cpu.X86.HasAVX512VNNI {
			best.formats[tensor.I8] = avx2Formats[tensor.I8]
		}
		k = append(k, best)
	}
	if hasAVX2 {
		second := avx2Kernels
		if cpu.X86.HasAVXVNNI {
			second.formats[tensor.I8] = avxVNNII8
		}
		k = append(k, second)
	}
	return append(k, goKernels)
}
