package whisper_test

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/safetensors"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

func openKit(t *testing.T) *goldentest.Kit {
	t.Helper()
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return goldentest.Open(t, b, "..", "..", "shared", "golden", "public")
}

func TestGoldenEncoder(t *testing.T) { testGoldenEncoder(t, openKit(t)) }

func testGoldenEncoder(t *testing.T, k *goldentest.Kit) {
	k.Each(t, func(t *testing.T, name string, m *whisper.Model) {
		file := name + "/encoder.safetensors"
		f := k.Tensors(t, file)
		for _, clip := range f.Names() {
			if strings.HasSuffix(clip, ".frames") || !k.Takes(clip, 0) {
				continue
			}
			want, _ := goldentest.Floats(t, f, clip)
			goldentest.CompareRows(t, "encoder", clip, k.Encode(t, m, clip).States, goldentest.Integers(t, f, clip+".frames"), want, k.Tolerance(t, file))
		}
	})
}

// TestGoldenTrace holds the inside of the network against the reference, block by block.
func TestGoldenTrace(t *testing.T) {
	k := openKit(t)
	k.Each(t, func(t *testing.T, name string, m *whisper.Model) {
		file := name + "/trace.safetensors"
		f, tol := k.Tensors(t, file), k.Tolerance(t, file)
		var info goldentest.Info
		k.JSON(t, name+"/info.json", &info)
		clip := info.Logits["0"].Clip
		o := tensor.NewOps(k.Backend)
		s := &whisper.Step{Ops: o}
		check := func(what string, got tensor.Mat, rows []int) {
			want, _ := goldentest.Floats(t, f, what)
			goldentest.CompareRows(t, "trace", what, got, rows, want, tol)
		}
		frames := goldentest.Integers(t, f, "frames")
		mel := k.Mel(t, clip, m.Dims)
		s.Seg = tensor.NewSegments(mel.Frames)
		x := m.Encoder.Embed(s, tensor.NewMat(mel.Frames, mel.NMels, mel.Data))
		check("encoder.embedded", x, frames)
		for i := range m.Encoder.Blocks {
			x = m.Encoder.Blocks[i].Forward(s, x)
			check("encoder.block"+string(rune('0'+i)), x, frames)
		}
		s.Cross = m.Decoder.CrossKV(s, m.Encoder.Norm.Forward(s, x))
		var tokens []int32
		var rows []int
		for i, id := range goldentest.Integers(t, f, "tokens") {
			tokens, rows = append(tokens, int32(id)), append(rows, i)
		}
		s.Seg = tensor.NewSegments(len(tokens))
		x = m.Decoder.Embed(s, tokens)
		for i := range m.Decoder.Blocks {
			x = m.Decoder.Blocks[i].Forward(s, x)
			check("decoder.block"+string(rune('0'+i)), x, rows)
		}
		check("decoder.ln", m.Decoder.Norm.Forward(s, x), rows)
	})
}

func TestGoldenLogits(t *testing.T) { testGoldenLogits(t, openKit(t)) }

func testGoldenLogits(t *testing.T, k *goldentest.Kit) {
	k.Each(t, func(t *testing.T, name string, m *whisper.Model) {
		file := name + "/logits.safetensors"
		f, tol := k.Tensors(t, file), k.Tolerance(t, file)
		var info goldentest.Info
		k.JSON(t, name+"/info.json", &info)
		columns := goldentest.Integers(t, f, "columns")
		o := tensor.NewOps(k.Backend)
		for c, want := range info.Logits {
			if !k.Takes(want.Clip, 0) {
				continue
			}
			cross := []*whisper.CrossKV{k.Encode(t, m, want.Clip).Cross}
			o.Reset()
			s := &whisper.Step{Ops: o, Cross: cross, Seg: tensor.NewSegments(len(want.Tokens))}
			y := o.Host(m.Decoder.Logits(s, m.Decoder.Forward(s, want.Tokens)))
			picked, rows := make([]float32, 0), make([]int, y.Rows)
			sums, _ := goldentest.Floats(t, f, c+".logsumexp")
			for i := range y.Rows {
				rows[i] = i
				row, sum := y.Row(i), 0.0
				for _, v := range row {
					sum += math.Exp(float64(v))
				}
				if d := math.Abs(math.Log(sum) - float64(sums[i])); !(d <= tol) {
					t.Errorf("case %s, position %d: logsumexp differs by %.3g", c, i, d)
				}
				for _, j := range columns {
					picked = append(picked, row[j])
				}
				if best := int32(slices.Index(row, slices.Max(row))); best != want.Argmax[i] {
					t.Errorf("case %s, position %d: likeliest token %d, want %d", c, i, best, want.Argmax[i])
				}
			}
			data, _ := goldentest.Floats(t, f, c+".logits")
			goldentest.CompareRows(t, "logits", "case "+c, tensor.NewMat(y.Rows, len(columns), picked), rows, data, tol)
		}
	})
}

