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

// multipliesRows reports whether attention_rows computes heads of a size in a format.
func (b *Backend) multipliesRows(size int, dtype tensor.DType) bool {
	k := b.productsOf(dtype)
	return size == headSize && k != nil && k.rows != nil
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
