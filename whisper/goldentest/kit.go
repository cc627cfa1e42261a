// Package goldentest reads kits of reference outputs made with openai/whisper, for the tests of
// every package that is held against them.
package goldentest

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/safetensors"
	"glossa/whisper/tensor"
)

// Kit is a folder of reference outputs made with openai/whisper: see its manifest.json.
type Kit struct {
	Dir     string
	Backend tensor.Backend

	// Clip and MaxTokens confine the tests that ask Takes to cases of one clip whose texts have no more tokens, for a backend that is
	// slow. The default is all cases.
	Clip      string
	MaxTokens int

	Manifest struct {
		Models map[string]json.RawMessage
		Files  map[string]struct{ Tolerance json.RawMessage }
	}
	models  map[modelOf]*whisper.Model
	encoded map[encodedOf]Encoded
}

type modelOf struct {
	name  string
	dtype tensor.DType
}

type encodedOf struct {
	model *whisper.Model
	clip  string
}

// Encoded is what the encoder makes of a clip: its states, in host memory, and the decoder's keys and values.
type Encoded struct {
	States tensor.Mat
	Cross  *whisper.CrossKV
}

// Takes reports whether tests are to take cases of a clip, whose texts have so many tokens.
func (k *Kit) Takes(clip string, tokens int) bool {
	return (k.Clip == "" || k.Clip == clip) && (k.MaxTokens == 0 || tokens <= k.MaxTokens)
}

// Encode encodes a clip, once for all tests of a kit.
func (k *Kit) Encode(t *testing.T, m *whisper.Model, clip string) Encoded {
	t.Helper()
	of := encodedOf{m, clip}
	if e, ok := k.encoded[of]; ok {
		return e
	}
	s := &whisper.Step{Ops: tensor.NewOps(k.Backend)}
	states, err := m.EncodeStates(s, []audio.Mel{k.Mel(t, clip, m.Dims)})
	if err != nil {
		t.Fatal(err)
	}
	cross, err := m.Decoder.KeepCrossKV(new(whisper.CrossPool), s, states)
	if err != nil {
		t.Fatal(err)
	}
	e := Encoded{s.Host(states), cross[0]}
	if k.encoded == nil {
		k.encoded = make(map[encodedOf]Encoded)
	}
	k.encoded[of] = e
	return e
}

// Open returns the kit that GLOSSA_GOLDEN names, or fallback, a path from the test's folder. It skips
// the test where there is none.
func Open(t *testing.T, b tensor.Backend, fallback ...string) *Kit {
	t.Helper()
	dir := os.Getenv("GLOSSA_GOLDEN")
	if dir == "" {
		dir = filepath.Join(fallback...)
	}
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err != nil {
		t.Skipf("SKIP: golden kit absent: %v (GLOSSA_GOLDEN names its folder)", err)
	}
	k := &Kit{Dir: dir, Backend: b}
	k.JSON(t, "manifest.json", &k.Manifest)
	return k
}

// JSON reads a file of the kit into v.
func (k *Kit) JSON(t *testing.T, name string, v any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(k.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// Tensors opens a file of tensors of the kit.
func (k *Kit) Tensors(t *testing.T, name string) *safetensors.File {
	t.Helper()
	f, err := safetensors.Open(filepath.Join(k.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// Tolerance is the max_abs that the manifest gives for a file.
func (k *Kit) Tolerance(t *testing.T, name string) float64 {
	t.Helper()
	var tol struct {
		MaxAbs float64 `json:"max_abs"`
	}
	if err := json.Unmarshal(k.Manifest.Files[name].Tolerance, &tol); err != nil || tol.MaxAbs == 0 {
		t.Fatalf("manifest gives no max_abs for %s: %v", name, err)
	}
	return tol.MaxAbs
}

// Model loads a random model of the kit from its Hugging Face directory.
func (k *Kit) Model(t *testing.T, name string) *whisper.Model {
	t.Helper()
	return k.ModelOf(t, name, tensor.F32)
}

// ModelOf is Model with weights of a number format. It loads each once.
func (k *Kit) ModelOf(t *testing.T, name string, dtype tensor.DType) *whisper.Model {
	t.Helper()
	of := modelOf{name, dtype}
	if m := k.models[of]; m != nil {
		return m
	}
	c, err := whisper.OpenDir(filepath.Join(k.Dir, "models", name, "hf"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m, err := whisper.Load(c, k.Backend, dtype)
	if err != nil {
		t.Fatal(err)
	}
	if k.models == nil {
		k.models = make(map[modelOf]*whisper.Model)
	}
	k.models[of] = m
	return m
}

// Mel is the log-mel that the kit's encoder outputs are made from: the clip and a window of silence.
func (k *Kit) Mel(t *testing.T, clip string, d whisper.Dims) audio.Mel {
	t.Helper()
	pcm, err := audio.DecodeFile(filepath.Join(k.Dir, "audio", clip+".wav"))
	if err != nil {
		t.Fatal(err)
	}
	mel, err := audio.LogMelPadded(pcm.Samples, d.NMels, d.WindowFrames()*audio.HopLength)
	if err != nil {
		t.Fatal(err)
	}
	return mel.Slice(0, d.WindowFrames())
}

// Each runs a test on every random model of the kit.
func (k *Kit) Each(t *testing.T, f func(t *testing.T, name string, m *whisper.Model)) {
	if len(k.Manifest.Models) == 0 {
		t.Fatal("the kit has no models")
	}
	for name := range k.Manifest.Models {
		t.Run(name, func(t *testing.T) { f(t, name, k.Model(t, name)) })
	}
}

// Floats reads a tensor and its shape.
func Floats(t *testing.T, f *safetensors.File, name string) ([]float32, []int) {
	t.Helper()
	data, shape, err := f.Float32(name)
	if err != nil {
		t.Fatal(err)
	}
	return data, shape
}

// Integers reads a tensor of int64.
func Integers(t *testing.T, f *safetensors.File, name string) []int {
	t.Helper()
	raw, err := f.Raw(name)
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for ; len(raw) >= 8; raw = raw[8:] {
		v := 0
		for i := 7; i >= 0; i-- {
			v = v<<8 | int(raw[i])
		}
		out = append(out, v)
	}
	return out
}

// CompareRows compares rows of got with want (len(rows), nCol).
func CompareRows(t *testing.T, stage, what string, got tensor.Mat, rows []int, want []float32, tolerance float64) {
	t.Helper()
	worst := 0.0
	for i, r := range rows {
		for j, g := range got.Row(r) {
			d := math.Abs(float64(g) - float64(want[i*got.Cols+j]))
			if !(d <= worst) {
				worst = d
			}
		}
	}
	Within(t, stage, what, worst, tolerance)
}

// Within logs how far something of a stage is from the reference, in the form that .ci/golden.awk
// makes a table of, and fails the test where it is farther than allowed.
func Within(t *testing.T, stage, what string, difference, allowed float64) {
	t.Helper()
	t.Logf("GOLDEN %s: %s: differs by %.2g of %.2g", stage, what, difference, allowed)
	if !(difference <= allowed) {
		t.Errorf("%s: %s differs by %.3g, at most %.3g allowed", stage, what, difference, allowed)
	}
}

// Info is info.json of a model of the kit.
type Info struct {
	LangID map[string]struct {
		Language string
		Probs    map[string]float64
	}
	Logits map[string]struct {
		Clip   string
		Tokens []int32
		Argmax []int32
	}
}
