//go:build amd64 && !purego

package cpu

var avx2Rows = rowKernels{
	add: addAVX2, mul: mulAVX2, mulAdd: mulAddAVX2, shift: shiftAVX2, scale: scaleAVX2, dot: dotAVX2,
	max: maxAVX2, absMax: absMaxAVX2, expSum: expSumAVX2, sumExp: sumExpAVX2, softmaxBackward: softmaxBackwardAVX2,
	gelu: geluAVX2, geluBackward: geluBackwardAVX2,
	moments: momentsAVX2, normalise: normaliseAVX2,
	normSums: normSumsAVX2, normBackward: normBackwardAVX2, normAffine: normAffineAVX2,
	dots: dotsBlocks, combine: combineAVX2,
	interleave: interleaveGo, toBF16: toBF16Go, quantiseI16: quantiseI16AVX2,
	absMaxTo: absMaxToAVX2, digits: digitsAVX2, splitI16: splitI16AVX2,
	quantiseU8: quantiseU8AVX2, splitU8: splitU8AVX2,
}

// avx512Rows has the dot products of AVX2, which are as fast as the rows come from memory.
var avx512Rows = rowKernels{
	add: addAVX512, mul: mulAVX512, mulAdd: mulAddAVX512, shift: shiftAVX512, scale: scaleAVX512, dot: dotAVX512,
	max: maxAVX512, absMax: absMaxAVX512, expSum: expSumAVX512, sumExp: sumExpAVX512, softmaxBackward: softmaxBackwardAVX512,
	gelu: geluAVX512, geluBackward: geluBackwardAVX512,
	moments: momentsAVX512, normalise: normaliseAVX512,
	normSums: normSumsAVX512, normBackward: normBackwardAVX512, normAffine: normAffineAVX512,
	dots: dotsBlocks, combine: combineAVX512,
	exp2SumBF16: exp2SumBF16AVX512, interleave: interleaveAVX512, pairRows: pairRowsAVX512, toBF16: toBF16AVX512, quantiseU8: quantiseU8AVX512, quantiseI16: quantiseI16AVX2,
	absMaxTo: absMaxToAVX512, digits: digitsAVX512, splitU8: splitU8AVX512, splitI16: splitI16AVX2,
}

// dotsBlocks computes the last rows again with those before where they do not fill a block.
func dotsBlocks(s, q, k []float32, stride int) {
	n := len(s)
	_ = k[(n-1)*stride+len(q)-1]
	dotsAVX2(&s[0], n/dotRows*dotRows, &q[0], len(q), &k[0], stride)
	if n%dotRows != 0 {
		dotsAVX2(&s[n-dotRows], dotRows, &q[0], len(q), &k[(n-dotRows)*stride], stride)
	}
}
