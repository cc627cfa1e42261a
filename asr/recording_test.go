package asr

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/tensor/ref"
)

// TestCutFollowsUpstream checks where a window's tokens are cut, by the cases of the loop in
// upstream's transcribe(). Numbers from 100 on are timestamps of 20 ms behind 100, others words.
func TestCutFollowsUpstream(t *testing.T) {
	const stamps = 100
	type times [][2]float64
	m := newModel(t, ref.New(), false)
	words := m.Tokenizer.Encode(" red green")
	for _, c := range []struct {
		name     string
		tokens   []int
		segments times
		advance  int // frames
	}{
		{"no timestamps", []int{1, 1}, times{{1, 3}}, 200},
		{"no end", []int{100, 1, 1}, times{{1, 3}}, 200},
		{"one end", []int{100, 1, 130}, times{{1, 1.6}}, 200},
		{"a pair, and an open segment", []int{100, 1, 120, 120, 1}, times{{1, 1.4}}, 40},
		{"a pair at the end", []int{100, 1, 120, 125, 1, 150, 150}, times{{1, 1.4}, {1.5, 2}}, 100},
		{"a pair, and one end", []int{100, 1, 120, 125, 1, 160}, times{{1, 1.4}, {1.5, 2.2}}, 200},
		{"nothing", nil, times{{1, 3}}, 200},
	} {
		d := whisper.Decoded{AvgLogProb: -0.5}
		for _, token := range c.tokens {
			if token >= stamps {
				d.Tokens = append(d.Tokens, m.Tokenizer.TimestampBegin()+int32(token-stamps))
			} else {
				d.Tokens = append(d.Tokens, words[0])
			}
		}
		r := &recording{model: m, seek: framesPerSecond, clips: [][2]int{{0, 10 * framesPerSecond}}, decoding: Decoding{}.withDefaults()}
		segments, advance := r.cut(d)
		if advance != c.advance || len(segments) != len(c.segments) {
			t.Errorf("%s: %d segments, advance %d, want %d, %d", c.name, len(segments), advance, len(c.segments), c.advance)
			continue
		}
		for i, s := range segments {
			if math.Abs(s.Start-c.segments[i][0]) > 1e-9 || math.Abs(s.End-c.segments[i][1]) > 1e-9 {
				t.Errorf("%s: segment %d from %v to %v, want %v", c.name, i, s.Start, s.End, c.segments[i])
			}
		}
	}
}

// TestMelInPlaceOfSound: a request with a log-mel has the result of one with its sound.
func TestMelInPlaceOfSound(t *testing.T) {
	for _, unpadded := range []bool{true, false} {
		e := newEngine(t, unpadded, Options{})
		for _, seconds := range []float64{0.5, 1.7, 5} {
			q := chirp(300, seconds, Request{Words: &WordOptions{}})
			pcm, _ := q.Audio()
			ready := q
			ready.Audio = nil
			ready.Mel = func() (audio.Mel, error) { return audio.LogMelPadded(pcm, e.model.Dims.NMels, melPadding(e.model)) }
			rs := transcribe(t, e, q, ready)
			if rs[0].Err != nil || !reflect.DeepEqual(rs[0], rs[1]) {
				t.Errorf("unpadded %t, %g s: %+v, want %+v", unpadded, seconds, rs[1], rs[0])
			}
		}
		bad := Request{Mel: func() (audio.Mel, error) { return audio.LogMel(make([]float32, 1600), 40) }}
		if r := transcribe(t, e, bad)[0]; !errors.Is(r.Err, ErrInvalid) {
			t.Errorf("40 filters: %v", r.Err)
		}
	}
}

// TestPrefixTokensArePartOfTheResult: a text that begins with tokens of its own is the text without them.
func TestPrefixTokensArePartOfTheResult(t *testing.T) {
	e := newEngine(t, true, Options{})
	q := chirp(300, 1, Request{Language: "en", Words: &WordOptions{}, Decoding: Decoding{WithoutTimestamps: true, SampleLen: 6}})
	want := transcribe(t, e, q)[0]
	if want.Err != nil || len(want.Segments) == 0 || len(want.Segments[0].Tokens) < 3 {
		t.Fatalf("%+v", want)
	}
	all := want.Segments[0].Tokens
	for n := 1; n <= 2; n++ {
		q.Decoding.PrefixTokens, q.Decoding.SampleLen = all[:n], 6-n
		got := transcribe(t, e, q)[0]
		if got.Err != nil || !slices.Equal(got.Segments[0].Tokens, all) || got.Segments[0].Text != want.Segments[0].Text || !reflect.DeepEqual(got.Segments[0].Words, want.Segments[0].Words) {
			t.Errorf("behind %d tokens: %+v, want %+v", n, got, want)
		}
	}
	for _, d := range []Decoding{
		{PrefixTokens: all, Prefix: "red"}, {PromptTokens: all, InitialPrompt: "red"}, {PrefixTokens: []int32{-1}}, {PromptTokens: []int32{1 << 20}},
	} {
		if err := e.Check(Request{Decoding: d}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", d, err)
		}
	}
}

