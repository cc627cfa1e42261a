package audio

import "math"

// The transform of one frame: a real DFT of NFFT = 400 points by the prime-factor algorithm (Good 1958). 400 = 16·25 and
// 16, 25 have no common factor, so with n = 25·n1 + 16·n2 (mod 400), k = k1 (mod 16), k = k2 (mod 25)
//
//	X[k] = Σ_n2 W25^(n2·k2) Σ_n1 W16^(n1·k1) x[n],   W_N = exp(-2πi/N)
//
// has no twiddle factors between its stages: 25 real DFTs of 16 points, then, as the input is real, only the rows k1 = 0…8 of
// DFTs of 25 points; rows 0 and 8 are real and share one complex transform. Arithmetic is float64 throughout: scalar code is as
// fast with it as with float32.
const (
	dftRows = 16
	dftCols = 25
	// dftHalf rows of complex DFTs: row 0 holds k1 = 0 as its real and k1 = 8 as its imaginary part, row r holds k1 = r.
	dftHalf = dftRows / 2
)

// spectrum is the scratch of one power spectrum. The zero value is ready; it lives on the stack of its caller.
type spectrum struct {
	re, im [dftHalf][dftCols]float64
	power  [NFFT/2 + 1]float64 // |X[k]|², k = 0…NFFT/2
}

// dftTables holds the index maps of the prime-factor algorithm and the twiddles of the DFT of 25 points. It is immutable.
type dftTables struct {
	// input[16·n2+n1] = (25·n1 + 16·n2) mod 400 and weight is the window at that sample.
	input  [NFFT]uint16
	weight [NFFT]float64
	// bin[k1][k2] is k or 400-k, whichever is at most 200, for k = k1 (mod 16) = k2 (mod 25).
	bin [dftHalf + 1][dftCols]uint16
	// twiddleRe + i·twiddleIm at [b][c] is W25^(b·c).
	twiddleRe, twiddleIm [5][5]float64
}

// newDFTTables precomputes the maps, with window (NFFT values) folded into the first stage.
func newDFTTables(window []float64) *dftTables {
	t := new(dftTables)
	for n2 := range dftCols {
		for n1 := range dftRows {
			n := (dftCols*n1 + dftRows*n2) % NFFT
			t.input[dftRows*n2+n1] = uint16(n)
			t.weight[dftRows*n2+n1] = window[n]
		}
	}
	for k := range NFFT {
		if k1 := k % dftRows; k1 <= dftHalf {
			t.bin[k1][k%dftCols] = uint16(min(k, NFFT-k))
		}
	}
	for b := range 5 {
		for c := range 5 {
			sin, cos := math.Sincos(2 * math.Pi * float64(b*c) / dftCols)
			t.twiddleRe[b][c], t.twiddleIm[b][c] = cos, -sin
		}
	}
	return t
}

// powerSpectrum sets s.power[k] = |Σ_n window[n]·x[n]·W400^(nk)|² for k = 0…200.
func (t *dftTables) powerSpectrum(s *spectrum, x *[NFFT]float32) {
	for n2 := range dftCols {
		t.realDFT16(s, x, n2)
	}
	for r := range dftHalf {
		t.dft25(&s.re[r], &s.im[r])
	}
	for r := 1; r < dftHalf; r++ {
		re, im, bin := &s.re[r], &s.im[r], &t.bin[r]
		for k2 := range dftCols {
			s.power[bin[k2]] = re[k2]*re[k2] + im[k2]*im[k2]
		}
	}
	// Row 0 is Z = A + iB with A, B the transforms of two real rows: 2A[k] = Z[k] + Z*[-k], 2iB[k] = Z[k] - Z*[-k].
	for k2 := range dftCols/2 + 1 {
		m := (dftCols - k2) % dftCols
		aRe, aIm := s.re[0][k2]+s.re[0][m], s.im[0][k2]-s.im[0][m]
		bRe, bIm := s.re[0][k2]-s.re[0][m], s.im[0][k2]+s.im[0][m]
		s.power[t.bin[0][k2]] = (aRe*aRe + aIm*aIm) / 4
		s.power[t.bin[dftHalf][k2]] = (bRe*bRe + bIm*bIm) / 4
	}
}

const (
	cosPi4  = math.Sqrt2 / 2
	cosPi8  = 0.92387953251128675612818318939678828682 // cos(π/8)
	sinPi8  = 0.38268343236508977172845998403039886676 // sin(π/8)
	sin2Pi5 = 0.95105651629515357211643933337938214340 // sin(2π/5)
	sin4Pi5 = 0.58778525229247312916870595463907276860 // sin(4π/5)
	rootFif = 0.55901699437494742410229341718281905886 // √5/4
)

