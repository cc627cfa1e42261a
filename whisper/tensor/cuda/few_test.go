//go:build cuda && linux

package cuda

import (
	"fmt"
	"math"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
)

// fewSizes are (nOut, nIn) of products of few rows, of whose sums one block, two and four have a part, some with columns that fill no tile.
var fewSizes = [][2]int{{96, 64}, {72, 32}, {20, 1920}, {33, 1280}, {48, 5120}}

// TestFewRows holds products of few rows to those of the reference, with all that they may have beside them, and to the bits of each row alone.
func TestFewRows(t *testing.T) {
	b := open(t)
	for _, dtype := range []tensor.DType{tensor.BF16, tensor.F16} {
		for _, size := range fewSizes {
			for _, rows := range []int{1, 3, 8, 9, 16, 17, 33, 64, 65, 128} {
				if size[1] > 1280 && rows > 9 && rows != 64 && rows != 128 {
					continue
				}
				t.Run(fmt.Sprintf("%v/%dx%d/%d", dtype, size[0], size[1], rows), func(t *testing.T) { testFewRows(t, b, dtype, rows, size[0], size[1]) })
			}
		}
	}
}

func testFewRows(t *testing.T, b *Backend, dtype tensor.DType, rows, nOut, nIn int) {
	if b.fewOf(dtype) == nil {
		t.Skipf("SKIP: products of few rows of %v on %s absent: tensor cores do not multiply it", dtype, b.Device())
	}
	r := newRoom(t, b)
	w := r.random(nOut, nIn)
	for i := range w.Data {
		w.Data[i] /= float32(math.Sqrt(float64(nIn)))
	}
	p, err := b.Pack(host(w), dtype)
	if err != nil {
		t.Fatal(err)
	}
	x, bias := r.random(rows, nIn), r.random(1, nOut)
	y, alone := r.empty(rows, nOut), r.empty(rows, nOut)
	want := tensor.Zeros(rows, nOut)
	ref.New().MatMul(want, host(x), host(w), tensor.TransB, false)
	ref.New().AddBias(want, want, host(bias))

	before := b.list.Len()
	b.Linear(y, x, p, bias)
	b.flush()
	if n := b.list.Len() - before; n > 3 { // rounding, the product, and counters in the beginning
		t.Errorf("%d operations for one product", n)
	}
	got := r.read(y)
	near(t, "product", got, want, 0.02)
	for _, i := range []int{0, rows / 2, rows - 1} {
		b.Linear(alone.Slice(i, i+1), x.Slice(i, i+1), p, bias)
	}
	bits := r.read(alone)
	for _, i := range []int{0, rows / 2, rows - 1} {
		near(t, fmt.Sprintf("row %d alone", i), bits.Slice(i, i+1), got.Slice(i, i+1), 0)
	}
	b.LinearGELU(y, x, p, bias)
	ref.New().GELU(want, want)
	near(t, "GELU", r.read(y), want, 0.02)
}

// TestFewGrids checks that a sum has the same bits however products are divided, but for the number of blocks that share it.
func TestFewGrids(t *testing.T) {
	b := open(t)
	k := b.fewOf(tensor.BF16)
	if k == nil {
		t.Skipf("SKIP: products of few rows on %s absent: tensor cores do not multiply bfloat16", b.Device())
	}
	r := newRoom(t, b)
	const rows, nOut, nIn = 70, 72, 1920
	x, w, y, want := r.random(rows, nIn), r.random(nOut, nIn), r.empty(rows, nOut), r.empty(rows, nOut)
	p, err := b.Pack(host(w), tensor.BF16)
	if err != nil {
		t.Fatal(err)
	}
	for _, parts := range []int{1, fewParts(nIn)} {
		var first tensor.Mat
		for i, g := range []fewGrid{{k.rows8, 8, parts}, {k.rows16, 16, parts}, {k.rows32, 32, parts}} {
			from, ok := b.narrowed(x, tensor.BF16)
			if !ok {
				t.Fatal("no room")
			}
			f := fewLaunch{n: 2, rows: rows, cols: nOut, inner: nIn}
			f.products[0] = fewProduct{x: from, w: p.(*packed).at, y: address(want)}
			f.products[1] = fewProduct{x: from, w: p.(*packed).at, y: address(y)}
			b.launchProducts(&f, g)
			both := [2]tensor.Mat{r.read(want), r.read(y)}
			if i == 0 {
				first = both[0]
				ref.New().MatMul(both[1], host(x), host(w), tensor.TransB, false)
				near(t, "the first", first, both[1], 0.3)
				continue
			}
			for _, got := range both {
				near(t, fmt.Sprintf("%d rows, of %d parts", g.rows, parts), got, first, 0)
			}
		}
	}
}

