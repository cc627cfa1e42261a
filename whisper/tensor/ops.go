package tensor

import "fmt"

// Ops is the expression layer over a [Backend]: each method checks its operands' shapes (a wrong
// one is a programmer's fault and panics), takes its result from the arena, runs the kernel, and
// records itself where a tape is on. An Ops serves one goroutine; a Backend may serve many Ops.
type Ops struct {
	backend   Backend   // own, or idle
	gradients Gradients // nil: inference only
	own       Backend
	device    Device // own, nil where it computes in host memory
	idle      bool   // the device had no memory: see Reset
	chooser   Chooser
	packer    KeyValuePacker // nil: has no layout
	arena     arena
	recording bool
	tape      []func()
	err       error
	picking   picking
}

// NewOps returns the operations over b with an empty arena.
func NewOps(b Backend) *Ops {
	o := &Ops{own: b, backend: b}
	o.gradients, _ = b.(Gradients)
	o.packer, _ = b.(KeyValuePacker)
	o.device, _ = b.(Device)
	o.arena.device = o.device
	var ok bool
	if o.chooser, ok = b.(Chooser); !ok {
		o.chooser = PlainChooser{}
	}
	return o
}

// Backend returns the backend that the operations run on.
func (o *Ops) Backend() Backend { return o.own }

// Device returns the backend where its memory is not the host's, else nil.
func (o *Ops) Device() Device { return o.device }

// Chooser returns the backend's kernels for choosing tokens, or [PlainChooser].
func (o *Ops) Chooser() Chooser { return o.chooser }

// Weight is the matrix of a linear: plain while it is trained, packed for the backend to serve.
type Weight struct {
	Mat           // (nOut, nIn); of a weight that is served its shape alone
	Packed Packed // nil: not packed, the product reads Mat
}

// Linear returns x wᵀ + bias (nRow, nOut) for x (nRow, nIn), w (nOut, nIn), and bias (1, nOut)
// or the zero Mat.
func (o *Ops) Linear(x Mat, w *Weight, bias Mat) Mat {
	y := o.linearResult(x, w, bias)
	if w.Packed != nil {
		o.backend.Linear(y, x, w.Packed, bias)
	} else {
		o.backend.MatMul(y, x, w.Mat, TransB, false)
		if !bias.IsZero() {
			o.backend.AddBias(y, y, bias)
		}
	}
	if !o.recording {
		return y
	}
	m := w.Mat
	return o.record(y, func(y Mat) {
		dy := o.grad(y)
		if dx, fresh := o.FreshGrad(x); !dx.IsZero() {
			o.backend.MatMul(dx, dy, m, NoTrans, !fresh)
		}
		if dw, fresh := o.FreshGrad(m); !dw.IsZero() {
			o.backend.MatMul(dw, dy, x, TransA, !fresh)
		}
		if db := o.grad(bias); !db.IsZero() {
			o.gradients.SumRows(db, dy)
		}
	}, x, m, bias)
}

// LinearGELU returns GELU(x wᵀ + bias), in one pass where the backend has it.
func (o *Ops) LinearGELU(x Mat, w *Weight, bias Mat) Mat {
	if _, ok := o.backend.(GELULinear); !ok || w.Packed == nil || o.recording {
		return o.GELU(o.Linear(x, w, bias))
	}
	y := o.linearResult(x, w, bias)
	o.LinearTo(y, x, w, bias, Scales{}, nil, true)
	return y
}

// ScaledLinear returns y[i] = out[row[i]] ∘ ((in[row[i]] ∘ x[i]) wᵀ) + bias, in one pass where the
// backend has it.
func (o *Ops) ScaledLinear(x Mat, w *Weight, bias Mat, s Scales) Mat {
	return o.scaledLinear(x, w, bias, s, false)
}

// ScaledLinearGELU returns GELU of [Ops.ScaledLinear].
func (o *Ops) ScaledLinearGELU(x Mat, w *Weight, bias Mat, s Scales) Mat {
	return o.scaledLinear(x, w, bias, s, true)
}

