package tensortest

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"glossa/whisper/tensor"
)

// hosted runs the kernels of a device on matrices in host memory: it writes the operands of each call to the device,
// in memory of their own between guard bands, and reads all of them after. So what the suite asks of kernels on the
// host it asks of a device's.
//
// It has the methods of every interface that a backend may have. The device may not: see [has].
type hosted struct {
	tensor.Device
	mu     sync.Mutex
	failed error // the first fault
}

// has returns the backend of a suite as T, where it has that interface.
func has[T any](b tensor.Backend) (t T, ok bool) {
	if h, is := b.(*hosted); is {
		if _, ok := h.Device.(T); !ok {
			return t, false
		}
	}
	t, ok = b.(T)
	return t, ok
}

// gradientsOf returns the kernels for gradients of a backend, nil where it has none.
func gradientsOf(b tensor.Backend) tensor.Gradients {
	g, _ := has[tensor.Gradients](b)
	return g
}

// fail notes a fault.
func (h *hosted) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = errors.Join(h.failed, err)
}

// fault returns the faults since the last call.
func (h *hosted) fault() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := h.failed
	h.failed = nil
	return err
}

// transfer is the operands of one call.
type transfer struct {
	h     *hosted
	moved []moved
}

// moved is an operand on the host and the device.
type moved struct {
	host  tensor.Mat
	whole tensor.Mat // on the device, with guard bands
}

// deviceGuard is the numbers before and after an operand on a device, where it begins at 256 bytes as one of the arena
// does.
const deviceGuard = 64

// mat returns an operand on the device. One that is there twice is one memory there too.
func (t *transfer) mat(m tensor.Mat) tensor.Mat {
	if m.Data == nil {
		return m
	}
	n := len(m.Data)
	for _, o := range t.moved {
		if n > 0 && len(o.host.Data) == n && &o.host.Data[0] == &m.Data[0] {
			return t.inner(o.whole, m)
		}
	}
	address, err := t.h.Alloc(n + 2*deviceGuard)
	if err != nil {
		panic(fmt.Sprint("tensortest: ", err))
	}
	whole := tensor.Mat{Rows: 1, Cols: n + 2*deviceGuard, Dev: address}
	numbers := make([]float32, whole.Cols)
	for i := range numbers {
		numbers[i] = poison
	}
	copy(numbers[deviceGuard:], m.Data)
	t.h.Write(whole, numbers)
	t.moved = append(t.moved, moved{m, whole})
	return t.inner(whole, m)
}

func (*transfer) inner(whole, like tensor.Mat) tensor.Mat {
	return tensor.Mat{Rows: like.Rows, Cols: like.Cols, Dev: whole.Dev + 4*deviceGuard}
}

func (t *transfer) keyValues(kvs []tensor.KeyValue) []tensor.KeyValue {
	y := make([]tensor.KeyValue, len(kvs))
	for i, kv := range kvs {
		y[i] = tensor.KeyValue{K: t.mat(kv.K), V: t.mat(kv.V), Packed: t.packed(kv.Packed)}
	}
	return y
}

func (t *transfer) packed(p tensor.PackedKV) tensor.PackedKV {
	if p.Data != nil {
		p.Dev = t.mat(tensor.NewMat(1, len(p.Data), p.Data)).Dev
		p.Data = nil
	}
	return p
}

func (t *transfer) scales(s tensor.Scales) tensor.Scales {
	return tensor.Scales{In: t.mat(s.In), Out: t.mat(s.Out), Row: s.Row}
}

// on calls a kernel, and reads its operands.
func (h *hosted) on(call func(t *transfer)) {
	t := &transfer{h: h}
	call(t)
	for _, o := range t.moved {
		numbers := make([]float32, o.whole.Cols)
		if err := h.Device.Read(numbers, o.whole); err != nil {
			h.fail(err)
		}
		h.Free(o.whole.Dev)
		end := len(numbers) - deviceGuard
		for i, v := range numbers {
			if (i < deviceGuard || i >= end) && *(*uint32)(unsafe.Pointer(&v)) != *(*uint32)(unsafe.Pointer(&poison)) {
				h.fail(fmt.Errorf("element %d of %d was written", i-deviceGuard, end-deviceGuard))
				break
			}
		}
		for i, v := range numbers[deviceGuard:end] {
			if *(*uint32)(unsafe.Pointer(&v)) != *(*uint32)(unsafe.Pointer(&o.host.Data[i])) { // inputs may be read by others meanwhile
				o.host.Data[i] = v
			}
		}
	}
}

