package flora_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/safetensors"
	"glossa/whisper/tensor"
)

// bankBed is a bank and what its adapters do.
type bankBed struct {
	*flora.Bank
	model *whisper.Model
	ops   *tensor.Ops
	mel   []audio.Mel
}

func newBankBed(t testing.TB, o flora.BankOptions) *bankBed {
	t.Helper()
	return newBankBedOn(t, backend(t), o)
}

func newBankBedOn(t testing.TB, k tensor.Backend, o flora.BankOptions) *bankBed {
	t.Helper()
	m := goldentest.Tiny(t, k, 1)
	b, err := flora.NewBank(m, k, o)
	if err != nil {
		t.Fatal(err)
	}
	return &bankBed{b, m, tensor.NewOps(k), []audio.Mel{goldentest.RandomMel(rand.New(rand.NewPCG(1, 1)), 20)}}
}

// adapter returns an fLoRA adapter of rank 1 with random factors; equal seeds give equal content.
func (b *bankBed) adapter(t testing.TB, name string, seed uint64) *flora.Adapter {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 9))
	a, err := flora.New(b.model, name, flora.FLoRA, 1, flora.All, rng)
	if err != nil {
		t.Fatal(err)
	}
	_, mats := a.Params()
	for _, p := range mats {
		for i := range p.Data {
			p.Data[i] += float32(0.3 * rng.NormFloat64())
		}
	}
	return a
}

// write writes an adapter to a folder.
func (b *bankBed) write(t testing.TB, dir string, seed uint64) {
	t.Helper()
	if err := b.adapter(t, filepath.Base(dir), seed).Write(dir, safetensors.F32); err != nil {
		t.Fatal(err)
	}
}

// files returns the files of an adapter, as a file system and by name.
func (b *bankBed) files(t testing.TB, seed uint64) fstest.MapFS {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a")
	b.write(t, dir, seed)
	files := fstest.MapFS{}
	for _, name := range []string{flora.ConfigFile, flora.TensorFile} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: data}
	}
	return files
}

// load loads the adapter of a seed from memory.
func (b *bankBed) load(t testing.TB, name string, seed uint64) (hash string) {
	t.Helper()
	hash, err := b.Load(name, b.adapter(t, name, seed))
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// pin pins an adapter and brings it into the batch.
func (b *bankBed) pin(t testing.TB, name string) (*flora.Pin, int32) {
	t.Helper()
	p, err := b.Pin(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Ready(); err != nil {
		t.Fatal(err)
	}
	i, ok, _ := p.Index()
	if !ok || i < 1 {
		t.Fatalf("%s has index %d, %v", name, i, ok)
	}
	return p, i
}

// logits are those of a window under the adapter at an index.
func (b *bankBed) logits(t testing.TB, index int32) []float32 {
	t.Helper()
	return goldentest.Logits(t, b.model, b.ops, b.Batch(), b.mel, []int32{index}, [][]int32{{1, 2, 3}})[0]
}

// want are the logits of a window under the adapter of a seed, alone in a batch.
func (b *bankBed) want(t testing.TB, seed uint64) []float32 {
	t.Helper()
	batch, err := flora.NewBatch(b.model, b.ops.Backend(), b.adapter(t, "alone", seed))
	if err != nil {
		t.Fatal(err)
	}
	return goldentest.Logits(t, b.model, b.ops, batch, b.mel, []int32{1}, [][]int32{{1, 2, 3}})[0]
}

// tier returns the tier of a name.
func (b *bankBed) tier(t testing.TB, name string) flora.Tier {
	t.Helper()
	i, err := b.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return i.Tier
}
