package tensor

import (
	"errors"
	"fmt"
	"slices"
)

// ErrDevice is wrapped by the errors that [Ops.Read] returns for a fault of the device.
var ErrDevice = errors.New("tensor: device fault")

// ErrMemory is wrapped by errors of a device that has too little memory. What was to be computed was not, and the
// device goes on.
var ErrMemory = errors.New("tensor: out of device memory")

// Ops is the expression layer over a [Backend]: each method checks its operands' shapes (a wrong
// one is a programmer's fault and panics), takes its result from the arena, runs the kernel, and
// records itself where a tape is on. An Ops serves one goroutine; a Backend may serve many Ops.
type Ops struct {
	backend   Backend
	gradients Gradients // nil: inference only
	chooser   Chooser
	arena     arena
	recording bool
	tape      []func()
	err       error
}

// NewOps returns the operations over b with an empty arena.
func NewOps(b Backend) *Ops {
	g, _ := b.(Gradients)
	c, ok := b.(Chooser)
	if !ok {
		c = PlainChooser{}
	}
	return &Ops{backend: b, gradients: g, chooser: c}
}

// Backend returns the backend that the operations run on.
func (o *Ops) Backend() Backend { return o.backend }

// Chooser returns the backend's kernels for choosing tokens, or [PlainChooser].
func (o *Ops) Chooser() Chooser { return o.chooser }

// Reset takes back every matrix made since the last Reset, and ends the tape.
func (o *Ops) Reset() {
	o.arena.reset()
	clear(o.tape)
	o.tape = o.tape[:0]
	o.recording = false
}

// Scope returns the result of f and takes back whatever else f made, so that a deep network holds
// the memory of one layer. With a tape on, it takes nothing back.
func (o *Ops) Scope(f func() Mat) Mat {
	if o.recording {
		return f()
	}
	m := o.arena.mark()
	y := f()
	o.arena.release(m)
	kept := o.New(y.Rows, y.Cols)
	copy(kept.Data, y.Data) // the two may overlap, which copy allows
	return kept
}

// Free is Reset, and gives back the memory that the arena holds.
func (o *Ops) Free() {
	o.Reset()
	o.arena = arena{}
}

// Bytes returns the memory that the arena holds.
func (o *Ops) Bytes() int { return o.arena.bytes() }

// New returns a matrix (rows, cols) of unspecified values from the arena.
func (o *Ops) New(rows, cols int) Mat {
	return Mat{Rows: rows, Cols: cols, Data: o.arena.take(rows * cols)}
}

// Upload returns a copy of data as a matrix (rows, cols).
func (o *Ops) Upload(rows, cols int, data []float32) Mat {
	m := o.New(rows, cols)
	if len(data) != rows*cols {
		fail("upload of %d numbers as (%d, %d)", len(data), rows, cols)
	}
	copy(m.Data, data)
	return m
}

// Read copies m to dst and returns the first error of the device since the last Read. Kernels
// return none, so that model code stays an expression; the first failure comes out here.
func (o *Ops) Read(dst []float32, m Mat) error {
	if len(dst) != m.Rows*m.Cols {
		fail("read of (%d, %d) into %d numbers", m.Rows, m.Cols, len(dst))
	}
	if err := o.fault(); err != nil {
		return err
	}
	copy(dst, m.Data)
	return nil
}

// View is [Ops.Read] without the copy where the backend computes in host memory: m's own numbers,
// which the caller may change. Elsewhere it reads into buffer, which it grows.
func (o *Ops) View(m Mat, buffer *[]float32) ([]float32, error) {
	if m.Dev == 0 {
		return m.Data, o.fault()
	}
	n := m.Rows * m.Cols
	*buffer = slices.Grow((*buffer)[:0], n)[:n]
	return *buffer, o.Read(*buffer, m)
}

// fault returns the first error of the device since the last call.
func (o *Ops) fault() error {
	if o.err == nil {
		return nil
	}
	err := fmt.Errorf("%w: %w", ErrDevice, o.err)
	o.err = nil
	return err
}

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
	b, ok := o.backend.(GELULinear)
	if !ok || w.Packed == nil || o.recording {
		return o.GELU(o.Linear(x, w, bias))
	}
	y := o.linearResult(x, w, bias)
	b.LinearGELU(y, x, w.Packed, bias)
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
	b, ok := o.backend.(ScaledLinear)
	if ok && w.Packed != nil && !o.recording {
		checkShape("scales of a linear's operand", s.In, s.In.Rows, x.Cols)
		checkShape("scales of a linear's product", s.Out, s.In.Rows, w.Rows)
		checkIndex("scale", s.Row, x.Rows, s.In.Rows)
		y := o.linearResult(x, w, bias)
		b.ScaledLinear(y, x, w.Packed, bias, s, gelu)
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

// LayerNorm returns gamma ∘ (x - mean) / sqrt(var + LayerNormEps) + beta, row by row
// (Ba et al. 2016, eq. 4), for gamma and beta (1, nCol).
func (o *Ops) LayerNorm(x, gamma, beta Mat) Mat {
	checkShape("gamma of a layer norm", gamma, 1, x.Cols)
	checkShape("beta of a layer norm", beta, 1, x.Cols)
	y := o.New(x.Rows, x.Cols)
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