func (o *Ops) scaledLinear(x Mat, w *Weight, bias Mat, s Scales, gelu bool) Mat {
	if _, ok := o.backend.(ScaledLinear); ok && w.Packed != nil && !o.recording {
		y := o.linearResult(x, w, bias)
		o.LinearTo(y, x, w, bias, s, nil, gelu)
		return y
	}
	y := o.Scale(o.Linear(o.Scale(x, s.In, s.Row), w, Mat{}), s.Out, s.Row)
	if !bias.IsZero() {
		y = o.AddBias(y, bias)
	}
	if gelu {
		y = o.GELU(y)
	}
	return y
}

// linearResult checks the operands of a linear and returns memory for its result.
func (o *Ops) linearResult(x Mat, w *Weight, bias Mat) Mat {
	checkShape("weight of a linear", w.Mat, w.Rows, x.Cols)
	if w.Packed == nil || o.recording {
		checkNumbers("weight of a linear", w.Mat)
	}
	if !bias.IsZero() {
		checkShape("bias of a linear", bias, 1, w.Rows)
	}
	return o.New(x.Rows, w.Rows)
}

// Sum returns a + b.
func (o *Ops) Sum(a, b Mat) Mat {
	checkShape("second term of a sum", b, a.Rows, a.Cols)
	y := o.New(a.Rows, a.Cols)
	o.backend.Add(y, a, b)
	if !o.recording {
		return y
	}
	return o.record(y, func(y Mat) {
		o.addGrad(a, o.grad(y))
		o.addGrad(b, o.grad(y))
	}, a, b)
}

// AddTo adds x to y in place. y must not be an operand of an operation recorded before.
func (o *Ops) AddTo(y *Mat, x Mat) {
	checkShape("term added in place", x, y.Rows, y.Cols)
	o.backend.Add(*y, *y, x)
	if o.recording {
		*y = o.record(*y, func(y Mat) { o.addGrad(x, o.grad(y)) }, x)
	}
}

// Scale returns y[i] = x[i] ∘ s[row[i]]; a nil row means s has one row, which scales all.
func (o *Ops) Scale(x, s Mat, row []int32) Mat {
	checkShape("scales", s, s.Rows, x.Cols)
	checkIndex("scale", row, x.Rows, s.Rows)
	y := o.New(x.Rows, x.Cols)
	o.backend.Scale(y, x, s, row)
	if !o.recording {
		return y
	}
	return o.record(y, func(y Mat) { o.gradients.ScaleBackward(o.grad(x), o.grad(s), o.grad(y), x, s, row) }, x, s)
}

// AddBias returns x[i] + bias for bias (1, nCol).
func (o *Ops) AddBias(x, bias Mat) Mat {
	checkShape("bias", bias, 1, x.Cols)
	y := o.New(x.Rows, x.Cols)
	o.backend.AddBias(y, x, bias)
	if !o.recording {
		return y
	}
	return o.record(y, func(y Mat) {
		o.addGrad(x, o.grad(y))
		if db := o.grad(bias); !db.IsZero() {
			o.gradients.SumRows(db, o.grad(y))
		}
	}, x, bias)
}

// AddBiasTo adds bias (1, nCol) to each row of y in place. y must not be an operand of an operation
// recorded before.
func (o *Ops) AddBiasTo(y *Mat, bias Mat) {
	checkShape("bias", bias, 1, y.Cols)
	o.backend.AddBias(*y, *y, bias)
	if o.recording {
		*y = o.record(*y, func(y Mat) {
			if db := o.grad(bias); !db.IsZero() {
				o.gradients.SumRows(db, o.grad(y))
			}
		}, bias)
	}
}

// OuterSum returns Σ_k a_kᵀ b_k (nOut, nIn) over the rows of a (n, nOut) and b (n, nIn).
func (o *Ops) OuterSum(a, b Mat) Mat {
	checkShape("second factor of outer products", b, a.Rows, b.Cols)
	y := o.New(a.Cols, b.Cols)
	o.backend.MatMul(y, a, b, TransA, false)
	if !o.recording {
		return y
	}
	return o.record(y, func(y Mat) {
		dy := o.grad(y)
		if da, fresh := o.FreshGrad(a); !da.IsZero() {
			o.backend.MatMul(da, b, dy, TransB, !fresh)
		}
		if db, fresh := o.FreshGrad(b); !db.IsZero() {
			o.backend.MatMul(db, a, dy, NoTrans, !fresh)
		}
	}, a, b)
}

