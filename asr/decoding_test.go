package asr

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// TestFails checks when a window is decoded again, and when it is silence, by upstream's
// decode_with_fallback.
func TestFails(t *testing.T) {
	off := Decoding{CompressionRatioThreshold: Off(), LogProbThreshold: Off(), NoSpeechThreshold: Off()}
	noLogProb := Decoding{LogProbThreshold: Off()}
	for _, c := range []struct {
		ratio, logProb, noSpeech float64
		decoding                 Decoding
		fails, silent            bool
	}{
		{2.4, -1, 0, Decoding{}, false, false},
		{2.5, -0.1, 0, Decoding{}, true, false},
		{1, -1.1, 0, Decoding{}, true, false},
		{1, -1.1, 0.6, Decoding{}, true, false},
		{1, -1.1, 0.7, Decoding{}, false, true},
		{9, -1.1, 0.7, Decoding{}, false, true},
		{9, -0.9, 0.7, Decoding{}, true, false},
		{9, -9, 0.9, off, false, false},
		{9, -9, 0.9, noLogProb, true, true},
		{1, -1.1, 0.7, Decoding{NoSpeechThreshold: Off()}, true, false},
		{9, -0.5, 0, Decoding{CompressionRatioThreshold: Off()}, false, false},
		{1, -0.5, 0, Decoding{LogProbThreshold: -0.4}, true, false},
	} {
		d := c.decoding.withDefaults()
		w := whisper.Decoded{CompressionRatio: c.ratio, AvgLogProb: c.logProb, NoSpeechProb: c.noSpeech}
		if fails, silent := d.fails(w), d.silent(w); fails != c.fails || silent != c.silent {
			t.Errorf("%+v: fails %v, silent %v", c, fails, silent)
		}
	}
}

// TestOnlyFailedWindowsFallBack checks that a window that fails is decoded again at the next
// temperatures while another recording goes on, that the last attempt is taken in any case, and
// which options belong to which temperature.
func TestOnlyFailedWindowsFallBack(t *testing.T) {
	e := newEngine(t, true, Options{})
	decoding := Decoding{Temperatures: []float64{0, 0.4, 0.8}, BeamSize: 2, Patience: 2, BestOf: 3, Seed: 9}
	good, bad := chirp(300, 3*windowSeconds, Request{Language: "en", Decoding: decoding}), chirp(400, 2*windowSeconds, Request{Language: "de", Decoding: decoding})
	asked := map[string][]whisper.DecodeOptions{}
	nBad := 0
	e.Watch(func(us []whisper.Utterance) {
		for _, u := range us {
			asked[u.Options.Language] = append(asked[u.Options.Language], u.Options)
		}
	}, func(us []whisper.Utterance, ds []whisper.Decoded) {
		for i, u := range us {
			ds[i].AvgLogProb, ds[i].CompressionRatio, ds[i].NoSpeechProb = -0.5, 1, 0
			ds[i].Tokens = e.model.Tokenizer.Encode(" red") // as if it were without timestamps
			if u.Options.Language == "de" {
				if nBad++; nBad != 5 { // its second window's second attempt is good
					ds[i].AvgLogProb = -2
				}
			}
		}
	})
	results := transcribe(t, e, good, bad)
	temperatures := func(os []whisper.DecodeOptions) (ts []float64) {
		for _, o := range os {
			ts = append(ts, o.Temperature)
			if (o.Temperature == 0) != (o.BeamSize == 2 && o.Patience == 2) || (o.Temperature > 0) != (o.BestOf == 3) {
				t.Errorf("options %+v", o)
			}
		}
		return ts
	}
	if got, want := temperatures(asked["en"]), []float64{0, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("temperatures of the good recording: %v, want %v", got, want)
	}
	if got, want := temperatures(asked["de"]), []float64{0, 0.4, 0.8, 0, 0.4}; !slices.Equal(got, want) {
		t.Errorf("temperatures of the bad recording: %v, want %v", got, want)
	}
	if got := results[1].Segments; len(got) != 2 || got[0].Temperature != 0.8 || got[1].Temperature != 0.4 {
		t.Errorf("segments of the bad recording: %+v", got)
	}
	// The prompt is reset behind a high temperature alone.
	if prompt := asked["en"][1].Prompt; len(prompt) == 0 {
		t.Error("the second good window is not told the first")
	}
	if prompt := asked["de"][3].Prompt; len(prompt) != 0 {
		t.Errorf("behind a temperature of 0.8 a window is told %d", prompt)
	}
	if asked["de"][1].Seed == asked["de"][2].Seed || asked["de"][1].Seed == asked["de"][4].Seed {
		t.Error("attempts or windows share their random numbers")
	}
}

// TestOptionsReachTheDecoder checks what of a request a window is decoded with.
func TestOptionsReachTheDecoder(t *testing.T) {
	e := newEngine(t, true, Options{})
	var got whisper.DecodeOptions
	e.Watch(func(us []whisper.Utterance) { got = us[0].Options }, func([]whisper.Utterance, []whisper.Decoded) {})
	tok := e.model.Tokenizer
	q := chirp(300, 1, Request{Language: "cs", Task: "translate", Decoding: Decoding{
		Temperatures: []float64{0}, LengthPenalty: 0.5, InitialPrompt: " red ", Prefix: "green", Suppress: []int32{3}, AllowSymbols: true,
		AllowBlank: true, MaxInitialTimestamp: Off(), SampleLen: 5, WithoutTimestamps: true,
	}})
	if err := transcribe(t, e, q)[0].Err; err != nil {
		t.Fatal(err)
	}
	want := whisper.DecodeOptions{
		Language: "cs", Task: "translate", LengthPenalty: 0.5, WithoutTimestamps: true, Prompt: tok.Encode(" red"), Prefix: tok.Encode(" green"),
		SampleLen: 5, AllowBlank: true, AllowSymbols: true, Suppress: []int32{3}, AnyFirstTime: true, Seed: got.Seed,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want\n%+v", got, want)
	}
}