func (h *hosted) Linear(y, x tensor.Mat, w tensor.Packed, bias tensor.Mat) {
	h.on(func(t *transfer) { h.Device.Linear(t.mat(y), t.mat(x), w, t.mat(bias)) })
}

func (h *hosted) MatMul(c, a, b tensor.Mat, mode tensor.Transpose, accumulate bool) {
	h.on(func(t *transfer) { h.Device.MatMul(t.mat(c), t.mat(a), t.mat(b), mode, accumulate) })
}

func (h *hosted) Add(y, a, b tensor.Mat) {
	h.on(func(t *transfer) { h.Device.Add(t.mat(y), t.mat(a), t.mat(b)) })
}

func (h *hosted) Scale(y, x, s tensor.Mat, row []int32) {
	h.on(func(t *transfer) { h.Device.Scale(t.mat(y), t.mat(x), t.mat(s), row) })
}

func (h *hosted) AddBias(y, x, bias tensor.Mat) {
	h.on(func(t *transfer) { h.Device.AddBias(t.mat(y), t.mat(x), t.mat(bias)) })
}

func (h *hosted) LayerNorm(y, x, gamma, beta tensor.Mat) {
	h.on(func(t *transfer) { h.Device.LayerNorm(t.mat(y), t.mat(x), t.mat(gamma), t.mat(beta)) })
}

func (h *hosted) GELU(y, x tensor.Mat) {
	h.on(func(t *transfer) { h.Device.GELU(t.mat(y), t.mat(x)) })
}

func (h *hosted) LogSoftmax(y, x tensor.Mat) {
	h.on(func(t *transfer) { h.Device.LogSoftmax(t.mat(y), t.mat(x)) })
}

func (h *hosted) Attention(y, q tensor.Mat, seg tensor.Segments, kv []tensor.KeyValue, nHead int, causal bool) {
	h.on(func(t *transfer) { h.Device.Attention(t.mat(y), t.mat(q), seg, t.keyValues(kv), nHead, causal) })
}

func (h *hosted) Embed(y, table tensor.Mat, id []int32) {
	h.on(func(t *transfer) { h.Device.Embed(t.mat(y), t.mat(table), id) })
}

func (h *hosted) Unfold(y, x tensor.Mat, ySeg, xSeg tensor.Segments, kernel, stride int) {
	h.on(func(t *transfer) { h.Device.Unfold(t.mat(y), t.mat(x), ySeg, xSeg, kernel, stride) })
}

func (h *hosted) gradients() tensor.Gradients { return h.Device.(tensor.Gradients) }

func (h *hosted) SumRows(y, x tensor.Mat) {
	h.on(func(t *transfer) { h.gradients().SumRows(t.mat(y), t.mat(x)) })
}

func (h *hosted) ScaleBackward(dx, ds, dy, x, s tensor.Mat, row []int32) {
	h.on(func(t *transfer) {
		h.gradients().ScaleBackward(t.mat(dx), t.mat(ds), t.mat(dy), t.mat(x), t.mat(s), row)
	})
}

func (h *hosted) LayerNormBackward(dx, dgamma, dbeta, dy, x, gamma tensor.Mat) {
	h.on(func(t *transfer) {
		h.gradients().LayerNormBackward(t.mat(dx), t.mat(dgamma), t.mat(dbeta), t.mat(dy), t.mat(x), t.mat(gamma))
	})
}

func (h *hosted) GELUBackward(dx, dy, x tensor.Mat) {
	h.on(func(t *transfer) { h.gradients().GELUBackward(t.mat(dx), t.mat(dy), t.mat(x)) })
}

func (h *hosted) AttentionBackward(dq tensor.Mat, dkv []tensor.KeyValue, dy, q tensor.Mat, seg tensor.Segments, kv []tensor.KeyValue, nHead int, causal bool) {
	h.on(func(t *transfer) {
		h.gradients().AttentionBackward(t.mat(dq), t.keyValues(dkv), t.mat(dy), t.mat(q), seg, t.keyValues(kv), nHead, causal)
	})
}

func (h *hosted) EmbedBackward(dtable, dy tensor.Mat, id []int32) {
	h.on(func(t *transfer) { h.gradients().EmbedBackward(t.mat(dtable), t.mat(dy), id) })
}

func (h *hosted) UnfoldBackward(dx, dy tensor.Mat, ySeg, xSeg tensor.Segments, kernel, stride int) {
	h.on(func(t *transfer) { h.gradients().UnfoldBackward(t.mat(dx), t.mat(dy), ySeg, xSeg, kernel, stride) })
}
