package cpu

// rowKernels are the loops over one row of one instruction set. Slices of one call have equal
// lengths unless the comment says otherwise. Every element of a result is one sequence of
// operations whatever its place in the row; a reduction's order depends on the length alone.
type rowKernels struct {
	add             func(y, a, b []float32)                               // y = a + b
	mul             func(y, a, b []float32)                               // y = a ∘ b
	mulAdd          func(y, a, b []float32)                               // y += a ∘ b
	shift           func(y, x []float32, c, d float32)                    // y = (x - c) - d
	scale           func(y, x []float32, c float32)                       // y = c x
	dot             func(a, b []float32) float32                          // Σ a ∘ b
	max             func(x []float32) float32                             // max x, -Inf of no numbers
	absMax          func(x []float32) float32                             // max |x|, NaN where one is
	expSum          func(y, x []float32, scale, shift float32) float32    // y = exp(scale x - shift); Σ y
	sumExp          func(x []float32, shift float32) float32              // Σ exp(x - shift)
	softmaxBackward func(dx, y, dy []float32, d, scale float32)           // dx = scale y ∘ (dy - d)
	gelu            func(y, x []float32)                                  // y = x Φ(x)
	geluBackward    func(dx, dy, x []float32)                             // dx += dy ∘ (Φ(x) + x φ(x))
	moments         func(x []float32, eps float32) (mean, rstd float32)   // 1/n Σ x, 1/sqrt(1/n Σ (x - mean)² + eps)
	normalise       func(y, x, gamma, beta []float32, mean, rstd float32) // y = gamma ∘ (x - mean) rstd + beta

	// normSums returns Σ g and Σ g ∘ x̂ for g = dy ∘ gamma, x̂ = (x - mean) rstd.
	normSums func(dy, x, gamma []float32, mean, rstd float32) (sum, dot float32)

	// normBackward computes dx += rstd (dy ∘ gamma - c0 - c1 (x - mean) rstd).
	normBackward func(dx, dy, x, gamma []float32, mean, rstd, c0, c1 float32)

	// normAffine computes dgamma += dy ∘ (x - mean) rstd.
	normAffine func(dgamma, dy, x []float32, mean, rstd float32)

	// dots computes s[j] = Σ_c q[c] k[j stride + c], each sum one chain over c in order: the bits
	// of a matrix product. It takes at least dotRows rows of a length that dotRows divides.
	dots func(s, q, k []float32, stride int)

	// combine computes y[c] = Σ_j p[j] v[j stride + c], each sum one chain over j in order:
	// the bits of a matrix product.
	combine func(y, p, v []float32, stride int)

	// interleave computes y[i] = bfloat16(a[i]) in the lower half and bfloat16(b[i]) in the upper.
	interleave func(y, a, b []float32)

	// pairRows is interleave of rows 2p and 2p+1 of src, of which row i begins at src[i*ldSrc], to
	// dst[p*ldDst], for n pairs of pairCols columns. Nil without a product of bfloat16.
	pairRows func(dst *float32, ldDst int, src *float32, ldSrc, n int)

	// exp2SumBF16 computes y = bfloat16(2^(scale x - shift)), and Σ y before it is rounded. Nil without a product of bfloat16.
	exp2SumBF16 func(y []uint16, x []float32, scale, shift float32) float32

	absMaxTo func(y, x []float32)                    // y = max(y, |x|), NaN where one is
	digits   func(y, a, b, c []float32, low float32) // y = (a - c) + (b - c) low

	// Conversions of a row x of activations for narrow weights, see format. They may write
	// up to a cache line of dst behind it: what zeros would be.
	toBF16      func(dst []uint16, x []float32)
	quantiseU8  func(dst []uint8, x []float32, inverse float32) // round(inverse x) + 128, nil without a product of bytes
	quantiseI16 func(dst []int16, x []float32, inverse float32) // round(inverse x)

	// splitU8 and splitI16 round to two digits: high = round(inverse x), low = round((inverse x -
	// high) digit), with the offsets of quantiseU8 and quantiseI16.
	splitU8  func(high, low []uint8, x []float32, inverse, digit float32)
	splitI16 func(high, low []int16, x []float32, inverse, digit float32)
}

// pairCols is the number of columns of pairRows.
const pairCols = 32

// goRows run on every machine.
var goRows = rowKernels{
	add: addGo, mul: mulGo, mulAdd: mulAddGo, shift: shiftGo, scale: scaleGo, dot: dotGo,
	max: maxGo, absMax: absMaxGo, expSum: expSumGo, sumExp: sumExpGo, softmaxBackward: softmaxBackwardGo,
	gelu: geluGo, geluBackward: geluBackwardGo,
	moments: momentsGo, normalise: normaliseGo,
	normSums: normSumsGo, normBackward: normBackwardGo, normAffine: normAffineGo,
	dots: dotsGo, combine: combineGo,
	interleave: interleaveGo, toBF16: toBF16Go, quantiseI16: quantiseI16Go,
	absMaxTo: absMaxToGo, digits: digitsGo, splitI16: splitI16Go,
}

func addGo(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		y[i] = a[i] + b[i]
	}
}

func mulGo(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		y[i] = a[i] * b[i]
	}
}

func mulAddGo(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		y[i] += a[i] * b[i]
	}
}

func shiftGo(y, x []float32, c, d float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] = (x[i] - c) - d
	}
}

func scaleGo(y, x []float32, c float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] = c * x[i]
	}
}

// dotGo adds in four chains, so that an addition need not wait for the one before.
func dotGo(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	for len(a) >= 4 && len(b) >= 4 {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
		a, b = a[4:], b[4:]
	}
	for i := range a {
		s0 += a[i] * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}

// dotRows is the least number of rows of k, and a divisor of their length, in a call of dots.
const dotRows = 8

// dotsGo adds in four chains, one for each of four rows, so that an addition need not wait for
// the one before.
func dotsGo(s, q, k []float32, stride int) {
	n := len(q)
	j := 0
	for ; j+4 <= len(s); j += 4 {
		k0, k1 := k[j*stride:][:n], k[(j+1)*stride:][:n]
		k2, k3 := k[(j+2)*stride:][:n], k[(j+3)*stride:][:n]
		var s0, s1, s2, s3 float32
		for c, w := range q {
			s0 += float32(w * k0[c])
			s1 += float32(w * k1[c])
			s2 += float32(w * k2[c])
			s3 += float32(w * k3[c])
		}
		s[j], s[j+1], s[j+2], s[j+3] = s0, s1, s2, s3
	}
	for ; j < len(s); j++ {
		var sum float32
		for c, w := range q {
			sum += float32(w * k[j*stride+c])
		}
		s[j] = sum
	}
}

func combineGo(y, p, v []float32, stride int) {
	clear(y)
	for j, c := range p {
		row := v[j*stride:][:len(y)]
		for i := range y {
			y[i] += float32(c * row[i])
		}
	}
}
