package flora_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
)

// randomAdapters are adapters of each kind and of several ranks with factors far from neutral.
func randomAdapters(t testing.TB, m *whisper.Model, seed uint64) []*flora.Adapter {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 2))
	var as []*flora.Adapter
	for _, c := range []struct {
		name   string
		kind   flora.Kind
		rank   int
		target flora.Target
	}{
		{"flora1", flora.FLoRA, 1, flora.All}, {"lora4", flora.LoRA, 4, flora.All}, {"flora3", flora.FLoRA, 3, flora.DecoderOnly},
		{"lora1", flora.LoRA, 1, flora.AttentionOnly}, {"another1", flora.FLoRA, 1, flora.AttentionOnly},
		{"hira2", flora.HiRA, 2, flora.All}, {"dora2", flora.DoRA, 2, flora.All}, {"ia3", flora.IA3, 0, flora.All},
	} {
		as = append(as, randomAdapter(t, m, c.name, c.kind, c.rank, c.target, rng))
	}
	return as
}

// randomAdapter is an adapter with factors far from neutral.
func randomAdapter(t testing.TB, m *whisper.Model, name string, kind flora.Kind, rank int, target flora.Target, rng *rand.Rand) *flora.Adapter {
	t.Helper()
	a, err := flora.New(m, name, kind, rank, target, rng)
	if err != nil {
		t.Fatal(err)
	}
	_, factors := a.Params()
	for _, p := range factors {
		for i := range p.Data {
			p.Data[i] += float32(0.3 * rng.NormFloat64())
		}
	}
	return a
}

// compositions are punica's of batches: the adapter of each sequence.
func compositions(rng *rand.Rand, nAdapter int) map[string]func(i int) int32 {
	zipf := rand.NewZipf(rng, 1.5, 1, uint64(nAdapter-1))
	distinct := func(i int) int32 { return int32(i % nAdapter) }
	return map[string]func(i int) int32{
		"distinct":  distinct,
		"permuted":  distinct,
		"identical": func(int) int32 { return 1 },
		"uniform":   func(int) int32 { return int32(rng.IntN(nAdapter)) },
		"zipf":      func(int) int32 { return int32(zipf.Uint64()) },
		"skewed":    func(i int) int32 { return int32(min(i, nAdapter-1)) },
		"base":      func(int) int32 { return 0 },
	}
}

// mels returns random windows.
func mels(rng *rand.Rand, n int) []audio.Mel {
	var ms []audio.Mel
	for range n {
		ms = append(ms, goldentest.RandomMel(rng, 2+rng.IntN(60)))
	}
	return ms
}

// TestBatchedIsAlone is the determinism law under adapters: in any batch, order and neighbourhood,
// an utterance's logits are bitwise those of the utterance alone. The compositions are punica's.
func TestBatchedIsAlone(t *testing.T) {
	testBatchedIsAlone(t, backend(t), 1, 2, 7, 23)
}

// testBatchedIsAlone tests batches of the given sizes.
func testBatchedIsAlone(t *testing.T, b tensor.Backend, sizes ...int) {
	m := goldentest.Tiny(t, b, 1)
	batch, err := flora.NewBatch(m, b, randomAdapters(t, m, 3)...)
	if err != nil {
		t.Fatal(err)
	}
	nAdapter := len(batch.Names()) + 1
	rng := rand.New(rand.NewPCG(5, 5))
	o := tensor.NewOps(b)
	for name, adapterOf := range compositions(rng, nAdapter) {
		for _, n := range sizes {
			var mels []audio.Mel
			var index []int32
			var tokens [][]int32
			for i := range n {
				mels = append(mels, goldentest.RandomMel(rng, 2+rng.IntN(60)))
				index = append(index, adapterOf(i))
				ts := make([]int32, 1+rng.IntN(9))
				for j := range ts {
					ts[j] = int32(rng.IntN(m.Dims.NVocab))
				}
				tokens = append(tokens, ts)
			}
			together := goldentest.Logits(t, m, o, batch, mels, index, tokens)
			for i := range n {
				alone := goldentest.Logits(t, m, o, batch, mels[i:i+1], index[i:i+1], tokens[i:i+1])
				if !slices.Equal(alone[0], together[i]) {
					t.Fatalf("%s: utterance %d of %d, adapter %d: its logits depend on its neighbours", name, i, n, index[i])
				}
				if index[i] == 0 {
					if base := goldentest.Logits(t, m, o, nil, mels[i:i+1], nil, tokens[i:i+1]); !slices.Equal(base[0], together[i]) {
						t.Fatalf("%s: utterance %d of %d: the identity differs from the base model", name, i, n)
					}
				}
			}
		}
	}
}

// TestDecodeBatchedIsAlone is the same of whole decodes, with rows that leave at different steps.
func TestDecodeBatchedIsAlone(t *testing.T) { testDecodeBatchedIsAlone(t, backend(t)) }

func testDecodeBatchedIsAlone(t *testing.T, b tensor.Backend) {
	m := goldentest.Tiny(t, b, 2)
	batch, err := flora.NewBatch(m, b, randomAdapters(t, m, 4)...)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(6, 6))
	o := tensor.NewOps(b)
	var us []whisper.Utterance
	for i := range 12 {
		index := int32(i % 6)
		cross, err := m.Encode(o, batch, []audio.Mel{goldentest.RandomMel(rng, 10+rng.IntN(50))}, []int32{index})
		if err != nil {
			t.Fatal(err)
		}
		us = append(us, whisper.Utterance{Cross: cross[0], Adapter: index, Options: whisper.DecodeOptions{
			Language: "en", WithoutTimestamps: i%2 == 0, SampleLen: 1 + rng.IntN(12),
		}})
	}
	together, err := m.Decode(context.Background(), o, batch, us)
	if err != nil {
		t.Fatal(err)
	}
	for i, u := range us {
		alone, err := m.Decode(context.Background(), o, batch, []whisper.Utterance{u})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(alone[0].Tokens, together[i].Tokens) || alone[0].AvgLogProb != together[i].AvgLogProb {
			t.Errorf("utterance %d: %v in the batch, %v alone", i, together[i], alone[0])
		}
	}
}

// TestNewIsIdentity holds that an adapter that was not trained yet changes nothing.
func TestNewIsIdentity(t *testing.T) {
	b := backend(t)
	m := goldentest.Tiny(t, b, 3)
	rng := rand.New(rand.NewPCG(7, 7))
	o := tensor.NewOps(b)
	mels, tokens := []audio.Mel{goldentest.RandomMel(rng, 40)}, [][]int32{{1, 2, 3}}
	base := goldentest.Logits(t, m, o, nil, mels, nil, tokens)
	for _, kind := range flora.Kinds() {
		for _, rank := range []int{1, 4} {
			a, err := flora.New(m, "new", kind, rank, flora.All, rng)
			if err != nil {
				t.Fatal(err)
			}
			batch, err := flora.NewBatch(m, b, a)
			if err != nil {
				t.Fatal(err)
			}
			if got := goldentest.Logits(t, m, o, batch, mels, []int32{1}, tokens); !slices.Equal(got[0], base[0]) {
				t.Errorf("%s of rank %d: differs from the base model", kind, rank)
			}
		}
	}
}

func TestUnknownAdapter(t *testing.T) {
	b := backend(t)
	batch, err := flora.NewBatch(goldentest.Tiny(t, b, 1), b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := batch.Index("nobody"); !errors.Is(err, flora.ErrUnknown) {
		t.Errorf("an adapter that is not there: %v", err)
	}
}
