package whisper_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/safetensors"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
	"glossa/whisper/tensor/ref"
)

// TestServedModelIsThePackedOne checks that a model which was loaded to serve has the logits, bit by
// bit, and the fingerprint of the one that keeps its plain weights.
func TestServedModelIsThePackedOne(t *testing.T) {
	fast, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer fast.Close()
	dir := t.TempDir()
	if err := goldentest.Tiny(t, fast, 3).WriteDir(dir, safetensors.F32); err != nil {
		t.Fatal(err)
	}
	mels := []audio.Mel{goldentest.RandomMel(rand.New(rand.NewPCG(1, 1)), 100)}
	tokens := [][]int32{{1, 2, 3, 200, 7}}
	for _, c := range []struct {
		backend tensor.Backend
		dtype   tensor.DType
	}{{fast, tensor.F32}, {fast, tensor.BF16}, {fast, tensor.I8}, {ref.New(), tensor.F32}} {
		checkpoint, err := whisper.OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		served, err := whisper.Load(checkpoint, c.backend, c.dtype)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := whisper.LoadPlain(checkpoint)
		if err != nil {
			t.Fatal(err)
		}
		checkpoint.Close()
		if err := plain.Pack(c.backend, c.dtype); err != nil {
			t.Fatal(err)
		}
		name := c.backend.Name() + " " + c.dtype.String()
		got := goldentest.Logits(t, served, tensor.NewOps(c.backend), nil, mels, nil, tokens)
		want := goldentest.Logits(t, plain, tensor.NewOps(c.backend), nil, mels, nil, tokens)
		if !slices.Equal(got[0], want[0]) {
			t.Errorf("%s: logits of the model to serve are others", name)
		}
		if served.Fingerprint() != plain.Fingerprint() {
			t.Errorf("%s: fingerprint %s, want %s", name, served.Fingerprint(), plain.Fingerprint())
		}
		for i, p := range served.Params() {
			q := plain.Params()[i]
			if p.Mat.Rows != q.Mat.Rows || p.Mat.Cols != q.Mat.Cols {
				t.Errorf("%s: %s is (%d, %d), want (%d, %d)", name, p.Name, p.Mat.Rows, p.Mat.Cols, q.Mat.Rows, q.Mat.Cols)
			}
			if p.HasNumbers() && !slices.Equal(p.Mat.Data, q.Mat.Data) {
				t.Errorf("%s: %s has other numbers", name, p.Name)
			}
			product := p.Mat.Rows > 1 && !strings.HasSuffix(p.Name, "embed_positions.weight")
			lookedUp := p.Mat == &served.Decoder.Tokens.Mat && c.backend != tensor.Backend(fast)
			if p.HasNumbers() != (!product || lookedUp) {
				t.Errorf("%s: %s has its plain numbers: %v", name, p.Name, p.HasNumbers())
			}
		}
	}
}

// TestServedModelHasNoPlainWeights checks that what a model to serve does not have is asked for in vain,
// and not taken for something else.
func TestServedModelHasNoPlainWeights(t *testing.T) {
	s := newSearchBed(t)
	dir := t.TempDir()
	if err := s.model.WriteDir(dir, safetensors.F32); err != nil {
		t.Fatal(err)
	}
	c, err := whisper.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m, err := whisper.Load(c, s.ops.Backend(), tensor.F32)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.WriteDir(t.TempDir(), safetensors.F32); !errors.Is(err, whisper.ErrCheckpoint) {
		t.Errorf("written: %v", err)
	}
	panics := func(what string, f func()) {
		defer func() {
			text, ok := recover().(string)
			if !ok || !strings.Contains(text, "plain numbers") {
				t.Errorf("%s: %q", what, text)
			}
		}()
		f()
	}
	o := tensor.NewOps(s.ops.Backend())
	l := &m.Encoder.Blocks[0].MLP.FC1
	panics("numbers of a linear", func() { m.Params()[0].Float32() })
	panics("an unpacked product", func() { o.Linear(o.New(2, l.Weight.Cols), &tensor.Weight{Mat: l.Weight.Mat}, tensor.Mat{}) })
	panics("an embedding", func() { o.Embed(m.Decoder.Tokens.Mat, []int32{1}) })
	panics("a tape", func() {
		o.StartTape()
		l.Forward(&whisper.Step{Ops: o}, o.New(2, l.Weight.Cols))
	})
}
