//go:build amd64 && !purego

package cpu

var (
	avx2BF16 = narrowFormat{
		mr: 6, nr: 16, terms: 2, aSize: 8, bSize: 4, panel: panelBF16AVX2, convert: convertF32,
		peak: peakBF16AVX2, peakWidth: 12 * 8,
	}
	avx2I8 = narrowFormat{
		mr: 6, nr: 16, terms: 2, aSize: 4, bSize: 2, panel: panelI8AVX2, convert: convertI16,
		peak: peakI8AVX2, peakWidth: 12 * 16,
	}
	avx512BF16 = narrowFormat{
		mr: 12, nr: 32, terms: 2, aSize: 4, bSize: 4, panel: panelBF16AVX512, convert: convertBF16,
		peak: peakBF16AVX512, peakWidth: 12 * 32,
	}
	avx512I8 = narrowFormat{
		mr: 12, nr: 32, terms: 4, aSize: 4, bSize: 4, panel: panelI8AVX512, convert: convertU8, offset: 128,
		peak: peakI8AVX512, peakWidth: 12 * 64,
	}
)
