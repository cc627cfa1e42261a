//go:build cuda && linux

package cuda

import (
	"fmt"
	"math"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
)

// finished is what kernel epilogue computes: y[i] = gelu(x[i] ∘ scale[row[i]] + bias), any part of which may be absent, and copy,
// which is that in 16 bits.
type finished struct {
	y, x  tensor.Mat
	copy  narrowRows
	scale tensor.Mat
	row   []int32
	bias  tensor.Mat
	gelu  bool
	add   bool // y += that; there is no copy then
}

// finish appends it.
func (b *Backend) finish(f finished) {
	rows, cols := f.x.Rows, f.x.Cols
	from, short := b.shortOf(f.x)
	if !short {
		from = narrowRows{at: address(f.x)}
	}
	if rows*cols == 0 {
		return
	}
	width := 1
	if cols%4 == 0 && aligned(uintptr(from.at), f.y.Dev, f.scale.Dev, f.bias.Dev, uintptr(f.copy.at)) {
		width = 4
	}
	n := rows * cols / width
	if n > math.MaxUint32 {
		panic(fmt.Sprintf("cuda: a matrix (%d, %d) has more numbers than threads can be told apart for", rows, cols))
	}
	copy, copyFormat := f.copy.args()
	x, xFormat := from.args()
	b.launch(b.k.epilogue, driver.Dim3{X: blocks(n, blockSize)}, pointer(f.y), copy, copyFormat, x, xFormat, pointer(f.scale),
		driver.Pointer(stage(b, f.row)), pointer(f.bias), driver.Int64(int64(n)), driver.Int32(cols/width), driver.Int32(width), truth(f.gelu),
		truth(f.add))
}

// aligned reports whether addresses are those of 16 bytes that a thread reads at once; 0 is.
func aligned(address ...uintptr) bool {
	for _, a := range address {
		if a%16 != 0 {
			return false
		}
	}
	return true
}

func truth(is bool) driver.Arg {
	if is {
		return driver.Int32(1)
	}
	return driver.Int32(0)
}

// Add computes y = a + b.
func (b *Backend) Add(y, a, c tensor.Mat) {
	b.beginAware()
	defer b.end()
	b.widen(a)
	b.widen(c)
	b.wrote(y)
	n, width := y.Rows*y.Cols, 1
	if n == 0 {
		return
	}
	if n%4 == 0 && aligned(y.Dev, a.Dev, c.Dev) {
		n, width = n/4, 4
	}
	b.launch(b.k.add, driver.Dim3{X: blocks(n, blockSize)}, pointer(y), pointer(a), pointer(c), driver.Int64(int64(n)), driver.Int32(width))
}

// Scale computes y[i] = x[i] ∘ s[row[i]].
func (b *Backend) Scale(y, x, s tensor.Mat, row []int32) {
	b.begin()
	defer b.end()
	b.wrote(y)
	b.finish(finished{y: y, x: x, scale: s, row: row})
}

// AddBias computes y[i] = x[i] + bias.
func (b *Backend) AddBias(y, x, bias tensor.Mat) {
	b.begin()
	defer b.end()
	b.wrote(y)
	b.finish(finished{y: y, x: x, bias: bias})
}

// GELU computes y = x Φ(x).
func (b *Backend) GELU(y, x tensor.Mat) {
	b.begin()
	defer b.end()
	b.finish(finished{y: y, x: x, gelu: true, copy: b.copyRoom(y)})
}

// launchRows appends a kernel that has a block for each row of cols numbers.
func (b *Backend) launchRows(k *driver.Kernel, rows, cols int, args ...driver.Arg) {
	if rows == 0 || cols == 0 {
		return
	}
	threads := min(blockSize, (cols+31)/32*32)
	if cols > 8*1024 {
		threads = 1024
	}
	b.list.Launch(k, driver.Dim3{X: rows}, driver.Dim3{X: threads}, 0, args...)
}

