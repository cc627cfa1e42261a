package tensor

import "math"

// LowRank is what rows are given beside a linear (nOut, nIn): y += (x vᵀ) uᵀ + d, for u (nOut, r), v (r,
// nIn) and d (1, nOut). u and v, or d, may be zero Mats. It does not change.
type LowRank struct {
	u, v, d Mat // zero where they are packed
	memory  *Memory
	packed  PackedLowRank
}

// PackedLowRank are the factors of a [LowRank] in the layout of the backend that packed them.
type PackedLowRank interface {
	Bytes() int64 // of memory
}

// LowRankLinear is implemented by a backend that computes linears whose rows have products of low rank
// beside them in one pass.
type LowRankLinear interface {
	// PackLowRank lays the factors of a [LowRank] out, in a format fit for products beside weights of dtype.
	// The result does not alias them. The error is that of a device without memory.
	PackLowRank(u, v, d Mat, dtype DType) (PackedLowRank, error)

	// LowRankLinear computes what ScaledLinear does, or Linear where s is the zero Scales, and adds low[i] to
	// row i before GELU. A row whose low is nil has the bits that it has there.
	LowRankLinear(y, x Mat, w Packed, bias Mat, s Scales, low []*LowRank, gelu bool)

	// AddLowRank adds low[i] to row i of y, with the bits of LowRankLinear.
	AddLowRank(y, x Mat, low []*LowRank)
}

// RowAdder is implemented by a backend that adds rows to chosen ones.
type RowAdder interface {
	// AddRows computes y[row[i]] += x[i], one i after the other.
	AddRows(y, x Mat, row []int32)
}

// NewLowRank returns factors for linears on b whose weights are of dtype. The error wraps [ErrMemory].
func NewLowRank(b Backend, u, v, d Mat, dtype DType) (*LowRank, error) {
	if !u.IsZero() || !v.IsZero() {
		checkShape("factor of a product of low rank", u, u.Rows, v.Rows)
		if !d.IsZero() {
			checkShape("what is added to a bias", d, 1, u.Rows)
		}
	}
	if p, ok := b.(LowRankLinear); ok {
		packed, err := p.PackLowRank(u, v, d, dtype)
		if err != nil {
			return nil, err
		}
		return &LowRank{packed: packed}, nil
	}
	l := new(LowRank)
	var err error
	if l.memory, err = Place(b, []*Mat{&l.u, &l.v, &l.d}, []Mat{u, v, d}); err != nil {
		return nil, err
	}
	return l, nil
}

// Packed returns the factors in the backend's layout, nil where it has none.
func (l *LowRank) Packed() PackedLowRank { return l.packed }

// Bytes returns the memory of the factors.
func (l *LowRank) Bytes() int64 {
	if l.packed != nil {
		return l.packed.Bytes()
	}
	return 4 * int64(l.u.Rows*l.u.Cols+l.v.Rows*l.v.Cols+l.d.Rows*l.d.Cols)
}

// Free gives back what the factors have of a device's memory. They must not be used any more.
func (l *LowRank) Free() {
	if l != nil {
		l.memory.Free()
		Free(l.packed)
	}
}

// LinearTo computes into y what [LowRankLinear] does: out[row[i]] ∘ ((in[row[i]] ∘
// x[i]) wᵀ) + bias + (x[i] vᵀ) uᵀ + d, without scales where s is the zero Scales, without the last where
// low is nil or low[i] is, and with gelu GELU of it. It is not differentiable. Without scales and low, and with packed
// weights, several goroutines may call it at once.
func (o *Ops) LinearTo(y, x Mat, w *Weight, bias Mat, s Scales, low []*LowRank, gelu bool) {
	o.checkLinearTo(y, x, w, bias, s, low)
	if x.Rows == 0 {
		return
	}
	if l, ok := o.backend.(LowRankLinear); ok && w.Packed != nil && low != nil {
		l.LowRankLinear(y, x, w.Packed, bias, s, low, gelu)
		return
	}
	gelu, late := gelu && low == nil, gelu && low != nil
	scaled := !s.In.IsZero()
	if l, ok := o.backend.(ScaledLinear); ok && w.Packed != nil && scaled {
		l.ScaledLinear(y, x, w.Packed, bias, s, gelu)
	} else if l, ok := o.backend.(GELULinear); ok && w.Packed != nil && !scaled && gelu {
		l.LinearGELU(y, x, w.Packed, bias)
	} else {
		o.linearParts(y, x, w, bias, s)
		late = late || gelu
	}
	if low != nil {
		o.AddLowRankTo(y, x, low)
	}
	if late {
		o.backend.GELU(y, y)
	}
}

