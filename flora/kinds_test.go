package flora_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
)

// TestBatchIsTheEquation holds a batch to the operations that each kind's equation is made of, with
// something added to the bias.
func TestBatchIsTheEquation(t *testing.T) {
	b := backend(t)
	m := goldentest.Tiny(t, b, 9)
	rng := rand.New(rand.NewPCG(9, 9))
	o := tensor.NewOps(b)
	mels, tokens := []audio.Mel{goldentest.RandomMel(rng, 40)}, [][]int32{{1, 2, 3}}
	for _, a := range randomAdapters(t, m, 11) {
		for site, f := range a.Sites {
			if site.Role == whisper.CrossKey {
				f.D = tensor.Zeros(1, m.Dims.NTextState)
				for i := range f.D.Data {
					f.D.Data[i] = float32(rng.NormFloat64())
				}
			}
		}
		alone, err := flora.Alone(m, a)
		if err != nil {
			t.Fatal(err)
		}
		batch, err := flora.NewBatch(m, b, a)
		if err != nil {
			t.Fatal(err)
		}
		want := goldentest.Logits(t, m, o, alone, mels, []int32{1}, tokens)
		got := goldentest.Logits(t, m, o, batch, mels, []int32{1}, tokens)
		for i := range want[0] {
			if d := math.Abs(float64(got[0][i] - want[0][i])); !(d < 1e-3) {
				t.Fatalf("%s: logit %d is %v, want %v", a.Name, i, got[0][i], want[0][i])
			}
		}
	}
}

// TestPutAndRemove holds that an index does what its adapter does, and nothing once it is free.
func TestPutAndRemove(t *testing.T) {
	b := backend(t)
	m := goldentest.Tiny(t, b, 9)
	rng := rand.New(rand.NewPCG(9, 9))
	o := tensor.NewOps(b)
	mels, tokens := []audio.Mel{goldentest.RandomMel(rng, 40)}, [][]int32{{1, 2, 3}}
	as := randomAdapters(t, m, 11)
	batch, err := flora.NewBatch(m, b)
	if err != nil {
		t.Fatal(err)
	}
	logits := func(index int32) []float32 {
		return goldentest.Logits(t, m, o, batch, mels, []int32{index}, tokens)[0]
	}
	put := func(i int) int32 {
		r, err := batch.Prepare(as[i])
		if err != nil {
			t.Fatal(err)
		}
		index, err := batch.Put(r)
		if err != nil {
			t.Fatal(err)
		}
		return index
	}
	base := goldentest.Logits(t, m, o, nil, mels, nil, tokens)[0]
	want := make([][]float32, len(as))
	for i := range as {
		index := put(i)
		if want[i] = logits(index); index != 1 || slices.Equal(want[i], base) {
			t.Fatalf("%s: index %d, as the base model: %v", as[i].Name, index, slices.Equal(want[i], base))
		}
		if batch.Remove(index); !slices.Equal(logits(index), base) {
			t.Fatalf("%s does something when it is gone", as[i].Name)
		}
	}
	for i := range as {
		put(i)
	}
	batch.Remove(2)
	if index := put(3); index != 2 {
		t.Fatalf("index %d, though 2 is free", index)
	}
	for i := range as {
		of := i
		if i == 1 {
			of = 3
		}
		if !slices.Equal(logits(int32(i+1)), want[of]) {
			t.Errorf("index %d does not do what %s does", i+1, as[of].Name)
		}
	}
}