// LayerNorm computes y[i] = gamma ∘ (x[i] - mean) / sqrt(var + LayerNormEps) + beta.
func (b *Backend) LayerNorm(y, x, gamma, beta tensor.Mat) { b.layerNorm(y, x, gamma, beta, false) }

// LayerNormRounded is LayerNorm for linears alone, to whose format y may be rounded.
func (b *Backend) LayerNormRounded(y, x, gamma, beta tensor.Mat) {
	b.layerNorm(y, x, gamma, beta, true)
}

func (b *Backend) layerNorm(y, x, gamma, beta tensor.Mat, rounded bool) {
	b.beginAware()
	defer b.end()
	b.widen(x)
	b.wrote(y)
	var narrow narrowRows
	if rounded && x.Rows >= manyRows && b.narrows != tensor.F32 {
		narrow = b.leave(y, b.narrows)
		y.Dev = 0
	} else {
		narrow = b.copyRoom(y)
	}
	if b.normInRegisters(y, narrow, x, gamma, beta) {
		return
	}
	copy, copyFormat := narrow.args()
	b.launchRows(b.k.layerNorm, x.Rows, x.Cols, pointer(y), copy, copyFormat, pointer(x), pointer(gamma), pointer(beta),
		driver.Int32(x.Cols), driver.Float32(tensor.LayerNormEps))
}

// normInRegisters appends LayerNorm of rows that a block or, where there are many, a warp keeps, with the same bits; !done where it is not for
// the kernels.
func (b *Backend) normInRegisters(y tensor.Mat, copy narrowRows, x, gamma, beta tensor.Mat) (done bool) {
	const most = 4096 // columns, four of a thread
	if b.k.normBlock == nil || x.Cols%4 != 0 || x.Cols > most || x.Rows*x.Cols == 0 ||
		!aligned(y.Dev, x.Dev, gamma.Dev, beta.Dev, uintptr(copy.at)) {
		return false
	}
	at, format := copy.args()
	if k := b.normWarp(x.Cols); k != nil && x.Rows >= manyRows {
		b.list.Launch(k, driver.Dim3{X: blocks(x.Rows, 4)}, driver.Dim3{X: 128}, 0, pointer(y), at, format, pointer(x), pointer(gamma), pointer(beta),
			driver.Int32(x.Rows), driver.Float32(tensor.LayerNormEps))
		return true
	}
	b.list.Launch(b.k.normBlock, driver.Dim3{X: x.Rows}, driver.Dim3{X: (x.Cols/4 + 31) / 32 * 32}, 0, pointer(y), at, format, pointer(x),
		pointer(gamma), pointer(beta), driver.Int32(x.Cols/4), driver.Float32(tensor.LayerNormEps))
	return true
}

// normWarp returns the LayerNorm of rows that a warp keeps, nil for lengths that there is none for. Shorter ones have few warps in a block.
func (b *Backend) normWarp(cols int) *driver.Kernel {
	switch cols {
	case 768:
		return b.k.normWarp768
	case 1024:
		return b.k.normWarp1024
	case 1280:
		return b.k.normWarp1280
	}
	return nil
}

// LogSoftmax computes y[i] = x[i] - log Σ exp(x[i]).
func (b *Backend) LogSoftmax(y, x tensor.Mat) {
	b.begin()
	defer b.end()
	b.wrote(y)
	b.launchRows(b.k.logSoftmax, x.Rows, x.Cols, pointer(y), pointer(x), driver.Int32(x.Cols))
}

// Embed computes y[i] = table[id[i]].
func (b *Backend) Embed(y, table tensor.Mat, id []int32) {
	b.begin()
	defer b.end()
	b.wrote(y)
	if len(id) > 0 {
		b.launchRows(b.k.gather, len(id), table.Cols, pointer(y), pointer(table), driver.Pointer(stage(b, id)), driver.Int32(table.Cols))
	}
}

