package tensortest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"glossa/whisper/tensor"
)

// testDevice holds a device to what [tensor.Device] says beside its kernels.
func (s *suite) testDevice(t *testing.T, d tensor.Device) {
	t.Run("Memory", func(t *testing.T) { testDeviceMemory(t, d) })
	t.Run("Order", func(t *testing.T) { testDeviceOrder(t, d) })
	t.Run("CopyRows", func(t *testing.T) { testCopyRows(t, d) })
	t.Run("Indices", func(t *testing.T) { testDeviceIndices(t, d) })
	t.Run("OutOfMemory", func(t *testing.T) { testOutOfMemory(t, d) })
	t.Run("PagedAttention", func(t *testing.T) { s.testPagedAttention(t, d) })
}

// newDeviceMemory returns memory that is given back at the end of the test.
func newDeviceMemory(t *testing.T, d tensor.Device, n int) *tensor.Memory {
	t.Helper()
	m, err := tensor.NewMemory(d, n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Free)
	return m
}

// readDevice returns the numbers of a matrix on a device.
func readDevice(t *testing.T, d tensor.Device, m tensor.Mat) []float32 {
	t.Helper()
	data := make([]float32, m.Rows*m.Cols)
	if err := d.Read(data, m); err != nil {
		t.Fatal(err)
	}
	return data
}

func randomNumbers(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = 2*rng.Float32() - 1
	}
	return x
}

// testDeviceMemory checks addresses, and that what is written is read again.
func testDeviceMemory(t *testing.T, d tensor.Device) {
	rng := rand.New(rand.NewPCG(90, 1))
	type piece struct {
		memory *tensor.Memory
		want   []float32
	}
	var pieces []piece
	for i := range 60 {
		n := 1 + rng.IntN(5000)
		p := piece{newDeviceMemory(t, d, n), randomNumbers(rng, n)}
		if p.memory.Address()%256 != 0 {
			t.Errorf("address %#x is no multiple of 256", p.memory.Address())
		}
		d.Write(p.memory.Mat(0, 1, n), p.want)
		pieces = append(pieces, p)
		if i%3 == 2 {
			pieces[i/3].memory.Free()
			pieces[i/3].memory = nil
		}
	}
	for i, p := range pieces {
		if p.memory != nil {
			identical(t, fmt.Sprint("piece ", i), readDevice(t, d, p.memory.Mat(0, 1, len(p.want))), p.want)
		}
	}
	free, total := d.MemoryInfo()
	if free <= 0 || free > total {
		t.Errorf("%d bytes of %d are free", free, total)
	}
}

// testDeviceOrder checks that writes, copies and kernels take effect in the order of their calls, that data may change
// after Write, and that memory is usable by what was called before it was freed.
func testDeviceOrder(t *testing.T, d tensor.Device) {
	const n = 1000
	x, y, z := newDeviceMemory(t, d, n), newDeviceMemory(t, d, n), newDeviceMemory(t, d, n)
	data := make([]float32, n)
	for round := range 5 {
		for i := range data {
			data[i] = float32(round + i)
		}
		d.Write(x.Mat(0, 1, n), data)
		clear(data)
		d.Zero(y.Mat(0, 1, n))
		d.Copy(z.Mat(0, 1, n), x.Mat(0, 1, n))
		d.Write(x.Mat(0, 1, n), data)
		d.Add(y.Mat(0, 1, n), y.Mat(0, 1, n), z.Mat(0, 1, n))
		d.Add(y.Mat(0, 1, n), y.Mat(0, 1, n), x.Mat(0, 1, n))
	}
	freed, err := tensor.NewMemory(d, n)
	if err != nil {
		t.Fatal(err)
	}
	d.Copy(freed.Mat(0, 1, n), y.Mat(0, 1, n))
	d.Copy(x.Mat(0, 1, n), freed.Mat(0, 1, n))
	freed.Free()
	other := newDeviceMemory(t, d, n)
	d.Zero(other.Mat(0, 1, n))
	for i, v := range readDevice(t, d, x.Mat(0, 1, n)) {
		if v != float32(4+i) {
			t.Fatalf("element %d is %v, want %d", i, v, 4+i)
		}
	}
	if err := d.Read(nil, tensor.Mat{}); err != nil {
		t.Errorf("read of nothing: %v", err)
	}
}

// testCopyRows checks rows that are scattered, and that their addresses may change after the call.
func testCopyRows(t *testing.T, d tensor.Device) {
	rng := rand.New(rand.NewPCG(91, 1))
	for _, size := range [][2]int{{1, 1}, {3, 7}, {40, 64}, {70, 129}, {200, 5}} {
		rows, cols := size[0], size[1]
		x, y := newDeviceMemory(t, d, rows*cols), newDeviceMemory(t, d, 2*rows*cols)
		data := randomNumbers(rng, rows*cols)
		d.Write(x.Mat(0, rows, cols), data)
		d.Zero(y.Mat(0, 2*rows, cols))
		want, to := make([]float32, 2*rows*cols), make([]uintptr, rows)
		for i, at := range rng.Perm(2 * rows)[:rows] {
			to[i] = y.Address() + uintptr(4*at*cols)
			copy(want[at*cols:], data[i*cols:(i+1)*cols])
		}
		d.CopyRows(to, x.Mat(0, rows, cols))
		clear(to)
		identical(t, fmt.Sprint(size), readDevice(t, d, y.Mat(0, 2*rows, cols)), want)
	}
}

