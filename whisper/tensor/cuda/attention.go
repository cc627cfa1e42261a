//go:build cuda && linux

package cuda

import (
	"fmt"
	"math"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
)

// headSize is the size of heads that have kernels of their own: every Whisper's.
const headSize = 64

// Sizes of tiles, as the kernels have them.
const (
	keyBlock     = 16  // keys in a block of packed ones
	fewQueries   = 16  // of attention_few
	tiledQueries = 64  // of attention_tiled
	flashQueries = 128 // of attention_flash
	oneQueries   = 4   // up to which a sequence is computed query by query
)

// attentionTile is attention_tile of attention.h.
type attentionTile struct {
	k, v, pages                          uint64
	row, nQuery, see, step, nKey, unused int32
}

// attentionWork sorts the sequences of a call by the kernel that computes them. Its slices are kept for the next call.
type attentionWork struct {
	any, tiled [formats][]attentionTile // by the format of keys and values
	one        []attentionTile
	products   [formats]productWork // by tensor cores

	pages   []uint64           // addresses
	entries []pack             // of PackKeyValue
	chains  []int32            // of AttentionBackward
	last    map[uint64]int     // the last of its sequences with gradients at an address
	back    []backwardSequence // its sequences
}

// productWork is what tensor cores compute of keys and values of a format.
type productWork struct {
	flash, few []attentionTile
	inRows     []attentionTile // sequences whose rows of float32 are to be rounded
	tiles      []attentionTile // theirs

	rows   []int32         // of the queries of few, 16 a tile, -1 where there is none
	open   map[uintptr]int // the tile of few, by its keys, that has room
	filled []int           // queries of each tile of few
}

func (w *attentionWork) reset() {
	w.one, w.pages = w.one[:0], w.pages[:0]
	for i := range formats {
		w.any[i], w.tiled[i] = w.any[i][:0], w.tiled[i][:0]
		p := &w.products[i]
		p.flash, p.few, p.inRows, p.rows, p.filled = p.flash[:0], p.few[:0], p.inRows[:0], p.rows[:0], p.filled[:0]
		if p.open == nil {
			p.open = make(map[uintptr]int)
		}
		clear(p.open)
	}
}

// Attention computes softmax(q kᵀ / sqrt(size)) v for each sequence and head. Which kernel does it depends on the numbers of queries and
// the form of the keys, and on the number of keys only within a bucket: see README.md.
func (b *Backend) Attention(y, q tensor.Mat, seg tensor.Segments, kv []tensor.KeyValue, nHead int, causal bool) {
	b.beginAware()
	defer b.end()
	if q.Rows*q.Cols == 0 {
		return
	}
	if !b.allRounded(q, kv, nHead) {
		b.widenAll()
	}
	_, _ = address(y), address(q) // both on the device
	b.wrote(y)                    // before anything is rounded: what is widened for it takes the same buffer
	w := &b.work
	w.reset()
	table := b.pageTable(kv)
	special := q.Cols/nHead == headSize && aligned(q.Dev)
	for i := range kv {
		from, to := seg.Range(i)
		if from == to {
			continue
		}
		t := attentionTile{row: int32(from), nQuery: int32(to - from), nKey: int32(kv[i].Rows()), see: int32(kv[i].Rows())}
		if causal {
			t.see, t.step = t.see-t.nQuery+1, 1
		}
		switch s := kv[i]; {
		case !s.Packed.IsZero():
			b.addPacked(t, s.Packed)
		case s.Paged.Page != nil:
			t.pages, t.k, t.v = uint64(table)+8*uint64(i*pageStride(kv)), uint64(s.Paged.Keys), uint64(s.Paged.Values)
			w.addRows(t, special && pagesAligned(s.Paged))
		case special && s.DType != tensor.F32 && b.AttendsRounded(headSize, s.DType) && aligned(s.K.Dev, s.V.Dev):
			t.k, t.v = uint64(address(s.K)), uint64(address(s.V))
			p := &w.products[formatOf(narrowFormat(s.DType))]
			p.inRows = append(p.inRows, t)
		default:
			t.k, t.v = uint64(address(s.K)), uint64(address(s.V))
			w.addRows(t, special && aligned(s.K.Dev, s.V.Dev))
		}
	}
	b.launchAttention(y, q, kv, nHead)
}

// addRows adds a sequence whose keys and values lie in rows of float32.
func (w *attentionWork) addRows(t attentionTile, special bool) {
	switch {
	case special && t.nQuery <= oneQueries:
		w.one = append(w.one, t)
	default:
		w.addTiles(t, tensor.F32, special)
	}
}

