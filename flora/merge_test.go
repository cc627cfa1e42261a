package flora_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/safetensors"
	"glossa/whisper/tensor"
)

// addToBias gives an adapter something to add to the outputs of a role.
func addToBias(a *flora.Adapter, role whisper.Role, nOut int, rng *rand.Rand) {
	for site, f := range a.Sites {
		if site.Role == role && a.Kind != flora.IA3 {
			f.D = tensor.Zeros(1, nOut)
			for i := range f.D.Data {
				f.D.Data[i] = float32(rng.NormFloat64())
			}
		}
	}
}

// farthest returns the greatest difference of two rows.
func farthest(x, y []float32) float64 {
	worst := 0.0
	for i := range x {
		worst = max(worst, math.Abs(float64(x[i]-y[i])))
	}
	return worst
}

// TestMergedIsAdapted holds the logits of a merged model, written in each number format and opened again, to those
// of the model under the adapter.
func TestMergedIsAdapted(t *testing.T) {
	b := backend(t)
	o := tensor.NewOps(b)
	rng := rand.New(rand.NewPCG(9, 9))
	mels, tokens := []audio.Mel{goldentest.RandomMel(rng, 40)}, [][]int32{{1, 2, 3}}
	base := goldentest.Tiny(t, b, 6)
	for _, a := range randomAdapters(t, base, 12) {
		addToBias(a, whisper.Value, base.Dims.NTextState, rng)
		addToBias(a, whisper.FC1, base.Dims.TextFFN(), rng)
		addToBias(a, whisper.Key, base.Dims.NTextState, rng) // which changes nothing
		batch, err := flora.NewBatch(base, b, a)
		if err != nil {
			t.Fatal(err)
		}
		plain := goldentest.Logits(t, base, o, nil, mels, nil, tokens)[0]
		want := goldentest.Logits(t, base, o, batch, mels, []int32{1}, tokens)[0]
		merged := goldentest.Tiny(t, b, 6)
		if err := flora.Merge(merged, a); err != nil {
			t.Fatal(err)
		}
		for dtype, near := range map[safetensors.DType]float64{safetensors.F32: 1e-5, safetensors.F16: 1e-2, safetensors.BF16: 1e-1} {
			dir := filepath.Join(t.TempDir(), "merged")
			if err := merged.WriteDir(dir, dtype); err != nil {
				t.Fatal(err)
			}
			got := goldentest.Logits(t, load(t, b, dir), o, nil, mels, nil, tokens)[0]
			changed := farthest(plain, want)
			if d := farthest(got, want); !(d <= near*changed) {
				t.Errorf("%s in %s: logits differ by %.3g, and from the base model's by %.3g", a.Name, dtype, d, changed)
			}
		}
	}
}

func load(t *testing.T, b tensor.Backend, dir string) *whisper.Model {
	t.Helper()
	c, err := whisper.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m, err := whisper.Load(c, b, tensor.F32)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestMergeOfNothingIsBase holds that an adapter that was not trained yet leaves all weights bit for bit.
func TestMergeOfNothingIsBase(t *testing.T) {
	b := backend(t)
	base := goldentest.Tiny(t, b, 3)
	for _, kind := range flora.Kinds() {
		if kind == flora.DoRA {
			continue // its norms are rounded
		}
		a, err := flora.New(base, "new", kind, 4, flora.All, rand.New(rand.NewPCG(7, 7)))
		if err != nil {
			t.Fatal(err)
		}
		m := goldentest.Tiny(t, b, 3)
		if err := flora.Merge(m, a); err != nil {
			t.Fatal(err)
		}
		for i, p := range m.Params() {
			if !slices.Equal(p.Float32(), base.Params()[i].Float32()) {
				t.Errorf("%s: %s is another", kind, p.Name)
			}
		}
	}
}

func TestMergeRefuses(t *testing.T) {
	b := backend(t)
	m := goldentest.Tiny(t, b, 3)
	a := randomAdapters(t, m, 9)[0]
	if err := flora.Merge(goldentest.Tiny(t, b, 4), a); !errors.Is(err, flora.ErrBase) {
		t.Errorf("into another model: %v", err)
	}
	dir := t.TempDir()
	if err := m.WriteDir(dir, safetensors.F32); err != nil {
		t.Fatal(err)
	}
	if err := flora.Merge(load(t, b, dir), a); !errors.Is(err, flora.ErrUnsupported) {
		t.Errorf("into packed weights: %v", err)
	}
	for _, f := range a.Sites {
		f.A.Data[0] = math.MaxFloat32
		f.B.Data[0] = math.MaxFloat32
	}
	if err := flora.Merge(m, a); !errors.Is(err, flora.ErrInvalid) {
		t.Errorf("numbers that are too large: %v", err)
	}
}
