package cpu

import (
	"unsafe"

	"glossa/whisper/tensor"
)

// factorBlock is the number of columns in a block of factors, and maxFactorRank the most rows of them
// that a kernel takes at once.
const (
	factorBlock   = 16
	maxFactorRank = 8
)

// factorKernels multiply a row by factors of rank 8, 4, 2 or 1, of which row k of block b is at
//
//	v[(b*rank+k)*factorBlock]
type factorKernels struct {
	shrink func(z, x, v *float32, blocks, rank int) // z[k] = Σ_b Σ_c x[b, c] v[b, k, c]
	expand func(y, z, u *float32, blocks, rank int) // y[b, c] = y[b, c] + z[0] u[b, 0, c] + …, each of them rounded
}

// factorFormat is a number format of factors.
type factorFormat struct {
	factorKernels
	size int // bytes of a number
}

// lowRank are factors u (nOut, rank) and v (rank, nIn) as the kernels read them: rows in groups of 8,
// 4, 2 and 1, one behind the other, each in blocks of columns, the last filled up with zeros.
type lowRank struct {
	nOut, nIn, rank int
	bf16            bool
	u, v            []float32 // of bfloat16 two to each
	d               []float32
}

// Bytes returns the memory of the factors.
func (l *lowRank) Bytes() int64 { return 4 * int64(len(l.u)+len(l.v)+len(l.d)) }

// PackLowRank lays factors out for [Backend.LowRankLinear], in float32 or in bfloat16.
func (b *Backend) PackLowRank(u, v, d tensor.Mat, dtype tensor.DType) (tensor.PackedLowRank, error) {
	l := &lowRank{nOut: u.Rows, nIn: v.Cols, rank: v.Rows, bf16: dtype != tensor.F32}
	if l.rank > 0 {
		l.v = packFactors(v.Rows, v.Cols, l.bf16, func(k, j int) float32 { return v.Row(k)[j] })
		l.u = packFactors(u.Cols, u.Rows, l.bf16, func(k, j int) float32 { return u.Row(j)[k] })
	}
	l.d = append(l.d, d.Data...)
	return l, nil
}

// packFactors packs rank rows of n columns.
func packFactors(rank, n int, bf16 bool, number func(k, j int) float32) []float32 {
	blocks := factorBlocks(n)
	words := blocks * factorBlock * rank
	if bf16 {
		words /= 2
	}
	packed := alignedFloats(words)
	eachGroup(rank, func(first, size int) {
		for j := range n {
			for k := range size {
				at := ((first*blocks+j/factorBlock*size)+k)*factorBlock + j%factorBlock
				if bf16 {
					halves(packed)[at] = bfloat16(number(first+k, j))
				} else {
					packed[at] = number(first+k, j)
				}
			}
		}
	})
	return packed
}

// factorBlocks returns the blocks of n columns.
func factorBlocks(n int) int { return (n + factorBlock - 1) / factorBlock }

// eachGroup calls f with the rows that the kernels take at once.
func eachGroup(rank int, f func(first, size int)) {
	for first := 0; first < rank; {
		size := groupSize(rank - first)
		f(first, size)
		first += size
	}
}

// groupSize returns how many of the rows that are left are taken at once.
func groupSize(left int) int {
	size := maxFactorRank
	for size > left {
		size /= 2
	}
	return size
}

// format returns the kernels of the factors.
func (l *lowRank) format(k *kernels) *factorFormat {
	if l.bf16 {
		return &k.factors[1]
	}
	return &k.factors[0]
}

// shrink computes z = x vᵀ for a row x (nIn).
func (l *lowRank) shrink(w *worker, z, x []float32) {
	f, blocks := l.format(w.kernels), factorBlocks(l.nIn)
	if whole := blocks * factorBlock; whole > l.nIn {
		row := w.floats(scratchRows, whole)
		clear(row[copy(row, x):])
		x = row
	}
	v := unsafe.Pointer(unsafe.SliceData(l.v))
	for first := 0; first < l.rank; {
		size := groupSize(l.rank - first)
		f.shrink(&z[first], &x[0], (*float32)(unsafe.Add(v, first*blocks*factorBlock*f.size)), blocks, size)
		first += size
	}
}

// expand adds columns from:to of z uᵀ + d to y, those of a row; from is a multiple of a block.
func (l *lowRank) expand(w *worker, y, z []float32, from, to int) {
	if l.rank > 0 {
		whole := (to - from) / factorBlock
		if whole > 0 {
			l.expandBlocks(w, y, z, from/factorBlock, whole)
		}
		if rest := y[whole*factorBlock:]; len(rest) > 0 {
			last := w.floats(scratchRows, factorBlock)
			clear(last[copy(last, rest):])
			l.expandBlocks(w, last, z, from/factorBlock+whole, 1)
			copy(rest, last)
		}
	}
	if len(l.d) > 0 {
		w.kernels.add(y, y, l.d[from:to])
	}
}

// expandBlocks adds so many blocks of columns of z uᵀ to y.
func (l *lowRank) expandBlocks(w *worker, y, z []float32, block, n int) {
	f, blocks := l.format(w.kernels), factorBlocks(l.nOut)
	u := unsafe.Pointer(unsafe.SliceData(l.u))
	for first := 0; first < l.rank; {
		size := groupSize(l.rank - first)
		at := (first*blocks + block*size) * factorBlock * f.size
		f.expand(&y[0], &z[first], (*float32)(unsafe.Add(u, at)), n, size)
		first += size
	}
}

// goFactors are those of the pure Go path.
var goFactors = [2]factorFormat{
	{factorKernels{shrinkF32Go, expandF32Go}, 4},
	{factorKernels{shrinkBF16Go, expandBF16Go}, 2},
}

func shrinkF32Go(z, x, v *float32, blocks, rank int) {
	factors := unsafe.Slice(v, blocks*rank*factorBlock)
	shrinkGo(z, x, blocks, rank, func(i int) float32 { return factors[i] })
}

func shrinkBF16Go(z, x, v *float32, blocks, rank int) {
	factors := unsafe.Slice((*uint16)(unsafe.Pointer(v)), blocks*rank*factorBlock)
	shrinkGo(z, x, blocks, rank, func(i int) float32 { return float32FromBF16(factors[i]) })
}

func shrinkGo(z, x *float32, blocks, rank int, factor func(i int) float32) {
	row := unsafe.Slice(x, blocks*factorBlock)
	for k, out := 0, unsafe.Slice(z, rank); k < rank; k++ {
		var sum float32
		for i, v := range row {
			sum += v * factor((i/factorBlock*rank+k)*factorBlock+i%factorBlock)
		}
		out[k] = sum
	}
}

func expandF32Go(y, z, u *float32, blocks, rank int) {
	factors := unsafe.Slice(u, blocks*rank*factorBlock)
	expandGo(y, z, blocks, rank, func(i int) float32 { return factors[i] })
}

func expandBF16Go(y, z, u *float32, blocks, rank int) {
	factors := unsafe.Slice((*uint16)(unsafe.Pointer(u)), blocks*rank*factorBlock)
	expandGo(y, z, blocks, rank, func(i int) float32 { return float32FromBF16(factors[i]) })
}

func expandGo(y, z *float32, blocks, rank int, factor func(i int) float32) {
	row := unsafe.Slice(y, blocks*factorBlock)
	for k, c := range unsafe.Slice(z, rank) {
		for i := range row {
			row[i] += float32(c * factor((i/factorBlock*rank+k)*factorBlock+i%factorBlock))
		}
	}
}
