package tensor

// Backend is the device: kernels that write their first argument, never allocate, never fail and
// never check (Ops has). Methods may be called from several goroutines at once. One whose memory is not
// the host's is a [Device].
//
// Each element of a result is one fixed sequence of operations over the inner dimension, in its
// order, whatever the number of rows: see the determinism law in the package comment.
type Backend interface {
	// Name says which kernels run, such as "ref" or "cpu/avx512".
	Name() string

	// Pack lays a weight w (nOut, nIn) out for Linear. It fails where the backend has no kernel
	// for dtype. The result does not alias w.
	Pack(w Mat, dtype DType) (Packed, error)

	// Linear computes y = x wᵀ + bias for x (nRow, nIn), y (nRow, nOut), bias (1, nOut) or zero
	// Mat. The bias is added to the finished product.
	Linear(y, x Mat, w Packed, bias Mat)

	// MatMul computes c = op(a) op(b), or c += op(a) op(b): op transposes where t says so.
	MatMul(c, a, b Mat, t Transpose, accumulate bool)

	// Add computes y = a + b. y may be a or b.
	Add(y, a, b Mat)

	// Scale computes y[i] = x[i] ∘ s[row[i]]; a nil row stands for zeros. y may be x.
	Scale(y, x, s Mat, row []int32)

	// AddBias computes y[i] = x[i] + bias for bias (1, nCol). y may be x.
	AddBias(y, x, bias Mat)

	// LayerNorm computes y[i] = gamma ∘ (x[i] - mean(x[i])) / sqrt(var(x[i]) + LayerNormEps) + beta.
	LayerNorm(y, x, gamma, beta Mat)

	// GELU computes y = x Φ(x), Φ the normal distribution function (the erf form). y may be x.
	GELU(y, x Mat)

	// LogSoftmax computes y[i] = x[i] - log Σ exp(x[i]). y may be x.
	LogSoftmax(y, x Mat)

	// Attention computes, for each sequence s with query rows q[seg s] and keys and values kv[s],
	// and each head (a range of nCol/nHead columns),
	//
	//	y = softmax(q kᵀ / sqrt(nCol/nHead)) v
	//
	// With causal, query i of nQuery sees the keys 0 … nKey-nQuery+i.
	Attention(y, q Mat, seg Segments, kv []KeyValue, nHead int, causal bool)

	// Embed computes y[i] = table[id[i]].
	Embed(y, table Mat, id []int32)

	// Unfold lays the neighbourhoods of a convolution of width kernel, stride and zero padding
	// (kernel-1)/2 side by side: output row t of a sequence holds its input rows
	// t*stride-pad … t*stride-pad+kernel-1, and zeros where the sequence has none.
	Unfold(y, x Mat, ySeg, xSeg Segments, kernel, stride int)
}

// Gradients are the kernels of the backward pass. Each adds to its destinations; a zero Mat as a
// destination means that its gradient is not wanted.
type Gradients interface {
	// SumRows adds Σ_i x[i] to y (1, nCol).
	SumRows(y, x Mat)

	// ScaleBackward adds the gradients of y[i] = x[i] ∘ s[row[i]].
	ScaleBackward(dx, ds, dy, x, s Mat, row []int32)

	// LayerNormBackward adds the gradients of LayerNorm.
	LayerNormBackward(dx, dgamma, dbeta, dy, x, gamma Mat)

	// GELUBackward adds dy ∘ GELU'(x) to dx.
	GELUBackward(dx, dy, x Mat)

	// AttentionBackward adds the gradients of Attention to dq and dkv.
	AttentionBackward(dq Mat, dkv []KeyValue, dy, q Mat, seg Segments, kv []KeyValue, nHead int, causal bool)

	// EmbedBackward adds dy[i] to dtable[id[i]].
	EmbedBackward(dtable, dy Mat, id []int32)

	// UnfoldBackward adds the gradients of Unfold.
	UnfoldBackward(dx, dy Mat, ySeg, xSeg Segments, kernel, stride int)
}

// Rounder is implemented by a backend that multiplies numbers of a narrower format than float32 faster.
type Rounder interface {
	// Rounded returns a backend of the same device, with its memory, for the same packed weights, whose MatMul, Attention
	// and AttentionBackward round both factors of each product to dtype, to nearest even, and add in
	// float32: the arithmetic of mixed precision (Micikevicius et al. 2018, §3). It is nil where the
	// device does not multiply numbers of dtype as they are.
	Rounded(dtype DType) Backend
}

// Packed is a weight in the layout of the backend that packed it.
type Packed interface {
	// Shape returns the shape (nOut, nIn) of the weight.
	Shape() (nOut, nIn int)

	// DType returns the number format that the weight is stored in.
	DType() DType
}

// KeyValue are the keys and values (nKey, nCol) that the queries of one sequence attend to: K and
// V, or both in pages of a device, or both in the layout of the backend that packed them.
type KeyValue struct {
	K, V   Mat
	DType  DType // what [RoundedAttention] may round K and V, the queries, and the result to; F32: nothing
	Paged  PagedKV
	Packed PackedKV
}

