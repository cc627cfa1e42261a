package flora_test

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/safetensors"
	"glossa/whisper/tensor"
)

// ofAll is an adapter of all linears with factors far from neutral.
func ofAll(t *testing.T, m *whisper.Model, kind flora.Kind, rank int) *flora.Adapter {
	t.Helper()
	return randomAdapter(t, m, string(kind), kind, rank, flora.All, rand.New(rand.NewPCG(4, uint64(rank))))
}

// withOnes makes the first terms of an adapter ones.
func withOnes(a *flora.Adapter) *flora.Adapter {
	for _, f := range a.Sites {
		for _, m := range []tensor.Mat{f.A, f.B} {
			for i := range m.Row(0) {
				m.Row(0)[i] = 1
			}
		}
	}
	return a
}

// TestConvertedMergesAlike holds that what is converted, and written and read, makes the same weights: bit for bit
// but where a bias is split.
func TestConvertedMergesAlike(t *testing.T) {
	b := backend(t)
	m := goldentest.Tiny(t, b, 5)
	merged := func(a *flora.Adapter) *whisper.Model {
		m := goldentest.Tiny(t, b, 5)
		if err := flora.Merge(m, a); err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, c := range []struct {
		from *flora.Adapter
		to   flora.Kind
		rank int
	}{
		{withOnes(ofAll(t, m, flora.FLoRA, 3)), flora.HiRA, 2},
		{ofAll(t, m, flora.HiRA, 2), flora.FLoRA, 3},
		{ofAll(t, m, flora.IA3, 0), flora.FLoRA, 1},
		{ofAll(t, m, flora.LoRA, 3), flora.RSLoRA, 3},
		{ofAll(t, m, flora.RSLoRA, 3), flora.LoRA, 3},
		{ofAll(t, m, flora.DoRA, 2), flora.DoRA, 2},
	} {
		a, err := c.from.Convert(c.to, m)
		if err != nil {
			t.Fatal(err)
		}
		if a.Kind != c.to || a.Rank != c.rank {
			t.Errorf("%s to %s: kind %s, rank %d", c.from.Kind, c.to, a.Kind, a.Rank)
		}
		dir := filepath.Join(t.TempDir(), "a")
		if err := a.Write(dir, safetensors.F32); err != nil {
			t.Fatal(err)
		}
		read, err := flora.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if read.Hash != a.Hash {
			t.Errorf("%s to %s: read as another", c.from.Kind, c.to)
		}
		want, got := merged(c.from).Params(), merged(read).Params()
		for i, p := range got {
			x, y := p.Float32(), want[i].Float32()
			if c.from.Kind == flora.IA3 && strings.HasSuffix(p.Name, ".bias") {
				if d := farthest(x, y); d > 1e-6 {
					t.Errorf("%s to %s: %s differs by %.3g", c.from.Kind, c.to, p.Name, d)
				}
			} else if !slices.Equal(x, y) {
				t.Errorf("%s to %s: %s is another", c.from.Kind, c.to, p.Name)
			}
		}
	}
}

func TestConvertRefuses(t *testing.T) {
	m := goldentest.Tiny(t, backend(t), 5)
	biased := withOnes(ofAll(t, m, flora.FLoRA, 2))
	addToBias(biased, whisper.Value, 48, rand.New(rand.NewPCG(1, 1)))
	other := goldentest.Tiny(t, backend(t), 6)
	for _, c := range []struct {
		from  *flora.Adapter
		to    flora.Kind
		model *whisper.Model
		want  error
		word  string
	}{
		{ofAll(t, m, flora.FLoRA, 3), flora.HiRA, m, flora.ErrUnsupported, "not ones"},
		{withOnes(ofAll(t, m, flora.FLoRA, 1)), flora.HiRA, m, flora.ErrUnsupported, "changes nothing"},
		{biased, flora.HiRA, m, flora.ErrUnsupported, "bias"},
		{ofAll(t, m, flora.FLoRA, 1), flora.IA3, m, flora.ErrUnsupported, "biases"},
		{ofAll(t, m, flora.FLoRA, 1), flora.LoRA, m, flora.ErrUnsupported, "full rank"},
		{ofAll(t, m, flora.HiRA, 1), flora.RSLoRA, m, flora.ErrUnsupported, "full rank"},
		{ofAll(t, m, flora.LoRA, 1), flora.FLoRA, m, flora.ErrUnsupported, "from the weights alone it does not work"},
		{ofAll(t, m, flora.LoRA, 1), flora.DoRA, m, flora.ErrUnsupported, ""},
		{ofAll(t, m, flora.DoRA, 1), flora.LoRA, m, flora.ErrUnsupported, "merge"},
		{ofAll(t, m, flora.IA3, 0), flora.HiRA, m, flora.ErrUnsupported, "convert it to flora"},
		{ofAll(t, m, flora.IA3, 0), flora.FLoRA, nil, flora.ErrUnsupported, "the model"},
		{ofAll(t, m, flora.IA3, 0), flora.FLoRA, other, flora.ErrBase, ""},
		{ofAll(t, m, flora.LoRA, 1), "vera", m, flora.ErrUnsupported, "no such kind"},
	} {
		if _, err := c.from.Convert(c.to, c.model); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s to %s: %v, want %v with %q", c.from.Kind, c.to, err, c.want, c.word)
		}
	}
}
