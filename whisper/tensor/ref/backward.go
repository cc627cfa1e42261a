package ref

import (
	"math"

	"glossa/whisper/tensor"
)

// SumRows adds Σ_i x[i] to y.
func (*Backend) SumRows(y, x tensor.Mat) {
	for j := range x.Cols {
		sum := float64(y.Data[j])
		for i := range x.Rows {
			sum += float64(x.Row(i)[j])
		}
		y.Data[j] = float32(sum)
	}
}

// ScaleBackward adds dy[i] ∘ s[row[i]] to dx[i], and Σ dy[i] ∘ x[i] over the rows i with
// row[i] = r to ds[r].
func (*Backend) ScaleBackward(dx, ds, dy, x, s tensor.Mat, row []int32) {
	if !dx.IsZero() {
		for i := range dx.Rows {
			for j, v := range s.Row(index(row, i)) {
				dx.Row(i)[j] = float32(float64(dx.Row(i)[j]) + float64(dy.Row(i)[j])*float64(v))
			}
		}
	}
	if !ds.IsZero() {
		for r := range ds.Rows {
			for j := range ds.Cols {
				sum := float64(ds.Row(r)[j])
				for i := range x.Rows {
					if index(row, i) == r {
						sum += float64(dy.Row(i)[j]) * float64(x.Row(i)[j])
					}
				}
				ds.Row(r)[j] = float32(sum)
			}
		}
	}
}

// LayerNormBackward adds, with z = (x - mean) / σ, σ = sqrt(var + LayerNormEps), g = dy ∘ gamma,
//
//	dgamma = Σ_i dy[i] ∘ z[i]
//	dbeta  = Σ_i dy[i]
//	dx[i]  = (g - mean(g) - z mean(g ∘ z)) / σ
func (b *Backend) LayerNormBackward(dx, dgamma, dbeta, dy, x, gamma tensor.Mat) {
	if !dgamma.IsZero() {
		z := make([]float64, x.Rows*x.Cols)
		for i := range x.Rows {
			mean, inverse := moments(x.Row(i))
			for j, v := range x.Row(i) {
				z[i*x.Cols+j] = (float64(v) - mean) * inverse
			}
		}
		for j := range x.Cols {
			sum := float64(dgamma.Data[j])
			for i := range x.Rows {
				sum += float64(dy.Row(i)[j]) * z[i*x.Cols+j]
			}
			dgamma.Data[j] = float32(sum)
		}
	}
	if !dbeta.IsZero() {
		b.SumRows(dbeta, dy)
	}
	if !dx.IsZero() {
		for i := range x.Rows {
			layerNormBackwardRow(dx.Row(i), dy.Row(i), x.Row(i), gamma.Data)
		}
	}
}

func layerNormBackwardRow(dx, dy, x, gamma []float32) {
	mean, inverse := moments(x)
	n := float64(len(x))
	var meanG, meanGZ float64
	for j, v := range x {
		g := float64(dy[j]) * float64(gamma[j])
		meanG += g / n
		meanGZ += g * (float64(v) - mean) * inverse / n
	}
	for j, v := range x {
		g := float64(dy[j]) * float64(gamma[j])
		z := (float64(v) - mean) * inverse
		dx[j] = float32(float64(dx[j]) + (g-meanG-z*meanGZ)*inverse)
	}
}

// GELUBackward adds dy ∘ (Φ(x) + x φ(x)) to dx, φ the normal density.
func (*Backend) GELUBackward(dx, dy, x tensor.Mat) {
	for i, v := range x.Data {
		x := float64(v)
		density := math.Exp(-x*x/2) / math.Sqrt(2*math.Pi)
		dx.Data[i] = float32(float64(dx.Data[i]) + float64(dy.Data[i])*(normal(x)+x*density))
	}
}

// EmbedBackward adds to dtable[t] the sum of dy[i] over the rows i with id[i] = t.
func (*Backend) EmbedBackward(dtable, dy tensor.Mat, id []int32) {
	for t := range dtable.Rows {
		sum := make([]float64, dtable.Cols)
		for i, idi := range id {
			if int(idi) != t {
				continue
			}
			for j, v := range dy.Row(i) {
				sum[j] += float64(v)
			}
		}
		for j, v := range sum {
			dtable.Row(t)[j] = float32(float64(dtable.Row(t)[j]) + v)
		}
	}
}

// UnfoldBackward adds to dx[u] the taps j of the output rows t that read it: those with
// t*stride - (kernel-1)/2 + j = u.
func (*Backend) UnfoldBackward(dx, dy tensor.Mat, ySeg, xSeg tensor.Segments, kernel, stride int) {
	for s := range xSeg.Len() {
		xFrom, xTo := xSeg.Range(s)
		yFrom, yTo := ySeg.Range(s)
		for u := range xTo - xFrom {
			for c := range dx.Cols {
				sum := float64(dx.Row(xFrom + u)[c])
				for t := range yTo - yFrom {
					if j := u - t*stride + (kernel-1)/2; j >= 0 && j < kernel {
						sum += float64(dy.Row(yFrom + t)[j*dx.Cols+c])
					}
				}
				dx.Row(xFrom + u)[c] = float32(sum)
			}
		}
	}
}
