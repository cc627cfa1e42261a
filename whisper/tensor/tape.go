package tensor

// gradient is ∂loss/∂m of a matrix m, made at its first use and zero then. A slice of a matrix
// has a view of the gradient of the whole.
type gradient struct {
	parent *gradient
	offset int
	size   int
	data   []float32
}

// buffer returns the numbers of g, from alloc, which returns zeros, at its first use.
func (g *gradient) buffer(alloc func(int) []float32) []float32 {
	if g.parent != nil {
		return g.parent.buffer(alloc)[g.offset : g.offset+g.size : g.offset+g.size]
	}
	if g.data == nil {
		g.data = alloc(g.size)
	}
	return g.data
}

// NewParam returns a parameter (rows, cols) over data with a gradient of its own, which outlives
// the arena and is zeroed by [Mat.ZeroGrad] alone.
func NewParam(rows, cols int, data []float32) Mat {
	m := NewMat(rows, cols, data)
	m.grad = &gradient{size: len(data), data: make([]float32, len(data))}
	return m
}

// Grad returns ∂loss/∂m after [Ops.Backward], shaped like m, or the zero Mat where m has none.
func (m Mat) Grad() Mat {
	if m.grad == nil {
		return Mat{}
	}
	return NewMat(m.Rows, m.Cols, m.grad.buffer(func(n int) []float32 { return make([]float32, n) }))
}

// ZeroGrad sets the gradient of a parameter to zero.
func (m Mat) ZeroGrad() { clear(m.Grad().Data) }

// Differentiable reports whether a gradient flows to m.
func (m Mat) Differentiable() bool { return m.grad != nil }

// StartTape makes the following operations record themselves for [Ops.Backward], until the next
// [Ops.Reset]. It panics where the backend has no kernels for gradients.
func (o *Ops) StartTape() {
	if o.gradients == nil {
		panic("tensor: backend " + o.backend.Name() + " has no gradients")
	}
	o.recording = true
}

// Backward runs the tape in reverse from loss, a result of a recorded operation whose gradient
// is set to one everywhere.
func (o *Ops) Backward(loss Mat) {
	g := o.grad(loss)
	if g.IsZero() {
		panic("tensor: Backward of a matrix that nothing differentiable leads to")
	}
	for i := range g.Data {
		g.Data[i] = 1
	}
	for i := len(o.tape) - 1; i >= 0; i-- {
		o.tape[i]()
	}
}

// Record makes y depend on xs, with backward called by [Ops.Backward] at y's place in reverse
// order; it must add to the gradients (see [Ops.Grad]) of those xs that have one. It does
// nothing, and backward is never called, where no tape is on or no gradient flows to any of xs.
// A caller outside this package adds a loss or another operation of its own with it.
func (o *Ops) Record(y *Mat, backward func(), xs ...Mat) {
	if !o.recording {
		return
	}
	for _, x := range xs {
		if x.grad != nil {
			if y.grad == nil {
				y.grad = &gradient{size: y.Rows * y.Cols}
			}
			o.tape = append(o.tape, backward)
			return
		}
	}
}

// record is Record for the operations here, which make their closure where a tape is on and not
// else: it would be garbage of every step.
func (o *Ops) record(y Mat, backward func(y Mat), xs ...Mat) Mat {
	o.Record(&y, func() { backward(y) }, xs...)
	return y
}

// Recording reports whether a tape is on, so that what operations are given must stay as it is
// until the next [Ops.Reset].
func (o *Ops) Recording() bool { return o.recording }

// Grad returns the gradient of m to read or add to within a backward function, and the zero Mat
// where none flows to m.
func (o *Ops) Grad(m Mat) Mat { return o.grad(m) }

func (o *Ops) grad(m Mat) Mat {
	if m.grad == nil {
		return Mat{}
	}
	return Mat{Rows: m.Rows, Cols: m.Cols, Data: m.grad.buffer(o.zeros)}
}

// FreshGrad is [Ops.Grad] for a backward function that writes every element where fresh: nothing was
// added to the gradient yet, and its numbers are unspecified.
func (o *Ops) FreshGrad(m Mat) (d Mat, fresh bool) {
	if m.grad == nil || m.grad.parent != nil || m.grad.data != nil {
		return o.grad(m), false
	}
	m.grad.data = o.arena.take(m.grad.size)
	return o.grad(m), true
}

// addGrad adds dy to the gradient of x where one flows to it.
func (o *Ops) addGrad(x, dy Mat) {
	switch dx, fresh := o.FreshGrad(x); {
	case dx.IsZero():
	case fresh:
		o.eachChunk(len(dx.Data), func(from, to int) { copy(dx.Data[from:to], dy.Data[from:to]) })
	default:
		o.backend.Add(dx, dx, dy)
	}
}

// zeros returns n zeros from the arena.
func (o *Ops) zeros(n int) []float32 {
	x := o.arena.take(n)
	o.eachChunk(n, func(from, to int) { clear(x[from:to]) })
	return x
}

// chunkSize is the number of elements that one task clears or copies: 256 KiB.
const chunkSize = 1 << 16

// eachChunk calls f for ranges that make up 0 … n-1, several at once where the backend does.
func (o *Ops) eachChunk(n int, f func(from, to int)) {
	if n <= chunkSize {
		f(0, n)
		return
	}
	o.chooser.Each((n+chunkSize-1)/chunkSize, func(i int) { f(i*chunkSize, min((i+1)*chunkSize, n)) })
}