// addTiles adds a sequence whose keys and values lie in rows of a format, in tiles.
func (w *attentionWork) addTiles(t attentionTile, dtype tensor.DType, special bool) {
	to := &w.any[formatOf(dtype)]
	if special {
		to = &w.tiled[formatOf(dtype)]
	}
	*to = split(*to, t, tiledQueries)
}

// split appends a sequence in tiles of at most n queries.
func split(tiles []attentionTile, t attentionTile, n int32) []attentionTile {
	for t.nQuery > n {
		part := t
		part.nQuery = n
		tiles = append(tiles, part)
		t.row, t.see, t.nQuery = t.row+n, t.see+n*t.step, t.nQuery-n
	}
	return append(tiles, t)
}

// addPacked adds a sequence with packed keys and values.
func (b *Backend) addPacked(t attentionTile, p tensor.PackedKV) {
	w := &b.work
	values := driver.Address(p.Dev) + driver.Address(b.valuesAt(p.Rows, p.Cols, p.NHead, p.DType))
	t.k, t.v = uint64(p.Dev), uint64(values)
	special := p.Cols/p.NHead == headSize && aligned(p.Dev, uintptr(values))
	switch {
	case b.inBlocks(p.Cols/p.NHead, p.DType):
		w.products[formatOf(narrowFormat(p.DType))].add(t, p.Dev)
	case p.DType == tensor.F32:
		w.addRows(t, special)
	default:
		w.addTiles(t, narrowFormat(p.DType), special && t.nQuery > oneQueries)
	}
}

// add adds a sequence whose keys and values are at an address.
func (w *productWork) add(t attentionTile, keys uintptr) {
	if t.nQuery >= tiledQueries {
		w.flash = split(w.flash, t, flashQueries)
		return
	}
	w.addFew(t, keys)
}

// addFew adds the queries of a sequence to a tile of those that have the same keys, which are at an address.
func (w *productWork) addFew(t attentionTile, keys uintptr) {
	for i := range t.nQuery {
		n, ok := w.open[keys]
		if !ok || w.filled[n] == fewQueries {
			n = len(w.few)
			w.open[keys] = n
			w.few, w.filled = append(w.few, t), append(w.filled, 0)
			for range fewQueries {
				w.rows = append(w.rows, -1)
			}
		}
		w.rows[n*fewQueries+w.filled[n]] = t.row + i
		w.filled[n]++
	}
}

// pageStride returns the room that each sequence has in the table of pages: the same until sequences have grown to twice their pages.
func pageStride(kv []tensor.KeyValue) int {
	stride := 8
	for i := range kv {
		for len(kv[i].Paged.Page) > stride {
			stride *= 2
		}
	}
	return stride
}

// pageTable stages the addresses of the pages of each sequence, and returns where.
func (b *Backend) pageTable(kv []tensor.KeyValue) driver.Address {
	w, stride, paged := &b.work, pageStride(kv), false
	for i := range kv {
		for _, page := range kv[i].Paged.Page {
			w.pages, paged = append(w.pages, uint64(page)), true
		}
		for len(w.pages) < (i+1)*stride {
			w.pages = append(w.pages, 0)
		}
	}
	if !paged {
		return 0
	}
	return stage(b, w.pages)
}

func pagesAligned(p tensor.PagedKV) bool { return aligned(p.Keys, p.Values) && aligned(p.Page...) }

