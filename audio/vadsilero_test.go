package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// jfkSpans are the published spans of speech of jfk.wav, in seconds, by Silero VAD 6.2.
var jfkSpans = [][2]float64{{0.32, 2.27}, {3.27, 4.41}, {5.38, 7.68}, {8.16, 10.62}}

// jfkProbs are every eighth probability of jfk.wav, by silero_vad_16k_op15.onnx of Silero VAD 6.2 under ONNX Runtime.
var jfkProbs = []float32{
	0.0017, 0.0313, 0.9902, 0.9909, 0.9984, 0.9977, 0.9952, 0.9994, 0.9985, 0.0607, 0.0553, 0.0124, 0.0106, 0.9939, 0.9953,
	0.2066, 0.9992, 0.7672, 0.0284, 0.0198, 0.0365, 0.0374, 0.9997, 0.9991, 0.9988, 0.9999, 0.9991, 0.9989, 1.0000, 0.9998,
	0.0742, 0.0213, 0.9956, 0.9989, 0.9999, 0.9999, 0.9988, 0.9999, 0.9992, 0.9990, 0.9974, 0.5569, 0.0747,
}

func TestSileroHearsWhatUpstreamHears(t *testing.T) {
	f, err := os.Open(dataFile(t, "weights of Silero VAD", "vad", "for-tests-silero-v6.2.0-ggml.bin"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := ReadSilero(f)
	if err != nil {
		t.Fatal(err)
	}
	pcm := jfk(t)
	probs := SpeechProbs(s.Detector(), pcm)
	difference := 0.0
	for i, want := range jfkProbs {
		difference = max(difference, math.Abs(float64(probs[8*i]-want)))
	}
	t.Logf("largest difference of probabilities %.5f", difference)
	if difference > 0.003 { // the file holds convolutions in half precision
		t.Errorf("probabilities differ by %.5f", difference)
	}
	spans := inSeconds(FindSpeech(s.Detector(), pcm, DefaultSpeechOptions()))
	t.Logf("spans %.3f", spans)
	if len(spans) != len(jfkSpans) {
		t.Fatalf("%d spans: want %d", len(spans), len(jfkSpans))
	}
	for i, want := range jfkSpans {
		if math.Abs(spans[i][0]-want[0]) > 0.1 || math.Abs(spans[i][1]-want[1]) > 0.1 {
			t.Errorf("span %d is %v: want %v", i, spans[i], want)
		}
	}
}

// tensorMap are Tensors in memory.
type tensorMap map[string]ggmlTensor

func (m tensorMap) Names() []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	return names
}

func (m tensorMap) Float32(name string) ([]float32, []int, error) {
	t, ok := m[name]
	if !ok {
		return nil, nil, fmt.Errorf("no tensor %q", name)
	}
	return t.data, t.shape, nil
}

// randomTensors are random weights with which all parts of the network matter, under names.
func randomTensors(seed uint64, n sileroNames) tensorMap {
	r := rand.New(rand.NewPCG(seed, 1))
	m := tensorMap{}
	put := func(name string, deviation float64, shape ...int) {
		count := 1
		for _, d := range shape {
			count *= d
		}
		data := make([]float32, count)
		for i := range data {
			data[i] = float32(deviation * r.NormFloat64())
		}
		m[name] = ggmlTensor{data, shape}
	}
	for i, c := range sileroEncoder {
		name := fmt.Sprintf(n.encoder, n.first+i)
		put(name+".weight", math.Sqrt(2/float64(c.in*sileroKernel)), c.out, c.in, sileroKernel)
		put(name+".bias", 0.1, c.out)
	}
	for _, w := range []string{n.inputWeight, n.hiddenWeight} {
		put(w, 0.2, sileroGates*sileroState, sileroState)
	}
	for _, b := range []string{n.inputBias, n.hiddenBias} {
		put(b, 0.2, sileroGates*sileroState)
	}
	put(n.outWeight, 0.3, 1, sileroState, 1)
	put(n.outBias, 0.3, 1)
	put(n.basis, 0, 2*sileroBins, 1, sileroFFT)
	basis := m[n.basis].data
	for k := range sileroBins {
		for i := range sileroFFT {
			w := 0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/sileroFFT)
			sin, cos := math.Sincos(2 * math.Pi * float64(k*i) / sileroFFT)
			basis[k*sileroFFT+i], basis[(sileroBins+k)*sileroFFT+i] = float32(w*cos), float32(-w*sin)
		}
	}
	return m
}

