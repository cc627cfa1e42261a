package whisper_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
)

// dtypeTolerance is how far results with weights of a number format may be from the reference: errors as
// parts of the reference's root mean square.
type dtypeTolerance struct {
	dtype tensor.DType

	encoderRMS, encoderMax float64 // of a random model's states
	logitsRMS, logitsMax   float64
	baseRMS, baseMax       float64 // of whisper-base's, a few of whose columns are a hundred times the others
	otherTexts             float64 // the share of greedy decodes
}

// dtypeTolerances of bf16 and int8 are three to four times the errors of correct kernels, since kits have
// other random weights, those of f32 ten times. A rounding to bfloat16 is off by up to 2^-9, one to int8 by
// 2^-8 of the greatest number of its row; int8 whose output layer is not balanced is off by 0.15 of the
// logits. Random models choose most of their tokens by less than such an error: few texts differ for f32 alone.
var dtypeTolerances = []dtypeTolerance{
	{tensor.F32, 1e-5, 1e-4, 1e-5, 1e-4, 1e-4, 1e-2, 0.1},
	{tensor.BF16, 0.02, 0.1, 0.025, 0.12, 0.05, 5, 0.7},
	{tensor.I8, 0.05, 0.25, 0.08, 0.4, 0.25, 16, 0.9},
}

// TestGoldenDType holds the results of every number format of weights to the reference.
func TestGoldenDType(t *testing.T) { testGoldenDType(t, openKit(t), dtypeTolerances...) }

func testGoldenDType(t *testing.T, k *goldentest.Kit, tolerances ...dtypeTolerance) {
	k.Each(t, func(t *testing.T, name string, _ *whisper.Model) {
		for _, tol := range tolerances {
			m := k.ModelOf(t, name, tol.dtype)
			encoderByDType(t, k, name, m, tol)
			logitError := logitsByDType(t, k, name, m, tol)
			textsByDType(t, k, name, m, tol, logitError)
		}
	})
}

// TestGoldenBaseEncoderDType does so for the real whisper-base encoder.
func TestGoldenBaseEncoderDType(t *testing.T) {
	k := openKit(t)
	m, clips := baseEncoder(t, k)
	for _, tol := range dtypeTolerances {
		if err := m.Pack(k.Backend, tol.dtype); err != nil {
			t.Fatal(err)
		}
		for _, clip := range clips {
			var d goldentest.Difference
			d.AddRows(encodeBase(t, k, m, clip))
			d.Within(t, tol.dtype.String()+" whisper-base", clip, tol.baseRMS, tol.baseMax)
		}
	}
}

func encoderByDType(t *testing.T, k *goldentest.Kit, name string, m *whisper.Model, tol dtypeTolerance) {
	t.Helper()
	f := k.Tensors(t, name+"/encoder.safetensors")
	for _, clip := range f.Names() {
		if strings.HasSuffix(clip, ".frames") || !k.Takes(clip, 0) {
			continue
		}
		var d goldentest.Difference
		want, _ := goldentest.Floats(t, f, clip)
		d.AddRows(k.Encode(t, m, clip).States, goldentest.Integers(t, f, clip+".frames"), want)
		d.Within(t, tol.dtype.String()+" encoder", clip, tol.encoderRMS, tol.encoderMax)
	}
}

// logitsByDType returns the largest error of a logit.
func logitsByDType(t *testing.T, k *goldentest.Kit, name string, m *whisper.Model, tol dtypeTolerance) (most float64) {
	t.Helper()
	f, o := k.Tensors(t, name+"/logits.safetensors"), tensor.NewOps(k.Backend)
	var info goldentest.Info
	k.JSON(t, name+"/info.json", &info)
	columns := goldentest.Integers(t, f, "columns")
	for _, c := range slices.Sorted(maps.Keys(info.Logits)) {
		if !k.Takes(info.Logits[c].Clip, 0) {
			continue
		}
		cross := []*whisper.CrossKV{k.Encode(t, m, info.Logits[c].Clip).Cross}
		o.Reset()
		tokens := info.Logits[c].Tokens
		s := &whisper.Step{Ops: o, Cross: cross, Seg: tensor.NewSegments(len(tokens))}
		y := o.Host(m.Decoder.Logits(s, m.Decoder.Forward(s, tokens)))
		var d goldentest.Difference
		want, _ := goldentest.Floats(t, f, c+".logits")
		for i := range y.Rows {
			for j, col := range columns {
				d.Add(y.Row(i)[col], want[i*len(columns)+j])
			}
		}
		d.Within(t, tol.dtype.String()+" logits", "case "+c, tol.logitsRMS, tol.logitsMax)
		most = max(most, d.Most)
	}
	return most
}

// textsByDType decodes the greedy cases. Tokens are the reference's up to the first whose margin an error of
// the logits may overcome, each of two by up to twice the largest that was seen.
func textsByDType(t *testing.T, k *goldentest.Kit, name string, m *whisper.Model, tol dtypeTolerance, logitError float64) {
	t.Helper()
	const seen = 4
	ran, got := decodeCases(t, k, name, m, goldentest.DecodeCase.Greedy)
	others := 0
	for i, c := range ran {
		if !c.CheckCertain(t, tol.dtype.String(), got[i], max(seen*logitError, goldentest.NumericError)) {
			others++
		}
	}
	goldentest.Within(t, tol.dtype.String()+" other greedy texts", name, float64(others)/float64(len(ran)), tol.otherTexts)
}
