package asr

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/goldentest"
)

// alignment returns words of one token each between the given times.
func alignment(times []float64, words ...string) []whisper.WordTiming {
	var out []whisper.WordTiming
	for i, w := range words {
		out = append(out, whisper.WordTiming{Word: whisper.Word{Text: w, Tokens: []int32{int32(i)}}, Start: times[i], End: times[i+1], Probability: 0.5})
	}
	return out
}

var usual = WordOptions{Prepended: DefaultPrepended, Appended: DefaultAppended}

func TestAddWords(t *testing.T) {
	const eot = 100
	segments := []Segment{
		{Seek: 1000, Start: 10, End: 11, Tokens: []int32{150, 1, 2, 3, 160}},
		{Seek: 1000, Start: 11, End: 12, Tokens: []int32{160, 170}},
		{Seek: 1000, Start: 11, End: 12.3, Tokens: []int32{160, 4, 5, 170}},
	}
	tokens, counts := textTokens(segments, eot)
	if !slices.Equal(tokens, []int32{1, 2, 3, 4, 5}) || !slices.Equal(counts, []int{3, 0, 2}) {
		t.Fatalf("text tokens %v, %v of each segment", tokens, counts)
	}
	a := alignment([]float64{0.1, 0.5, 0.8, 1.2, 1.6, 2.004}, " Hi", " you", ".", " Bye", " bye")
	addWords(segments, a, counts, usual, 9.9)
	want := [][]Word{
		{{" Hi", 10.1, 10.5, 0.5}, {" you.", 10.5, 10.8, 0.5}},
		{},
		{{" Bye", 11.2, 11.6, 0.5}, {" bye", 11.6, 12, 0.5}},
	}
	for i, s := range segments {
		if !slices.Equal(s.Words, want[i]) || s.Words == nil {
			t.Errorf("segment %d has words %v, want %v", i, s.Words, want[i])
		}
	}
	if s := segments[0]; s.Start != 10.1 || s.End != 10.8 {
		t.Errorf("segment 0 is %v to %v, want its words' 10.1 to 10.8", s.Start, s.End)
	}
	if s := segments[1]; s.Start != 11 || s.End != 12 {
		t.Errorf("segment 1 without words was moved to %v, %v", s.Start, s.End)
	}
	addWords(nil, nil, nil, usual, 0)
}

// TestWordsAloneAndTogether pins that a window's words are bitwise the same alone and beside windows
// under other adapters, and that its adapter takes part in them.
func TestWordsAloneAndTogether(t *testing.T) {
	e := newEngine(t, true, Options{})
	var mels []audio.Mel
	rng := rand.New(rand.NewPCG(1, 1))
	for _, frames := range []int{200, 61, 200, 120} {
		mels = append(mels, goldentest.RandomMel(rng, frames))
	}
	mels[2] = mels[0]
	adapterOf := []int32{0, 1, 2, 1}
	cross, err := e.model.Encode(ops(e), e.bank.Batch(), mels, adapterOf)
	if err != nil {
		t.Fatal(err)
	}
	windows := func() (ws []spokenWindow) {
		for i, c := range cross {
			ws = append(ws, spokenWindow{
				utterance: whisper.Utterance{Cross: c, Adapter: adapterOf[i], Options: whisper.DecodeOptions{Language: "cs"}},
				frames:    mels[i].Frames, options: usual, segments: []Segment{{End: 2, Tokens: e.model.Tokenizer.Encode(" red green blue green")}},
			})
		}
		return ws
	}
	together := windows()
	if err := timeWords(e.stations[0].device, e.model.Tokenizer.EOT(), together); err != nil {
		t.Fatal(err)
	}
	for i, alone := range windows() {
		ws := []spokenWindow{alone}
		if err := timeWords(e.stations[0].device, e.model.Tokenizer.EOT(), ws); err != nil || ws[0].err != nil {
			t.Fatal(err, ws[0].err)
		}
		got, want := together[i].segments[0], ws[0].segments[0]
		if len(want.Words) != 4 || !reflect.DeepEqual(got, want) {
			t.Errorf("window %d: together %+v, alone %+v", i, got, want)
		}
	}
	if reflect.DeepEqual(together[0].segments, together[2].segments) {
		t.Error("the same window has the same words under another adapter")
	}
}