// TestFewTogether checks that linears of one operand have one launch, with one for what they need of it, and the bits that they have alone.
func TestFewTogether(t *testing.T) {
	b := open(t)
	if b.fewOf(tensor.BF16) == nil {
		t.Skipf("SKIP: products of few rows on %s absent: tensor cores do not multiply bfloat16", b.Device())
	}
	r := newRoom(t, b)
	const rows, nOut, nIn = 11, 40, 64
	x := r.random(rows, nIn)
	b.LayerNorm(x, x, r.random(1, nIn), r.random(1, nIn)) // leaves a copy
	scales := func() tensor.Scales {
		return tensor.Scales{In: r.random(2, nIn), Out: r.random(2, nOut), Row: []int32{0, 1, 0, 0, 1, 0, 1, 1, 1, 0, 0}}
	}
	low := func(ranks ...int) []*tensor.LowRank {
		var l []*tensor.LowRank
		for i := range rows {
			if i%3 == 2 {
				l = append(l, nil)
				continue
			}
			rank := ranks[i%len(ranks)]
			f, err := tensor.NewLowRank(b, host(r.random(nOut, rank)), host(r.random(rank, nIn)), tensor.Mat{}, tensor.BF16)
			if err != nil {
				t.Fatal(err)
			}
			l = append(l, f)
		}
		return l
	}
	var w [4]tensor.Packed
	var y, alone [4]tensor.Mat
	for i := range w {
		var err error
		if w[i], err = b.Pack(host(r.random(nOut, nIn)), tensor.BF16); err != nil {
			t.Fatal(err)
		}
		y[i], alone[i] = r.empty(rows, nOut), r.empty(rows, nOut)
	}
	s := [4]tensor.Scales{scales(), scales(), scales(), scales()}
	f := [4][]*tensor.LowRank{low(1, 8), low(8), nil, low(3, 9)}
	bias := r.random(1, nOut)
	for _, c := range []struct {
		what string
		n    int // operations
		of   func(y tensor.Mat, i int)
	}{
		{"plain", 2 + 1, func(y tensor.Mat, i int) { b.Linear(y, x, w[i], bias) }}, // the copy of x was given up by Read
		{"scaled", 2 + 2, func(y tensor.Mat, i int) { b.ScaledLinear(y, x, w[i], bias, s[i], false) }},
		{"low rank", 2 + 2 + 1, func(y tensor.Mat, i int) { b.LowRankLinear(y, x, w[i], bias, tensor.Scales{}, f[i], false) }},
		{"scaled, low rank", 2 + 2 + 2, func(y tensor.Mat, i int) { b.LowRankLinear(y, x, w[i], bias, s[i], f[i], false) }},
	} {
		for range 2 { // there is room the second time
			r.read(x)
			before := b.list.Len()
			for i := range y {
				c.of(y[i], i)
			}
			b.flush()
			if n := b.list.Len() - before; n != c.n {
				t.Errorf("%s: %d operations for four linears, want %d", c.what, n, c.n)
			}
		}
		for i := range y {
			c.of(alone[i], i)
			got, want := r.read(y[i]), r.read(alone[i])
			near(t, fmt.Sprintf("%s, linear %d", c.what, i), got, want, 0)
		}
	}
}