// LinearAddTo adds to y what LinearTo computes, without GELU. It is not differentiable.
func (o *Ops) LinearAddTo(y, x Mat, w *Weight, bias Mat, s Scales, low []*LowRank) {
	if r, ok := o.backend.(ResidualLinear); ok && w.Packed != nil {
		o.checkLinearTo(y, x, w, bias, s, low)
		r.LinearAdd(y, x, w.Packed, bias, s, low)
		return
	}
	defer o.arena.release(o.arena.mark())
	z := o.New(y.Rows, y.Cols)
	o.LinearTo(z, x, w, bias, s, low, false)
	o.backend.Add(y, y, z)
}

// linearParts computes a linear, scaled or not, by its parts.
func (o *Ops) linearParts(y, x Mat, w *Weight, bias Mat, s Scales) {
	scaled := !s.In.IsZero()
	if scaled {
		defer o.arena.release(o.arena.mark())
		z := o.New(x.Rows, x.Cols)
		o.backend.Scale(z, x, s.In, s.Row)
		x = z
	}
	if w.Packed == nil {
		o.backend.MatMul(y, x, w.Mat, TransB, false)
	} else if o.backend.Linear(y, x, w.Packed, early(bias, !scaled)); !scaled {
		bias = Mat{}
	}
	if scaled {
		o.backend.Scale(y, y, s.Out, s.Row)
	}
	if !bias.IsZero() {
		o.backend.AddBias(y, y, bias)
	}
}

// early returns bias where it is added by the product, else the zero Mat.
func early(bias Mat, ok bool) Mat {
	if ok {
		return bias
	}
	return Mat{}
}

func (o *Ops) checkLinearTo(y, x Mat, w *Weight, bias Mat, s Scales, low []*LowRank) {
	if o.recording {
		fail("a linear into given memory with a tape")
	}
	checkShape("weight of a linear", w.Mat, w.Rows, x.Cols)
	checkShape("result of a linear", y, x.Rows, w.Rows)
	if w.Packed == nil {
		checkNumbers("weight of a linear", w.Mat)
	}
	if !bias.IsZero() {
		checkShape("bias of a linear", bias, 1, w.Rows)
	}
	if !s.In.IsZero() {
		checkShape("scales of a linear's operand", s.In, s.In.Rows, x.Cols)
		checkShape("scales of a linear's product", s.Out, s.In.Rows, w.Rows)
		checkIndex("scale", s.Row, x.Rows, s.In.Rows)
	}
	if low != nil && len(low) != x.Rows {
		fail("products of low rank for %d rows, of %d", len(low), x.Rows)
	}
}

// AddLowRankTo adds low[i] to row i of y, for the row x[i]. It is not differentiable.
func (o *Ops) AddLowRankTo(y, x Mat, low []*LowRank) {
	if len(low) != x.Rows || y.Rows != x.Rows {
		fail("products of low rank for %d rows of %d, to be added to %d", len(low), x.Rows, y.Rows)
	}
	if l, ok := o.backend.(LowRankLinear); ok {
		l.AddLowRank(y, x, low)
		return
	}
	for from := 0; from < len(low); {
		to := from + 1
		for to < len(low) && low[to] == low[from] {
			to++
		}
		if l := low[from]; l != nil {
			o.addLowRank(y.Slice(from, to), x.Slice(from, to), l)
		}
		from = to
	}
}

// addLowRank adds l to all rows of y.
func (o *Ops) addLowRank(y, x Mat, l *LowRank) {
	if !l.u.IsZero() {
		m := o.arena.mark()
		z := o.New(x.Rows, l.v.Rows)
		o.backend.MatMul(z, x, l.v, TransB, false)
		sum := o.New(y.Rows, y.Cols)
		o.backend.MatMul(sum, z, l.u, TransB, false)
		o.backend.Add(y, y, sum)
		o.arena.release(m)
	}
	if !l.d.IsZero() {
		o.backend.AddBias(y, y, l.d)
	}
}