// Rows returns the number of keys.
func (kv KeyValue) Rows() int { return max(kv.K.Rows, kv.Paged.Rows, kv.Packed.Rows) }

// PackedKV are keys and values (Rows, Cols) of NHead heads, of 32 or 16 bits, in the layout of the
// backend that packed them. The zero value stands for none.
type PackedKV struct {
	Rows, Cols, NHead int
	DType             DType

	Data []float32 // on the host
	Dev  uintptr   // the address of as many numbers on a device
}

// IsZero reports whether there are none.
func (p PackedKV) IsZero() bool { return p.Data == nil && p.Dev == 0 }

// BalancedPacker is implemented by a backend with formats that all columns of a row share one scale in.
type BalancedPacker interface {
	// PackBalanced is Pack for products with rows whose numbers in column j are about ranges[j] large.
	// Where dtype is such a format, it moves range between the columns of w and of the rows, so that no
	// column of either rounds the others away. The product is the same but for its rounding.
	PackBalanced(w Mat, dtype DType, ranges []float32) (Packed, error)
}

// ResidualLinear is implemented by a backend that adds a linear to rows in one pass.
type ResidualLinear interface {
	// LinearAdd adds to y what ScaledLinear computes, or Linear where s is the zero Scales, with low[i] added to row i where low is not
	// nil. y and x do not overlap.
	LinearAdd(y, x Mat, w Packed, bias Mat, s Scales, low []*LowRank)
}

// RoundedNorm is implemented by a backend whose LayerNorm is the faster for rounding its result.
type RoundedNorm interface {
	// LayerNormRounded is LayerNorm whose result is read by linears with packed weights alone, which round it too.
	LayerNormRounded(y, x, gamma, beta Mat)
}

// Discarder is implemented by a backend that need not finish what it has put off for numbers that nobody reads.
type Discarder interface {
	// Discard says that what m holds is not read any more.
	Discard(m Mat)
}

// ResultRounder is implemented by packed weights whose products a backend may leave in their own format of 16 bits.
type ResultRounder interface {
	// RoundResults says that the results of all linears with the weight, and GELU of them, are read by linears, by Attention and by
	// PackKeyValue alone, which round them too.
	RoundResults()
}

// RoundedAttention is implemented by a backend whose Attention is the faster for rounding queries, keys and values, which lie in
// rows and are not packed, to a format of 16 bits.
type RoundedAttention interface {
	// AttendsRounded reports whether it is with heads of a size, rounded to dtype.
	AttendsRounded(size int, dtype DType) bool
}

// KeyValuePacker is implemented by a backend whose Attention takes packed keys and values: they are
// in the order that its products read them in, and read once for all sequences that share them. All
// queries of such a sequence see all keys.
type KeyValuePacker interface {
	// PackedKVSize returns the numbers that packed keys and values (nKey, nCol) take.
	PackedKVSize(nKey, nCol, nHead int, dtype DType) int

	// PackKeyValue lays kv[i] out in packed[i], which has room for as many numbers.
	PackKeyValue(packed []PackedKV, kv []KeyValue)

	// UnpackKeys writes the keys to k (nKey, nCol), rounded as they are packed.
	UnpackKeys(k Mat, packed PackedKV)

	// Native reports whether the device multiplies numbers of dtype as they are, and so faster than
	// wider ones.
	Native(dtype DType) bool
}

// PackedEmbedder is implemented by a backend that looks rows up in packed weights.
type PackedEmbedder interface {
	// EmbedPacked computes y[i] = w[id[i]], each number what it is packed as, rounding included.
	EmbedPacked(y Mat, w Packed, id []int32)
}

// GELULinear is implemented by a backend that computes GELU(Linear) in one pass.
type GELULinear interface {
	// LinearGELU computes y = GELU(x wᵀ + bias), with the bits of Linear and GELU.
	LinearGELU(y, x Mat, w Packed, bias Mat)
}

// Scales multiply the rows on both sides of a linear: row i of its operand by In[Row[i]], and of its
// product by Out[Row[i]].
type Scales struct {
	In, Out Mat     // (nScale, nIn), (nScale, nOut)
	Row     []int32 // nil: In and Out have one row, which scales all
}

// RowOf returns Row[i], and zero of a nil Row.
func (s *Scales) RowOf(i int) int {
	if s.Row == nil {
		return 0
	}
	return int(s.Row[i])
}

// ScaledLinear is implemented by a backend that computes a linear between scales in one pass.
type ScaledLinear interface {
	// ScaledLinear computes y[i] = out[row[i]] ∘ ((in[row[i]] ∘ x[i]) wᵀ) + bias, and with gelu
	// GELU of that, with the bits of Scale, Linear, Scale, AddBias and GELU.
	ScaledLinear(y, x Mat, w Packed, bias Mat, s Scales, gelu bool)
}

// Transpose says which operands of MatMul are transposed.
type Transpose uint8

const (
	NoTrans Transpose = 0 // a (m, k), b (k, n)
	TransA  Transpose = 1 // a (k, m)
	TransB  Transpose = 2 // b (n, k)
)

// LayerNormEps is the epsilon of torch.nn.LayerNorm.
const LayerNormEps = 1e-5