// realDFT16 takes the windowed samples of column n2 to X[k1] = Σ_n1 x[n1]·W16^(n1·k1), k1 = 0…8, in column n2 of s.
func (t *dftTables) realDFT16(s *spectrum, x *[NFFT]float32, n2 int) {
	in := (*[dftRows]uint16)(t.input[dftRows*n2:])
	w := (*[dftRows]float64)(t.weight[dftRows*n2:])
	var v [dftRows]float64
	for i := range v {
		v[i] = float64(x[in[i]]) * w[i]
	}
	// Sums feed the even outputs, a real DFT of 8 points; differences feed the odd ones.
	s0, s1, s2, s3 := v[0]+v[8], v[1]+v[9], v[2]+v[10], v[3]+v[11]
	s4, s5, s6, s7 := v[4]+v[12], v[5]+v[13], v[6]+v[14], v[7]+v[15]
	t0, t1, t2, t3 := s0+s4, s1+s5, s2+s6, s3+s7
	u0, u2 := s0-s4, s2-s6
	uDiff, uSum := cosPi4*((s1-s5)-(s3-s7)), cosPi4*((s1-s5)+(s3-s7))
	s.re[0][n2], s.im[0][n2] = (t0+t2)+(t1+t3), (t0+t2)-(t1+t3)
	s.re[4][n2], s.im[4][n2] = t0-t2, t3-t1
	s.re[2][n2], s.im[2][n2] = u0+uDiff, -u2-uSum
	s.re[6][n2], s.im[6][n2] = u0-uDiff, u2-uSum

	d0, d1, d2, d3 := v[0]-v[8], v[1]-v[9], v[2]-v[10], v[3]-v[11]
	d4, d5, d6, d7 := v[4]-v[12], v[5]-v[13], v[6]-v[14], v[7]-v[15]
	p1, p2, p3 := d1-d7, cosPi4*(d2-d6), d3-d5
	q1, q2, q3 := d1+d7, cosPi4*(d2+d6), d3+d5
	e, f := d0+p2, cosPi8*p1+sinPi8*p3
	g, h := d0-p2, sinPi8*p1-cosPi8*p3
	s.re[1][n2], s.re[7][n2] = e+f, e-f
	s.re[3][n2], s.re[5][n2] = g+h, g-h
	e, f = q2+d4, sinPi8*q1+cosPi8*q3
	g, h = q2-d4, cosPi8*q1-sinPi8*q3
	s.im[1][n2], s.im[7][n2] = -f-e, e-f
	s.im[3][n2], s.im[5][n2] = -h-g, g-h
}

// dft25 replaces x = re + i·im by X[k] = Σ_n x[n]·W25^(nk), as 5 x 5 (Cooley and Tukey): n = 5a + b, k = c + 5d.
func (t *dftTables) dft25(re, im *[dftCols]float64) {
	var yRe, yIm [dftCols]float64 // y[5c+b]
	for b := range 5 {
		r0, r1, r2, r3, r4, i0, i1, i2, i3, i4 := dft5(
			re[b], re[b+5], re[b+10], re[b+15], re[b+20], im[b], im[b+5], im[b+10], im[b+15], im[b+20])
		wr, wi := &t.twiddleRe[b], &t.twiddleIm[b]
		yRe[b], yIm[b] = r0, i0
		yRe[b+5], yIm[b+5] = r1*wr[1]-i1*wi[1], r1*wi[1]+i1*wr[1]
		yRe[b+10], yIm[b+10] = r2*wr[2]-i2*wi[2], r2*wi[2]+i2*wr[2]
		yRe[b+15], yIm[b+15] = r3*wr[3]-i3*wi[3], r3*wi[3]+i3*wr[3]
		yRe[b+20], yIm[b+20] = r4*wr[4]-i4*wi[4], r4*wi[4]+i4*wr[4]
	}
	for c := range 5 {
		zr, zi := (*[5]float64)(yRe[5*c:]), (*[5]float64)(yIm[5*c:])
		re[c], re[c+5], re[c+10], re[c+15], re[c+20], im[c], im[c+5], im[c+10], im[c+15], im[c+20] = dft5(
			zr[0], zr[1], zr[2], zr[3], zr[4], zi[0], zi[1], zi[2], zi[3], zi[4])
	}
}

// dft5 is the DFT of 5 complex points r + i·i (Winograd 1978): real parts first, then imaginary parts.
func dft5(r0, r1, r2, r3, r4, i0, i1, i2, i3, i4 float64) (_, _, _, _, _, _, _, _, _, _ float64) {
	sr1, sr2, dr1, dr2 := r1+r4, r2+r3, r1-r4, r2-r3
	si1, si2, di1, di2 := i1+i4, i2+i3, i1-i4, i2-i3
	sr, si := sr1+sr2, si1+si2
	mr, mi := r0-sr/4, i0-si/4
	nr, ni := rootFif*(sr1-sr2), rootFif*(si1-si2)
	ar, ai := mr+nr, mi+ni
	br, bi := mr-nr, mi-ni
	cr, ci := sin2Pi5*dr1+sin4Pi5*dr2, sin2Pi5*di1+sin4Pi5*di2
	er, ei := sin4Pi5*dr1-sin2Pi5*dr2, sin4Pi5*di1-sin2Pi5*di2
	return r0 + sr, ar + ci, br + ei, br - ei, ar - ci, i0 + si, ai - cr, bi - er, bi + er, ai + cr
}
