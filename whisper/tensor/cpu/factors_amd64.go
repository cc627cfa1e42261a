//go:build amd64 && !purego

package cpu

var avx2Factors = [2]factorFormat{
	{factorKernels{shrinkF32AVX2, expandF32AVX2}, 4},
	{factorKernels{shrinkBF16AVX2, expandBF16AVX2}, 2},
}

var avx512Factors = [2]factorFormat{
	{factorKernels{shrinkF32AVX512, expandF32AVX512}, 4},
	{factorKernels{shrinkBF16AVX512, expandBF16AVX512}, 2},
}
