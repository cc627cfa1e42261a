package flora

import (
	"fmt"
	"math"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// Merge makes the plain weights of m what they are under the adapter, as [Factors] has them:
//
//	W ← diag(c) (h W + Σ_k diag(a_k) W diag(b_k) + U V)    bias ← bias + d
//
// computed in float64 and rounded once. The model must be as it was published, with plain weights
// (whisper.LoadPlain): merging twice is merging into another model, and what is merged cannot be taken out again
// without loss.
//
// What an adapter adds to the outputs of keys is left out: it adds q·d to all scores of a query alike, which
// softmax does not see, and Whisper's keys have no bias to add it to.
//
// The errors are [ErrBase], [ErrUnsupported] where the weights are packed, and [ErrInvalid] where a merged number is not
// finite; after the last m is of no use.
func Merge(m *whisper.Model, a *Adapter) error {
	if err := a.Check(m); err != nil {
		return err
	}
	for _, l := range m.Linears() {
		if a.Sites[l.Site] != nil && l.Weight.IsZero() {
			return fmt.Errorf("%w: merge: the model was loaded to serve, and %s is packed", ErrUnsupported, l.Site)
		}
	}
	m.Unpack()
	for _, l := range m.Linears() {
		f := a.Sites[l.Site]
		if f == nil {
			continue
		}
		f.mergeBias(l.Bias)
		f.mergeWeight(l.Weight.Mat)
		for _, data := range [][]float32{l.Weight.Data, l.Bias.Data} {
			for _, v := range data {
				if !isFinite(float64(v)) {
					return fmt.Errorf("%w: %s: merged into %s it gives %v", ErrInvalid, a.Name, l.Site, v)
				}
			}
		}
	}
	return nil
}

// mergeWeight makes of w (nOut, nIn) what it is under the factors.
func (f *Factors) mergeWeight(w tensor.Mat) {
	row := make([]float64, w.Cols)
	for i := range w.Rows {
		f.mergeRow(row, w.Row(i), i)
		c := 1.0
		if !f.M.IsZero() {
			var square float64
			for _, v := range row {
				square += v * v
			}
			c = float64(f.M.Data[i]) / math.Sqrt(square)
		}
		for j, v := range row {
			w.Row(i)[j] = float32(c * v)
		}
	}
}

// mergeRow sets row to row i of h W + Σ_k diag(a_k) W diag(b_k) + U V, where w is row i of W.
func (f *Factors) mergeRow(row []float64, w []float32, i int) {
	for j, v := range w {
		scale := 0.0
		if f.Base {
			scale = 1
		}
		for k := range f.terms() {
			scale += at(f.A, k, i) * at(f.B, k, j)
		}
		row[j] = scale * float64(v)
	}
	if f.U.IsZero() {
		return
	}
	for k, u := range f.U.Row(i) {
		for j, v := range f.V.Row(k) {
			row[j] += float64(u) * float64(v)
		}
	}
}

// at returns element i of scales of term k, 1 where they are ones.
func at(scales tensor.Mat, k, i int) float64 {
	if scales.IsZero() {
		return 1
	}
	return float64(scales.Row(k)[i])
}

// mergeBias makes of a bias, where there is one, what it is under the factors.
func (f *Factors) mergeBias(bias tensor.Mat) {
	for i := range bias.Data {
		v := float64(bias.Data[i])
		if f.OnBias {
			v *= float64(f.A.Data[i])
		}
		if !f.D.IsZero() {
			v += float64(f.D.Data[i])
		}
		bias.Data[i] = float32(v)
	}
}