// referenceSilero is the network as silero_vad/tinygrad_model.py writes it, in obvious loops and float64.
func referenceSilero(m tensorMap, n sileroNames, pcm []float32) []float32 {
	logistic := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	var h, c [sileroState]float64
	var probs []float32
	for from := 0; from < len(pcm); from += sileroWindow {
		at := func(i int) float64 { // sample i of context, frame and padding
			if last := sileroContext + sileroWindow - 1; i > last {
				i = 2*last - i
			}
			if i += from - sileroContext; i < 0 || i >= len(pcm) {
				return 0
			}
			return float64(pcm[i])
		}
		x := make([][]float64, sileroFrames) // (time, channel)
		for t := range x {
			x[t] = make([]float64, sileroBins)
			for k := range x[t] {
				re, im := 0.0, 0.0
				for i := range sileroFFT {
					re += float64(m[n.basis].data[k*sileroFFT+i]) * at(t*sileroHop+i)
					im += float64(m[n.basis].data[(sileroBins+k)*sileroFFT+i]) * at(t*sileroHop+i)
				}
				x[t][k] = math.Sqrt(re*re + im*im)
			}
		}
		for i, l := range sileroEncoder {
			name := fmt.Sprintf(n.encoder, n.first+i)
			w, b := m[name+".weight"].data, m[name+".bias"].data
			y := make([][]float64, (len(x)-1)/l.stride+1)
			for t := range y {
				y[t] = make([]float64, l.out)
				for o := range y[t] {
					sum := float64(b[o])
					for tap := range sileroKernel {
						if row := t*l.stride + tap - 1; row >= 0 && row < len(x) {
							for in := range l.in {
								sum += float64(w[(o*l.in+in)*sileroKernel+tap]) * x[row][in]
							}
						}
					}
					y[t][o] = max(sum, 0)
				}
			}
			x = y
		}
		var gates [sileroGates * sileroState]float64
		for g := range gates {
			gates[g] = float64(m[n.inputBias].data[g]) + float64(m[n.hiddenBias].data[g])
			for i := range sileroState {
				gates[g] += float64(m[n.inputWeight].data[g*sileroState+i])*x[0][i] + float64(m[n.hiddenWeight].data[g*sileroState+i])*h[i]
			}
		}
		logit := float64(m[n.outBias].data[0])
		for i := range h {
			in, forget, candidate, out := gates[i], gates[sileroState+i], gates[2*sileroState+i], gates[3*sileroState+i]
			c[i] = logistic(forget)*c[i] + logistic(in)*math.Tanh(candidate)
			h[i] = logistic(out) * math.Tanh(c[i])
			logit += float64(m[n.outWeight].data[i]) * max(h[i], 0)
		}
		probs = append(probs, float32(logistic(logit)))
	}
	return probs
}

// TestSileroIsItsEquations checks the detector against obvious loops, under the names of every naming.
func TestSileroIsItsEquations(t *testing.T) {
	pcm := add(noise(SampleRate/2+100, 0.1, 4), spokenLike(SampleRate/4, 0.2, 5), SampleRate/8)
	for i, naming := range sileroNamings {
		m := randomTensors(uint64(i), naming)
		want := referenceSilero(m, naming, pcm)
		s, err := NewSilero(m)
		if err != nil {
			t.Fatal(err)
		}
		got := SpeechProbs(s.Detector(), pcm)
		if len(got) != len(want) {
			t.Fatalf("%d probabilities: want %d", len(got), len(want))
		}
		for j := range got {
			if math.Abs(float64(got[j]-want[j])) > 1e-4 {
				t.Fatalf("naming %d, probability %d: %g: want %g", i, j, got[j], want[j])
			}
		}
		if slices.Max(got)-slices.Min(got) < 0.02 {
			t.Errorf("the probabilities are all alike: %v", got)
		}
	}
}

// ggmlFile is tensors in the layout of whisper.cpp: weights of convolutions in half precision where half says so.
func ggmlFile(m tensorMap, half bool) []byte {
	var b bytes.Buffer
	ints := func(values ...int) {
		for _, v := range values {
			binary.Write(&b, binary.LittleEndian, int32(v))
		}
	}
	ints(GGMLMagic, len(sileroModelType))
	b.WriteString(sileroModelType)
	ints(6, 2, 0, sileroWindow, sileroContext, len(sileroEncoder))
	for _, c := range sileroEncoder {
		ints(c.in, c.out, sileroKernel)
	}
	ints(sileroState, sileroState, sileroState, 1)
	names := m.Names()
	slices.Sort(names)
	for _, name := range names {
		t := m[name]
		shape := squeeze(t.shape)
		slices.Reverse(shape)
		f16 := half && len(shape) > 1 && !strings.Contains(name, "rnn")
		ints(len(shape), len(name), map[bool]int{false: ggmlF32, true: ggmlF16}[f16])
		ints(shape...)
		b.WriteString(name)
		for _, v := range t.data {
			if f16 {
				binary.Write(&b, binary.LittleEndian, halfBits(v))
			} else {
				binary.Write(&b, binary.LittleEndian, v)
			}
		}
	}
	return b.Bytes()
}