// LayerNorm returns gamma ∘ (x - mean) / sqrt(var + LayerNormEps) + beta, row by row
// (Ba et al. 2016, eq. 4), for gamma and beta (1, nCol). With rounded, linears with packed weights alone read the
// result, which they round to their format: without a tape a [RoundedNorm] may do it for them.
func (o *Ops) LayerNorm(x, gamma, beta Mat, rounded bool) Mat {
	checkShape("gamma of a layer norm", gamma, 1, x.Cols)
	checkShape("beta of a layer norm", beta, 1, x.Cols)
	y := o.New(x.Rows, x.Cols)
	if b, ok := o.backend.(RoundedNorm); ok && rounded && !o.recording {
		b.LayerNormRounded(y, x, gamma, beta)
		return y
	}
	o.backend.LayerNorm(y, x, gamma, beta)
	if !o.recording {
		return y
	}
	return o.record(y, func(y Mat) {
		o.gradients.LayerNormBackward(o.grad(x), o.grad(gamma), o.grad(beta), o.grad(y), x, gamma)
	}, x, gamma, beta)
}

// GELU returns x Φ(x) (Hendrycks & Gimpel 2016), Φ the normal distribution function.
func (o *Ops) GELU(x Mat) Mat {
	y := o.New(x.Rows, x.Cols)
	o.backend.GELU(y, x)
	if !o.recording {
		return y
	}
	return o.record(y, func(y Mat) { o.gradients.GELUBackward(o.grad(x), o.grad(y), x) }, x)
}

// Embed returns the rows id of table: y (len(id), nCol).
func (o *Ops) Embed(table Mat, id []int32) Mat {
	if len(id) > 0 {
		checkIndex("embedding", id, len(id), table.Rows)
	}
	checkNumbers("table of an embedding", table)
	y := o.New(len(id), table.Cols)
	o.backend.Embed(y, table, id)
	if !o.recording {
		return y
	}
	return o.record(y, func(y Mat) { o.gradients.EmbedBackward(o.grad(table), o.grad(y), id) }, table)
}

// EmbedPacked returns the rows id of a packed weight w (nOut, nIn), on a [PackedEmbedder]: y (len(id), nIn).
// It is not differentiable.
func (o *Ops) EmbedPacked(w Packed, id []int32) Mat {
	nOut, nIn := w.Shape()
	if len(id) > 0 {
		checkIndex("embedding", id, len(id), nOut)
	}
	if o.recording {
		fail("embedding in packed weights with a tape")
	}
	y := o.New(len(id), nIn)
	o.backend.(PackedEmbedder).EmbedPacked(y, w, id)
	return y
}

// LogSoftmax returns log softmax(x), row by row. It is not differentiable; see [Ops.CrossEntropy].
func (o *Ops) LogSoftmax(x Mat) Mat {
	y := o.New(x.Rows, x.Cols)
	o.backend.LogSoftmax(y, x)
	return y
}

// fail panics with what is wrong. It stands behind a condition of its own, since the arguments of a
// call that is made in any case would be garbage of every operation.
func fail(format string, args ...any) { panic("tensor: " + fmt.Sprintf(format, args...)) }

func checkShape(what string, m Mat, rows, cols int) {
	if m.Rows != rows || m.Cols != cols {
		fail("%s is (%d, %d), want (%d, %d)", what, m.Rows, m.Cols, rows, cols)
	}
}

// checkNumbers panics where m has a shape alone, as a weight whose packed form was kept and no other.
func checkNumbers(what string, m Mat) {
	if m.IsZero() && m.Rows*m.Cols > 0 {
		fail("%s (%d, %d) has no plain numbers", what, m.Rows, m.Cols)
	}
}

func checkIndex(what string, index []int32, n, limit int) {
	if index == nil {
		if limit != 1 {
			fail("%s by one row, of %d", what, limit)
		}
		return
	}
	if len(index) != n {
		fail("%s of %d rows by %d indices", what, n, len(index))
	}
	for _, i := range index {
		if i < 0 || int(i) >= limit {
			fail("%s index %d of %d", what, i, limit)
		}
	}
}
