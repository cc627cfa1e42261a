package asr

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

// wordCase is a call of upstream's transcribe() with word timestamps, and the decodings in it.
type wordCase struct {
	Name, Clip string
	Options    struct {
		WordTimestamps bool     `json:"word_timestamps"`
		Task           string   `json:"task"`
		Silence        *float64 `json:"hallucination_silence_threshold"`
		Prepended      *string  `json:"prepend_punctuations"`
		Appended       *string  `json:"append_punctuations"`

		// What a replay does not know.
		Clips    any `json:"clip_timestamps"`
		NoSpeech any `json:"no_speech_threshold"`
		LogProb  any `json:"logprob_threshold"`
	}
	Result  Result
	Decodes []struct {
		Seek         int
		SegmentSize  int `json:"segment_size"`
		Tokens       []int32
		AvgLogProb   float64 `json:"avg_logprob"`
		NoSpeechProb float64 `json:"no_speech_prob"`
	}
	Stable bool `json:"same_with_noise_0.0001"`
}

// TestGoldenWords replays upstream's decodings and holds the words, the segments and the windows
// that follow from the words against upstream's.
func TestGoldenWords(t *testing.T) {
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	k := goldentest.Open(t, b, "..", "..", "shared", "golden", "public")
	k.Each(t, func(t *testing.T, name string, m *whisper.Model) {
		if _, err := os.Stat(filepath.Join(k.Dir, name, "transcribe.json")); err != nil {
			t.Skipf("SKIP: the kit has no transcribe.json for %s", name)
		}
		var cases []wordCase
		k.JSON(t, name+"/transcribe.json", &cases)
		cases = slices.DeleteFunc(cases, func(c wordCase) bool {
			o := c.Options
			return !o.WordTimestamps || !c.Stable || o.Clips != nil || o.NoSpeech != nil || o.LogProb != nil
		})
		if len(cases) == 0 {
			t.Skip("SKIP: the kit has no case with word timestamps")
		}
		words := 0
		for _, c := range cases {
			t.Run(c.Name, func(t *testing.T) { words += c.check(t, k, m) })
		}
		t.Logf("%d words of %d cases", words, len(cases))
	})
}

// check compares a replay with the result and returns the number of words.
func (c wordCase) check(t *testing.T, k *goldentest.Kit, m *whisper.Model) (n int) {
	got := c.replay(t, k, m)
	if len(got) != len(c.Result.Segments) {
		t.Fatalf("%d segments, want %d", len(got), len(c.Result.Segments))
	}
	const tolerance = 0.02 + 1e-9 // what the kit's manifest allows for words
	worst := 0.0
	apart := func(a, b float64) bool {
		d := math.Abs(a - b)
		worst = max(worst, d)
		return !(d <= tolerance)
	}
	for i, w := range c.Result.Segments {
		g := got[i]
		if g.Seek != w.Seek || apart(g.Start, w.Start) || apart(g.End, w.End) || !slices.Equal(g.Tokens, w.Tokens) || len(g.Words) != len(w.Words) {
			t.Errorf("segment %d is %+v, want %+v", i, g, w)
			continue
		}
		for j, want := range w.Words {
			if h := g.Words[j]; h.Word != want.Word || apart(h.Start, want.Start) || apart(h.End, want.End) || !(math.Abs(h.Probability-want.Probability) <= 1e-3) {
				t.Errorf("segment %d, word %d is %+v, want %+v", i, j, h, want)
			}
		}
		n += len(w.Words)
	}
	t.Logf("max |difference| of times %.3g s of %.3g", worst, tolerance)
	return n
}

// replay is upstream's loop over windows, with its tokens in place of decoding.
func (c wordCase) replay(t *testing.T, k *goldentest.Kit, m *whisper.Model) (all []Segment) {
	t.Helper()
	pcm, err := audio.DecodeFile(filepath.Join(k.Dir, "audio", c.Clip+".wav"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRecording(0, Request{}, m)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.load(pcm.Samples); err != nil {
		t.Fatal(err)
	}
	o, options := tensor.NewOps(k.Backend), usual
	if p := c.Options.Prepended; p != nil {
		options.Prepended = *p
	}
	if p := c.Options.Appended; p != nil {
		options.Appended = *p
	}
	lastSpeech := 0.0
	for i, d := range c.Decodes {
		if i+1 < len(c.Decodes) && c.Decodes[i+1].Seek == d.Seek {
			continue // it failed, and was done again at another temperature
		}
		if d.Seek != r.seek || d.SegmentSize != r.size() {
			t.Fatalf("window %d begins at %d with %d frames, upstream's at %d with %d", i, r.seek, r.size(), d.Seek, d.SegmentSize)
		}
		if d.NoSpeechProb > noSpeechThreshold && d.AvgLogProb <= logProbThreshold {
			r.moveTo(r.seek + r.size())
			continue
		}
		segments, advance := r.cut(whisper.Decoded{Tokens: d.Tokens, AvgLogProb: d.AvgLogProb, NoSpeechProb: d.NoSpeechProb})
		cross, err := m.Encode(o, nil, []audio.Mel{r.windowMel()}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ws := []spokenWindow{{
			utterance: whisper.Utterance{Cross: cross[0], Options: whisper.DecodeOptions{Language: c.Result.Language, Task: c.Options.Task}},
			frames:    r.size(), options: options, segments: segments, lastSpeech: lastSpeech,
		}}
		if err := timeWords(m, o, nil, ws); err != nil || ws[0].err != nil {
			t.Fatal(err, ws[0].err)
		}
		n, begin := len(d.Tokens), m.Tokenizer.TimestampBegin()
		w := wordWindow{seek: r.seek, size: r.size(), full: m.Dims.WindowFrames(), content: r.content,
			singleEnd: n >= 2 && d.Tokens[n-1] >= begin && d.Tokens[n-2] < begin}
		next, again := w.next(segments, r.seek+advance), false
		if s := c.Options.Silence; s != nil {
			segments, next, again = w.skipSilence(segments, next, *s, lastSpeech)
		}
		r.moveTo(next)
		if end, ok := speechEnd(segments); ok && !again {
			lastSpeech = end
		}
		for _, s := range segments {
			if s.Start == s.End || strings.TrimSpace(s.Text) == "" {
				s.Tokens, s.Words = nil, nil
			}
			all = append(all, s)
		}
	}
	if !r.finished() {
		t.Errorf("the next window would begin at %d of %d", r.seek, r.content)
	}
	return all
}