// halfBits is the binary16 number next to v towards zero, for 6e-5 < |v| < 65504 and for less, zero.
func halfBits(v float32) uint16 {
	bits := math.Float32bits(v)
	sign, exponent := uint16(bits>>16&0x8000), int(bits>>23&0xff)-127+15
	if exponent < 1 {
		return sign
	}
	return sign | uint16(exponent)<<10 | uint16(bits>>13&0x3ff)
}

func TestReadSilero(t *testing.T) {
	m := randomTensors(3, sileroNamings[0])
	pcm := noise(SampleRate/2, 0.2, 6)
	direct, err := NewSilero(m)
	if err != nil {
		t.Fatal(err)
	}
	want := SpeechProbs(direct.Detector(), pcm)
	for _, half := range []bool{false, true} {
		s, err := ReadSilero(bytes.NewReader(ggmlFile(m, half)))
		if err != nil {
			t.Fatal(err)
		}
		tolerance := 0.0
		if half {
			tolerance = 0.02
		}
		for i, p := range SpeechProbs(s.Detector(), pcm) {
			if math.Abs(float64(p-want[i])) > tolerance {
				t.Fatalf("half %v, probability %d: %g: want %g", half, i, p, want[i])
			}
		}
	}
}

func TestHalfToFloat32(t *testing.T) {
	for h, want := range map[uint16]float64{
		0x0000: 0, 0x3c00: 1, 0xc000: -2, 0x3555: 0.333251953125, 0x7bff: 65504, 0x0400: 0x1p-14, 0x0001: 0x1p-24, 0x83ff: -0x1.ff8p-15,
	} {
		if got := halfToFloat32(h); float64(got) != want {
			t.Errorf("%#04x is %g: want %g", h, got, want)
		}
	}
}

func TestSileroWeightsAreChecked(t *testing.T) {
	naming := sileroNamings[0]
	for name, spoil := range map[string]func(m tensorMap){
		"no basis":        func(m tensorMap) { delete(m, naming.basis) },
		"no bias":         func(m tensorMap) { delete(m, naming.hiddenBias) },
		"a shape":         func(m tensorMap) { m[naming.inputWeight] = ggmlTensor{make([]float32, 128*512), []int{128, 512}} },
		"another basis":   func(m tensorMap) { m[naming.basis].data[1000] += 0.1 },
		"not a number":    func(m tensorMap) { m[naming.outWeight].data[5] = float32(math.NaN()) },
		"infinite weight": func(m tensorMap) { m[naming.outBias].data[0] = float32(math.Inf(1)) },
	} {
		m := randomTensors(1, naming)
		spoil(m)
		if _, err := NewSilero(m); !errors.Is(err, ErrWeights) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// repeated is a reader of one byte over and over.
type repeated byte

func (e repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

func TestHostileSileroFiles(t *testing.T) {
	good := ggmlFile(randomTensors(1, sileroNamings[0]), true)
	put := func(at int, v int32) []byte {
		b := slices.Clone(good)
		binary.LittleEndian.PutUint32(b[at:], uint32(v))
		return b
	}
	const header, first = 8 + len(sileroModelType), 8 + len(sileroModelType) + 4*(3+3+3*len(sileroEncoder)+4)
	for name, r := range map[string]io.Reader{
		"nothing":             bytes.NewReader(nil),
		"zeros":               repeated(0),
		"ones":                repeated(0xff),
		"magic":               bytes.NewReader(put(0, 7)),
		"type":                bytes.NewReader(put(8, 7)),
		"type length":         bytes.NewReader(put(4, math.MaxInt32)),
		"negative length":     bytes.NewReader(put(4, -1)),
		"window":              bytes.NewReader(put(header+12, 256)),
		"layers":              bytes.NewReader(put(header+20, 1<<30)),
		"dimensions":          bytes.NewReader(put(first, 5)),
		"negative dimensions": bytes.NewReader(put(first, -1)),
		"name length":         bytes.NewReader(put(first+4, 1<<30)),
		"element type":        bytes.NewReader(put(first+8, 2)),
		"large dimension":     bytes.NewReader(put(first+12, 1<<30)),
		"zero dimension":      bytes.NewReader(put(first+12, 0)),
		"cut":                 bytes.NewReader(good[:len(good)-1]),
		"more":                bytes.NewReader(append(slices.Clone(good), 0)),
		"twice":               io.MultiReader(bytes.NewReader(good), bytes.NewReader(good[first:])),
		"endless":             io.MultiReader(bytes.NewReader(good), repeated(0)),
	} {
		if _, err := ReadSilero(r); !errors.Is(err, ErrWeights) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReadSilero(f *testing.F) {
	good := ggmlFile(randomTensors(1, sileroNamings[0]), true)
	f.Add(good[:3000])
	f.Add(good[:130])
	f.Add(good[len(good)-3000:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := ReadSilero(bytes.NewReader(b)); err != nil && !errors.Is(err, ErrWeights) || (s == nil) != (err != nil) {
			t.Fatalf("%v, %v", s, err)
		}
	})
}
