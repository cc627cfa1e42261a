package cpu

import "unsafe"

// panel are the operands of a panel kernel, which computes nr columns of a product for all rows:
//
//	for i := range m { for j := range nr {
//		acc := 0; if load { acc = c[i, j] }
//		for p := range k { acc = fma(a[i, p], b[p, j], acc) }
//		if bias != nil { acc += bias[j] }
//		c[i, j] = acc
//	} }
//
// Strides are in bytes: a[i, p] is at a + i*aRow + p*aCol, b[p, j] at b + p*bRow + 4*j, and
// c[i, j] at c + i*cRow + 4*j. The generator in _asm knows the offsets of the fields.
type panel struct {
	a, b, c, bias          *float32
	m, k                   int64
	aRow, aCol, bRow, cRow int64
	load                   int64 // 0 or 1

	// Kernels of int8 compute float32(acc-correction[j]) * rowScale[i] * colScale[j] before the
	// bias. rowScale then points behind the rows that are done.
	rowScale, colScale *float32
	correction         *int32
}

// gemmKernels are what a matrix product is made of.
type gemmKernels struct {
	mr, nr int // the tile that the panel kernel holds in registers

	panel func(p *panel)

	// transpose computes dst[p*ldDst+i] = src[i*ldSrc+p] for i < 8, p < k, with k a multiple of 8.
	transpose func(dst *float32, ldDst int, src *float32, ldSrc, k int)
}

// panelGo is the panel kernel without assembly. It rounds each product before it adds.
func panelGo(p *panel) {
	const nr, quad = 16, 4
	m, k := int(p.m), int(p.k)
	aRow, aCol, bRow, cRow := int(p.aRow/4), int(p.aCol/4), int(p.bRow/4), int(p.cRow/4)
	a := unsafe.Slice(p.a, (m-1)*aRow+(k-1)*aCol+1)
	b := unsafe.Slice(p.b, (k-1)*bRow+nr)
	c := unsafe.Slice(p.c, (m-1)*cRow+nr)
	for i := range m {
		for j := 0; j < nr; j += quad {
			out := (*[quad]float32)(c[i*cRow+j:])
			var acc [quad]float32
			if p.load != 0 {
				acc = *out
			}
			acc = dotQuad(acc, a[i*aRow:], aCol, b[j:], bRow, k)
			if p.bias != nil {
				bias := unsafe.Slice(p.bias, nr)
				for l := range acc {
					acc[l] += bias[j+l]
				}
			}
			*out = acc
		}
	}
}

// dotQuad adds a[p*aCol] * b[p*bRow+l] to acc[l] for p = 0 … k-1 in order.
func dotQuad(acc [4]float32, a []float32, aCol int, b []float32, bRow, k int) [4]float32 {
	c0, c1, c2, c3 := acc[0], acc[1], acc[2], acc[3]
	for p := range k {
		x, y := a[p*aCol], (*[4]float32)(b[p*bRow:])
		c0 += float32(x * y[0])
		c1 += float32(x * y[1])
		c2 += float32(x * y[2])
		c3 += float32(x * y[3])
	}
	return [4]float32{c0, c1, c2, c3}
}
