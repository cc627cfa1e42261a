package flora_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
)

// TestLinearAddIsASum holds linears under adapters that are added in place to the bits of the sum of rows and Linear, for
// adapters of every kind by every strategy, beside each other and alone.
func TestLinearAddIsASum(t *testing.T) {
	host := backend(t)
	backends := map[string]tensor.Backend{"host": host}
	for name, d := range devices(host) {
		backends[name] = d
	}
	for name, b := range backends {
		t.Run(name, func(t *testing.T) {
			m := goldentest.Tiny(t, b, 1)
			batch, err := flora.NewBatch(m, b, randomAdapters(t, m, 3)...)
			if err != nil {
				t.Fatal(err)
			}
			all := make([]int32, len(batch.Names())+1)
			for i := range all {
				all[i] = int32(i)
			}
			for _, index := range [][]int32{all, {0, 0}, {1, 1}, {2, 0, 2}, {3}, {6}, {7, 2}} {
				testLinearAdd(t, m, b, batch, index)
			}
		})
	}
}

func testLinearAdd(t *testing.T, m *whisper.Model, b tensor.Backend, batch *flora.Batch, index []int32) {
	t.Helper()
	rng := rand.New(rand.NewPCG(11, 4))
	o := tensor.NewOps(b)
	adapted := 0
	for _, l := range m.Linears() {
		s, x, y := randomStep(o, batch, index, l, rng)
		before := numbersOf(t, o, y)
		term, ok := batch.Linear(s, l, x, false)
		added := batch.LinearAdd(s, l, y, x)
		if ok != added {
			t.Fatalf("%v, adapters %v: Linear is adapted: %t, LinearAdd: %t", l.Site, index, ok, added)
		}
		want := before
		if ok {
			adapted++
			want = numbersOf(t, o, o.Sum(o.Upload(y.Rows, y.Cols, before), term))
		}
		if got := numbersOf(t, o, y); !slices.Equal(got, want) {
			t.Errorf("%v, adapters %v: LinearAdd is not the sum with Linear", l.Site, index)
		}
	}
	if any := slices.Max(index) > 0; any != (adapted > 0) {
		t.Errorf("adapters %v: %d linears are adapted", index, adapted)
	}
}

// randomStep returns a step over sequences under adapters, and rows that a linear takes and returns.
func randomStep(o *tensor.Ops, batch *flora.Batch, index []int32, l *whisper.Linear, rng *rand.Rand) (s *whisper.Step, x, y tensor.Mat) {
	o.Reset()
	s = &whisper.Step{Ops: o, Adapter: batch, AdapterOf: index, Seg: tensor.Segments{0}}
	for i := range index {
		s.Seg = append(s.Seg, s.Seg[i]+int32(1+i%3))
	}
	random := func(cols int) tensor.Mat {
		x := make([]float32, s.Seg.Rows()*cols)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		return o.Upload(s.Seg.Rows(), cols, x)
	}
	return s, random(l.Weight.Cols), random(l.Weight.Rows)
}

// numbersOf returns a copy of the numbers of x.
func numbersOf(t *testing.T, o *tensor.Ops, x tensor.Mat) []float32 {
	t.Helper()
	y := make([]float32, x.Rows*x.Cols)
	if err := o.Read(y, x); err != nil {
		t.Fatal(err)
	}
	return y
}
