//go:build cuda && linux

package driver

import (
	"fmt"
	"math"
)

// Type is the format of the numbers of a matrix. The values are those of cudaDataType_t.
type Type uint8

const (
	F32  Type = 0
	F16  Type = 2
	BF16 Type = 14
)

// Bytes returns the size of one number.
func (t Type) Bytes() int {
	if t == F32 {
		return 4
	}
	return 2
}

// Gemm is a product of matrices in row-major order: C (M, N) = Alpha op(A) (M, K) op(B) (K, N) + Beta C, summed in float32. float32
// operands are not rounded to TF32. The call is cublasGemmEx, or with a Batch cublasGemmStridedBatchedEx.
type Gemm struct {
	M, N, K int
	A, B, C Address
	In, Out Type // of A and B, and of C: F32 to F32, BF16 to BF16 or F32, F16 to F16 or F32

	// TransA: A is stored as (K, M). TransB: B is stored as (N, K).
	TransA, TransB bool

	// LdA, LdB and LdC are the distances between rows as stored, in numbers. The default of 0 is the length of a row.
	LdA, LdB, LdC int

	// Batch products at equal distances in memory, in numbers. The default of 0 is one product.
	Batch                     int
	StrideA, StrideB, StrideC int

	Alpha, Beta float32 // with a Beta of 0, C need not hold numbers before
}

// Gemm adds a product. It panics where the description is no product that cuBLAS has.
func (l *List) Gemm(g Gemm) {
	if g.M == 0 || g.N == 0 {
		return
	}
	g = g.full()
	g.check()
	flags := uint64(0)
	if g.TransA {
		flags |= 1
	}
	if g.TransB {
		flags |= 2
	}
	w := l.begin(opGemm|flags<<8|uint64(g.In)<<16|uint64(g.Out)<<24, 12)
	w[1] = uint64(g.M) | uint64(g.N)<<32
	w[2] = uint64(g.K) | uint64(g.Batch)<<32
	w[3], w[4], w[5] = uint64(g.A), uint64(g.LdA), uint64(g.StrideA)
	w[6], w[7], w[8] = uint64(g.B), uint64(g.LdB), uint64(g.StrideB)
	w[9], w[10], w[11] = uint64(g.C), uint64(g.LdC), uint64(g.StrideC)
	w[12] = uint64(math.Float32bits(g.Alpha)) | uint64(math.Float32bits(g.Beta))<<32
}

// full sets what has a default.
func (g Gemm) full() Gemm {
	rowA, rowB := g.K, g.N
	if g.TransA {
		rowA = g.M
	}
	if g.TransB {
		rowB = g.K
	}
	if g.LdA == 0 {
		g.LdA = rowA
	}
	if g.LdB == 0 {
		g.LdB = rowB
	}
	if g.LdC == 0 {
		g.LdC = g.N
	}
	if g.Batch == 0 {
		g.Batch = 1
	}
	if g.LdA < rowA || g.LdB < rowB || g.LdC < g.N {
		panic(fmt.Sprintf("cuda: a product of (%d, %d) and (%d, %d) with rows at distances %d, %d, %d", g.M, g.K, g.K, g.N, g.LdA, g.LdB, g.LdC))
	}
	return g
}

func (g Gemm) check() {
	if g.M < 0 || g.N < 0 || g.K <= 0 || g.Batch < 0 || g.M > math.MaxInt32 || g.N > math.MaxInt32 || g.K > math.MaxInt32 {
		panic(fmt.Sprintf("cuda: a product of (%d, %d) and (%d, %d), %d times", g.M, g.K, g.K, g.N, g.Batch))
	}
	if g.Out != g.In && g.Out != F32 {
		panic(fmt.Sprintf("cuda: a product of type %d with a result of type %d", g.In, g.Out))
	}
}
