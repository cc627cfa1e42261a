package cpu

import "glossa/whisper/tensor"

// gemm computes c (m, n) = op(a) op(b), or c += op(a) op(b), with operands rounded to a format, on the
// calling goroutine: each chain of additions then begins with the element of c. a, b and c may be parts of larger matrices: row
// i of one begins at i*ld. op(a) is (m, k): with transA, a is (k, m); with transB, b is (n, k). It
// uses the scratch buffers A, B and C of w.
func (w *worker) gemm(f *format, m, n, k int, a []float32, lda int, transA bool, b []float32, ldb int, transB bool, c []float32, ldc int, accumulate bool) {
	p := &w.product
	*p = product{
		operands: f, m: m, n: n, k: k, a: a, b: b, c: c, lda: lda, ldb: ldb, ldc: ldc,
		transA: transA, transB: transB, accumulate: accumulate,
	}
	for i := 0; i < m; i += blockM {
		w.block(p, i, min(i+blockM, m), 0, n)
	}
	p.a, p.b, p.c = nil, nil, nil
}

// block computes rows i0:i1 and columns j0:j1 of p; j0 is a multiple of nr.
func (w *worker) block(p *product, i0, i1, j0, j1 int) {
	if p.k == 0 {
		p.withoutTerms(i0, i1, j0, j1)
		return
	}
	nr := w.kernels.nr
	w.panel.ahead = fetchAhead
	kc := p.depth(i1-i0, w.kernels.mr)
	if p.rounded() && p.packed != nil && kc == p.k {
		w.panel.ahead = aheadOf(i1-i0, w.kernels.mr, p.operands.steps(p.k)*4*nr)
	}
	for k0 := 0; k0 < p.k; k0 += kc {
		k1 := min(k0+kc, p.k)
		w.first(p, i0, i1, k0, k1)
		for j := j0; j < j1; j += nr {
			w.second(p, j, k0, k1, i1-i0)
			w.panel.load = 0
			if p.accumulate || k0 > 0 {
				w.panel.load = 1
			}
			if j+nr > j1 {
				w.lastColumns(p, i0, j, j1)
				continue
			}
			_ = p.c[(i1-1)*p.ldc+j+nr-1]
			w.panel.c, w.panel.cRow = &p.c[i0*p.ldc+j], int64(4*p.ldc)
			p.operands.panel(&w.panel)
		}
	}
	w.panel = panel{}
}

// rounded reports whether the operands are rounded to bfloat16.
func (p *product) rounded() bool { return p.operands.dtype == tensor.BF16 }

// depth returns how many terms of the inner dimension are added at a time. A few rows take all of
// it, so that the second factor is read as one stream.
func (p *product) depth(rows, mr int) int {
	if rows <= 4*mr || p.rounded() && !p.transA && rows*p.operands.rowBytes(p.k) <= blockBytes {
		return p.k
	}
	n := (p.k + blockK - 1) / blockK
	return roundUp((p.k+n-1)/n, transposeWidth)
}

// first points the kernel at op(a)[i0:i1, k0:k1], transposed now where a is (k, m).
func (w *worker) first(p *product, i0, i1, k0, k1 int) {
	f := p.operands
	w.panel.m, w.panel.k = int64(i1-i0), int64(f.steps(k1-k0))
	if p.rounded() {
		w.firstRounded(p, i0, i1, k0, k1)
		return
	}
	if p.transA {
		ld := roundUp(k1-k0, transposeWidth)
		a := w.floats(scratchA, (i1-i0)*ld)
		w.transpose(a, ld, p.a[k0*p.lda+i0:], p.lda, k1-k0, i1-i0)
		w.panel.a = &a[0]
		w.panel.aRow, w.panel.aCol = int64(4*ld), 4
		return
	}
	_ = p.a[(i1-1)*p.lda+k1-1]
	w.panel.a = &p.a[i0*p.lda+k0]
	w.panel.aRow, w.panel.aCol = int64(4*p.lda), 4
}

// second points the kernel at op(b)[k0:k1, j:j+nr], packed now where it is not yet and rows are
// enough to pay for it.
func (w *worker) second(p *product, j, k0, k1, rows int) {
	nr := w.kernels.nr
	w.panel.bRow = int64(4 * nr)
	if p.packed != nil {
		f := p.operands
		panel := p.packed[(j-p.packedFrom)*f.steps(p.k)+k0/f.terms*nr:]
		_ = panel[f.steps(k1-k0)*nr-1]
		w.panel.b = &panel[0]
		return
	}
	if !p.rounded() && !p.transB && rows <= 2*w.kernels.mr && j+nr <= p.n {
		_ = p.b[(k1-1)*p.ldb+j+nr-1]
		w.panel.b, w.panel.bRow = &p.b[k0*p.ldb+j], int64(4*p.ldb)
		return
	}
	b := w.floats(scratchB, p.operands.steps(k1-k0)*nr)
	w.packColumns(p, b, j, k0, k1)
	w.panel.b = &b[0]
}

// firstRounded is first for operands that are rounded to bfloat16: rows of pairs of terms, or, where a is
// (k, m), pairs of rows.
func (w *worker) firstRounded(p *product, i0, i1, k0, k1 int) {
	f, rows := p.operands, i1-i0
	if p.transA {
		ld := roundUp(rows, cacheLine)
		a := w.floats(scratchA, f.steps(k1-k0)*ld)
		f.pairRows(w, a, ld, p.a[k0*p.lda+i0:], p.lda, k1-k0, rows)
		w.panel.a = &a[0]
		w.panel.aRow, w.panel.aCol = int64(f.aSize), int64(f.aSize*ld)
		return
	}
	size := f.rowBytes(k1 - k0)
	a := w.floats(scratchA, rows*size/4)
	for i := range rows {
		f.convert(w.kernels, bytesOf(a[i*size/4:(i+1)*size/4]), p.a[(i0+i)*p.lda+k0:][:k1-k0])
	}
	w.panel.a = &a[0]
	w.panel.aRow, w.panel.aCol = int64(size), int64(f.aSize)
}

// lastColumns computes the panel of the columns j:j1, fewer than nr, beside the matrix.
func (w *worker) lastColumns(p *product, i0, j, j1 int) {
	nr, n, m := w.kernels.nr, j1-j, int(w.panel.m)
	tile := w.floats(scratchC, m*nr)
	if w.panel.load != 0 {
		for i := range m {
			copy(tile[i*nr:i*nr+n], p.c[(i0+i)*p.ldc+j:])
		}
	}
	w.panel.c, w.panel.cRow = &tile[0], int64(4*nr)
	p.operands.panel(&w.panel)
	for i := range m {
		copy(p.c[(i0+i)*p.ldc+j:(i0+i)*p.ldc+j1], tile[i*nr:])
	}
}

// withoutTerms is block for an inner dimension of zero.
func (p *product) withoutTerms(i0, i1, j0, j1 int) {
	for i := i0; i < i1 && !p.accumulate; i++ {
		clear(p.c[i*p.ldc+j0 : i*p.ldc+j1])
	}
}