func TestGoldenLanguage(t *testing.T) {
	k := openKit(t)
	k.Each(t, func(t *testing.T, name string, m *whisper.Model) { checkLanguages(t, k, name, m) })
}

// checkLanguages holds the probabilities of languages against the reference's.
func checkLanguages(t *testing.T, k *goldentest.Kit, name string, m *whisper.Model) {
	t.Helper()
	var info goldentest.Info
	k.JSON(t, name+"/info.json", &info)
	o := tensor.NewOps(k.Backend)
	for clip, want := range info.LangID {
		if !k.Takes(clip, 0) {
			continue
		}
		probs, err := m.DetectLanguage(o, nil, []*whisper.CrossKV{k.Encode(t, m, clip).Cross}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := probs[0].Best(); got != want.Language {
			t.Errorf("%s: language %s, want %s", clip, got, want.Language)
		}
		worst := 0.0
		for code, p := range want.Probs {
			worst = max(worst, math.Abs(probs[0][code]-p))
		}
		goldentest.Within(t, "language", clip, worst, 1e-3)
	}
}

// TestGoldenBaseEncoder runs the real whisper-base encoder, whose weights the kit does not hold.
func TestGoldenBaseEncoder(t *testing.T) {
	k := openKit(t)
	m, clips := baseEncoder(t, k)
	if err := m.Pack(k.Backend, tensor.F32); err != nil {
		t.Fatal(err)
	}
	for _, clip := range clips {
		got, rows, want := encodeBase(t, k, m, clip)
		goldentest.CompareRows(t, "encoder of whisper-base", clip, got, rows, want, k.Tolerance(t, baseFile(clip)))
	}
}

// baseEncoder returns a model with the encoder of whisper-base, not packed, and the clips that the kit
// has its output for. It skips the test where one of the two is absent.
func baseEncoder(t *testing.T, k *goldentest.Kit) (m *whisper.Model, clips []string) {
	t.Helper()
	var info struct {
		Weights struct {
			File string
			Dims struct {
				NMels       int `json:"n_mels"`
				NAudioCtx   int `json:"n_audio_ctx"`
				NAudioState int `json:"n_audio_state"`
				NAudioHead  int `json:"n_audio_head"`
				NAudioLayer int `json:"n_audio_layer"`
			}
		}
		Clips map[string]json.RawMessage
	}
	if _, err := os.Stat(filepath.Join(k.Dir, "base_encoder", "base_encoder.json")); err != nil {
		t.Skipf("SKIP: the kit has no base_encoder: %v", err)
	}
	k.JSON(t, "base_encoder/base_encoder.json", &info)
	weights, err := safetensors.Open(whisper.DataFile(t, "weights of whisper-base", info.Weights.File))
	if err != nil {
		t.Fatal(err)
	}
	defer weights.Close()
	d := info.Weights.Dims
	m = whisper.New(whisper.Dims{
		NMels: d.NMels, NAudioCtx: d.NAudioCtx, NAudioState: d.NAudioState, NAudioHead: d.NAudioHead, NAudioLayer: d.NAudioLayer,
		NVocab: 1, NTextCtx: 1, NTextState: d.NAudioState, NTextHead: d.NAudioHead, NTextLayer: 1,
	})
	for _, p := range m.Params() {
		if strings.HasPrefix(p.Name, "model.encoder.") {
			values, _ := goldentest.Floats(t, weights, p.Name)
			p.SetFloat32(values)
		}
	}
	return m, slices.Sorted(maps.Keys(info.Clips))
}

// baseFile is the kit's output of the encoder of whisper-base for a clip.
func baseFile(clip string) string { return "base_encoder/" + clip + ".safetensors" }

// encodeBase returns the states of a clip, and what the kit has of those of rows.
func encodeBase(t *testing.T, k *goldentest.Kit, m *whisper.Model, clip string) (got tensor.Mat, rows []int, want []float32) {
	t.Helper()
	got, err := m.EncodeStates(&whisper.Step{Ops: tensor.NewOps(k.Backend)}, []audio.Mel{k.Mel(t, clip, m.Dims)})
	if err != nil {
		t.Fatal(err)
	}
	f := k.Tensors(t, baseFile(clip))
	want, _ = goldentest.Floats(t, f, "out")
	return got, goldentest.Integers(t, f, "frames"), want
}
