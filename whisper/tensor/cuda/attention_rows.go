//go:build cuda && linux

package cuda

import (
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
)

// rowQueries are the queries of a tile of attention_rows.
const rowQueries = 128

// shortRows are queries, keys and values in rows of a format of 16 bits, cols numbers of all heads each, which begin qCols and kvCols numbers
// apart, and where the result goes: to y in float32, to copy in the format, or to both.
type shortRows struct {
	y, copy             driver.Address
	q                   driver.Address
	dtype               tensor.DType
	cols, qCols, kvCols int
}

// AttendsRounded reports whether attention_rows computes heads of a size in a format.
func (b *Backend) AttendsRounded(size int, dtype tensor.DType) bool {
	k := b.productsOf(dtype)
	return size == headSize && k != nil && k.rows != nil
}

// allRounded reports whether attention_rows computes all sequences of a call.
func (b *Backend) allRounded(q tensor.Mat, kv []tensor.KeyValue, nHead int) bool {
	for i := range kv {
		s := &kv[i]
		if s.DType != kv[0].DType || s.DType == tensor.F32 || !s.Packed.IsZero() || s.Paged.Page != nil || !aligned(q.Dev, s.K.Dev, s.V.Dev) {
			return false
		}
	}
	return len(kv) > 0 && b.AttendsRounded(q.Cols/nHead, kv[0].DType)
}

// roundAndAttend rounds the queries of a call, unless they are short, and the keys and values of its sequences in rows, to a format, and appends their attention.
func (b *Backend) roundAndAttend(w *productWork, y, q tensor.Mat, narrow narrowRows, dtype tensor.DType, whole bool, scale driver.Arg) {
	cols, n := q.Cols, q.Rows
	for i := range w.inRows {
		n += 2 * int(w.inRows[i].nKey)
	}
	at, ok := b.room(&b.shorts, 2*n*cols)
	if !ok {
		return
	}
	r := rounding{b: b, dtype: dtype, free: at}
	rows := shortRows{y: address(y), q: r.add(q), dtype: dtype, cols: cols, qCols: cols, kvCols: cols}
	for i := range w.inRows {
		t := &w.inRows[i]
		t.k = uint64(r.add(tensor.Mat{Rows: int(t.nKey), Cols: cols, Dev: uintptr(t.k)}))
	}
	for i := range w.inRows {
		t := &w.inRows[i]
		t.v = uint64(r.add(tensor.Mat{Rows: int(t.nKey), Cols: cols, Dev: uintptr(t.v)}))
	}
	r.flush()
	if whole && y.Rows >= manyRows && dtype == b.narrows {
		rows.y, rows.copy = 0, b.leave(y, dtype).at
	} else if narrow.dtype == dtype {
		rows.copy = narrow.at
	} else if narrow.dtype != tensor.F32 {
		b.copied = copied{} // it has no copy
	}
	w.tiles = w.tiles[:0]
	for _, t := range w.inRows {
		w.tiles = split(w.tiles, t, rowQueries)
	}
	b.attendRows(rows, w.tiles, scale)
}

// rounding appends the rounding of matrices to one place after the other, those that lie side by side at once.
type rounding struct {
	b     *Backend
	dtype tensor.DType
	free  driver.Address // behind all
	from  tensor.Mat     // is to be rounded to `to`
	to    driver.Address
}

// add returns where x is in 16 bits, or will be.
func (r *rounding) add(x tensor.Mat) driver.Address {
	if s, ok := r.b.shortOf(x); ok && s.dtype == r.dtype {
		return s.at
	}
	if r.from.Rows == 0 || x.Dev != r.from.Dev+uintptr(4*r.from.Rows*r.from.Cols) {
		r.flush()
		r.from, r.to = tensor.Mat{Cols: x.Cols, Dev: x.Dev}, r.free
	}
	at := r.free
	r.from.Rows += x.Rows
	r.free += driver.Address(2 * x.Rows * x.Cols)
	return at
}

// flush appends what is left.
func (r *rounding) flush() {
	r.b.finish(finished{copy: narrowRows{r.to, r.dtype}, x: r.from})
	r.from = tensor.Mat{}
}

// attendRows appends attention_rows for tiles of at most rowQueries queries.
func (b *Backend) attendRows(r shortRows, tiles []attentionTile, scale driver.Arg) {
	k := b.productsOf(r.dtype)
	kernel, block := k.rows, driver.Dim3{X: 128}
	if k.groups != nil {
		kernel, block = k.groups, driver.Dim3{X: 256}
	}
	b.list.Launch(kernel, driver.Dim3{X: len(tiles), Y: r.cols / headSize}, block, 0, driver.Pointer(r.y), driver.Pointer(r.copy), driver.Pointer(r.q),
		driver.Pointer(stage(b, tiles)), driver.Int32(r.cols), driver.Int32(r.qCols), driver.Int32(r.kvCols), scale)
}