// TestInvalidRequests checks that what makes no sense is refused before the audio is read.
func TestInvalidRequests(t *testing.T) {
	e := newEngine(t, true, Options{})
	nan := math.NaN()
	for i, q := range []Request{
		{Language: "en", SwitchLanguage: true}, {Languages: []string{"klingon"}}, {Languages: []string{"haw"}}, {Task: "sing"},
		{Clips: []float64{-1, 2}}, {Clips: []float64{3, 2}}, {Clips: []float64{nan}}, {Clips: []float64{math.Inf(1)}},
		{Timestamps: true, Decoding: Decoding{WithoutTimestamps: true}}, {Words: &WordOptions{SilenceThreshold: -1}}, {Words: &WordOptions{SilenceThreshold: nan}},
		{Decoding: Decoding{Temperatures: []float64{0, -0.2}}}, {Decoding: Decoding{Temperatures: []float64{nan}}},
		{Decoding: Decoding{BeamSize: -1}}, {Decoding: Decoding{BeamSize: 1000}}, {Decoding: Decoding{Patience: 2}}, {Decoding: Decoding{Patience: -1, BeamSize: 2}},
		{Decoding: Decoding{BestOf: -1}}, {Decoding: Decoding{BestOf: 1000, Temperatures: []float64{0}}}, {Decoding: Decoding{LengthPenalty: 2}},
		{Decoding: Decoding{MaxInitialTimestamp: -1}}, {Decoding: Decoding{SampleLen: -1}}, {Decoding: Decoding{Suppress: []int32{-7}}},
		{Decoding: Decoding{Suppress: []int32{1 << 30}}}, {Decoding: Decoding{Prefix: "red", Hotwords: "green"}},
		{Decoding: Decoding{Prefix: "red red red red red red red red red red red red red red red red"}},
	} {
		q.Audio = func() ([]float32, error) { t.Error("the audio is read"); return nil, nil }
		if err := e.Check(q); !errors.Is(err, ErrInvalid) {
			t.Errorf("request %d, %+v: %v, want %v", i, q, err, ErrInvalid)
		}
		if r := transcribe(t, e, q)[0]; !errors.Is(r.Err, ErrInvalid) {
			t.Errorf("request %d: result %v, want %v", i, r.Err, ErrInvalid)
		}
	}
	if _, err := New(e.model, ops(e).Backend(), nil, nil, Options{Languages: []string{"haw"}}); !errors.Is(err, whisper.ErrLanguage) {
		t.Errorf("an engine of a language that its model does not know: %v", err)
	}
}

// TestLanguageOfEachWindow checks that a recording may switch its language, its adapter with it:
// each window is routed as it is where it is all that is transcribed.
func TestLanguageOfEachWindow(t *testing.T) {
	e := newEngine(t, true, Options{})
	for _, id := range e.model.Tokenizer.LanguageTokens() {
		row := e.model.Decoder.Tokens.Row(int(id))
		for i := range row {
			row[i] = float32(math.Sin(float64(7*int(id)*(i+1)))) * 3
		}
	}
	if err := e.model.Pack(ops(e).Backend(), tensor.F32); err != nil {
		t.Fatal(err)
	}
	type routed struct {
		language, adapter string
	}
	var windows []routed
	e.Watch(func(us []whisper.Utterance) {
		windows = append(windows, routed{us[0].Options.Language, e.bank.Batch().Name(us[0].Adapter)})
	}, func([]whisper.Utterance, []whisper.Decoded) {})
	const nWindow = 6
	decoding := Decoding{Temperatures: []float64{0}, Unconditioned: true, NoSpeechThreshold: Off(), WithoutTimestamps: true}
	q := Request{SwitchLanguage: true, Languages: []string{"English", "cs", "de"}, Decoding: decoding}
	whole := transcribe(t, e, chirp(150, nWindow*windowSeconds, q))[0]
	together := windows
	if whole.Err != nil || len(together) != nWindow || len(whole.Segments) == 0 || whole.Language != together[0].language {
		t.Fatalf("%d windows, %+v", len(together), whole)
	}
	for _, s := range whole.Segments {
		if want := together[s.Seek/(windowSeconds*framesPerSecond)].language; s.Language != want {
			t.Errorf("segment at frame %d is %s, want %s", s.Seek, s.Language, want)
		}
	}
	languages := map[string]bool{}
	for i, w := range together {
		q.Clips = []float64{float64(i * windowSeconds), float64((i + 1) * windowSeconds)}
		windows = nil
		if r := transcribe(t, e, chirp(150, nWindow*windowSeconds, q))[0]; r.Err != nil || windows[0] != w || r.Adapter != w.adapter {
			t.Errorf("window %d is %+v, alone %+v, %v", i, w, windows[0], r.Err)
		}
		if w.adapter != e.AdapterOf(w.language) {
			t.Errorf("window %d: %+v", i, w)
		}
		languages[w.language] = true
	}
	if len(languages) < 2 {
		t.Errorf("the test's recording has one language: %v", languages)
	}
}