// testDeviceIndices checks that slices of indices may change after the call.
func testDeviceIndices(t *testing.T, d tensor.Device) {
	const rows, cols = 30, 16
	rng := rand.New(rand.NewPCG(92, 1))
	x, y := newDeviceMemory(t, d, rows*cols), newDeviceMemory(t, d, rows*cols)
	data := randomNumbers(rng, rows*cols)
	d.Write(x.Mat(0, rows, cols), data)
	id, want := make([]int32, rows), make([]float32, 0, rows*cols)
	for i := range id {
		id[i] = rng.Int32N(rows)
		want = append(want, data[id[i]*cols:(id[i]+1)*cols]...)
	}
	d.Embed(y.Mat(0, rows, cols), x.Mat(0, rows, cols), id)
	clear(id)
	seg := tensor.NewSegments(10, 20)
	u := newDeviceMemory(t, d, rows*cols)
	d.Unfold(u.Mat(0, rows, cols), y.Mat(0, rows, cols), seg, seg, 1, 1)
	seg[1] = 0
	identical(t, "rows", readDevice(t, d, u.Mat(0, rows, cols)), want)
}

// testOutOfMemory checks that an allocation which cannot be says so, and that nothing else is lost by it.
func testOutOfMemory(t *testing.T, d tensor.Device) {
	const n = 1000
	x := newDeviceMemory(t, d, n)
	data := randomNumbers(rand.New(rand.NewPCG(93, 1)), n)
	d.Write(x.Mat(0, 1, n), data)
	_, total := d.MemoryInfo()
	if _, err := d.Alloc(int(total/4 + 1)); !errors.Is(err, tensor.ErrMemory) {
		t.Errorf("error %v for more memory than there is, want ErrMemory", err)
	}
	identical(t, "what was written before", readDevice(t, d, x.Mat(0, 1, n)), data)
}

// testPagedAttention compares attention to keys and values in pages with that to the same in one piece, sequences that
// share pages among them.
func (s *suite) testPagedAttention(t *testing.T, d tensor.Device) {
	const nLayer, layer = 3, 1
	for i, h := range [][2]int{{1, 16}, {2, 64}, {3, 8}} {
		m := newMemory(94 + uint64(i))
		nCol := h[0] * h[1]
		a := newAttention(m, [][2]int{{1, 1}, {1, 63}, {1, 64}, {1, 65}, {5, 200}, {3, 130}, {0, 7}, {1, 448}}, h[0], h[1], true, 3)
		a.kv[5].K, a.kv[5].V = a.kv[4].K.Slice(0, 130), a.kv[4].V.Slice(0, 130) // the beginning of another
		want := tensor.Zeros(a.q.Rows, nCol)
		a.run(s.reference, want)
		part := uintptr(4 * tensor.PageRows * nCol)
		var paged []tensor.KeyValue
		for j, kv := range a.kv {
			p := tensor.PagedKV{Rows: kv.K.Rows, Cols: nCol, Keys: 2 * layer * part, Values: (2*layer + 1) * part}
			for from := 0; from < kv.K.Rows; from += tensor.PageRows {
				if j == 5 && from+tensor.PageRows <= kv.K.Rows {
					p.Page = append(p.Page, paged[4].Paged.Page[from/tensor.PageRows])
					continue
				}
				page := newDeviceMemory(t, d, 2*nLayer*tensor.PageRows*nCol)
				to := min(from+tensor.PageRows, kv.K.Rows)
				first := 2 * layer * tensor.PageRows * nCol
				d.Write(page.Mat(first, to-from, nCol), kv.K.Slice(from, to).Data)
				d.Write(page.Mat(first+tensor.PageRows*nCol, to-from, nCol), kv.V.Slice(from, to).Data)
				p.Page = append(p.Page, page.Address())
			}
			paged = append(paged, tensor.KeyValue{Paged: p})
		}
		q, y := newDeviceMemory(t, d, len(a.q.Data)), newDeviceMemory(t, d, len(want.Data))
		d.Write(q.Mat(0, a.q.Rows, nCol), a.q.Data)
		d.Attention(y.Mat(0, a.q.Rows, nCol), q.Mat(0, a.q.Rows, nCol), a.seg, paged, h[0], true)
		for j := range paged {
			clear(paged[j].Paged.Page)
		}
		got := tensor.NewMat(a.q.Rows, nCol, readDevice(t, d, y.Mat(0, a.q.Rows, nCol)))
		s.tol.Attention.compare(t, a.String(), got, want.Data)
	}
}