// launchAttention appends the kernels that have work.
func (b *Backend) launchAttention(y, q tensor.Mat, kv []tensor.KeyValue, nHead int) {
	w, size, narrow := &b.work, q.Cols/nHead, b.copyRoom(y)
	scale := driver.Float32(float32(math.Log2E / math.Sqrt(float64(size))))
	copy, copyFormat := narrow.args()
	cols := driver.Int32(q.Cols)
	if n := len(w.one); n > 0 {
		b.launch(b.k.one, driver.Dim3{X: n, Y: nHead, Z: mostQueries(w.one)}, pointer(y), copy, copyFormat, pointer(q), driver.Pointer(stage(b, w.one)), cols, scale)
	}
	for f := range formats {
		if n := len(w.any[f]); n > 0 {
			b.list.Launch(b.k.attentionAny, driver.Dim3{X: n, Y: blocks(nHead, 4), Z: mostQueries(w.any[f])}, driver.Dim3{X: 128}, 0, pointer(y), copy, copyFormat,
				pointer(q), driver.Pointer(stage(b, w.any[f])), cols, driver.Int32(size), driver.Int32(nHead), scale, driver.Int32(f))
		}
		if n := len(w.tiled[f]); n > 0 {
			b.launch(b.k.tiled, driver.Dim3{X: n, Y: nHead}, pointer(y), copy, copyFormat, pointer(q), driver.Pointer(stage(b, w.tiled[f])), cols, scale, driver.Int32(f))
		}
	}
	for _, dtype := range []tensor.DType{tensor.BF16, tensor.F16} {
		p, k := &w.products[formatOf(dtype)], b.productsOf(dtype)
		if n := len(p.flash); n > 0 {
			b.list.Launch(k.flash, driver.Dim3{X: n, Y: nHead}, driver.Dim3{X: 128}, 0, pointer(y), copy, copyFormat, pointer(q),
				driver.Pointer(stage(b, p.flash)), cols, scale)
		}
		if len(p.inRows) > 0 {
			b.roundAndAttend(p, y, q, narrow, dtype, b.allRounded(q, kv, nHead), scale)
		}
		if len(p.few) > 0 {
			b.launchFew(k.few, p, y, q, nHead, narrow, scale)
		}
	}
}

// mostQueries returns the greatest number of queries of a tile.
func mostQueries(tiles []attentionTile) int {
	most := int32(1)
	for i := range tiles {
		most = max(most, tiles[i].nQuery)
	}
	return int(most)
}

// launchFew appends attention_few for its work, with as many parts as fill the device, and attention_merge where that is more than one.
func (b *Backend) launchFew(few *driver.Kernel, w *productWork, y, q tensor.Mat, nHead int, narrow narrowRows, scale driver.Arg) {
	copy, copyFormat := narrow.args()
	cols := driver.Int32(q.Cols)
	n, parts := len(w.few), b.fewParts(w.few, nHead)
	tiles, rows := driver.Pointer(stage(b, w.few)), driver.Pointer(stage(b, w.rows))
	var part, stats driver.Address
	if parts > 1 {
		queries := n * nHead * parts * fewQueries
		var ok, too bool
		part, ok = b.room(&b.parts, 4*headSize*queries)
		stats, too = b.room(&b.stats, 4*2*queries)
		if !ok || !too {
			return
		}
	}
	block := driver.Dim3{X: 128}
	b.list.Launch(few, driver.Dim3{X: n, Y: nHead, Z: parts}, block, 0, pointer(y), copy, copyFormat, driver.Pointer(part), driver.Pointer(stats), pointer(q), tiles,
		rows, cols, scale)
	if parts > 1 {
		b.list.Launch(b.k.merge, driver.Dim3{X: n, Y: nHead}, block, 0, pointer(y), copy, copyFormat, driver.Pointer(part), driver.Pointer(stats), rows, cols,
			driver.Int32(parts))
	}
}

// fewParts returns how many blocks share the keys of a tile and a head: with fewer blocks than 4 a multiprocessor, so many that
// there are that many, but none with fewer than 128 keys. It depends on the number of keys by buckets of 128.
func (b *Backend) fewParts(tiles []attentionTile, nHead int) int {
	nKey := 0
	for i := range tiles {
		nKey = max(nKey, int(tiles[i].nKey))
	}
	return max(1, min(4*b.info.Multiprocessors/(len(tiles)*nHead), blocks(nKey, 8*keyBlock), 32))
}

// inBlocks reports whether keys and values packed in a format lie as attention_mma.h says. Elsewhere they lie in rows.
func (b *Backend) inBlocks(size int, dtype tensor.DType) bool {
	return size == headSize && b.productsOf(dtype) != nil
}

// valuesAt returns the bytes that packed keys take: there the values begin. What is asked for in int8 is kept in bfloat16.
func (b *Backend) valuesAt(nKey, nCol, nHead int, dtype tensor.DType) int {
	size := 2
	if dtype == tensor.F32 {
		size = 4
	}
	if b.inBlocks(nCol/nHead, dtype) {
		nKey = blocks(nKey, keyBlock) * keyBlock
	}
	return (size*nKey*nCol + 15) / 16 * 16
}

// PackedKVSize returns the numbers of 4 bytes that packed keys and values take.
func (b *Backend) PackedKVSize(nKey, nCol, nHead int, dtype tensor.DType) int {
	return 2 * b.valuesAt(nKey, nCol, nHead, dtype) / 4
}

