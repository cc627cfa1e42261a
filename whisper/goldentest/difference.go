package goldentest

import (
	"math"
	"testing"

	"glossa/whisper/tensor"
)

// Difference is how far results of a stage are from the reference, as parts of the reference's root mean square.
type Difference struct {
	Most float64 // the largest, absolute

	squares, reference float64 // sums
	n                  int
}

// Add adds one number.
func (d *Difference) Add(got, want float32) {
	e := math.Abs(float64(got) - float64(want))
	d.squares += e * e
	d.reference += float64(want) * float64(want)
	d.n++
	if !(e <= d.Most) {
		d.Most = e
	}
}

// AddRows adds the rows of got, which are want (len(rows), nCol).
func (d *Difference) AddRows(got tensor.Mat, rows []int, want []float32) {
	for i, r := range rows {
		for j, g := range got.Row(r) {
			d.Add(g, want[i*got.Cols+j])
		}
	}
}

// Within holds the root mean square and the largest of the differences to what is allowed of them.
func (d *Difference) Within(t *testing.T, stage, what string, rms, most float64) {
	t.Helper()
	Within(t, stage+" rms", what, math.Sqrt(d.squares/d.reference), rms)
	Within(t, stage+" max", what, d.Most/math.Sqrt(d.reference/float64(d.n)), most)
}