// AddRowsTo computes y[row[i]] += x[i], one i after the other. It is not differentiable.
func (o *Ops) AddRowsTo(y, x Mat, row []int32) {
	checkShape("rows that are added", x, x.Rows, y.Cols)
	if len(row) > 0 {
		checkIndex("row", row, x.Rows, y.Rows)
	}
	if a, ok := o.backend.(RowAdder); ok {
		a.AddRows(y, x, row)
		return
	}
	for i, to := range row {
		part := y.Slice(int(to), int(to)+1)
		o.backend.Add(part, part, x.Slice(i, i+1))
	}
}

// Update is a change of a weight w (nOut, nIn):
//
//	w' = h w + Σ_k diag(a_k) w diag(b_k) + u v
//
// with h one or zero, a_k and b_k the rows of A (ρ, nOut) and B (ρ, nIn), one of which may be the zero Mat
// and then stands for ones, and U (nOut, r), V (r, nIn), or zero Mats.
type Update struct {
	Base       bool // h is 1
	A, B, U, V Mat
}

// terms returns ρ.
func (u *Update) terms() int { return max(u.A.Rows, u.B.Rows) }

// Apply returns w' for a plain weight.
func (u *Update) Apply(w Mat) Mat {
	y := Zeros(w.Rows, w.Cols)
	at := func(m Mat, k, i int) float32 {
		if m.IsZero() {
			return 1
		}
		return m.Row(k)[i]
	}
	for i := range w.Rows {
		for j, v := range w.Row(i) {
			var c, sum float64
			if u.Base {
				c = 1
			}
			for k := range u.terms() {
				c += float64(at(u.A, k, i)) * float64(at(u.B, k, j))
			}
			for k := range u.V.Rows {
				sum += float64(u.U.Row(i)[k]) * float64(u.V.Row(k)[j])
			}
			y.Row(i)[j] = float32(float64(v)*c + sum)
		}
	}
	return y
}

// PackedUpdate is an [Update] in the layout of the backend that packed it.
type PackedUpdate interface {
	Bytes() int64 // of memory
}

// Mixer is implemented by a backend that applies updates to packed weights as they are.
type Mixer interface {
	// PackUpdate lays u out for [Mixer.Mix] of weights (nOut, nIn). The result does not alias it. The error is
	// that of a device without memory, as is NewMixed's.
	PackUpdate(u Update, nOut, nIn int) (PackedUpdate, error)

	// NewMixed returns memory for an update of w.
	NewMixed(w Packed) (Packed, error)

	// Mix writes the update of w to dst, made by NewMixed of a weight of the same shape and format. Where the
	// format has a scale for each channel, it is chosen anew.
	Mix(dst, w Packed, u PackedUpdate)
}

// PackedBytes returns the memory of a packed weight, without scales of its channels.
func PackedBytes(p Packed) int64 {
	nOut, nIn := p.Shape()
	size := map[DType]int64{F32: 4, BF16: 2, F16: 2, I8: 1}[p.DType()]
	return size * int64(nOut) * int64(nIn)
}

// Plain returns the numbers of w in host memory, rounded as it is packed where it was not kept otherwise; !ok where b
// cannot look them up. The error is that of a [Device].
func (w *Weight) Plain(b Backend) (m Mat, ok bool, err error) {
	if w.Data != nil {
		return w.Mat, true, nil
	}
	e, ok := b.(PackedEmbedder)
	if !ok || w.Rows > math.MaxInt32 {
		return Mat{}, false, nil
	}
	memory, err := NewMemory(b, w.Rows*w.Cols)
	if err != nil {
		return Mat{}, false, err
	}
	m = memory.Mat(0, w.Rows, w.Cols)
	id := make([]int32, w.Rows)
	for i := range id {
		id[i] = int32(i)
	}
	e.EmbedPacked(m, w.Packed, id)
	if d, ok := b.(Device); ok {
		defer memory.Free()
		y := Zeros(w.Rows, w.Cols)
		return y, true, d.Read(y.Data, m)
	}
	return m, true, nil
}

// GELUTo computes y = GELU(y) in place. It is not differentiable.
func (o *Ops) GELUTo(y *Mat) { o.backend.GELU(*y, *y) }
