package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"glossa/asr/ws"
)

func TestPercentile(t *testing.T) {
	times := make([]time.Duration, 100)
	for i := range times {
		times[i] = time.Duration(100-i) * time.Second
	}
	for part, want := range map[float64]time.Duration{0.5: 50 * time.Second, 0.95: 95 * time.Second, 0.99: 99 * time.Second, 1: 100 * time.Second, 0: time.Second} {
		if got := percentile(times, part); got != want {
			t.Errorf("%v: %v, want %v", part, got, want)
		}
	}
	if got := percentile(times[:1], 0.95); got != 100*time.Second {
		t.Errorf("of one: %v", got)
	}
	if percentile(nil, 0.5) != 0 {
		t.Error("of none: not 0")
	}
}

// TestLiveWatch checks the latencies of two segments whose times are known.
func TestLiveWatch(t *testing.T) {
	begin := time.Unix(1000, 0)
	w := &liveWatch{begin: begin}
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	words := []ws.Word{{Word: " red", StartMS: 100, EndMS: 400}, {Word: " green", StartMS: 400, EndMS: 800}, {Word: " red", StartMS: 900, EndMS: 1200}}
	w.event(ws.Event{Type: ws.TypeSpeechStarted}, at(300))
	w.event(ws.Event{Type: ws.TypePartial, Tentative: " red", EndMS: 500}, at(600))
	w.event(ws.Event{Type: ws.TypePartial, Committed: " red", Tentative: " green", EndMS: 800}, at(1000))
	w.event(ws.Event{Type: ws.TypePartial, Committed: " red gre", Tentative: "en", EndMS: 900}, at(1100))
	w.event(ws.Event{Type: ws.TypeLag, MS: 250}, at(1200))
	w.event(ws.Event{Type: ws.TypePartial, Committed: " red green", Tentative: " red", EndMS: 1200}, at(1500))
	w.event(ws.Event{Type: ws.TypeFinal, Text: " red green red", Words: words, SpeechFinal: true}, at(2000))
	w.event(ws.Event{Type: ws.TypeFinal, Text: " blue", Words: []ws.Word{{Word: "blue", StartMS: 3000, EndMS: 3500}}, SpeechFinal: true}, at(4500))
	ms := func(times []time.Duration) (list []int64) {
		for _, d := range times {
			list = append(list, d.Milliseconds())
		}
		return list
	}
	for name, c := range map[string]struct{ got, want []int64 }{
		"commit":  {ms(w.commit), []int64{600, 700, 800, 1000}},
		"partial": {ms(w.partial), []int64{100, 200, 200, 300}},
		"final":   {ms(w.final), []int64{800, 1000}},
		"first":   {ms(w.first), []int64{500, 1500}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	if w.words != 4 || w.lag != 250*time.Millisecond {
		t.Errorf("%d words, lag %v", w.words, w.lag)
	}
}

// TestRetractedWords counts words that were shown and changed, over segments whose first part is done with before the rest.
func TestRetractedWords(t *testing.T) {
	w := &liveWatch{begin: time.Now()}
	for _, e := range []ws.Event{
		{Type: ws.TypePartial, Tentative: " red green"},
		{Type: ws.TypePartial, Committed: " red", Tentative: " grey blue"}, // green
		{Type: ws.TypePartial, Committed: " red grey", Tentative: " blue black"},
		{Type: ws.TypeFinal, Text: " red grey"}, // the rest stays
		{Type: ws.TypePartial, Tentative: " blue white"},
		{Type: ws.TypeFinal, Text: " blue white", SpeechFinal: true}, // black, before
		{Type: ws.TypePartial, Tentative: " yes no"},
		{Type: ws.TypeFinal, Text: " yes", SpeechFinal: true}, // no
	} {
		w.event(e, time.Now())
	}
	if w.retracted != 3 || w.finals.String() != " red grey blue white yes" {
		t.Errorf("%d words retracted, finals %q", w.retracted, w.finals.String())
	}
}

// TestSpeakersDiffer checks that clients say different things, each long enough and the same each time.
func TestSpeakersDiffer(t *testing.T) {
	clips := []clip{{pcm: testSound(1)}, {pcm: testSound(2)}, {pcm: testSound(3)}}
	s := liveSpeaker{clips: clips, pause: time.Second, seconds: 10}
	lengths := make(map[int]bool)
	for n := range 8 {
		s.number = n
		sound := s.sound()
		if len(sound) < 10*second || len(sound) > 15*second || len(sound)%2 != 0 || !slices.Equal(sound, s.sound()) {
			t.Errorf("client %d: %d bytes", n, len(sound))
		}
		lengths[len(sound)] = true
	}
	if len(lengths) < 2 {
		t.Error("all clients say the same")
	}
}

func TestReadMetrics(t *testing.T) {
	sums, err := readMetrics(strings.NewReader("# HELP a b\na{x=\"1 2\"} 3\na{x=\"2\"} 4.5\nb 1e3\nnonsense\n"))
	if err != nil || sums["a"] != 7.5 || sums["b"] != 1000 {
		t.Errorf("%v, %v", sums, err)
	}
	before := metricSums{"a": 7}
	if d := sums.since(before, "a", 2); d == nil || *d != 1 {
		t.Errorf("grown by %v", d)
	}
	if sums.since(before, "c", 1) != nil {
		t.Error("an absent metric has grown")
	}
}

func TestNearest(t *testing.T) {
	known := map[string]bool{"http": true, "limit-idle": true, "limit-sessions": true, "hidden": false}
	for name, want := range map[string]string{"htp": "http", "limit-sesions": "limit-sessions", "limit_idle": "limit-idle", "colour": "", "hiddem": ""} {
		if got := nearest(name, known); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