// TestSilenceIsSkipped checks that a window that is no speech by upstream's thresholds adds
// nothing, and that one with sure words does all the same.
func TestSilenceIsSkipped(t *testing.T) {
	m := newModel(t, ref.New(), false)
	for _, c := range []struct {
		noSpeech, logProb float64
		skipped           bool
	}{{0.7, -1.1, true}, {0.7, -0.9, false}, {0.5, -1.1, false}} {
		r := &recording{model: m, clips: [][2]int{{0, framesPerSecond}}, decoding: Decoding{Temperatures: []float64{0}}.withDefaults()}
		r.take(whisper.Decoded{Tokens: m.Tokenizer.Encode(" red"), NoSpeechProb: c.noSpeech, AvgLogProb: c.logProb})
		r.close()
		if skipped := r.result.Text == ""; skipped != c.skipped || !r.finished() {
			t.Errorf("%+v: text %q, finished %v", c, r.result.Text, r.finished())
		}
	}
}

// TestWindowLength checks that windows have the length that the model wants.
func TestWindowLength(t *testing.T) {
	for _, unpadded := range []bool{false, true} {
		m := newModel(t, ref.New(), unpadded)
		r, err := newRecording(Request{}, m)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.load(make([]float32, audio.SampleRate/2)); err != nil {
			t.Fatal(err)
		}
		want := m.Dims.WindowFrames()
		if unpadded {
			want = framesPerSecond / 2
		}
		if got := r.windowMel().Frames; got != want || r.content != framesPerSecond/2 {
			t.Errorf("unpadded %v: window of %d frames, want %d; content of %d", unpadded, got, want, r.content)
		}
	}
}

// TestClips checks which frames windows begin at and how long they are, by the loop of upstream's
// transcribe(), for a recording of 7 s and windows of 2 s that are decoded to their end.
func TestClips(t *testing.T) {
	type windows [][2]int // seek and size
	m := newModel(t, ref.New(), false)
	for _, c := range []struct {
		clips []float64
		want  windows
	}{
		{nil, windows{{0, 200}, {200, 200}, {400, 200}, {600, 100}}},
		{[]float64{0}, windows{{0, 200}, {200, 200}, {400, 200}, {600, 100}}},
		{[]float64{5.5}, windows{{550, 150}}},
		{[]float64{1, 1.5}, windows{{100, 50}}},
		{[]float64{1, 1.5, 3, 6}, windows{{100, 50}, {300, 200}, {500, 100}}},
		{[]float64{1, 1.5, 6}, windows{{100, 50}, {600, 100}}},
		{[]float64{6, 99}, windows{{600, 100}}},
		{[]float64{8, 9, 1, 1}, nil},
		{[]float64{3, 4, 1, 2}, windows{{300, 100}, {100, 100}}},
		{[]float64{0.005, 0.015}, windows{{0, 2}}}, // halves are rounded to even
	} {
		r, err := newRecording(Request{Clips: c.clips}, m)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.load(make([]float32, 7*audio.SampleRate)); err != nil {
			t.Fatal(err)
		}
		var got windows
		for !r.finished() {
			got = append(got, [2]int{r.seek, r.size()})
			if mel := r.windowMel(); mel.Content() != r.size() || mel.Frames != m.Dims.WindowFrames() {
				t.Errorf("clips %v: window of %d frames, %d of them audio, at %d", c.clips, mel.Frames, mel.Content(), r.seek)
			}
			r.moveTo(r.seek + r.size())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("clips %v: windows %v, want %v", c.clips, got, c.want)
		}
	}
}

// TestLanguageIsHeardAsUpstreamHearsIt checks what a language is detected from: the beginning of
// the recording, with the padding of the recording, and the window itself only where it is that.
func TestLanguageIsHeardAsUpstreamHearsIt(t *testing.T) {
	for _, c := range []struct {
		unpadded bool
		seconds  int
		request  Request
		ofWindow bool
	}{
		{false, 1, Request{}, false}, {false, 3, Request{}, true}, {false, 3, Request{Clips: []float64{1}}, false},
		{false, 1, Request{SwitchLanguage: true}, true},
		{true, 1, Request{}, true}, {true, 3, Request{}, true}, {true, 3, Request{Clips: []float64{0, 1}}, false},
	} {
		m := newModel(t, ref.New(), c.unpadded)
		r, err := newRecording(c.request, m)
		if err != nil {
			t.Fatal(err)
		}
		pcm, _ := chirp(200, float64(c.seconds), Request{}).Audio()
		if err := r.load(pcm); err != nil {
			t.Fatal(err)
		}
		mel, ofWindow := r.languageMel()
		if ofWindow != c.ofWindow {
			t.Errorf("%+v: the window itself: %v", c, ofWindow)
		}
		if same := slices.Equal(mel.Data, r.windowMel().Data); same != c.ofWindow {
			t.Errorf("%+v: the numbers of the window: %v", c, same)
		}
	}
}
