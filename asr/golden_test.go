package asr_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"glossa/asr"
	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

func backend(t testing.TB) tensor.Backend {
	t.Helper()
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// transcribeCase is one call of whisper.transcribe() in a kit's transcribe.json.
type transcribeCase struct {
	Name    string
	Clip    string
	Options map[string]json.RawMessage
	Result  struct {
		Text     string
		Segments []asr.Segment
		Language string
	}
	Decodes []decodeCall
	Stable  bool `json:"same_with_noise_0.0001"`
}

// decodeCall is a call of decode() that transcribe() made.
type decodeCall struct {
	Temperature float64
	BeamSize    int `json:"beam_size"`
	Prompt      []int32
	Tokens      []int32
	AvgLogProb  float64 `json:"avg_logprob"`
}

// request translates upstream's options.
func (c transcribeCase) request(t *testing.T, k *goldentest.Kit) asr.Request {
	t.Helper()
	r := asr.Request{Timestamps: true, Adapter: asr.None, Audio: func() ([]float32, error) {
		pcm, err := audio.DecodeFile(filepath.Join(k.Dir, "audio", c.Clip+".wav"))
		if err != nil {
			return nil, err
		}
		return pcm.Samples, nil
	}}
	r.Words = &asr.WordOptions{Prepended: asr.DefaultPrepended, Appended: asr.DefaultAppended}
	for name, raw := range c.Options {
		if err := setOption(&r, name, raw); err != nil {
			t.Fatalf("%s: option %s: %v", c.Name, name, err)
		}
	}
	if string(c.Options["word_timestamps"]) != "true" {
		r.Words = nil
	}
	return r
}

// setOption sets an argument of upstream's transcribe().
func setOption(r *asr.Request, name string, raw json.RawMessage) error {
	d := &r.Decoding
	read := func(v any) error { return json.Unmarshal(raw, v) }
	number := func(v *float64) error {
		if string(raw) == "null" {
			*v = asr.Off()
			return nil
		}
		return read(v)
	}
	var flag bool
	switch name {
	case "language":
		return read(&r.Language)
	case "task":
		return read(&r.Task)
	case "temperature":
		if read(&d.Temperatures) != nil {
			d.Temperatures = make([]float64, 1)
			return read(&d.Temperatures[0])
		}
	case "beam_size":
		return read(&d.BeamSize)
	case "patience":
		return read(&d.Patience)
	case "length_penalty":
		err := read(&d.LengthPenalty)
		if d.LengthPenalty == 0 && string(raw) != "null" {
			d.LengthPenalty = math.SmallestNonzeroFloat64
		}
		return err
	case "best_of":
		return read(&d.BestOf)
	case "compression_ratio_threshold":
		return number(&d.CompressionRatioThreshold)
	case "logprob_threshold":
		return number(&d.LogProbThreshold)
	case "no_speech_threshold":
		return number(&d.NoSpeechThreshold)
	case "max_initial_timestamp":
		err := number(&d.MaxInitialTimestamp)
		if d.MaxInitialTimestamp == 0 { // upstream takes it for none
			d.MaxInitialTimestamp = asr.Off()
		}
		return err
	case "condition_on_previous_text":
		err := read(&flag)
		d.Unconditioned = !flag
		return err
	case "suppress_blank":
		err := read(&flag)
		d.AllowBlank = !flag
		return err
	case "initial_prompt":
		return read(&d.InitialPrompt)
	case "carry_initial_prompt":
		return read(&d.CarryInitialPrompt)
	case "prefix":
		return read(&d.Prefix)
	case "sample_len":
		return read(&d.SampleLen)
	case "suppress_tokens":
		var err error
		d.AllowSymbols, d.Suppress, err = goldentest.SuppressTokens(raw)
		return err
	case "without_timestamps":
		err := read(&d.WithoutTimestamps)
		r.Timestamps = !d.WithoutTimestamps
		return err
	case "clip_timestamps":
		var text string
		if read(&text) != nil {
			return read(&r.Clips)
		}
		return json.Unmarshal([]byte("["+text+"]"), &r.Clips)
	case "prepend_punctuations":
		return read(&r.Words.Prepended)
	case "append_punctuations":
		return read(&r.Words.Appended)
	case "hallucination_silence_threshold":
		return read(&r.Words.SilenceThreshold)
	case "word_timestamps", "fp16", "verbose", "sampler": // see request and argmaxSampler
	default:
		return errors.New("unknown")
	}
	return nil
}

// argmaxSampler says whether the reference took the likeliest token at every temperature.
func (c transcribeCase) argmaxSampler() bool { return c.Options["sampler"] != nil }

// TestGoldenTranscribe holds whole recordings against upstream's sequential transcribe(), its
// fallbacks included, call by call.
func TestGoldenTranscribe(t *testing.T) {
	k := goldentest.Open(t, backend(t), "..", "..", "shared", "golden", "public")
	k.Each(t, func(t *testing.T, name string, m *whisper.Model) {
		var cases []transcribeCase
		if _, err := os.Stat(filepath.Join(k.Dir, name, "transcribe.json")); err != nil {
			t.Skipf("SKIP: the kit has no transcribe.json for %s", name)
		}
		k.JSON(t, name+"/transcribe.json", &cases)
		if len(cases) == 0 {
			t.Fatal("no case in transcribe.json")
		}
		for _, c := range cases {
			t.Run(c.Clip+", "+c.Name, func(t *testing.T) { c.run(t, m, k.Backend, c.request(t, k)) })
		}
	})
}

func (c transcribeCase) run(t *testing.T, m *whisper.Model, b tensor.Backend, r asr.Request) {
	if !c.Stable {
		t.Skip("SKIP: the reference's own result is not stable")
	}
	e, err := asr.New(m, b, nil, nil, asr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var asked []whisper.DecodeOptions
	var decoded []whisper.Decoded
	e.Watch(func(us []whisper.Utterance) {
		asked = append(asked, us[0].Options)
		if c.argmaxSampler() {
			us[0].Options.Temperature = 0
		}
	}, func(_ []whisper.Utterance, ds []whisper.Decoded) { decoded = append(decoded, ds...) })
	var result *asr.Result
	if err := e.TranscribeAll(t.Context(), []asr.Request{r}, func(_ int, r *asr.Result) { result = r }); err != nil {
		t.Fatal(err)
	}
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	if len(asked) != len(c.Decodes) {
		t.Errorf("%d windows decoded, want %d", len(asked), len(c.Decodes))
	}
	for i, w := range c.Decodes[:min(len(asked), len(c.Decodes))] {
		o, d := asked[i], decoded[i]
		if o.Temperature != w.Temperature || o.BeamSize != w.BeamSize || !slices.Equal(o.Prompt, w.Prompt) || !slices.Equal(d.Tokens, w.Tokens) {
			t.Errorf("decode %d: temperature %v, %d beams, prompt %v, tokens\n%v, want\n%+v", i, o.Temperature, o.BeamSize, o.Prompt, d.Tokens, w)
		}
		goldentest.Within(t, "transcribe avg_logprob", fmt.Sprint(c.Name, ", decode ", i), math.Abs(d.AvgLogProb-w.AvgLogProb), goldentest.AvgLogProbTolerance)
	}
	checkResult(t, c, result)
}

func checkResult(t *testing.T, c transcribeCase, got *asr.Result) {
	t.Helper()
	want := c.Result
	if got.Text != strings.TrimSpace(want.Text) || got.Language != want.Language {
		t.Errorf("%s %q, want %s %q", got.Language, got.Text, want.Language, want.Text)
	}
	// Upstream keeps empty segments in its list, without text.
	segments := slices.DeleteFunc(want.Segments, func(s asr.Segment) bool { return s.Text == "" })
	if len(got.Segments) != len(segments) {
		t.Errorf("%d segments, want %d", len(got.Segments), len(segments))
		return
	}
	for i, w := range segments {
		g := got.Segments[i]
		if g.Seek != w.Seek || g.Text != w.Text || !slices.Equal(g.Tokens, w.Tokens) {
			t.Errorf("segment %d is %+v, want %+v", i, g, w)
		}
		if g.Temperature != w.Temperature || g.CompressionRatio != w.CompressionRatio {
			t.Errorf("segment %d has temperature %v, compression ratio %v, want %v, %v", i, g.Temperature, g.CompressionRatio, w.Temperature, w.CompressionRatio)
		}
		checkWords(t, fmt.Sprint(c.Name, ", segment ", i), g.Words, w.Words)
		what := fmt.Sprint(c.Name, ", segment ", i)
		goldentest.Within(t, "transcribe avg_logprob", what, math.Abs(g.AvgLogProb-w.AvgLogProb), goldentest.AvgLogProbTolerance)
		goldentest.Within(t, "transcribe no_speech_prob", what, math.Abs(g.NoSpeechProb-w.NoSpeechProb), goldentest.NoSpeechProbTolerance)
		goldentest.Within(t, "transcribe times", what, max(math.Abs(g.Start-w.Start), math.Abs(g.End-w.End)), timeTolerance(g))
	}
}

// timeTolerance is what the kit's manifest allows for times: those of words may be a token apart.
func timeTolerance(s asr.Segment) float64 {
	const rounding = 1e-6
	if len(s.Words) > 0 {
		return 1.0/whisper.TokensPerSecond + rounding
	}
	return rounding
}

func checkWords(t *testing.T, what string, got, want []asr.Word) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d words, want %d", what, len(got), len(want))
		return
	}
	times, prob := 0.0, 0.0
	for i, w := range want {
		g := got[i]
		if g.Word != w.Word {
			t.Errorf("%s: word %d is %q, want %q", what, i, g.Word, w.Word)
		}
		times = max(times, math.Abs(g.Start-w.Start), math.Abs(g.End-w.End))
		prob = max(prob, math.Abs(g.Probability-w.Probability))
	}
	if len(want) > 0 {
		goldentest.Within(t, "words times", what, times, 1.0/whisper.TokensPerSecond+1e-6)
		goldentest.Within(t, "words probability", what, prob, 1e-3)
	}
}
