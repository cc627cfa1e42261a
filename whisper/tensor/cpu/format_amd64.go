//go:build amd64 && !purego

package cpu

import "glossa/whisper/tensor"

var avx2Formats = [...]*format{
	tensor.F32: {
		dtype: tensor.F32, mr: 6, nr: 16, terms: 1, aSize: 4, bSize: 4, panel: panelAVX2, outer: panelAVX2, convert: convertF32,
		peak: peakAVX2, peakWidth: 12 * 8,
	},
	tensor.BF16: {
		dtype: tensor.BF16, mr: 6, nr: 16, terms: 2, aSize: 8, bSize: 4, panel: panelBF16AVX2, outer: panelAVX2, unpack: unpackBF16AVX2, convert: convertF32,
	},
	tensor.I8: {
		dtype: tensor.I8, mr: 6, nr: 16, terms: 2, aSize: 4, bSize: 2, panel: panelI8AVX2, outer: panelAVX2, unpack: unpackI8AVX2, pack: packI8AVX2, convert: convertI16,
		peak: peakI8AVX2, peakWidth: 12 * 16,
	},
}

// avxVNNII8 is the format of int8 of processors that have AVX-VNNI and no AVX-512.
var avxVNNII8 = &format{
	dtype: tensor.I8, mr: 6, nr: 16, terms: 4, aSize: 4, bSize: 4, panel: panelI8AVXVNNI, outer: panelAVX2, unpack: unpackI8AVXVNNI, pack: packI8AVXVNNI, convert: convertU8, offset: 128,
	peak: peakI8AVXVNNI, peakWidth: 12 * 32,
}

var avx512Formats = [...]*format{
	tensor.F32: {
		dtype: tensor.F32, mr: 12, nr: 32, terms: 1, aSize: 4, bSize: 4, panel: panelAVX512, outer: panelAVX512, convert: convertF32,
		peak: peakAVX512, peakWidth: 12 * 16,
	},
	tensor.BF16: {
		dtype: tensor.BF16, mr: 12, nr: 32, terms: 2, aSize: 4, bSize: 4, panel: panelBF16AVX512, outer: panelAVX512, unpack: unpackBF16AVX512, pack: packBF16AVX512, convert: convertBF16,
		peak: peakBF16AVX512, peakWidth: 12 * 32,
	},
	tensor.I8: {
		dtype: tensor.I8, mr: 12, nr: 32, terms: 4, aSize: 4, bSize: 4, panel: panelI8AVX512, outer: panelAVX512, unpack: unpackI8AVX512, pack: packI8AVX512, convert: convertU8, offset: 128,
		peak: peakI8AVX512, peakWidth: 12 * 64,
	},
}