// Native reports whether tensor cores multiply numbers of dtype, or it is float32: bfloat16 from 8.0 on, float16 on all. Before 7.5
// attention alone has no kernel for that.
func (b *Backend) Native(dtype tensor.DType) bool {
	return dtype == tensor.F32 || dtype == tensor.F16 || dtype == tensor.BF16 && b.productsOf(dtype) != nil
}

// pack is packing of attention_mma.h.
type pack struct {
	k, v, toK, toV uint64
	nKey, unused   int32
}

// PackKeyValue lays kv[i] out in packed[i].
func (b *Backend) PackKeyValue(to []tensor.PackedKV, kv []tensor.KeyValue) {
	b.begin()
	defer b.end()
	w := &b.work
	w.entries = w.entries[:0]
	var shape tensor.PackedKV // of all, with the most keys
	for i, p := range to {
		if p.Rows*p.Cols == 0 {
			continue
		}
		if p.Dev == 0 {
			panic(fmt.Sprintf("cuda: room for packed keys and values (%d, %d) in host memory", p.Rows, p.Cols))
		}
		values := b.valuesAt(p.Rows, p.Cols, p.NHead, p.DType)
		b.wrote(tensor.Mat{Rows: 1, Cols: 2 * values / 4, Dev: p.Dev})
		if !b.inBlocks(p.Cols/p.NHead, p.DType) {
			b.packRows(p, driver.Address(values), kv[i])
			continue
		}
		if len(w.entries) == maxGridZ || len(w.entries) > 0 && (p.Cols != shape.Cols || p.NHead != shape.NHead || p.DType != shape.DType) {
			b.packBlocks(shape)
			shape = tensor.PackedKV{}
		}
		p.Rows = max(p.Rows, shape.Rows)
		shape = p
		w.entries = append(w.entries, pack{k: uint64(address(kv[i].K)), v: uint64(address(kv[i].V)), toK: uint64(p.Dev),
			toV: uint64(p.Dev) + uint64(values), nKey: int32(to[i].Rows)})
	}
	b.packBlocks(shape)
}

// maxGridZ is the most blocks that a grid may have in its third dimension.
const maxGridZ = 1<<16 - 1

// packBlocks appends the packing of what is listed, of sequences of at most shape.Rows keys, and empties the list.
func (b *Backend) packBlocks(shape tensor.PackedKV) {
	w := &b.work
	if n := len(w.entries); n > 0 {
		b.launch(b.productsOf(shape.DType).packKeyValue, driver.Dim3{X: blocks(shape.Rows, keyBlock), Y: shape.NHead, Z: n}, driver.Pointer(stage(b, w.entries)), driver.Int32(shape.Cols))
	}
	w.entries = w.entries[:0]
}

// packRows appends the packing of a sequence in rows.
func (b *Backend) packRows(p tensor.PackedKV, values driver.Address, kv tensor.KeyValue) {
	for i, x := range []tensor.Mat{kv.K, kv.V} {
		at := driver.Address(p.Dev) + driver.Address(i)*values
		if p.DType == tensor.F32 {
			b.list.CopyDevice(at, address(x), 4*x.Rows*x.Cols)
		} else {
			b.finish(finished{copy: narrowRows{at, narrowFormat(p.DType)}, x: x})
		}
	}
}

// UnpackKeys writes the keys to k (nKey, nCol), rounded as they are packed.
func (b *Backend) UnpackKeys(k tensor.Mat, p tensor.PackedKV) {
	b.begin()
	defer b.end()
	b.wrote(k)
	n := k.Rows * k.Cols
	if n == 0 {
		return
	}
	from := driver.Pointer(driver.Address(p.Dev))
	switch {
	case b.inBlocks(p.Cols/p.NHead, p.DType):
		b.list.Launch(b.productsOf(p.DType).unpackKeys, driver.Dim3{X: blocks(p.Rows, keyBlock), Y: p.NHead}, driver.Dim3{X: 128}, 0, pointer(k), from, driver.Int32(p.Rows),
			driver.Int32(p.Cols))
	case p.DType == tensor.F32:
		b.list.CopyDevice(address(k), driver.Address(p.Dev), 4*n)
	default:
		b.launch(b.k.widen, driver.Dim3{X: blocks(n, blockSize)}, pointer(k), from, format(narrowFormat(p.DType)), driver.Int64(int64(n)))
	}
}
