package tensor

// gradient is ∂loss/∂m of a matrix m, made at its first use and zero then. A slice of a matrix
// has a view of the gradient of the whole.
type gradient struct {
	parent *gradient
	offset int
	size   int
	value  Mat     // (1, size), or the zero Mat before its first use
	param  bool    // it outlives the arena
	device *Memory // of a parameter's on a device
}

// whole returns the gradient that g is a view of a part of, or g.
func (g *gradient) whole() *gradient {
	for g.parent != nil {
		g = g.parent
	}
	return g
}

// part returns the part of the gradient of the whole that g is a view of.
func (g *gradient) part(whole Mat) Mat {
	y := Mat{Rows: 1, Cols: g.size}
	if whole.Data != nil {
		y.Data = whole.Data[g.offset : g.offset+g.size : g.offset+g.size]
	}
	if whole.Dev != 0 {
		y.Dev = whole.Dev + uintptr(4*g.offset)
	}
	return y
}

// numbers returns the gradient, from alloc, which returns zeros, at its first use.
func (g *gradient) numbers(alloc func(g *gradient) Mat) Mat {
	if g.parent != nil {
		return g.part(g.parent.numbers(alloc))
	}
	if g.value.IsZero() {
		g.value = alloc(g)
	}
	return g.value
}

// NewParam returns a parameter (rows, cols) over data with a gradient of its own, which outlives
// the arena and is zeroed by [Mat.ZeroGrad] alone. On a device it must be placed too: see [Place].
func NewParam(rows, cols int, data []float32) Mat {
	m := NewMat(rows, cols, data)
	m.grad = &gradient{size: len(data), value: Vector(make([]float32, len(data))), param: true}
	return m
}

// Grad returns ∂loss/∂m after [Ops.Backward], shaped like m, or the zero Mat where m has none. That of a parameter
// on a device is there, and in host memory what [Ops.Fetch] has brought.
func (m Mat) Grad() Mat {
	if m.grad == nil {
		return Mat{}
	}
	return m.shaped(m.grad.numbers(func(g *gradient) Mat { return Zeros(1, g.size) }))
}

// shaped returns numbers in the shape of m.
func (m Mat) shaped(numbers Mat) Mat {
	return Mat{Rows: m.Rows, Cols: m.Cols, Data: numbers.Data, Dev: numbers.Dev}
}

// ZeroGrad sets the gradient of a parameter to zero.
func (m Mat) ZeroGrad() {
	clear(m.Grad().Data)
	if m.grad != nil && m.grad.device != nil {
		m.grad.device.device.Zero(m.Grad())
	}
}

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
	ones := make([]float32, g.Rows*g.Cols)
	for i := range ones {
		ones[i] = 1
	}
	o.write(g, ones)
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
	if o.device != nil {
		o.placeGrad(m.grad.whole())
	}
	return m.shaped(m.grad.numbers(o.zeros))
}

// placeGrad gives the gradient of a parameter room on the device, of zeros, where it has none.
func (o *Ops) placeGrad(g *gradient) {
	if !g.param || g.device != nil {
		return
	}
	memory := o.Alloc(g.size)
	if o.idle {
		return
	}
	g.device = memory
	placed := memory.Mat(0, 1, g.size)
	o.device.Zero(placed)
	placed.Data = g.value.Data
	g.value = placed
}

// FreshGrad is [Ops.Grad] for a backward function that writes every element where fresh: nothing was
// added to the gradient yet, and its numbers are unspecified.
func (o *Ops) FreshGrad(m Mat) (d Mat, fresh bool) {
	if m.grad == nil || m.grad.parent != nil || !m.grad.value.IsZero() {
		return o.grad(m), false
	}
	m.grad.value = o.take(m.grad.size)
	return o.grad(m), true
}

// HostGrad lets f add to the gradient of x on the host, or where fresh write each of its numbers, which are
// unspecified: d is shaped like x. f is not called where none flows to x.
func (o *Ops) HostGrad(x Mat, f func(d Mat, fresh bool)) {
	if x.grad == nil {
		return
	}
	if o.device == nil {
		f(o.FreshGrad(x))
		return
	}
	d := Zeros(x.Rows, x.Cols)
	f(d, true)
	o.addGrad(x, o.Upload(x.Rows, x.Cols, d.Data))
}

// addGrad adds dy to the gradient of x where one flows to it.
func (o *Ops) addGrad(x, dy Mat) {
	switch dx, fresh := o.FreshGrad(x); {
	case dx.IsZero():
	case fresh && o.device != nil:
		o.CopyTo(dx, dy)
	case fresh:
		o.eachChunk(len(dx.Data), func(from, to int) { copy(dx.Data[from:to], dy.Data[from:to]) })
	default:
		o.backend.Add(dx, dx, dy)
	}
}

// zeros returns a gradient of zeros from the arena.
func (o *Ops) zeros(g *gradient) Mat {
	x := o.take(g.size)
	if o.device != nil {
		if !o.idle && g.size > 0 {
			o.device.Zero(x)
		}
		return x
	}
	o.eachChunk(g.size, func(from, to int) { clear(x.Data[from:to]) })
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