func TestMedianDuration(t *testing.T) {
	for _, c := range []struct {
		times []float64
		want  float64
	}{
		{[]float64{0, 0, 0}, 0},
		{[]float64{0, 0.25, 0.25, 0.75}, 0.375}, // without the word that has none
		{[]float64{0, 0.25, 0.75, 0.875}, 0.25},
		{[]float64{0, 5}, 0.7},
	} {
		words := make([]string, len(c.times)-1)
		if got := medianDuration(alignment(c.times, words...)); got != c.want {
			t.Errorf("of words at %v: %v, want %v", c.times, got, c.want)
		}
	}
}

func TestTrimSentenceEnds(t *testing.T) {
	a := alignment([]float64{0, 3, 6, 9, 12, 13}, " a", ".", " b", " c", "?")
	trimSentenceEnds(a, 1)
	for i, want := range [][2]float64{{0, 3}, {3, 4}, {8, 9}, {9, 12}, {12, 13}} {
		if a[i].Start != want[0] || a[i].End != want[1] {
			t.Errorf("word %d is %v to %v, want %v", i, a[i].Start, a[i].End, want)
		}
	}
}

func TestTrimAfterPause(t *testing.T) {
	for _, c := range []struct {
		name        string
		words, want []Word
	}{
		{"no pause", []Word{{Start: 0, End: 1.9}}, []Word{{Start: 0, End: 1.9}}},
		{"short words", []Word{{Start: 9.5, End: 10}, {Start: 10, End: 10.5}}, []Word{{Start: 9.5, End: 10}, {Start: 10, End: 10.5}}},
		{"first long", []Word{{Start: 5, End: 10}}, []Word{{Start: 9, End: 10}}},
		{"both long together", []Word{{Start: 9, End: 10}, {Start: 10, End: 11.5}}, []Word{{Start: 9.5, End: 10.5}, {Start: 10.5, End: 11.5}}},
		{"second long from the beginning", []Word{{Start: 1, End: 2.5}, {Start: 2.5, End: 4}}, []Word{{Start: 2, End: 3}, {Start: 3, End: 4}}},
	} {
		got := slices.Clone(c.words)
		trimAfterPause(got, 0.5, 0)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestFitWords(t *testing.T) {
	for _, c := range []struct {
		name     string
		s        Segment
		from, to float64 // of the segment and its words
	}{
		{"words within", Segment{Start: 1, End: 9, Words: []Word{{Start: 2, End: 3}, {Start: 7, End: 8}}}, 2, 8},
		{"words a little longer", Segment{Start: 2.25, End: 7.75, Words: []Word{{Start: 2, End: 3}, {Start: 7, End: 8}}}, 2, 8},
		{"first word too long", Segment{Start: 5, End: 8, Words: []Word{{Start: 1, End: 6}, {Start: 7, End: 8}}}, 5, 8},
		{"last word too long", Segment{Start: 1, End: 5, Words: []Word{{Start: 1, End: 2}, {Start: 4, End: 9}}}, 1, 5},
	} {
		s := c.s
		s.fitWords(0.5)
		first, last := s.Words[0], s.Words[len(s.Words)-1]
		if s.Start != c.from || s.End != c.to || first.Start != c.from || last.End != c.to {
			t.Errorf("%s: %+v, want all to begin at %v and end at %v", c.name, s, c.from, c.to)
		}
	}
}

func TestSpeechEnds(t *testing.T) {
	silent := Segment{Start: 7, End: 8, Words: []Word{}}
	for _, c := range []struct {
		segments   []Segment
		start, end float64
	}{
		{nil, 0, math.NaN()},
		{[]Segment{silent, {Start: 8, End: 9}}, 7, 9},
		{[]Segment{silent, timed(1, 1, "a", "b"), timed(3, 1, "c"), silent}, 1, 4},
	} {
		start := speechStart(c.segments)
		end, ok := speechEnd(c.segments)
		if start != c.start || ok != (len(c.segments) > 0) || ok && end != c.end {
			t.Errorf("%v: from %v to %v, %t, want %v to %v", c.segments, start, end, ok, c.start, c.end)
		}
	}
}
