//go:build cuda && linux

package cuda

import (
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
)

// factors are those of a LowRank on the device: v (rank, nIn) and u (nOut, rank) in float32, bfloat16 or float16, d (nOut) in float32.
type factors struct {
	held
	entry lowRankEntry

	table  uint64 // the last lowRankTable.list that listed them, and their place in it
	listed int32
}

// lowRankEntry is low_rank of lowrank.cu.
type lowRankEntry struct {
	u, v, d      uint64
	rank, format int32
}

// PackLowRank copies factors in host memory to the device. The error wraps [tensor.ErrMemory].
func (b *Backend) PackLowRank(u, v, d tensor.Mat, dtype tensor.DType) (tensor.PackedLowRank, error) {
	f := &factors{}
	var whole []byte
	add := func(m tensor.Mat, narrow bool) (at int) {
		for len(whole)%256 != 0 {
			whole = append(whole, 0)
		}
		at = len(whole)
		if narrow {
			whole = append(whole, bytesOf(rounded(hostNumbers("factor", m), narrowFormat(dtype)))...)
		} else {
			whole = append(whole, bytesOf(hostNumbers("factor", m))...)
		}
		return at
	}
	narrow := dtype != tensor.F32
	var atU, atV, atD int
	if !u.IsZero() && u.Cols > 0 {
		atU, atV = add(u, narrow), add(v, narrow)
	}
	if !d.IsZero() {
		atD = add(d, false)
	}
	if err := b.hold(&f.held, len(whole)); err != nil {
		return nil, err
	}
	e := &f.entry
	if !u.IsZero() && u.Cols > 0 {
		e.u, e.v, e.rank = uint64(f.at)+uint64(atU), uint64(f.at)+uint64(atV), int32(u.Cols)
	}
	if !d.IsZero() {
		e.d = uint64(f.at) + uint64(atD)
	}
	if narrow {
		e.format = int32(formatOf(narrowFormat(dtype)))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.fill(&f.held, 0, whole); err != nil {
		f.Free()
		return nil, err
	}
	return f, nil
}

// lowRankTable lists the factors of rows: entries, and for each row which of them, or -1.
type lowRankTable struct {
	entries []lowRankEntry
	row     []int32
	lists   uint64 // calls of list
	most    int    // the greatest rank
}

// list fills the table. There are as many entries as rows, or a power of two that is enough, so that the table's size changes with the
// batch alone.
func (t *lowRankTable) list(low []*tensor.LowRank) {
	t.lists++
	t.entries, t.row, t.most = t.entries[:0], t.row[:0], 0
	for i, l := range low {
		switch {
		case l == nil:
			t.row = append(t.row, -1)
			continue
		case i > 0 && l == low[i-1]:
			t.row = append(t.row, t.row[i-1])
			continue
		}
		f := l.Packed().(*factors)
		if f.table != t.lists {
			f.table, f.listed = t.lists, int32(len(t.entries))
			t.entries = append(t.entries, f.entry)
			t.most = max(t.most, int(f.entry.rank))
		}
		t.row = append(t.row, f.listed)
	}
	for n := len(t.entries); n&(n-1) != 0; n++ {
		t.entries = append(t.entries, lowRankEntry{})
	}
}

// shrinkMany returns the kernel that multiplies rows which are in 16 bits by factors of the same format, nil where there is none.
func (b *Backend) shrinkMany(t *lowRankTable, x tensor.Mat, rows narrowRows) *driver.Kernel {
	k := b.fewOf(rows.dtype)
	if k == nil || x.Cols%32 != 0 || !aligned(uintptr(rows.at)) {
		return nil
	}
	for i := range t.entries {
		if e := &t.entries[i]; e.rank > 0 && e.format != int32(formatOf(rows.dtype)) {
			return nil
		}
	}
	return k.shrinkMany
}

// addLowRank appends f with low[i] added to row i before its GELU, for the operand x.
func (b *Backend) addLowRank(f finished, x tensor.Mat, low []*tensor.LowRank) {
	t := &b.index.low
	t.list(low)
	if len(t.entries) == 0 {
		b.finish(f)
		return
	}
	entries, row := driver.Pointer(stage(b, t.entries)), driver.Pointer(stage(b, t.row))
	var z driver.Address
	x16, short := b.shortOf(x)
	if !short {
		x16, short = b.copyOf(x)
	}
	if !short {
		b.widen(x)
		x16 = narrowRows{at: address(x)}
	}
	from, fromFormat := x16.args()
	if t.most > 0 {
		var ok bool
		if z, ok = b.room(&b.ranks, 4*x.Rows*t.most); !ok {
			return
		}
		if k := b.shrinkMany(t, x, x16); k != nil {
			b.list.Launch(k, driver.Dim3{X: blocks(x.Rows, 16), Y: blocks(t.most, 8)}, driver.Dim3{X: 256}, 0, driver.Pointer(z), from, entries, row,
				driver.Int32(x.Rows), driver.Int32(x.Cols), driver.Int32(t.most))
		} else {
			b.list.Launch(b.k.shrink, driver.Dim3{X: blocks(x.Rows, 4), Y: blocks(t.most, 8)}, driver.Dim3{X: 512}, 0, driver.Pointer(z),
				from, fromFormat, entries, row, driver.Int32(x.Rows), driver.Int32(x.Cols), driver.Int32(t.most))
		}
	}
	if f.gelu && f.copy.at == 0 {
		f.copy = b.copyRoom(f.y)
	}
	copy, copyFormat := f.copy.args()
	product, short := b.shortOf(f.x)
	if !short {
		product = narrowRows{at: address(f.x)}
	}
	from, fromFormat = product.args()
	b.launch(b.k.expandEpilogue, driver.Dim3{X: blocks(x.Rows, 16), Y: blocks(f.x.Cols, 256)}, pointer(f.y), copy, copyFormat, from, fromFormat,
		pointer(f.scale), driver.Pointer(stage(b, f.row)), pointer(f.bias), driver.Pointer(z), entries, row, driver.Int32(x.Rows),
		driver.Int32(f.x.Cols), driver.Int32(t.most), truth(f.gelu), truth(f.add))
}

// AddLowRank adds low[i] to row i of y.
func (b *Backend) AddLowRank(y, x tensor.Mat, low []*tensor.LowRank) {
	b.begin()
	defer b.end()
	b.wrote(y)
	if y.Rows*y.Cols > 0 {
		b.addLowRank(finished{y: y, x: y}, x, low)
	}
}