// EmbedPacked computes y[i] = w[id[i]].
func (b *Backend) EmbedPacked(y tensor.Mat, w tensor.Packed, id []int32) {
	b.begin()
	defer b.end()
	b.wrote(y)
	p := w.(*packed)
	if len(id) == 0 {
		return
	}
	if isNarrow(p.dtype) {
		b.launchRows(b.k.gatherNarrow, len(id), p.nIn, pointer(y), driver.Pointer(p.at), format(p.dtype), driver.Pointer(stage(b, id)), driver.Int32(p.nIn))
		return
	}
	b.launchRows(b.k.gather, len(id), p.nIn, pointer(y), driver.Pointer(p.at), driver.Pointer(stage(b, id)), driver.Int32(p.nIn))
}

// Unfold lays the neighbourhoods of a convolution side by side.
func (b *Backend) Unfold(y, x tensor.Mat, ySeg, xSeg tensor.Segments, kernel, stride int) {
	b.begin()
	defer b.end()
	b.wrote(y)
	b.launchRows(b.k.unfold, y.Rows, y.Cols, pointer(y), pointer(x), driver.Pointer(stage(b, ySeg)), driver.Pointer(stage(b, xSeg)),
		driver.Int32(xSeg.Len()), driver.Int32(x.Cols), driver.Int32(kernel), driver.Int32(stride))
}

// AddRows computes y[row[i]] += x[i], one i after the other.
func (b *Backend) AddRows(y, x tensor.Mat, row []int32) {
	b.begin()
	defer b.end()
	b.wrote(y)
	b.addGroups(y, x, tensor.Mat{}, row)
}

// addGroups adds x[i], or x[i] ∘ z[i], to y[row[i]], one i after the other. A nil row stands for zeros.
func (b *Backend) addGroups(y, x, z tensor.Mat, row []int32) {
	if x.Rows == 0 || x.Cols == 0 {
		return
	}
	b.index.group(row, x.Rows)
	to, start, from := stage(b, b.index.to), stage(b, b.index.start), stage(b, b.index.from)
	grid := driver.Dim3{X: x.Rows, Y: blocks(x.Cols, blockSize)}
	if z.IsZero() {
		b.launch(b.k.addGroups, grid, pointer(y), pointer(x), driver.Pointer(to), driver.Pointer(start), driver.Pointer(from), driver.Int32(x.Cols))
		return
	}
	b.launch(b.k.addProductGroups, grid, pointer(y), pointer(x), pointer(z), driver.Pointer(to), driver.Pointer(start), driver.Pointer(from),
		driver.Int32(x.Cols))
}

// index groups rows by where they are added: those of group g are from[start[g]:start[g+1]], in order, and go to row to[g]. There
// are as many groups as rows, so that nothing but numbers depends on row; the last ones may be empty.
type index struct {
	to, start, from []int32
	of              map[int32]int32 // the group of a destination
	groups          []int32         // of each row
	low             lowRankTable
}

func (x *index) group(row []int32, n int) {
	if x.of == nil {
		x.of = make(map[int32]int32)
	}
	clear(x.of)
	x.to, x.groups = x.to[:0], x.groups[:0]
	x.start = x.start[:0]
	for range n + 1 {
		x.start = append(x.start, 0)
	}
	for i := range n {
		to := int32(0)
		if row != nil {
			to = row[i]
		}
		g, ok := x.of[to]
		if !ok {
			g = int32(len(x.to))
			x.of[to] = g
			x.to = append(x.to, to)
		}
		x.groups = append(x.groups, g)
		x.start[g+1]++
	}
	for g := range n {
		x.start[g+1] += x.start[g]
	}
	x.from = x.from[:0]
	for range n {
		x.from = append(x.from, 0)
	}
	for i := n - 1; i >= 0; i-- { // from the end of each group
		g := x.groups[i]
		x.start[g+1]--
		x.from[x.start[g+1]] = int32(i)
	}
	// Now start[g+1] is where group g begins.
	copy(x.start, x.start[1:])
	x.start[n] = int32(n)
	for len(x.to) < n {
		x.to = append(x.to, 0)
	}
}
